/** How often the readings of the window have which values, all shown series together. */

import { withAlpha } from "../../base/colour";
import { compact, formatNumber, formatReading, plural, stepDecimals, withoutZeros } from "../../base/format";
import { font, LIGHT, lineColour } from "../../base/tokens";
import { linear } from "../../canvas/paths";
import { niceStep, ticksIn, tickTexts, wholeStep } from "../../canvas/scale";
import type { Trace } from "../../model/buckets";
import { MOST_COUNTED } from "../../wire/frame";
import { canvasKind, type Face, middleWords, type Said } from "./canvas-kind";
import type { Shown } from "./kind";
import { countText, lengthText, nameOf, oneUnit, shownOf } from "./readings";

const MOST_BINS = 40;
const MANTISSAS = [1, 2, 2.5, 5, 10];
const GUTTER = { left: 48, right: 24, top: 8, bottom: 24 };
/** Room above the highest bin for the names of two lines, as a share of it. */
const HEADROOM = 1.2;
/** Counted at most this often, since nobody reads it faster, and for at most this share of the time. */
const COUNT_MS = 1_000;
const COUNT_SHARE = 0.05;
const FILL = { dark: 0.62, light: 0.75 };
const LINE_ALPHA = 0.75;
/** Of the outline of what was read earlier. */
const OUTLINE_PX = 1.25;

/** So many readings of one value; a fraction where a column tells no more. */
export type Weighted = readonly [value: number, count: number];

/** Points at which the readings between two values are counted. */
const POINTS = 4;

/**
 * Return the readings of a window as its columns hold them: the least and the greatest of a column, and its other ones
 * spread from the one to the other so that their mean is kept. So up to three readings of a column are exact, and so are
 * whole numbers beside each other.
 */
export function readingsOf(trace: Trace, startMs: number, endMs: number, whole = false): Weighted[] {
  const all: Weighted[] = [];
  for (let i = 0; i < trace.n; i++) {
    if (trace.count[i] === 0 || trace.time[i] < startMs || trace.time[i] > endMs) continue;
    const [min, max, count] = [trace.min[i], trace.max[i], trace.count[i]];
    if (count === 1 || min === max) {
      all.push([min, count]);
      continue;
    }
    all.push([min, 1], [max, 1]);
    const rest = count - 2;
    if (rest <= 0) continue;
    const mean = Math.min(max, Math.max(min, (trace.mean[i] * count - min - max) / rest));
    const below = (max - mean) / (max - min);
    if (whole && max - min === 1) all.push([min, below * rest], [max, (1 - below) * rest]);
    else if (rest === 1) all.push([whole ? Math.round(mean) : mean, 1]);
    else spread(all, min, mean, max, below, rest, whole);
  }
  return all;
}

function spread(
  all: Weighted[],
  min: number,
  mean: number,
  max: number,
  below: number,
  count: number,
  whole: boolean,
): void {
  for (let point = 0; point < POINTS; point++) {
    const at = (point + 0.5) / POINTS;
    for (const [value, share] of [
      [min + (mean - min) * at, below],
      [mean + (max - mean) * at, 1 - below],
    ])
      if (share > 0) all.push([whole ? Math.round(value) : value, (share * count) / POINTS]);
  }
}

/** Tell whether every column of a trace has so few readings that each is known. */
export function isExact(trace: Trace): boolean {
  for (let i = 0; i < trace.n; i++) if (trace.count[i] > 3 && trace.max[i] > trace.min[i]) return false;
  return true;
}

/** Tell whether a column of a window has more readings than it counts. */
export function hasMore(trace: Trace, startMs: number, endMs: number): boolean {
  for (let i = 0; i < trace.n; i++)
    if (trace.count[i] >= MOST_COUNTED && trace.time[i] >= startMs && trace.time[i] <= endMs) return true;
  return false;
}

export interface Bins {
  /** Where the first begins, and how wide each is, in the unit that is shown. */
  from: number;
  width: number;
  counts: number[];
  total: number;
}

/**
 * Count readings in 20 to 40 bins of a width of 1, 2, 2.5 or 5 times a power of ten; in fewer where they are few whole
 * numbers, each in the middle of its bin. Values are divided by `divisor` first; `given` is a width to take instead.
 */
export function binsOf(readings: readonly Weighted[], whole: boolean, divisor = 1, given = NaN): Bins {
  let [lo, hi, total] = [Infinity, -Infinity, 0];
  for (const [value, count] of readings) {
    [lo, hi] = [Math.min(lo, value / divisor), Math.max(hi, value / divisor)];
    total += count;
  }
  if (total === 0) return { from: 0, width: 1, counts: [], total };
  const width = Number.isNaN(given) ? binWidth(lo, hi, whole) : given;
  const shift = whole ? 0.5 : 0;
  const place = (value: number): number => Math.floor(value / width + shift / width + 1e-9);
  const first = place(lo);
  const counts = new Array<number>(place(hi) - first + 1).fill(0);
  for (const [value, count] of readings) counts[place(value / divisor) - first] += count;
  return { from: first * width - shift, width, counts, total };
}

/** Beyond so many bins of the present what was read earlier is not drawn. */
const MOST_OUTLINED = 4 * MOST_BINS;

/** Count what was read earlier in bins of the width of others; null if it lies too far away from them. */
export function outlineOf(earlier: readonly Weighted[], bins: Bins, whole: boolean, divisor = 1): Bins | null {
  const reach = MOST_OUTLINED * bins.width;
  const end = bins.from + bins.counts.length * bins.width;
  const far = earlier.some(([value]) => value / divisor < bins.from - reach || value / divisor > end + reach);
  return far ? null : binsOf(earlier, whole, divisor, bins.width);
}

function binWidth(lo: number, hi: number, whole: boolean): number {
  const least = whole ? 1 : 0;
  // Equal values, or such that differ by rounding, have one bin.
  const size = Math.max(Math.abs(lo), Math.abs(hi));
  if (hi - lo <= size * 1e-12) return whole ? 1 : 10 ** Math.floor(Math.log10(size || 1) - 2);
  const power = 10 ** Math.floor(Math.log10((hi - lo) / MOST_BINS));
  const widths = MANTISSAS.map((one) => one * power).filter((one) => !whole || Number.isInteger(one));
  for (const width of [...widths, 20 * power, 50 * power]) {
    const bins = Math.floor(hi / width + 1e-9) - Math.floor(lo / width + 1e-9) + 1;
    if (width >= least && bins <= MOST_BINS) return Number(width.toPrecision(12));
  }
  return Math.max(1, 100 * power);
}

/** Return the least value that so large a share of the readings does not exceed; NaN of none. */
export function quantile(readings: readonly Weighted[], share: number): number {
  const rising = [...readings].sort(([a], [b]) => a - b);
  const total = rising.reduce((sum, [, count]) => sum + count, 0);
  let sum = 0;
  for (const [value, count] of rising) {
    sum += count;
    if (sum >= share * total) return value;
  }
  return NaN;
}

interface Counted {
  bins: Bins;
  /** What was read earlier, in the same bins and further ones of their width; null: nothing is compared. */
  then: Bins | null;
  p50: number;
  p95: number;
  exact: boolean;
  /** Whether there are more readings than are counted. */
  more: boolean;
}

export const hist = canvasKind(
  { name: "hist", text: "Histogram", ranged: false, misfit: (chart) => oneUnit(chart, "A histogram") },
  () => {
    let counted: Counted | null = null;
    let key = "";
    let due = -Infinity;
    return (face) => {
      const { chart, moment } = face;
      const shown = shownOf(chart);
      const now = performance.now();
      const { divisor } = chart.units[0];
      const own = `${shown.map((i) => chart.series[i].index).join()} ${divisor} ${moment.endMs - moment.startMs} ${moment.startMs * Number(moment.zoomed)} ${moment.settled} ${chart.earlier?.ago} ${chart.earlier?.traces.some(({ n }) => n > 0)}`;
      if (!counted || own !== key || now > due) {
        key = own;
        const whole = divisor === 1 && shown.every((i) => chart.traces[i].n === 0 || chart.traces[i].integers);
        const readings = shown.flatMap((i) => readingsOf(chart.traces[i], moment.startMs, moment.endMs, whole));
        const bins = binsOf(readings, whole, divisor);
        const earlier = shown.flatMap((i) =>
          chart.earlier?.traces[i] ? readingsOf(chart.earlier.traces[i], moment.startMs, moment.endMs, whole) : [],
        );
        const then = earlier.length > 0 && bins.total > 0 ? outlineOf(earlier, bins, whole, divisor) : null;
        counted = {
          bins,
          then,
          p50: quantile(readings, 0.5),
          p95: quantile(readings, 0.95),
          exact: shown.every((i) => isExact(chart.traces[i])),
          more: shown.some((i) => hasMore(chart.traces[i], moment.startMs, moment.endMs)),
        };
        due = now + Math.max(COUNT_MS, (performance.now() - now) / COUNT_SHARE);
      }
      return paint(face, counted);
    };
  },
);

function paint(face: Face, { bins, then, p50, p95, exact, more }: Counted): Said {
  const { ctx, width, height, tokens, chart, moment, picture, fresh } = face;
  const box = {
    left: GUTTER.left,
    top: GUTTER.top,
    width: width - GUTTER.left - GUTTER.right,
    height: height - GUTTER.top - GUTTER.bottom,
  };
  const [right, bottom] = [box.left + box.width, box.top + box.height];
  const { from, width: step, counts, total } = bins;
  const unit = chart.units[0].text;
  const shown = shownOf(chart);
  const of = chart.series.length > 1 ? countText(chart) : shown.length === 1 ? nameOf(chart, shown[0]) : "";
  const several = of && ` of ${of}`;
  const when = lengthText(moment);
  if (total === 0) {
    const why = picture.loading?.words ?? picture.emptyText;
    const words = why.length > 0 ? why : [chart.allHidden ? "all series are hidden" : "no number"];
    middleWords(face, words, box.left + box.width / 2, box.top + box.height / 2, box.width);
    return { note: `no readings in ${when}${several}`, words: "" };
  }
  // As many readings as there are now, so that the shapes are compared and not how often something was read.
  const scale = then ? total / then.total : 1;
  const outline = (then?.counts ?? []).map((count) => count * scale);
  const most = Math.max(...counts, ...outline) * HEADROOM;
  // One bin alone stands in the middle.
  const spare = counts.length < 3 ? step : 0;
  const least = Math.min(from, then?.from ?? from) - spare;
  const greatest =
    Math.max(from + step * counts.length, then ? then.from + step * then.counts.length : -Infinity) + spare;
  const x = linear(least, greatest, box.left, right);
  const y = linear(0, most, bottom, box.top);
  const texts = (ticks: readonly number[], each: number, room: number): string[] =>
    tickTexts(ticks, each, (text) => ctx.measureText(text).width <= room);
  ctx.font = font(400, 11);
  ctx.textAlign = "right";
  const rise = wholeStep(0, most);
  const heights = ticksIn(0, most, rise);
  heights.forEach((count, k) => {
    const px = Math.round(y.a * count + y.b);
    ctx.fillStyle = withAlpha(tokens.border, 0.6);
    ctx.fillRect(box.left, px, box.width, 1);
    ctx.fillStyle = tokens.muted;
    ctx.fillText(texts(heights, rise, GUTTER.left - 8)[k] ?? compact(count, rise), box.left - 8, px + 4);
  });
  const light = tokens === LIGHT;
  const colour = fresh.silent ? tokens.stale : lineColour(tokens, chart.series[0].style);
  ctx.fillStyle = withAlpha(colour, light ? FILL.light : FILL.dark);
  counts.forEach((count, k) => {
    if (count === 0) return;
    const [left, end] = [k, k + 1].map((at) => Math.round(x.a * (from + at * step) + x.b));
    const top = Math.min(bottom - 1, y.a * count + y.b);
    ctx.fillRect(left, top, Math.max(1, end - left - 1), bottom - top);
  });
  if (then) {
    ctx.strokeStyle = withAlpha(tokens.text, LINE_ALPHA);
    ctx.lineWidth = OUTLINE_PX;
    ctx.lineJoin = "miter";
    ctx.beginPath();
    ctx.moveTo(x.a * then.from + x.b, bottom);
    outline.forEach((count, k) => {
      for (const end of [k, k + 1]) ctx.lineTo(x.a * (then.from + end * step) + x.b, y.a * count + y.b);
    });
    ctx.lineTo(x.a * (then.from + outline.length * step) + x.b, bottom);
    ctx.stroke();
  }
  ctx.textAlign = "center";
  ctx.fillStyle = tokens.muted;
  const [first, last] = [least, greatest];
  const pitch = niceStep(first, last);
  const marks = ticksIn(first, last, pitch);
  texts(marks, pitch, box.width / (marks.length + 1)).forEach((text, k) => {
    const px = x.a * marks[k] + x.b;
    const half = ctx.measureText(text).width / 2;
    if (px - half > 4 && px + half < width - 4) ctx.fillText(text, px, bottom + 17);
  });
  const quantiles = quantileLines(
    face,
    [p50, p95],
    exact && !more,
    step,
    (value) => x.a * (value / chart.units[0].divisor) + x.b,
    box,
  );
  const wide = `${formatNumber(step, stepDecimals(step))} ${unit}`.trim();
  const ago = chart.earlier ? `${outlineWords(chart.earlier, then !== null)} · ` : "";
  const note = `${ago}${more ? "more than " : ""}${plural(total, "reading", "readings")}${several} in ${when} · bins of ${wide}`;
  return { note, words: `. ${note}; ${quantiles.join(", ")}` };
}

/** Say what the outline is, or why there is none. */
function outlineWords({ ago, ready, traces }: NonNullable<Shown["earlier"]>, drawn: boolean): string {
  if (drawn) return `outline: ${ago}`;
  if (!ready) return `${ago}: loading`;
  return traces.some(({ n }) => n > 0) ? `${ago}: too far away to draw` : `nothing ${ago}`;
}

/** Draw p50 and p95 as dashed lines with their values, the second a row lower; return what they say. */
function quantileLines(
  { ctx, tokens, chart, picture }: Face,
  values: readonly number[],
  exact: boolean,
  step: number,
  at: (value: number) => number,
  box: { left: number; top: number; height: number },
): string[] {
  const { unit, decimals } = chart.prints[shownOf(chart)[0] ?? 0];
  // As exact as the bins, or as the readings are.
  const digits = decimals < 0 ? decimals : Math.max(decimals, stepDecimals(step));
  return values.map((value, row) => {
    const number = withoutZeros(formatReading(value / unit.divisor, digits));
    const text = `${row === 0 ? "p50" : "p95"} ${exact ? "" : "≈ "}${number}`;
    const px = Math.round(at(value)) + 0.5;
    ctx.strokeStyle = withAlpha(tokens.text, LINE_ALPHA);
    ctx.globalAlpha = picture.alpha;
    ctx.lineWidth = 1;
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(px, box.top);
    ctx.lineTo(px, box.top + box.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = font(500, 11);
    const wide = ctx.measureText(text).width;
    const fits = px - 5 - wide > box.left;
    ctx.textAlign = fits ? "right" : "left";
    ctx.lineJoin = "round";
    ctx.lineWidth = 3;
    ctx.strokeStyle = tokens.surface;
    const line = box.top + 9 + row * 15;
    ctx.strokeText(text, px + (fits ? -5 : 5), line);
    ctx.fillStyle = tokens.text;
    ctx.fillText(text, px + (fits ? -5 : 5), line);
    return text;
  });
}
