/** Decides what a chart says of a past that holds no reading. */
import { span, spanText } from "../base/format";
import type { Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import type { Moment } from "./moment";

type When = Pick<Moment, "startMs" | "endMs" | "nowMs" | "zoomed" | "settled" | "retentionMs">;

/**
 * Return why a span of the past is empty, longest first; nothing if it holds a reading, or if that is not known yet.
 * Only a reading before it proves that nothing was published then: the log may have forgotten what was.
 */
export function emptyWords(slots: readonly (Slot | undefined)[], traces: readonly Trace[], when: When): string[] {
  const { startMs, endMs, nowMs, zoomed, settled, retentionMs } = when;
  if (!zoomed || !settled) return [];
  const holdsOne = (trace: Trace): boolean => {
    const first = trace.indexAt(startMs);
    return first < trace.n && trace.time[first] <= endMs;
  };
  if (traces.some(holdsOne)) return [];
  const shown = spanText(startMs, endMs, nowMs);
  if (slots.some((slot) => slot !== undefined && slot.beforeMs > 1_000))
    return [`Nothing was published ${shown}`, "nothing published", "none"];
  if (retentionMs && endMs < nowMs - retentionMs)
    return [
      `${shown} is before what is kept: the log keeps ${span(retentionMs)}`,
      `before what is kept: the log keeps ${span(retentionMs)}`,
      "not kept",
    ];
  return [`No reading of ${shown} is kept`, "no reading kept", "none"];
}
