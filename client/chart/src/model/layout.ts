/** Computes the charts of a deck: the defaults, and those after a series is added, removed or moved. */

import { groupBy } from "../base/group-by";
import { byName, groupOf, type Labels, labelOf } from "../base/naming";
import { unitKey } from "../base/units";
import { changedAxis } from "./axis-options";
import { type Directory, isResult, type Series } from "./directory";
import { DEFAULT_COLUMNS, otherKind } from "./kinds";
import { type ChartSpec, type PageState, type SeriesRef, selects } from "./url";

const DEFAULT_CHARTS = 12;

/** Return one chart per metric of the group that the slug names, or of the first metrics if there is no such group. */
export function defaultCharts(directory: Directory, slug: string): ChartSpec[] {
  const metrics = [...directory.byMetric.keys()].filter((metric) => metric !== "annotations").sort(byName);
  const own = metrics.filter((metric) => groupOf(metric) === slug);
  return (own.length ? own : metrics).slice(0, DEFAULT_CHARTS).map((metric) => ({ series: [{ metric }], columns: 4 }));
}

/** Metrics of a level that become charts; a level of more is better searched. */
const MOST_OF_LEVEL = 50;

/** Return the charts of a level: its metrics, those of one unit together. */
export function chartsOfLevel(directory: Directory, path: string): ChartSpec[] {
  const below = [...directory.byMetric].filter(([metric]) => metric === path || metric.startsWith(`${path}/`));
  const byUnit = groupBy(below.slice(0, MOST_OF_LEVEL), ([, same]) => unitKey(sharedUnit(same)));
  return [...byUnit.values()].map((metrics) => ({
    series: metrics.map(([metric]) => ({ metric })),
    columns: DEFAULT_COLUMNS,
  }));
}

/** From so many series on a chart shows others in their place, unless it was told to draw all. */
const MANY = 25;

/** Whether a chart of these series shows others in their place, or may. */
export const isMany = ({ kind, view }: ChartSpec, { length }: { length: number }): boolean =>
  !otherKind(kind) && (view !== undefined || length >= MANY);

/** Whether all series of a card are drawn; else they need no colours. */
export const isDrawn = ({ spec, series }: Cell): boolean => spec.view === "lines" || !isMany(spec, series);

/** Return the series of a chart, each once, in the order of its references, and those of its formula. */
export function resolve(directory: Directory, chart: ChartSpec): Series[] {
  const found = new Set<Series>();
  for (const ref of chart.series) {
    for (const series of directory.byMetric.get(ref.metric) ?? []) if (named([ref], series)) found.add(series);
  }
  return [...found, ...((chart.formula !== undefined && directory.formula(chart.formula)?.series) || [])];
}

function sameLabels(a: Labels, b: Labels): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === labelOf(b, key));
}

/** One card of the grid. */
export interface Cell {
  /** Index of its chart in the state. */
  at: number;
  spec: ChartSpec;
  series: Series[];
  /** The value of the label by which the chart is split, null when it is not. */
  facet: string | null;
}

/** Whether a series has all of these labels, with these values. */
export const hasLabels = (series: Series, labels: Labels): boolean =>
  Object.keys(labels).every((key) => labelOf(series.labels, key) === labels[key]);

/**
 * The cards of a deck: one per chart, but one per value of the label for a chart that is split. `labels` and `select` tell
 * which series are shown.
 */
export function cells(
  directory: Directory,
  charts: readonly ChartSpec[],
  { labels, select }: Pick<PageState, "labels" | "select"> = { labels: {}, select: "" },
): Cell[] {
  return charts.flatMap((spec, at): Cell[] => {
    const shows = (one: Series): boolean => hasLabels(one, labels) && selects(select, one.labels, isResult(one));
    const series = resolve(directory, spec).filter(shows);
    const { facet } = spec;
    const values =
      facet === undefined ? [] : [...new Set(series.map((one) => labelOf(one.labels, facet) ?? ""))].sort(byName);
    if (values.length < 2) return [{ at, spec, series, facet: null }];
    return values.map((value) => ({
      at,
      spec,
      series: series.filter((one) => (labelOf(one.labels, facet as string) ?? "") === value),
      facet: value,
    }));
  });
}

/** What a chart is split by next: each label that differs among its series, then nothing. */
export function nextFacet(directory: Directory, spec: ChartSpec): string | undefined {
  const series = resolve(directory, spec);
  const names = [...new Set(series.flatMap((one) => Object.keys(one.labels)))]
    .filter((name) => name !== "__name__")
    .filter((name) => new Set(series.map((one) => labelOf(one.labels, name))).size > 1)
    .sort(byName);
  return names[spec.facet === undefined ? 0 : names.indexOf(spec.facet) + 1];
}

/** Split a chart by the next label, into narrow charts, or join it again. */
export function splitChart(directory: Directory, charts: readonly ChartSpec[], at: number): ChartSpec[] {
  const facet = nextFacet(directory, charts[at]);
  const { columns } = charts[at];
  return changeChart(charts, at, {
    facet,
    columns: facet === undefined ? columns : Math.min(columns, DEFAULT_COLUMNS),
  });
}

/** Units of series that do not mean the same, in order. */
export function unitsOf(series: readonly Series[]): string[] {
  const found = new Map<string, string>();
  for (const { unit } of series) if (!found.has(unitKey(unit))) found.set(unitKey(unit), unit);
  return [...found.values()];
}

/** Units of the metrics of a chart that do not mean the same; more than one cannot share an axis. */
export function unitsOfMetrics(series: readonly Series[]): string[] {
  const metrics = [...groupBy(series, ({ metric }) => metric).values()];
  return unitsOf(metrics.map((same) => ({ ...same[0], unit: sharedUnit(same) })));
}

/** The unit of a metric: that of most of its series, of equally many the first. */
export function sharedUnit(series: readonly Series[]): string {
  const counts = new Map<string, number>();
  for (const { unit } of series) counts.set(unitKey(unit), (counts.get(unitKey(unit)) ?? 0) + 1);
  const most = Math.max(0, ...counts.values());
  return unitsOf(series).find((unit) => counts.get(unitKey(unit)) === most) ?? "";
}

export function isOnDeck(directory: Directory, charts: readonly ChartSpec[], series: Series): boolean {
  return charts.some((chart) => resolve(directory, chart).includes(series));
}

/** Whether one of these references names the series. */
export function named(refs: readonly SeriesRef[], series: Series): boolean {
  return refs.some((ref) => ref.metric === series.metric && (!ref.labels || sameLabels(ref.labels, series.labels)));
}

/** What is switched off after a press on a series of a chart with these; alone: all its others, or all on again. */
export function pressed(
  hidden: readonly SeriesRef[],
  own: readonly Series[],
  series: Series,
  alone: boolean,
): SeriesRef[] {
  const off = own.filter((one) => named(hidden, one));
  const others = own.filter((one) => one !== series);
  let next = off.includes(series) ? off.filter((one) => one !== series) : [...off, series];
  if (alone) next = others.every((one) => off.includes(one)) && !off.includes(series) ? [] : others;
  const elsewhere = hidden.filter((ref) => !own.some((one) => named([ref], one)));
  return [...elsewhere, ...next.map((one) => ({ metric: one.metric, labels: one.labels }))];
}

/** Add a series that is not on the deck, or take it off every chart it is on. */
export function toggleSeries(directory: Directory, charts: readonly ChartSpec[], series: Series): ChartSpec[] {
  return isOnDeck(directory, charts, series)
    ? withoutSeries(directory, charts, series)
    : withSeries(directory, charts, series);
}

/** Its own metric's chart takes it when there is one, else it gets a chart of its own. */
export function withSeries(directory: Directory, charts: readonly ChartSpec[], series: Series): ChartSpec[] {
  const at = charts.findIndex((chart) => chart.series.some((ref) => ref.metric === series.metric));
  const ref = refOf(directory, series);
  if (at < 0) return [...charts, { series: [ref], columns: 4 }];
  return charts.map((chart, i) => (i === at ? { ...chart, series: [...chart.series, ref] } : chart));
}

/** The shortest way to name one series: by its metric alone when that has no other. */
export function refOf(directory: Directory, series: Series): SeriesRef {
  const alone = directory.byMetric.get(series.metric)?.length === 1;
  return alone ? { metric: series.metric } : { metric: series.metric, labels: series.labels };
}

function withoutSeries(directory: Directory, charts: readonly ChartSpec[], series: Series): ChartSpec[] {
  const kept: ChartSpec[] = [];
  for (const chart of charts) {
    const held = resolve(directory, chart);
    if (!held.includes(series)) {
      kept.push(chart);
      continue;
    }
    const others = held.filter((one) => one !== series && !isResult(one));
    const refs = others.map((one) => ({ metric: one.metric, labels: one.labels }));
    if (refs.length || chart.formula !== undefined) kept.push({ ...chart, series: refs, ...rightOf(chart, others) });
  }
  return kept;
}

/** Return the axis of a chart whose references become those of these series, in their order. */
function rightOf({ series, axis }: ChartSpec, others: readonly Series[]): Pick<ChartSpec, "axis"> {
  if (!axis?.right) return {};
  const refs = axis.right.flatMap((number) => series[number - 1] ?? []);
  const right = others.flatMap((one, i) => (named(refs, one) ? [i + 1] : []));
  return { axis: changedAxis(axis, { right: right.length ? right : undefined }) };
}

export function moveChart(charts: readonly ChartSpec[], from: number, to: number): ChartSpec[] {
  const moved = [...charts];
  const [chart] = moved.splice(from, 1);
  if (chart) moved.splice(to, 0, chart);
  return moved;
}

/** Change some of one chart's fields; a field of undefined goes. */
export function changeChart(charts: readonly ChartSpec[], at: number, part: Partial<ChartSpec>): ChartSpec[] {
  return charts.map((chart, i) => (i === at ? { ...chart, ...part } : chart));
}

export function removeChart(charts: readonly ChartSpec[], at: number): ChartSpec[] {
  return charts.filter((_, i) => i !== at);
}
