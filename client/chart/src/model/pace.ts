/** How often readings of a series are expected, by the intervals between them. */

/** The longest silences that together hold this share of the time tell how long one usually gets. */
const LONG_SHARE = 0.1;
/** So many times what those exceed the median is usual; more while there are few intervals to tell it from. */
const SPREAD_TIMES = 6;
const CERTAIN = 16;
/** Intervals of which one may be an outage; of fewer one as well, but of very few none. */
const OUTAGES = 100;
export const OUTAGE_AMONG = 6;

/**
 * Return the interval at which readings are expected, NaN with fewer than two intervals: three times it is the longest
 * silence that is usual. With fewer than `spreadFrom` it is their median. Python has the same rule and its reasons in
 * `tidewire/livestore/gaps.py`.
 */
export function expectedInterval(intervals: readonly number[], spreadFrom = 2): number {
  const count = intervals.length;
  if (count < 2) return NaN;
  const longest = [...intervals].sort((a, b) => b - a);
  const median = (longest[(count - 1) >> 1] + longest[count >> 1]) / 2;
  if (count < spreadFrom) return median;
  const outages = count >= OUTAGE_AMONG ? 1 + Math.floor(count / OUTAGES) : 0;
  let rest = LONG_SHARE * longest.slice(outages).reduce((sum, one) => sum + one, 0);
  let at = outages;
  while (rest > longest[at]) rest -= longest[at++];
  const spread = SPREAD_TIMES * (1 + CERTAIN / count) * (longest[at] - median);
  return Math.max(median, (median + spread) / 3);
}
