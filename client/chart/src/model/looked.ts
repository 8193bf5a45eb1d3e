/** How far the page looks when it asks what is kept of some series, in words where that is less than all. */

import { formatNumber, longSpan, plural } from "../base/format";

/** Series that are looked through, as many as a viewer may ask for. */
export const MOST_SERIES = 100;
/** Longest time that is looked through if the log says no end of what it keeps. */
const MOST_MS = 366 * 86_400_000;

/** Return how long before now is looked through, ms. */
export const lookedMs = (retentionMs: number | null | undefined): number => Math.min(MOST_MS, retentionMs ?? MOST_MS);

/** Return what is looked through of so many series: `100 of 250 series, the last 366 d`; empty if it is all that is kept. */
export function lookedWords(count: number, retentionMs: number | null | undefined): string {
  const some = count > MOST_SERIES ? `${formatNumber(MOST_SERIES, 0)} of ${plural(count, "series", "series")}` : "";
  const late = (retentionMs ?? Infinity) > MOST_MS ? `the last ${longSpan(MOST_MS)}` : "";
  return [some, late].filter(Boolean).join(", ");
}
