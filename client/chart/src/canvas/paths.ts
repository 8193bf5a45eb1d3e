/**
 * Turns a trace into drawing commands. All that draws a line uses these: charts, tiles, sparklines, pictures.
 *
 * Of each column first, min, max and last are joined (M4: Jugel, Jerzak, Hackenbroich, Markl, VLDB 2014). All four have
 * the x of the column's middle, so the line covers the pixels that one through every reading covers.
 */
import type { Trace } from "../model/buckets";

/** The part of Path2D that is used, so that tests can record it. */
export interface PathLike {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  closePath(): void;
}

/** Linear map of a value or a time to pixels: px = a * v + b. */
export interface Linear {
  a: number;
  b: number;
}

export function linear(lo: number, hi: number, pxLo: number, pxHi: number): Linear {
  const a = (pxHi - pxLo) / (hi - lo || 1);
  return { a, b: pxLo - a * lo };
}

/** Add the line of the columns `from` … `to - 1`, broken at gaps. Of steps, each value goes on to the next column. */
export function linePath(trace: Trace, x: Linear, y: Linear, path: PathLike, from = 0, to = trace.n): void {
  const { time, first, last, min, max, breaks, steps, heldMs } = trace;
  for (let i = from; i < to; i++) {
    const px = x.a * time[i] + x.b;
    const [low, high, end] = [min[i], max[i], last[i]];
    const begin = first[i];
    if (i === from || breaks[i]) path.moveTo(px, y.a * begin + y.b);
    else {
      if (steps && last[i - 1] !== begin) path.lineTo(px, y.a * last[i - 1] + y.b);
      path.lineTo(px, y.a * begin + y.b);
    }
    if (high > low) {
      if (begin !== low) path.lineTo(px, y.a * low + y.b);
      if (begin === high && begin !== low) {
        if (end !== low) path.lineTo(px, y.a * end + y.b);
      } else {
        path.lineTo(px, y.a * high + y.b);
        if (end !== high) path.lineTo(px, y.a * end + y.b);
      }
    } else if ((i === from || breaks[i]) && (i + 1 === to || breaks[i + 1])) {
      // A reading with a gap on both sides is a point, not nothing: a round cap draws it.
      path.lineTo(px + 0.01, y.a * end + y.b);
    }
  }
  if (heldMs > 0 && to === trace.n && from < to) path.lineTo(x.a * heldMs + x.b, y.a * last[to - 1] + y.b);
}

/** The area under the means, or the steps, down to a foot, one outline per run: its edge lies within the line's ink. */
export function areaPath(trace: Trace, x: Linear, y: Linear, footPx: number, path: PathLike): void {
  let from = 0;
  for (let i = 1; i <= trace.n; i++) {
    if (i < trace.n && !trace.breaks[i]) continue;
    path.moveTo(x.a * trace.time[from] + x.b, footPx);
    const tops = trace.steps ? trace.last : trace.mean;
    for (let k = from; k < i; k++) {
      const px = x.a * trace.time[k] + x.b;
      if (trace.steps && k > from) path.lineTo(px, y.a * tops[k - 1] + y.b);
      path.lineTo(px, y.a * tops[k] + y.b);
    }
    const endPx = x.a * (i === trace.n ? trace.endMs : trace.time[i - 1]) + x.b;
    if (trace.steps) path.lineTo(endPx, y.a * tops[i - 1] + y.b);
    path.lineTo(endPx, footPx);
    path.closePath();
    from = i;
  }
}
