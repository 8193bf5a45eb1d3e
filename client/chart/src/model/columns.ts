/**
 * Columns of pixels: a bucket of a view is one column, a whole number of device pixels wide. Buckets are anchored to the
 * epoch, so a live plot moves by whole pixels and never shimmers.
 */

/**
 * Longest window whose columns have a width in milliseconds; of longer ones it is whole seconds. Python has the same in
 * `tidewire/model/bucket_steps.py`; `tests/chart/vectors` holds both.
 */
const FINE_MS = 900_000;
const SECOND_MS = 1_000;
/** As many as a view may have. */
const MOST_COLUMNS = 2_000;
/** A plot may show so much more than the window asked for; else its columns are made wider. */
export const MOST_OVER = 0.15;
const WIDEST_PX = 32;

/** Most columns of what stands in the place of very many series. */
const FEW: ReadonlyMap<string | undefined, number> = new Map([
  ["band", 300],
  ["heat", 60],
  ["top", 60],
]);

/**
 * What is drawn in the place of series, as the views of a page are known by: a formula, and after a NUL what summarizes
 * its series, such as `rate(x)` and `rate(x)\0band`.
 */
export const sourceOf = (formula: string, summary?: string): string => (summary ? `${formula}\0${summary}` : formula);

const summaryOf = (source = ""): string | undefined => source.split("\0")[1];

/** Most frames per second: what changes with a wide column needs few. */
export const mostFps = (source?: string): number => (summaryOf(source) ? 2 : 10);

/** Least width of a column of a source. */
export const leastPx = (devicePx: number, source?: string): number =>
  Math.ceil(devicePx / (FEW.get(summaryOf(source)) ?? Infinity)) || 1;

/** How a plot of some width shows a window. */
export interface Columns {
  stepMs: number;
  /** How many there are. */
  count: number;
  /** Device pixels of one. */
  px: number;
}

/** Return the width of a column with which `count` of them hold a window, ms. */
export function columnStep(windowMs: number, count: number): number {
  const unit = windowMs <= FINE_MS ? 1 : SECOND_MS;
  return Math.max(1, Math.ceil(windowMs / (count * unit))) * unit;
}

/**
 * Return the columns of a plot that is so many device pixels wide, each at least `leastPx` wide: the finest with which
 * it shows hardly more than the window.
 */
export function columnsOf(windowMs: number, devicePx: number, leastPx = 1): Columns {
  let best: Columns = { stepMs: columnStep(windowMs, 2), count: 2, px: Math.max(1, Math.floor(devicePx / 2)) };
  let least = Infinity;
  for (let px = leastPx; px < leastPx + WIDEST_PX; px++) {
    const count = Math.floor(devicePx / px);
    if (count < 2) break;
    if (count > MOST_COLUMNS) continue;
    const stepMs = columnStep(windowMs, count);
    const over = (count * stepMs) / windowMs - 1;
    if (over < least) [best, least] = [{ stepMs, count, px }, over];
    if (over <= MOST_OVER) break;
  }
  return best;
}

/** Return the window that columns show when the last of them holds the time before `endMs`. */
export function shownBy({ stepMs, count }: Columns, endMs: number): { startMs: number; endMs: number } {
  const end = Math.ceil(endMs / stepMs) * stepMs;
  return { startMs: end - count * stepMs, endMs: end };
}
