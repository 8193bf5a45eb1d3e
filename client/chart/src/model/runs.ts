/** Runs over their steps: their lines as Python sends them, smoothing, names, settings, and which are drawn; pure. */

import { groupBy } from "../base/group-by";
import { byName, type Labels, labelKey, labelOf, legendLabel } from "../base/naming";
import { unitKey } from "../base/units";
import type { RunEntry, RunLineWanted, RunPoints } from "../wire/messages";
import { Trace } from "./buckets";
import { EVERY, MOST_RUNS, type RunAxis, type SeriesRef } from "./url";

/** A run: a label set, and what Python says of it. */
export interface Run {
  /** Its label set, as text. */
  readonly key: string;
  readonly name: string;
  readonly entry: RunEntry;
  /** Its labels that are not in its name, and its settings; as text and as they are sorted. */
  readonly settings: ReadonlyMap<string, number | string>;
}

const COLUMNS = ["x", "mean", "min", "max", "first", "last"] as const;

/** The points of one line, in order of x. */
export type Line = { version: number } & Record<(typeof COLUMNS)[number], number[]>;

/** The lines that have arrived, by the index of their series. */
export class RunLines {
  readonly #lines = new Map<number, Line>();
  /** Raised by every change. */
  version = 0;

  get(index: number): Line | undefined {
    return this.#lines.get(index);
  }

  /** Return what to ask for to have the lines of these series whole; others are forgotten. */
  wanted(indices: readonly number[]): RunLineWanted[] {
    const kept = new Set(indices);
    for (const index of this.#lines.keys()) if (!kept.has(index)) this.#lines.delete(index);
    return [...kept].map((i) => ({ i, version: this.#lines.get(i)?.version ?? 0 }));
  }

  take(parts: readonly RunPoints[]): void {
    for (const part of parts) {
      const line = this.#lines.get(part.i) ?? { version: 0, x: [], mean: [], min: [], max: [], first: [], last: [] };
      for (const name of COLUMNS) {
        line[name].length = Math.min(line[name].length, part.start);
        for (const value of part[name].length ? part[name] : part.mean) line[name].push(value);
      }
      line.version = part.version;
      this.#lines.set(part.i, line);
      this.version++;
    }
  }

  clear(): void {
    this.#lines.clear();
    this.version++;
  }
}

/** Points of a line that one unit of smoothing is worth at least. */
const SMOOTHED_POINTS = 1_000;

/**
 * Return the length of x over which a mean forgets by its weight once: a point of the densest line, and at least a
 * thousandth of the longest, so that lines with other numbers of points are as smooth.
 */
export function smoothingUnit(lines: readonly (readonly number[])[]): number {
  const long = lines.filter((x) => x.length > 1 && x[x.length - 1] > x[0]);
  if (long.length === 0) return 1;
  const spans = long.map((x) => x[x.length - 1] - x[0]);
  const densest = Math.min(...long.map((x, i) => spans[i] / (x.length - 1)));
  return Math.max(Math.max(...spans) / SMOOTHED_POINTS, densest);
}

/**
 * Return the exponential mean of values over x, with the weight of nothing before the first taken out: the first is
 * itself, and a line of equal values stays. Source: Adam, Kingma and Ba, 2014, section 3, over distances as well.
 */
export function smoothed(
  x: readonly number[],
  values: readonly number[],
  weight: number,
  unit: number,
): readonly number[] {
  if (!(weight > 0)) return values;
  let [sum, total] = [0, 0];
  return values.map((value, i) => {
    const kept = i === 0 ? 0 : weight ** ((x[i] - x[i - 1]) / unit);
    sum = kept * sum + (1 - weight) * value;
    total = kept * total + (1 - weight);
    return sum / total;
  });
}

/** Return where the points of a run stand on an axis. */
export function placed(x: readonly number[], axis: RunAxis, startMs: number): readonly number[] {
  return axis === "rel" ? x.map((ms) => ms - startMs) : x;
}

/** Return the index of the point at an x, or the last before it; -1 before the first, and further than `reach` after the last. */
export function pointAt(x: ArrayLike<number>, n: number, at: number, reach: number): number {
  let [lo, hi] = [0, n];
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (x[middle] <= at) lo = middle + 1;
    else hi = middle;
  }
  if (lo === n && n > 0 && at > x[n - 1] + reach) return -1;
  // The next point if it is as good as there.
  if (lo < n && x[lo] - at <= reach && (lo === 0 || x[lo] - at < at - x[lo - 1])) return lo;
  return lo - 1;
}

/** Return columns of points as a trace; `value` is drawn in the place of what was read. */
export function traceOf(x: readonly number[], line: Line, value: readonly number[] | null): Trace {
  const trace = new Trace();
  const n = x.length;
  trace.n = n;
  trace.time = Float64Array.from(x);
  for (const name of ["min", "max", "first", "last", "mean"] as const)
    trace[name] = Float64Array.from(value ?? line[name]);
  trace.count = new Float64Array(n).fill(1);
  trace.gapFrom = new Float64Array(n).fill(NaN);
  trace.gapTo = new Float64Array(n).fill(NaN);
  trace.breaks = new Uint8Array(n);
  trace.stepMs = n > 1 ? (x[n - 1] - x[0]) / (n - 1) || 1 : 1;
  [trace.lo, trace.hi] = [Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    trace.lo = Math.min(trace.lo, trace.min[i]);
    trace.hi = Math.max(trace.hi, trace.max[i]);
  }
  return trace;
}

/** What a run is called by: its label `run`, or else all its labels. */
function nameOf(labels: Labels): string {
  return labelOf(labels, "run") ?? (legendLabel(labels) || "without labels");
}

/** Return the runs that were answered; those of one name are told apart by their other labels. */
export function runsOf(entries: readonly RunEntry[]): Run[] {
  const names = new Map<string, number>();
  for (const { labels } of entries) names.set(nameOf(labels), (names.get(nameOf(labels)) ?? 0) + 1);
  return entries.map((entry) => {
    const { labels } = entry;
    const shared = (names.get(nameOf(labels)) ?? 0) > 1;
    const name = labelOf(labels, "run");
    const others = Object.entries(labels).filter(([key]) => name !== undefined && key !== "run");
    const settings = new Map<string, number | string>([...others, ...Object.entries(entry.settings)]);
    const more = shared ? legendLabel(Object.fromEntries(others)) : "";
    return { key: labelKey(labels), name: `${nameOf(labels)} ${more}`.trim(), entry, settings };
  });
}

/** Return how an address names a run. */
export function refOfRun({ labels }: RunEntry): SeriesRef {
  const name = labelOf(labels, "run");
  return name !== undefined && Object.keys(labels).length === 1 ? { metric: name } : { metric: EVERY, labels };
}

const isNamed = (ref: SeriesRef, { key, entry }: Run): boolean =>
  ref.labels ? labelKey(ref.labels) === key : labelOf(entry.labels, "run") === ref.metric;

/** Return the keys of the runs that are drawn: those chosen, or else the newest that have a place on the axis. */
export function drawnRuns(runs: readonly Run[], chosen: readonly SeriesRef[] | null, axis: RunAxis): Set<string> {
  const found = chosen
    ? runs.filter((run) => chosen.some((ref) => isNamed(ref, run)))
    : runs.filter(({ entry }) => axis !== "step" || entry.step !== null);
  return new Set(found.slice(0, MOST_RUNS).map(({ key }) => key));
}

/** Return the settings of runs in the order of their names; with `differing` those that are not the same in all. */
export function settingsOf(runs: readonly Run[], differing: boolean): string[] {
  const names = [...new Set(runs.flatMap(({ settings }) => [...settings.keys()]))].sort(byName);
  return differing ? names.filter((name) => new Set(runs.map(({ settings }) => settings.get(name))).size > 1) : names;
}

/** A metric in one unit: lines of two units have no axis in common, and values of two no column. */
export interface RunMetricUnit {
  metric: string;
  /** Of its series, as it is written. */
  unit: string;
  /** What tells it from the same metric in other units; empty without such. */
  key: string;
}

/** Return the metrics of some series in their order, each as often as its series have other units, in the order of these. */
export function metricUnits(
  metrics: readonly string[],
  series: Iterable<{ readonly metric: string; readonly unit: string }>,
): RunMetricUnit[] {
  const units = new Map(metrics.map((metric) => [metric, new Map<string, string>()]));
  for (const { metric, unit } of series) {
    const own = units.get(metric);
    const key = unitKey(unit);
    if (own && !own.has(key)) own.set(key, unit);
  }
  return [...units].flatMap(([metric, own]) => {
    const keys = [...own.keys()].sort(byName);
    if (keys.length === 0) return [{ metric, unit: "", key: "" }];
    return keys.map((key) => ({ metric, unit: own.get(key) as string, key: keys.length > 1 ? key : "" }));
  });
}

/** What one chart draws of a chart of the deck. */
export interface UnitChart {
  metrics: readonly string[];
  /** The unit of all its lines, as `unitKey` has it; null before any is known. */
  unit: string | null;
  /** How many other units have no chart. */
  left: number;
}

/** Charts of one chart of the deck at most. */
const MOST_UNITS = 4;

/** Divide a chart by the units of its series: lines of two units have no axis in common. */
export function chartsByUnit(
  metrics: readonly string[],
  series: readonly { readonly metric: string; readonly unit: string }[],
): UnitChart[] {
  const own = series.filter(({ metric }) => metrics.includes(metric));
  const charts = [...groupBy(own, ({ unit }) => unitKey(unit))].map(([unit, same]) => {
    const there = new Set(same.map(({ metric }) => metric));
    return { metrics: metrics.filter((metric) => there.has(metric)), unit };
  });
  if (charts.length === 0) return [{ metrics, unit: null, left: 0 }];
  const place = (chart: (typeof charts)[number]): number => metrics.indexOf(chart.metrics[0]);
  charts.sort((a, b) => place(a) - place(b) || byName(a.unit, b.unit));
  const left = Math.max(0, charts.length - MOST_UNITS);
  return charts.slice(0, MOST_UNITS).map((chart, i) => ({ ...chart, left: i === MOST_UNITS - 1 ? left : 0 }));
}

/** Tell whether a metric is a setting of a run: the table has those, and no chart. */
export const isSetting = (metric: string): boolean => /(^|\/)config\//.test(metric);

/** Names of what is better the smaller it is. */
const SMALLER = /loss|err|perplex|ppl|mae|mse|rmse|wer|cer|fid|regret|latenc|second|duration|cost|miss|drop/i;

/** Tell whether the best value of a metric is its least. */
export const leastIsBest = (metric: string): boolean => SMALLER.test(metric);

/** What a table is sorted by: a column, and whether the greatest comes first. */
export interface RunOrder {
  column: string;
  down: boolean;
}

/** Return runs by the values of a column; those without one come last. */
export function sortedRuns(
  runs: readonly Run[],
  order: RunOrder | null,
  value: (run: Run, column: string) => number | string | null,
): readonly Run[] {
  if (!order) return runs;
  const sign = order.down ? -1 : 1;
  const compare = (a: number | string | null, b: number | string | null): number => {
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : byName(String(a), String(b)));
  };
  return [...runs].sort((a, b) => compare(value(a, order.column), value(b, order.column)));
}
