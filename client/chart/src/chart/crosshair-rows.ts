/** Finds what lies under the crosshair: buckets, tooltip rows, events. */

import { swatch } from "../base/colour";
import { formatNumber, longSpan } from "../base/format";
import { lineColour, type Tokens } from "../base/tokens";
import type { Plot } from "../canvas/plot";
import { rowsIn } from "../canvas/state-bands";
import type { Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import type { Series } from "../model/directory";
import type { ChartEvents } from "../model/events";
import { gapLimitMs } from "../model/freshness";
import { printValue } from "../model/reading";
import { bandAt, wordColours } from "../model/states";
import type { Parts } from "./moment";
import type { OverlayRow } from "./overlay";

/** The tooltip lists events this near, and at most this many. */
const EVENT_PX = 8;
const MOST_EVENTS = 5;

/** Return the index of the bucket at a time, -1 inside a gap. */
export function bucketAt(trace: Trace, slot: Slot | undefined, timeMs: number): number {
  const near = trace.nearest(timeMs, Infinity);
  const next = near >= 0 && timeMs >= trace.time[near] ? near + 1 : near;
  if (next > 0 && next < trace.n && !trace.breaks[next]) return near;
  const limit = slot ? gapLimitMs(slot.expectedMs, trace.stepMs) : NaN;
  return trace.nearest(timeMs, Math.max(trace.stepMs, (Number.isNaN(limit) ? trace.stepMs * 3 : limit) / 2));
}

/** A drawn value at a time: the bucket it is from, and where it is drawn. */
export interface DrawnValue {
  bucket: number;
  value: number;
  timeMs: number;
}

/**
 * Return the value of a trace at a time, null inside a gap. Steps hold theirs from bucket to bucket; of a line it is that
 * of the nearest bucket.
 */
export function valueAt(trace: Trace, slot: Slot | undefined, timeMs: number): DrawnValue | null {
  if (!trace.steps) {
    const bucket = bucketAt(trace, slot, timeMs);
    return bucket < 0 ? null : { bucket, value: trace.extreme(bucket), timeMs: trace.time[bucket] };
  }
  const half = trace.stepMs / 2;
  const bucket = Math.min(trace.n, trace.indexAt(timeMs + half + 0.5)) - 1;
  if (bucket < 0) return null;
  const since = trace.time[bucket];
  if (timeMs <= since + half) return { bucket, value: trace.extreme(bucket), timeMs: since };
  const held = bucket + 1 < trace.n ? !trace.breaks[bucket + 1] : timeMs <= trace.heldMs + half;
  return held ? { bucket, value: trace.last[bucket], timeMs } : null;
}

/** Return the time of the drawn reading nearest a time. */
export function snapped(traces: readonly Trace[], timeMs: number): number {
  let best = NaN;
  for (const trace of traces) {
    const k = trace.nearest(timeMs, Math.max(trace.stepMs, 2_000));
    if (k >= 0 && !(Math.abs(trace.time[k] - timeMs) >= Math.abs(best - timeMs))) best = trace.time[k];
  }
  return Number.isNaN(best) ? timeMs : best;
}

export function rowsAt(parts: Parts, plot: Plot, timeMs: number, tokens: Tokens): OverlayRow[] {
  const { series, slots, traces, prints, bands, dashes } = parts;
  if (bands) return stateRows(series, bands, plot, timeMs, tokens);
  return series.flatMap((one, i) => {
    const trace = traces[i];
    const found = valueAt(trace, slots[i], timeMs);
    if (!found) return [];
    const k = found.bucket;
    const print = prints[i];
    const [low, high] = [printValue(trace.min[k], print), printValue(trace.max[k], print)];
    const held = found.timeMs !== trace.time[k];
    return [
      {
        colour: lineColour(tokens, one.style),
        swatch: swatch(lineColour(tokens, one.style), dashes[i]),
        label: one.legend || one.name,
        value: parts.printed(i, found.value),
        range: held || trace.min[k] === trace.max[k] || low === high ? "" : `${low} – ${high}`,
        x: plot.x.a * found.timeMs + plot.x.b,
        y: plot.yAt(i, parts.heightOf(i, found.value, found.timeMs)),
      },
    ];
  });
}

/** Return the state of each series at a time, and since when it has it or how long it had it. */
function stateRows(
  series: readonly Series[],
  bands: NonNullable<Parts["bands"]>,
  plot: Plot,
  timeMs: number,
  tokens: Tokens,
): OverlayRow[] {
  const places = rowsIn(series.length, plot.box.top, plot.box.height);
  const colours = wordColours(bands.flat().map(([, , text]) => text));
  return series.flatMap((one, i) => {
    const band = bandAt(bands[i], timeMs);
    if (!band || timeMs > Math.max(band[1], band[0] + 1 / plot.x.a)) return [];
    const [fromMs, toMs, value] = band;
    const index = colours.get(value) ?? -1;
    const colour = index < 0 ? tokens.stale : tokens.series[index];
    return [
      {
        colour,
        swatch: colour,
        label: one.legend || one.name,
        value,
        range: `for ${longSpan(toMs - fromMs)}`,
        x: plot.x.a * timeMs + plot.x.b,
        y: places[i].top + places[i].height / 2,
      },
    ];
  });
}

/** Return the texts of nearby events. */
export function eventsAt(events: ChartEvents, plot: Plot, timeMs: number): string[] {
  const nearMs = EVENT_PX / plot.x.a;
  const near = events.shown ? events.within({ startMs: timeMs - nearMs, endMs: timeMs + nearMs }) : [];
  const more = near.length - MOST_EVENTS;
  return [
    ...near.slice(0, MOST_EVENTS).map(({ text }) => text),
    ...(more > 0 ? [`and ${formatNumber(more, 0)} more`] : []),
  ];
}

/** Count the drawn readings that a tooltip in this box would cover. */
export function readingsIn(
  /** As they are drawn. */
  traces: readonly Trace[],
  plot: Plot,
  left: number,
  top: number,
  right: number,
  bottom: number,
): number {
  let count = 0;
  for (const [k, trace] of traces.entries()) {
    for (let i = 0; i < trace.n; i++) {
      const x = plot.x.a * trace.time[i] + plot.x.b;
      const y = plot.yAt(k, trace.extreme(i));
      if (x > left && x < right && y > top && y < bottom) count++;
    }
  }
  return count;
}
