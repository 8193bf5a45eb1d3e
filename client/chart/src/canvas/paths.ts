/** Turns a trace into drawing commands: the line, broken at gaps, and the band between min and max. */
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

export function linePath(trace: Trace, x: Linear, y: Linear, path: PathLike): void {
  for (let i = 0; i < trace.n; i++) {
    const px = x.a * trace.time[i] + x.b;
    const py = y.a * trace.line[i] + y.b;
    if (i === 0 || trace.breaks[i]) {
      path.moveTo(px, py);
      // A reading with a gap on both sides is a point, not nothing: a round cap draws it.
      if (i + 1 === trace.n || trace.breaks[i + 1]) path.lineTo(px + 0.01, py);
    } else {
      path.lineTo(px, py);
    }
  }
}

/** Add one closed outline per run, without runs whose band is thinner than `leastPx` everywhere. */
export function bandPath(trace: Trace, x: Linear, y: Linear, path: PathLike, leastPx = 0.5): void {
  let from = 0;
  for (let i = 1; i <= trace.n; i++) {
    if (i < trace.n && !trace.breaks[i]) continue;
    let thick = false;
    for (let k = from; k < i && !thick; k++) thick = (trace.max[k] - trace.min[k]) * Math.abs(y.a) >= leastPx;
    if (thick && i - from > 1) {
      path.moveTo(x.a * trace.time[from] + x.b, y.a * trace.max[from] + y.b);
      for (let k = from + 1; k < i; k++) path.lineTo(x.a * trace.time[k] + x.b, y.a * trace.max[k] + y.b);
      for (let k = i - 1; k >= from; k--) path.lineTo(x.a * trace.time[k] + x.b, y.a * trace.min[k] + y.b);
      path.closePath();
    }
    from = i;
  }
}

/** The area under a line down to a foot, one outline per run. */
export function areaPath(trace: Trace, x: Linear, y: Linear, footPx: number, path: PathLike): void {
  let from = 0;
  for (let i = 1; i <= trace.n; i++) {
    if (i < trace.n && !trace.breaks[i]) continue;
    path.moveTo(x.a * trace.time[from] + x.b, footPx);
    for (let k = from; k < i; k++) path.lineTo(x.a * trace.time[k] + x.b, y.a * trace.line[k] + y.b);
    path.lineTo(x.a * trace.time[i - 1] + x.b, footPx);
    path.closePath();
    from = i;
  }
}
