/** Decides what a chart says of a window that holds no reading. */
import { longSpan, span, spanText } from "../base/format";
import type { Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import type { Moment } from "./moment";

type When = Pick<Moment, "startMs" | "endMs" | "nowMs" | "zoomed" | "settled" | "offline" | "retentionMs">;

/**
 * Return why a window is empty, longest first; nothing if it holds a reading, or if that is not known. Of the past, only a reading before it proves that nothing was published then: the log may have forgotten what was.
 */
export function emptyWords(slots: readonly (Slot | undefined)[], traces: readonly Trace[], when: When): string[] {
  const { startMs, endMs, nowMs, zoomed, settled, offline, retentionMs } = when;
  if (zoomed ? !settled : offline) return [];
  const holdsOne = (trace: Trace): boolean => {
    const first = trace.indexAt(startMs);
    return first < trace.n && trace.time[first] <= endMs;
  };
  if (traces.some(holdsOne)) return [];
  if (!zoomed) {
    const none = slots.some((slot) => slot && !Number.isNaN(slot.lastValue)) ? "no reading" : "no number";
    return [`${none} in the last ${longSpan(endMs - startMs)}`, none];
  }
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
