/** The sparkline of a tile or a sidebar row: the line of a chart, and its hatched tail, straight from a ring. */

import type { Tokens } from "../base/tokens";
import type { BucketRing, Slot } from "../model/bucket-ring";
import { Trace } from "../model/buckets";
import { type Columns, shownBy } from "../model/columns";
import { type Freshness, freshness, gapLimitMs, isSilent } from "../model/freshness";
import { bandsOf, wordColours } from "../model/states";
import { type Ctx, dot, endMark, hatch } from "./draw";
import { fillEnvelope, isDense, strokeLine } from "./ink";
import { type Linear, linear } from "./paths";
import { fillBands } from "./state-bands";

export interface SparkStyle {
  colour: string;
  width: number;
  /** Radius of the dot at the end; 0: none. */
  dot: number;
  alpha: number;
}

/** Smallest y span, as a share of the value, so that a flat series stays flat. */
const LEAST_SPAN = 0.004;

/** Height of the bands of states. */
const BAND_PX = 12;

const scratch = new Trace();

/** The window of one series up to a time; the result is valid until the next call. */
export function readSpark(ring: BucketRing, slot: Slot, columns: Columns, nowMs: number): Trace {
  const { startMs, endMs } = shownBy(columns, nowMs);
  scratch.read(ring, slot, startMs, endMs, gapLimitMs(slot.expectedMs, ring.stepMs));
  scratch.hold(slot, isSilent(freshness(slot, nowMs)) ? NaN : endMs - ring.stepMs / 2);
  return scratch;
}

/** Return the scale of time of a box that ends at `right`, on a canvas where a px of layout is `ratio` pixels. */
function timeScale(columns: Columns, nowMs: number, right: number, ratio: number): Linear {
  const a = columns.px / ratio / columns.stepMs;
  return { a, b: Math.round(right * ratio) / ratio - a * shownBy(columns, nowMs).endMs };
}

/** Draw a trace into a box; `hatchRight` is where the tail's hatching ends, which may lie right of the box. */
export function drawSpark(
  ctx: Ctx,
  tokens: Tokens,
  trace: Trace,
  slot: Slot,
  box: { left: number; top: number; width: number; height: number; hatchRight: number },
  columns: Columns,
  nowMs: number,
  state: Freshness,
  style: SparkStyle,
): void {
  const { left, top, width, height } = box;
  const silent = isSilent(state);
  const x = timeScale(columns, nowMs, left + width, ctx.getTransform().a);
  if (trace.n === 0 && slot.states.length > 0) {
    const { startMs, endMs } = shownBy(columns, nowMs);
    const bands = bandsOf(slot, startMs, endMs, silent ? NaN : endMs);
    const colours = wordColours(bands.map(([, , text]) => text));
    const high = Math.min(BAND_PX, height);
    ctx.globalAlpha = style.alpha;
    fillBands(ctx, tokens, { bands, colours }, x, {
      left,
      right: left + width,
      top: top + (height - high) / 2,
      height: high,
    });
    ctx.globalAlpha = 1;
    const tail = Math.max(left, x.a * slot.lastTimeMs + x.b);
    if (silent) hatch(ctx, tokens, tail, top, box.hatchRight - tail, height, left);
    return;
  }
  if (trace.n === 0) {
    if (silent) hatch(ctx, tokens, left, top, box.hatchRight - left, height, left);
    return;
  }
  let lo = trace.lo;
  let hi = trace.hi;
  const least = Math.max(Math.abs(lo), Math.abs(hi)) * LEAST_SPAN || 1e-9;
  if (hi - lo < least) {
    const middle = (hi + lo) / 2;
    lo = middle - least / 2;
    hi = middle + least / 2;
  }
  const inset = style.dot > 0 ? 4 : 1.5;
  const y = linear(lo, hi, top + height - inset, top + inset);
  const lastX = x.a * trace.endMs + x.b;
  const lastY = y.a * trace.last[trace.n - 1] + y.b;
  if (silent) hatch(ctx, tokens, lastX, top, box.hatchRight - lastX, height, left);
  for (let i = 0; i < trace.n; i++) {
    if (!trace.breaks[i]) continue;
    const from = Math.max(left, x.a * trace.gapFrom[i] + x.b);
    hatch(ctx, tokens, from, top, x.a * trace.gapTo[i] + x.b - from, height, left);
  }
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top - 1, box.hatchRight - left, height + 2);
  ctx.clip();
  ctx.globalAlpha = style.alpha;
  const ratio = ctx.getTransform().a;
  const ink = {
    colour: style.colour,
    width: style.width,
    dash: [],
    columnPx: columns.px / ratio,
    pixel: 1 / ratio,
    text: tokens.text,
    surface: tokens.surface,
  };
  if (isDense(trace, y)) fillEnvelope(ctx, trace, x, y, ink);
  else strokeLine(ctx, trace, x, y, ink);
  ctx.restore();
  if (style.dot === 0) return;
  if (state === "finished") endMark(ctx, lastX, lastY, style.colour);
  else dot(ctx, lastX, lastY, style.dot, silent ? tokens.stale : style.colour);
}
