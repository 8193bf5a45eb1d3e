/**
 * The lines of a plot. The part that is over is kept on a canvas of its own and shown further left as time goes on; only
 * the newest columns are drawn each time. All is drawn again when anything else changes: the scale of y, the size, the
 * colours, a gap.
 */
import type { Tokens } from "../base/tokens";
import type { Trace } from "../model/buckets";
import type { Box } from "./draw";
import { denseReach, fillArea, fillEnvelope, type Ink, isDense, strokeLine } from "./ink";
import type { Linear } from "./paths";
import type { Picture } from "./picture";

const LINE_PX = 1.5;
const STALE_ALPHA = 0.62;
/** Columns before one whose ink changes with it: the line between the two, and the round corner where it begins. */
const LINE_REACH = 3;
/** Columns drawn each time before they go to the kept part: to write to that costs more than to draw a few again. */
const SPARE = 8;

export class SeriesLayer {
  readonly #canvas = document.createElement("canvas");
  readonly #ctx = this.#canvas.getContext("2d") as CanvasRenderingContext2D;
  #key = "";
  /** End of the window when the kept part was written, and up to where it was, ms. */
  #endMs = NaN;
  #keptMs = -Infinity;
  #dense: boolean[] = [];

  /** Draw the series of a picture on a canvas of `ratio` pixels for each px of layout. */
  draw(
    target: CanvasRenderingContext2D,
    picture: Picture,
    box: Box,
    ys: readonly Linear[],
    ratio: number,
    tokens: Tokens,
  ): void {
    const { columns, x, startMs, endMs, traces } = picture;
    const { stepMs, px } = columns;
    const at = (ms: number): number => Math.round((x.a * ms + x.b) * ratio);
    const [left, right] = [at(startMs), at(endMs)];
    if (right <= left) return;
    const top = Math.floor((box.top - 1) * ratio);
    const height = Math.ceil((box.top + box.height + 1) * ratio) - top;
    this.#dense = traces.map((trace, i) => isDense(trace, ys[i], this.#dense[i]) && !picture.ink);
    const key = JSON.stringify([
      columns,
      ...[right - left, height, ratio, ys, tokens.surface, this.#dense],
      ...[picture.colours, picture.stale, picture.alpha, picture.area],
      traces.map((trace) => [trace.n > 0, trace.stepMs, trace.steps, breaksIn(trace, startMs)]),
    ]);
    const style = { columnPx: x.a * stepMs, pixel: 1 / ratio, text: tokens.text, surface: tokens.surface };
    const reach = (fromMs: number): number =>
      Math.min(endMs, ...traces.map((trace, i) => reachOf(trace, this.#dense[i], fromMs, style.columnPx)));
    let moved = Math.round((endMs - this.#endMs) / stepMs);
    // A dash goes on from where the line begins; bars and areas are wider than their column.
    if (
      key !== this.#key ||
      picture.ink ||
      picture.dashes.some(({ length }) => length > 0) ||
      !(moved >= 0 && moved < columns.count)
    )
      this.#keptMs = -Infinity;
    else this.#keptMs = Math.min(this.#keptMs, reach(picture.freshMs));
    this.#key = key;
    // The newest column is still open.
    const overMs = reach(endMs - stepMs);
    if (overMs - this.#keptMs > SPARE * stepMs) {
      const fresh = Math.max(0, at(this.#keptMs) - left);
      this.#keep(moved * px, fresh, right - left, height);
      this.#ctx.save();
      this.#ctx.beginPath();
      this.#ctx.rect(fresh, 0, at(overMs) - left - fresh, height);
      this.#ctx.clip();
      this.#ctx.setTransform(ratio, 0, 0, ratio, -left, -top);
      this.#paint(this.#ctx, picture, box, ys, style, this.#keptMs);
      this.#ctx.restore();
      [this.#endMs, this.#keptMs, moved] = [endMs, overMs, 0];
    }
    const kept = Math.max(left, at(this.#keptMs));
    target.save();
    target.setTransform(1, 0, 0, 1, 0, 0);
    target.beginPath();
    target.rect(left, top, kept - left, height);
    target.clip();
    if (kept > left) target.drawImage(this.#canvas, left - moved * px, top);
    target.restore();
    target.save();
    target.beginPath();
    target.rect(kept / ratio, top / ratio, (right - kept) / ratio, height / ratio);
    target.clip();
    this.#paint(target, picture, box, ys, style, this.#keptMs);
    target.restore();
  }

  /** Make room for more columns: move what is kept to the left by `shift` pixels, and clear what is right of `fresh`. */
  #keep(shift: number, fresh: number, width: number, height: number): void {
    const [canvas, ctx] = [this.#canvas, this.#ctx];
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
      return;
    }
    if (shift > 0) {
      ctx.globalCompositeOperation = "copy";
      ctx.drawImage(canvas, -shift, 0);
      ctx.globalCompositeOperation = "source-over";
    }
    ctx.clearRect(fresh, 0, width - fresh, height);
  }

  /** Draw what begins at a time; what is before it is clipped away, and only drawn as far as lines come from there. */
  #paint(
    ctx: CanvasRenderingContext2D,
    picture: Picture,
    box: Box,
    ys: readonly Linear[],
    style: Omit<Ink, "colour" | "width" | "dash">,
    fromMs: number,
  ): void {
    const { traces, colours, dashes, stale, alpha, area, x, axes, axisOf } = picture;
    const alphaOf = (i: number): number => alpha * (stale[i] && alpha === 1 ? STALE_ALPHA : 1);
    if (area)
      traces.forEach((trace, i) => {
        ctx.globalAlpha = alphaOf(i);
        const { lo, hi } = axes[axisOf[i]];
        const y = ys[i];
        fillArea(ctx, trace, x, y, y.a * hi + y.b, y.a * lo + y.b, colours[i]);
      });
    traces.forEach((trace, i) => {
      const from = trace.indexAt(fromMs);
      if (trace.n === 0) return;
      const ink = { ...style, colour: colours[i], width: LINE_PX, dash: dashes[i] };
      ctx.globalAlpha = alphaOf(i);
      if (picture.ink) picture.ink(ctx, picture, i, ys[i], box, Math.max(0, from - 2));
      else if (this.#dense[i]) fillEnvelope(ctx, trace, x, ys[i], ink, Math.max(0, from - 1));
      else strokeLine(ctx, trace, x, ys[i], ink, Math.max(0, from - 2));
    });
  }
}

/** Return since when the ink of a trace may change if its columns change from a time on. */
function reachOf(trace: Trace, dense: boolean, fromMs: number, columnPx: number): number {
  const at = Math.max(0, trace.indexAt(fromMs) - (dense ? denseReach(columnPx) : LINE_REACH));
  // Half a halo is before the first column.
  return at < trace.n ? trace.time[at] - trace.stepMs * (at ? 0.5 : 0.5 + 2 / columnPx) : Infinity;
}

/** The breaks of a line inside a window. */
function breaksIn(trace: Trace, startMs: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < trace.n; i++) if (trace.breaks[i] && trace.gapTo[i] > startMs) found.push(trace.gapTo[i]);
  return found;
}
