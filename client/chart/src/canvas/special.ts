/**
 * What only some charts are drawn with, and loaded for them: logarithmic axes, ticks that are differences, bars, points,
 * stacked areas, and units that somebody chose.
 */
import { withAlpha } from "../base/colour";
import { decimalsOf, formatNumber, plural, stepDecimals, withoutZeros } from "../base/format";
import type { ShownUnit } from "../base/units";
import type { AxisOptions } from "../model/axis-options";
import { Trace } from "../model/buckets";
import type { Kind } from "../model/kinds";
import type { Scale, Tick } from "./axis";
import type { Linear } from "./paths";
import type { TraceInk } from "./picture";
import { isOffset, niceStep, ticksIn } from "./scale";

/** Decades from which only every third has a tick. */
const MANY_DECADES = 9;
const MOST_DECADES = 400;
const VALUES = ["first", "last", "min", "max", "mean"] as const;

const SUPERSCRIPTS = new Map([..."0123456789-"].map((digit, i) => [digit, "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"[i]]));
/** 6 → "10⁶"; written out between 0.001 and 1,000. */
export function powerText(power: number): string {
  if (power >= -3 && power <= 3) return formatNumber(10 ** power, Math.max(0, -power));
  return `10${[...String(power)].map((digit) => SUPERSCRIPTS.get(digit)).join("")}`;
}

/** Return a trace of the same columns, `n` of them, with values of its own. */
function copyOf(trace: Trace): Trace {
  const copy = Object.assign(new Trace(), trace);
  for (const name of VALUES) copy[name] = new Float64Array(trace.n);
  return copy;
}

export const LOG: Scale = {
  at: (value) => (value > 0 ? Math.log10(value) : NaN),
  shape(trace) {
    const copy = copyOf(trace);
    for (const name of ["time", "count", "gapFrom", "gapTo"] as const) copy[name] = new Float64Array(trace.n);
    copy.breaks = new Uint8Array(trace.n);
    let n = 0;
    let missing = false;
    [copy.lo, copy.hi] = [Infinity, -Infinity];
    for (let i = 0; i < trace.n; i++) {
      if (!(trace.max[i] > 0)) {
        missing = true;
        continue;
      }
      const own = VALUES.map((name) => trace[name][i]);
      const least = Math.min(...own.filter((value) => value > 0));
      VALUES.forEach((name, k) => (copy[name][n] = Math.log10(Math.max(least, own[k]))));
      for (const name of ["time", "count", "gapFrom", "gapTo"] as const) copy[name][n] = trace[name][i];
      copy.breaks[n] = missing || trace.breaks[i] ? 1 : 0;
      missing = false;
      copy.lo = Math.min(copy.lo, copy.min[n]);
      copy.hi = Math.max(copy.hi, copy.max[n]);
      n++;
    }
    copy.n = n;
    if (missing) copy.heldMs = NaN;
    if (n === 0) [copy.lo, copy.hi] = [NaN, NaN];
    return copy;
  },
  dropped(traces) {
    let [columns, exact] = [0, true];
    let readings = 0;
    for (const trace of traces)
      for (let i = 0; i < trace.n; i++) {
        if (trace.min[i] > 0 || trace.count[i] === 0) continue;
        columns++;
        readings += trace.max[i] > 0 ? 1 : trace.count[i];
        if (trace.max[i] > 0 && trace.count[i] > 2) exact = false;
      }
    if (columns === 0) return "";
    return `${exact ? "" : "at least "}${plural(readings, "reading", "readings")} ≤ 0 ${readings === 1 ? "is" : "are"} not on a log axis`;
  },
  ticks({ lo, hi, unit }, _fits) {
    const shift = Math.log10(unit.divisor);
    const [from, to] = [Math.ceil(lo - shift - 1e-9), Math.floor(hi - shift + 1e-9)];
    const each = to - from >= MANY_DECADES ? 3 * Math.ceil((to - from) / 24) : 1;
    const ticks: Tick[] = [];
    const minor: number[] = [];
    // Inside one or two decades, 2 and 5 have texts as well.
    const few = to - from < 1;
    for (let power = from - 1; power <= to && power - from < MOST_DECADES; power++) {
      if (power >= from && power % each === 0) ticks.push({ at: power + shift, text: powerText(power) });
      for (const times of [2, 5]) {
        const at = power + Math.log10(times) + shift;
        if (each > 1 || at < lo || at > hi) continue;
        if (few) ticks.push({ at, text: shortNumber(times * 10 ** power) });
        else minor.push(at);
      }
    }
    if (ticks.length >= 2) return { ticks, minor, unit: unit.text, base: "" };
    // Less than a decade: ticks as on a linear axis, at their heights.
    const [least, most] = [10 ** (lo - shift), 10 ** (hi - shift)];
    const step = niceStep(least, most);
    const linear = ticksIn(least, most, step).filter((value) => value > 0);
    const texts = linear.map((value) => ({ at: Math.log10(value) + shift, text: shortNumber(value) }));
    return { ticks: texts, minor: [], unit: unit.text, base: "" };
  },
};

function shortNumber(value: number): string {
  return value >= 1e-3 && value < 1e6
    ? formatNumber(value, decimalsOf(value))
    : withoutZeros(value.toExponential(2).replace(/\.?0*e\+?/, "e")).replaceAll("-", "−");
}

/** Units that take a prefix for thousandths, and the prefixes. */
const PREFIXED = /^(Hz|V|A|W|Pa|m|g|s|N|J|bar|Ω|L|mol|T|F|H|Bq|Sv|K|lx|lm)$/;
const PREFIXES = [
  [1, ""],
  [1e-3, "m"],
  [1e-6, "µ"],
  [1e-9, "n"],
  [1e-12, "p"],
] as const;
export const OFFSET: Scale = {
  at: (value) => value,
  shape: (trace) => trace,
  dropped: () => "",
  ticks({ lo, hi, unit }) {
    const [least, most] = [lo / unit.divisor, hi / unit.divisor];
    const step = niceStep(0, most - least);
    // A round number near the middle: its last digit is that of the steps.
    const coarse = 10 ** Math.ceil(Math.log10(most - least));
    const middle = (least + most) / 2;
    const round = Math.round(middle / coarse) * coarse;
    const base = round >= least && round <= most ? round : Math.round(middle / step) * step;
    const [scale, prefix] = PREFIXED.test(unit.text)
      ? (PREFIXES.find(([one]) => step * 2 >= one * 0.9999) ?? PREFIXES[PREFIXES.length - 1])
      : PREFIXES[0];
    const ticks = ticksIn(least - base, most - base, step).map((difference) => {
      const text = shortNumber(Math.abs(difference / scale));
      const sign = difference > step / 2 ? "+" : difference < -step / 2 ? "−" : "±";
      return { at: (base + difference) * unit.divisor, text: sign === "±" ? "±0" : `${sign}${text}` };
    });
    const digits = stepDecimals(step);
    const full = withoutZeros(formatNumber(base, digits));
    return { ticks, minor: [], unit: prefix + unit.text, base: `±0 = ${full} ${unit.text}`.trim() };
  },
};

/**
 * Stack traces: each begins where those before it end. Of a column with several readings it is their mean that is
 * stacked, since extremes of two series need not be at one time.
 */
export function stacked(traces: readonly Trace[]): Trace[] {
  const floors: Trace[] = [];
  return traces.map((trace) => {
    const copy = copyOf(trace);
    [copy.lo, copy.hi] = [0, 0];
    for (let i = 0; i < trace.n; i++) {
      const top = trace.mean[i] + heightOf(floors, trace.time[i]);
      for (const name of VALUES) copy[name][i] = top;
      copy.lo = Math.min(copy.lo, top);
      copy.hi = Math.max(copy.hi, top);
    }
    if (trace.n > 0) floors.push(trace);
    else [copy.lo, copy.hi] = [NaN, NaN];
    return copy;
  });
}

/**
 * Return the sum of what traces are at a time: between two readings on the line that joins them, in a gap nothing, and
 * after the last one as long as steps hold it.
 */
function heightOf(traces: readonly Trace[], timeMs: number): number {
  let sum = 0;
  for (const trace of traces) {
    const next = trace.indexAt(timeMs);
    if (next < trace.n && trace.time[next] === timeMs) sum += trace.mean[next];
    else if (next === trace.n)
      sum +=
        trace.n > 0 && timeMs <= Math.max(trace.endMs, trace.time[next - 1] + 2 * trace.stepMs)
          ? trace.mean[next - 1]
          : 0;
    else if (next > 0 && !trace.breaks[next]) {
      const [from, to] = [trace.mean[next - 1], trace.mean[next]];
      const share = (timeMs - trace.time[next - 1]) / (trace.time[next] - trace.time[next - 1]);
      sum += trace.steps ? from : from + (to - from) * share;
    }
  }
  return sum;
}

const BAR = { share: 0.7, least: 1, most: 24 };
const POINT_PX = 1.75;
const STACK_ALPHA = 0.4;

/** Half of the columns of a trace are nearer to the next one than this, ms. */
function pitchOf(trace: Trace): number {
  const apart = Array.from({ length: Math.max(0, trace.n - 1) }, (_, i) => trace.time[i + 1] - trace.time[i]);
  return apart.sort((a, b) => a - b)[apart.length >> 1] ?? trace.stepMs;
}

/** Bars from the foot to the extreme of each column; series of one chart stand beside each other. */
export const bars: TraceInk = (ctx, picture, i, y, box, from) => {
  const { traces, x, colours, axes, axisOf } = picture;
  const trace = traces[i];
  const { scale, lo, hi } = axes[axisOf[i]];
  const zero = scale.at(0);
  const foot = y.a * Math.min(hi, Math.max(lo, Number.isNaN(zero) ? lo : zero)) + y.b;
  const shown = traces.map((one, k) => (one.n > 0 ? k : -1)).filter((k) => k >= 0);
  const room = Math.min(BAR.most * shown.length, pitchOf(trace) * x.a * BAR.share);
  const wide = Math.max(BAR.least, room / shown.length);
  ctx.beginPath();
  for (let k = from; k < trace.n; k++) {
    const left = x.a * trace.time[k] + x.b - (wide * shown.length) / 2 + wide * shown.indexOf(i);
    const top = Math.min(box.top + box.height + 1, Math.max(box.top - 1, y.a * trace.extreme(k) + y.b));
    ctx.rect(left, top, wide, foot - top || 1);
  }
  ctx.fillStyle = colours[i];
  ctx.fill();
};

/** A dot for each reading of a column, as far as they are known. */
export const points: TraceInk = (ctx, { traces, x, colours }, i, y, _box, from) => {
  const trace = traces[i];
  ctx.beginPath();
  for (let k = from; k < trace.n; k++) {
    const px = x.a * trace.time[k] + x.b;
    for (const value of new Set([trace.first[k], trace.min[k], trace.max[k], trace.last[k]])) {
      ctx.moveTo(px + POINT_PX, y.a * value + y.b);
      ctx.arc(px, y.a * value + y.b, POINT_PX, 0, 7);
    }
  }
  ctx.fillStyle = colours[i];
  ctx.fill();
};

/** The area between a trace and the one it is stacked on, and its edge. */
export const areas: TraceInk = (ctx, picture, i, y, _box, from) => {
  const { traces, x, colours, axes, axisOf } = picture;
  const trace = traces[i];
  const below = traces.slice(0, i).filter((one, k) => one.n > 0 && axisOf[k] === axisOf[i]);
  const { lo, scale } = axes[axisOf[i]];
  const zero = scale.at(0);
  const ground = y.a * (Number.isNaN(zero) ? lo : Math.max(lo, zero)) + y.b;
  const floor = below[below.length - 1];
  for (const run of runsOf(trace, from)) {
    ctx.beginPath();
    outline(ctx, trace, run, x, y);
    const [first, last] = [trace.time[run[0]], run[1] === trace.n ? trace.endMs : trace.time[run[1] - 1]];
    if (floor) {
      const back: [number, number][] = [];
      for (let k = floor.indexAt(first); k < floor.n && floor.time[k] <= last; k++)
        back.push([x.a * floor.time[k] + x.b, y.a * floor.mean[k] + y.b]);
      if (back.length === 0) back.push([x.a * last + x.b, ground], [x.a * first + x.b, ground]);
      else back.reverse();
      ctx.lineTo(x.a * last + x.b, back[0][1]);
      for (const [px, py] of back) ctx.lineTo(px, py);
      ctx.lineTo(x.a * first + x.b, back[back.length - 1][1]);
    } else {
      ctx.lineTo(x.a * last + x.b, ground);
      ctx.lineTo(x.a * first + x.b, ground);
    }
    ctx.closePath();
    ctx.fillStyle = withAlpha(colours[i], STACK_ALPHA);
    ctx.fill();
    ctx.beginPath();
    outline(ctx, trace, run, x, y);
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.setLineDash([]);
    ctx.strokeStyle = colours[i];
    ctx.stroke();
  }
};

function outline(
  ctx: CanvasRenderingContext2D,
  trace: Trace,
  [from, to]: readonly [number, number],
  x: Linear,
  y: Linear,
): void {
  for (let k = from; k < to; k++) {
    const [px, py] = [x.a * trace.time[k] + x.b, y.a * trace.mean[k] + y.b];
    if (k === from) ctx.moveTo(px, py);
    else if (trace.steps) ctx.lineTo(px, y.a * trace.mean[k - 1] + y.b);
    ctx.lineTo(px, py);
  }
  if (to === trace.n) ctx.lineTo(x.a * trace.endMs + x.b, y.a * trace.mean[to - 1] + y.b);
}

/** Return the columns between two gaps, from the run that holds a column on. */
function runsOf(trace: Trace, from: number): [number, number][] {
  const runs: [number, number][] = [];
  let start = 0;
  for (let i = 1; i <= trace.n; i++) {
    if (i < trace.n && !trace.breaks[i]) continue;
    if (i > from) runs.push([start, i]);
    start = i;
  }
  return runs;
}

/** Units of one dimension, each as a number of the first. */
const FAMILIES: readonly Readonly<Record<string, number>>[] = [
  { "L/min": 1, "L/s": 60, "L/h": 1 / 60, "m³/h": 1_000 / 60, "mL/min": 1e-3 },
  { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 1_024, MiB: 1_024 ** 2, GiB: 1_024 ** 3, TiB: 1_024 ** 4 },
  { "B/s": 1, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "KiB/s": 1_024, "MiB/s": 1_024 ** 2, "GiB/s": 1_024 ** 3 },
  { s: 1, ms: 1e-3, µs: 1e-6, ns: 1e-9, min: 60, h: 3_600, d: 86_400 },
  { bar: 1e5, mbar: 100, Pa: 1, hPa: 100, kPa: 1e3, MPa: 1e6, psi: 6_894.757, Torr: 133.322_4 },
  { Hz: 1, mHz: 1e-3, kHz: 1e3, MHz: 1e6, GHz: 1e9 },
  { m: 1, µm: 1e-6, mm: 1e-3, cm: 1e-2, km: 1e3 },
  { "m/s": 1, "m/min": 1 / 60, "km/h": 1 / 3.6, "mm/s": 1e-3 },
  { g: 1, mg: 1e-3, kg: 1e3, t: 1e6 },
  { V: 1, µV: 1e-6, mV: 1e-3, kV: 1e3 },
  { A: 1, nA: 1e-9, µA: 1e-6, mA: 1e-3, kA: 1e3 },
  { W: 1, mW: 1e-3, kW: 1e3, MW: 1e6 },
  { Wh: 1, kWh: 1e3, MWh: 1e6, J: 1 / 3_600, kJ: 1 / 3.6, MJ: 1 / 3.6e-3 },
  { "/s": 1, "/min": 1 / 60, "/h": 1 / 3_600 },
];

/** Return the units in which values of a unit can be shown, itself first. */
export function unitsLike(unit: string): string[] {
  const family = FAMILIES.find((one) => Object.hasOwn(one, unit));
  return [unit, ...Object.keys(family ?? {}).filter((other) => other !== unit)];
}

/** Return how values of a unit are shown in another, null if they cannot be. */
export function unitIn(unit: ShownUnit, wanted: string): ShownUnit | null {
  const family = FAMILIES.find((one) => Object.hasOwn(one, unit.text) && Object.hasOwn(one, wanted));
  return family ? { text: wanted, divisor: (unit.divisor * family[wanted]) / family[unit.text] } : null;
}

/** What draws each kind of chart that is no line. */
export const INKS: ReadonlyMap<Kind, TraceInk> = new Map([
  ["bars", bars],
  ["points", points],
  ["stacked", areas],
]);

/** Put the traces at some places on each other. */
export function stack(traces: Trace[], at: readonly number[]): void {
  const sums = stacked(at.map((i) => traces[i]));
  at.forEach((i, k) => (traces[i] = sums[k]));
}

/** Return the scale of an axis whose readings differ by little of what they are, else null. */
export function offsetOf(
  traces: readonly Trace[],
  at: readonly number[],
  { lo, hi, zero }: AxisOptions,
  before: Scale | undefined,
): Scale | null {
  const own = at.map((i) => traces[i]).filter((trace) => trace.n > 0);
  const least = lo ?? Math.min(...own.map((trace) => trace.lo));
  const most = hi ?? Math.max(...own.map((trace) => trace.hi));
  return own.length > 0 && !zero && isOffset(least, most, before === OFFSET) ? OFFSET : null;
}

/** Return the range of an axis, by the ends that were set: where nothing is between one and the readings, a bit of it. */
export function rangeBy(
  options: AxisOptions,
  scale: Scale,
  auto: readonly [number, number],
): readonly [number, number] {
  const [low, high] = [options.lo, options.hi].map((end) => (end === undefined ? NaN : scale.at(end)));
  const lo = Number.isNaN(low) ? auto[0] : low;
  const hi = Number.isNaN(high) ? auto[1] : high;
  if (lo < hi) return [lo, hi];
  const some = Math.abs(auto[1] - auto[0]) || 1;
  return Number.isNaN(high) ? [lo, lo + some] : [hi - some, hi];
}
