/** Draws the columns of one series: a line, or the envelope of very dense ones. Charts, tiles and sparklines use it. */
import { mix, withAlpha } from "../base/colour";
import type { Trace } from "../model/buckets";
import { areaPath, type Linear, linePath } from "./paths";

/** An envelope is drawn from so many readings of the median column on, if that is higher than so many px … */
const DENSE_READINGS = 8;
const DENSE_PX = 12;
/** … and until it has fewer or is lower than these, so that a picture does not flicker between the two. */
const STILL_READINGS = 6;
const STILL_PX = 10;
/** Of an area, at the top of the plot and at its foot; under steps there are only two heights to tell apart. */
const AREA_ALPHA = [0.16, 0.01];
const STEPS_ALPHA = [0.2, 0.06];
const FILL_ALPHA = 0.3;
const EDGE_ALPHA = 0.85;
/** The mean on top of it: a value for every 2 px, on a halo. */
const MEAN = { each: 2, width: 1.75, text: 0.35, halo: 4, haloAlpha: 0.55 };
/**
 * A column that leaves the median envelope of so many columns at either side by half its height is drawn in full; of the
 * nearer ones as well, since a crest leaves the median of its wave.
 */
const AROUND = 9;
const NEAR = 4;

/** Columns of one point of the mean. */
const meanColumns = (columnPx: number): number => Math.max(1, Math.round(MEAN.each / columnPx));
/** Columns over which the mean and its halo reach from a column. */
const meanReach = (columnPx: number): number => 2 * meanColumns(columnPx) + Math.ceil(MEAN.halo / 2 / columnPx) + 1;
/** Columns before one whose ink changes with it in an envelope: those of its mean, and those of its median. */
export const denseReach = (columnPx: number): number => Math.max(AROUND + 1, meanReach(columnPx));

export interface Ink {
  colour: string;
  width: number;
  dash: readonly number[];
  /** The width of a column, and of a pixel of the screen, in px of layout. */
  columnPx: number;
  pixel: number;
  text: string;
  surface: string;
}

/** Tell whether a trace is so dense that its line would be a wall of ink; `was`: whether it was in the last drawing. */
export function isDense(trace: Trace, y: Linear, was = false): boolean {
  const [readings, px] = was ? [STILL_READINGS, STILL_PX] : [DENSE_READINGS, DENSE_PX];
  const high = px / Math.abs(y.a);
  let many = 0;
  let tall = 0;
  for (let i = 0; i < trace.n; i++) {
    if (trace.count[i] >= readings) many++;
    if (trace.max[i] - trace.min[i] > high) tall++;
  }
  return many * 2 > trace.n && tall * 2 > trace.n;
}

/** Draw the columns `from` … `to - 1` of a trace as its line. */
export function strokeLine(
  ctx: CanvasRenderingContext2D,
  trace: Trace,
  x: Linear,
  y: Linear,
  ink: Ink,
  from = 0,
): void {
  ctx.beginPath();
  linePath(trace, x, y, ctx, from);
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  ctx.lineWidth = ink.width;
  ctx.setLineDash(ink.dash);
  ctx.strokeStyle = ink.colour;
  ctx.stroke();
}

/** Draw the area under a trace down to a foot. */
export function fillArea(
  ctx: CanvasRenderingContext2D,
  trace: Trace,
  x: Linear,
  y: Linear,
  topPx: number,
  footPx: number,
  colour: string,
): void {
  const gradient = ctx.createLinearGradient(0, topPx, 0, footPx);
  const [above, below] = trace.steps ? STEPS_ALPHA : AREA_ALPHA;
  gradient.addColorStop(0, withAlpha(colour, above));
  gradient.addColorStop(1, withAlpha(colour, below));
  ctx.beginPath();
  areaPath(trace, x, y, footPx, ctx);
  ctx.fillStyle = gradient;
  ctx.fill();
}

/** Draw the columns from `from` on as an envelope: the range of each, its edges, what leaves it, and the mean on top. */
export function fillEnvelope(
  ctx: CanvasRenderingContext2D,
  trace: Trace,
  x: Linear,
  y: Linear,
  ink: Ink,
  from = 0,
): void {
  const { time, min, max } = trace;
  const { columnPx, pixel } = ink;
  const left = (i: number): number => x.a * time[i] + x.b - columnPx / 2;
  ctx.beginPath();
  for (let i = from; i < trace.n; i++) {
    const top = y.a * max[i] + y.b;
    ctx.rect(left(i), top, columnPx, y.a * min[i] + y.b - top);
  }
  ctx.fillStyle = withAlpha(ink.colour, FILL_ALPHA);
  ctx.fill();
  ctx.beginPath();
  for (let i = from; i < trace.n; i++) {
    ctx.rect(left(i), y.a * max[i] + y.b, columnPx, pixel);
    if (max[i] > min[i]) ctx.rect(left(i), y.a * min[i] + y.b - pixel, columnPx, pixel);
  }
  ctx.fillStyle = withAlpha(ink.colour, EDGE_ALPHA);
  ctx.fill();
  const [highs, nearHighs, lows, nearLows] = MEDIANS.map((median, i) => median.of(i < 2 ? max : min, trace.n));
  const wide = Math.max(columnPx, ink.width);
  ctx.beginPath();
  for (let i = from; i < trace.n; i++) {
    const [high, low] = [highs.at(i), lows.at(i)];
    const half = (high - low) / 2;
    const at = left(i) + (columnPx - wide) / 2;
    if (max[i] > Math.max(high, nearHighs.at(i)) + half) ctx.rect(at, y.a * max[i] + y.b, wide, y.a * (high - max[i]));
    if (min[i] < Math.min(low, nearLows.at(i)) - half) ctx.rect(at, y.a * low + y.b, wide, y.a * (min[i] - low));
  }
  ctx.fillStyle = ink.colour;
  ctx.fill();
  ctx.beginPath();
  meanPath(ctx, trace, x, y, columnPx, Math.max(0, from - meanReach(columnPx) - meanColumns(columnPx)));
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  ctx.setLineDash([]);
  ctx.lineWidth = MEAN.halo;
  ctx.strokeStyle = withAlpha(ink.surface, MEAN.haloAlpha);
  ctx.stroke();
  ctx.setLineDash(ink.dash);
  ctx.lineWidth = MEAN.width;
  ctx.strokeStyle = mix(ink.colour, ink.text, MEAN.text);
  ctx.stroke();
}

/** Add the line of means, each of the columns of 2 px that lie at a multiple of that from the epoch. */
function meanPath(
  path: CanvasRenderingContext2D,
  trace: Trace,
  x: Linear,
  y: Linear,
  columnPx: number,
  from: number,
): void {
  const { time, mean, count, breaks, stepMs, steps } = trace;
  const each = meanColumns(columnPx) * stepMs;
  let fresh = true;
  let level = NaN;
  for (let i = from; i < trace.n; ) {
    const group = Math.floor(time[i] / each);
    fresh ||= breaks[i] === 1;
    let [sum, readings] = [0, 0];
    do {
      sum += mean[i] * count[i];
      readings += count[i];
      i++;
    } while (i < trace.n && Math.floor(time[i] / each) === group && !breaks[i]);
    const px = x.a * (group + 0.5) * each + x.b;
    const py = (y.a * sum) / readings + y.b;
    if (fresh) path.moveTo(px, py);
    else {
      if (steps) path.lineTo(px, level);
      path.lineTo(px, py);
    }
    level = py;
    fresh = false;
  }
}

/** The running median of a value and so many at either side; to be asked in rising order. */
class Median {
  /** In order, and how many: so few are moved by hand sooner than by `splice`. */
  readonly #sorted: Float64Array;
  #size = 0;
  #from = 0;
  #to = 0;
  #values: Float64Array = new Float64Array(0);
  #n = 0;
  readonly #around: number;

  constructor(around: number) {
    this.#around = around;
    this.#sorted = new Float64Array(2 * around + 2);
  }

  /** Begin with the first of `n` values. */
  of(values: Float64Array, n: number): this {
    this.#values = values;
    this.#n = n;
    this.#size = this.#from = this.#to = 0;
    return this;
  }

  at(i: number): number {
    const [from, to] = [Math.max(0, i - this.#around), Math.min(this.#n, i + this.#around + 1)];
    if (this.#to < from) this.#from = this.#to = from;
    for (; this.#to < to; this.#to++) this.#add(this.#values[this.#to]);
    for (; this.#from < from; this.#from++) this.#remove(this.#values[this.#from]);
    return this.#sorted[this.#size >> 1];
  }

  #add(value: number): void {
    const sorted = this.#sorted;
    let at = this.#size++;
    for (; at > 0 && sorted[at - 1] > value; at--) sorted[at] = sorted[at - 1];
    sorted[at] = value;
  }

  #remove(value: number): void {
    const sorted = this.#sorted;
    let at = 0;
    while (sorted[at] < value) at++;
    for (this.#size--; at < this.#size; at++) sorted[at] = sorted[at + 1];
  }
}

/** Of the tops and of the bottoms of one envelope, each among many and among few. */
const MEDIANS = [AROUND, NEAR, AROUND, NEAR].map((around) => new Median(around));
