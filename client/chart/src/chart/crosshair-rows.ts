/** What stands under a crosshair in one chart: its buckets, the rows of the tooltip, the events near it. */

import type { Tokens } from "../base/tokens";
import type { Flag } from "../canvas/picture";
import type { Plot } from "../canvas/plot";
import type { Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import { gapLimitMs } from "../model/freshness";
import { printValue } from "../model/reading";
import type { Parts } from "./moment";
import type { OverlayRow } from "./overlay";

/** The crosshair tells of events this near, and of no more than these. */
const EVENT_PX = 8;
const MOST_EVENTS = 5;

/** Index of the bucket at a time: the nearest one along a line, -1 inside a gap. */
export function bucketAt(trace: Trace, slot: Slot | undefined, timeMs: number): number {
  const near = trace.nearest(timeMs, Infinity);
  const next = near >= 0 && timeMs >= trace.time[near] ? near + 1 : near;
  if (next > 0 && next < trace.n && !trace.breaks[next]) return near;
  const limit = slot ? gapLimitMs(slot.expectedMs, trace.stepMs) : NaN;
  return trace.nearest(timeMs, Math.max(trace.stepMs, (Number.isNaN(limit) ? trace.stepMs * 3 : limit) / 2));
}

/** The time of the drawn reading nearest a time: what the crosshair stands on. */
export function snapped(traces: readonly Trace[], timeMs: number): number {
  let best = NaN;
  for (const trace of traces) {
    const k = trace.nearest(timeMs, Math.max(trace.stepMs, 2_000));
    if (k >= 0 && !(Math.abs(trace.time[k] - timeMs) >= Math.abs(best - timeMs))) best = trace.time[k];
  }
  return Number.isNaN(best) ? timeMs : best;
}

export function rowsAt(
  { series, slots, traces, print }: Parts,
  plot: Plot,
  timeMs: number,
  tokens: Tokens,
): OverlayRow[] {
  return series.flatMap((one, i) => {
    const trace = traces[i];
    const k = bucketAt(trace, slots[i], timeMs);
    if (k < 0) return [];
    const [low, high] = [printValue(trace.min[k], print), printValue(trace.max[k], print)];
    return [
      {
        colour: tokens.series[one.colour],
        label: one.legend || one.name,
        value: printValue(trace.line[k], print),
        range: trace.min[k] === trace.max[k] || low === high ? "" : `${low} – ${high}`,
        x: plot.x.a * trace.time[k] + plot.x.b,
        y: plot.y.a * trace.line[k] + plot.y.b,
      },
    ];
  });
}

/** Texts of the events whose flag is near: where flags overlap, only here. */
export function eventsAt(flags: readonly Flag[], plot: Plot, timeMs: number): string[] {
  const near = flags.filter((flag) => Math.abs((flag.timeMs - timeMs) * plot.x.a) <= EVENT_PX);
  return near.slice(0, MOST_EVENTS).map((flag) => flag.text);
}

/** How many drawn readings lie in a box: what a tooltip would cover. */
export function readingsIn(
  traces: readonly Trace[],
  plot: Plot,
  left: number,
  top: number,
  right: number,
  bottom: number,
): number {
  let count = 0;
  for (const trace of traces) {
    for (let i = 0; i < trace.n; i++) {
      const x = plot.x.a * trace.time[i] + plot.x.b;
      const y = plot.y.a * trace.line[i] + plot.y.b;
      if (x > left && x < right && y > top && y < bottom) count++;
    }
  }
  return count;
}
