/** Decides which part of a chart's window is still to come, and what it says. */
import { clock, longSpan } from "../base/format";
import type { LoadingPart } from "../canvas/loading";
import type { Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import { FLAG_PARTIAL } from "../wire/frame";
import type { Moment } from "./moment";

/** Share of the window that must be here for a scale to be drawn. */
const LEAST_SHARE = 0.1;
/** Windows from this length on have their times without seconds. */
const MINUTES_MS = 120_000;

/** Whether the past of one of these is still to come. */
export function isLoading(slots: readonly (Slot | undefined)[]): boolean {
  return slots.some((slot) => slot !== undefined && (slot.flags & FLAG_PARTIAL) !== 0);
}

/** Return the part of a window that is still to come, null if all is here; a paused page waits for none. */
export function loadingPart(
  slots: readonly (Slot | undefined)[],
  traces: readonly Trace[],
  { startMs, endMs, zoomed, paused, pastWords }: Pick<Moment, "startMs" | "endMs" | "zoomed" | "paused" | "pastWords">,
): LoadingPart | null {
  if (zoomed) return null;
  let untilMs = -Infinity;
  let most = 0;
  slots.forEach((slot, i) => {
    if (!slot || !isLoading([slot])) return;
    // Its readings are known from the first that is drawn on.
    const { n, time } = traces[i];
    const { states } = slot;
    untilMs = Math.max(untilMs, n > 0 ? time[0] : states.length ? states[0][0] : endMs);
    most = Math.max(most, n, states.length);
  });
  if (untilMs <= startMs) return null;
  // Of one that is silent only its last reading is here.
  const bare = most < 2 || endMs - untilMs < LEAST_SHARE * (endMs - startMs);
  const form = endMs - startMs < MINUTES_MS ? "s" : "min";
  const span = bare
    ? `the last ${longSpan(Math.round((endMs - startMs) / 1000) * 1000)}…`
    : `${clock(startMs, form)} – ${clock(untilMs, form)}`;
  const words = pastWords.length > 0 ? pastWords : [`loading ${span}`, "loading…"];
  return { untilMs, bare, words: paused ? [] : words };
}
