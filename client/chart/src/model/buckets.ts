/** Merges the buckets of a ring to the pixels of a plot, and finds the gaps between them. */
import { FLAG_MEAN } from "../wire/frame";
import type { BucketRing, Slot } from "./bucket-ring";

/** Narrowest bucket on screen, px; a little under 2 so that a window that is 1 % too long does not halve the detail. */
const MIN_BUCKET_PX = 1.9;

/** Return how many buckets to merge into one on a plot of this width. */
export function mergeFactor(buckets: number, px: number): number {
  return Math.max(1, Math.ceil((buckets * MIN_BUCKET_PX) / Math.max(1, px)));
}

/** Widest bucket to request, px; finer ones are merged here. */
const MAX_BUCKET_PX = 2.6;
/**
 * Bucket widths of a view, ms. Python has the same in `tidewire/model/bucket_steps.py`; `tests/chart/vectors` holds
 * both.
 */
export const STEP_LADDER = [
  50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
];

/** Return how many buckets to request: those of the widest step that still gives every plot one per 2.6 px. */
export function bucketsFor(windowMs: number, px: number): number {
  const least = px / MAX_BUCKET_PX;
  let step = STEP_LADDER[0];
  for (const wider of STEP_LADDER) if (windowMs / wider >= least) step = wider;
  return Math.min(2_000, Math.ceil(windowMs / step));
}

/**
 * A silence is a gap only if it is this many times as long as those around it: a series that was slower once had no
 * gaps then.
 */
const USUAL_TIMES = 3;
/** Silences at either side that are compared. */
const NEIGHBOURS = 5;

/** The merged buckets of one series. The arrays are reused from draw to draw. */
export class Trace {
  n = 0;
  /** Time of each bucket that holds a reading: its middle, but the newest reading's own time for the last one. */
  time = new Float64Array(0);
  line = new Float64Array(0);
  min = new Float64Array(0);
  max = new Float64Array(0);
  /** The silence before a bucket: from the end of the last one with a reading to the start of this one. */
  gapFrom = new Float64Array(0);
  gapTo = new Float64Array(0);
  /** 1 where a gap precedes the bucket: the line is broken there. */
  breaks = new Uint8Array(0);
  lo = NaN;
  hi = NaN;
  /** Largest magnitude, and whether every reading of the window is a whole number. */
  magnitude = 0;
  integers = true;
  /** True if some bucket has min < max, so that there is a band to draw. */
  band = false;
  /** Width of a merged bucket, and of the buckets in it. */
  stepMs = 0;
  bucketMs = 0;
  /** End of the bucket of the last reading in the window, NaN without one; and the gap limit. */
  endedMs = NaN;
  #gapMs = NaN;

  #reserve(n: number): void {
    if (this.time.length >= n) return;
    const size = n + 16;
    this.time = new Float64Array(size);
    this.line = new Float64Array(size);
    this.min = new Float64Array(size);
    this.max = new Float64Array(size);
    this.gapFrom = new Float64Array(size);
    this.gapTo = new Float64Array(size);
    this.breaks = new Uint8Array(size);
  }

  /**
   * Read the window [startMs, endMs] of one series, `factor` buckets at a time, split where the silence exceeds
   * `gapMs`.
   */
  read(ring: BucketRing, slot: Slot, startMs: number, endMs: number, factor: number, gapMs: number): void {
    const step = ring.stepMs;
    // One reading beyond each edge, so that the line enters and leaves the plot instead of starting inside it.
    const beyond = Math.max(step * factor, 1.5 * slot.expectedMs || 0);
    const from = Math.max(ring.first, Math.floor((startMs - beyond) / step));
    const to = Math.min(ring.last, Math.floor((endMs + beyond) / step));
    this.#reserve(Math.max(0, Math.ceil((to - from + 1) / factor) + 2));
    const mean = (slot.flags & FLAG_MEAN) !== 0;
    const data = slot.data;
    const base = slot.base;
    const newest = slot.lastTimeMs;
    let n = 0;
    let lo = Infinity;
    let hi = -Infinity;
    let integers = true;
    let band = false;
    let previousEnd = lastBefore(ring, slot, from);
    this.stepMs = step * factor;
    this.bucketMs = step;
    for (let group = Math.floor(from / factor) * factor; group <= to; group += factor) {
      let sum = 0;
      let count = 0;
      let last = NaN;
      let min = Infinity;
      let max = -Infinity;
      let firstBucket = 0;
      let lastBucket = 0;
      for (let bucket = Math.max(group, from); bucket < group + factor && bucket <= to; bucket++) {
        const at = ring.offset(bucket);
        const value = data[at];
        // biome-ignore lint/suspicious/noSelfCompare: the cheapest test for NaN, in the innermost loop of a draw
        if (value !== value) continue;
        if (count === 0) firstBucket = bucket;
        lastBucket = bucket;
        last = value;
        sum += value;
        count++;
        if (data[at + 1] < min) min = data[at + 1];
        if (data[at + 2] > max) max = data[at + 2];
      }
      if (count === 0) continue;
      const holdsNewest = newest >= group * step && newest < (group + factor) * step;
      const value = base + (mean && !holdsNewest ? sum / count : last);
      min += base;
      max += base;
      const middle = (group + factor / 2) * step;
      // Between two buckets the silence is at least from the end of one to the start of the next.
      this.gapFrom[n] = previousEnd;
      this.gapTo[n] = firstBucket * step;
      previousEnd = (lastBucket + 1) * step;
      this.time[n] = holdsNewest ? newest : middle;
      this.line[n] = holdsNewest && !Number.isNaN(slot.lastValue) ? slot.lastValue : value;
      this.min[n] = min;
      this.max[n] = max;
      n++;
      if (min < lo) lo = min;
      if (max > hi) hi = max;
      if (max > min) band = true;
      if (integers && (!whole(min) || !whole(max))) integers = false;
    }
    this.n = n;
    for (let i = 0; i < n; i++) {
      const silence = this.gapTo[i] - this.gapFrom[i];
      this.breaks[i] = silence > gapMs - step && silence + step > USUAL_TIMES * this.#usualAround(i) ? 1 : 0;
    }
    this.endedMs = previousEnd;
    this.#gapMs = gapMs;
    this.lo = n ? lo : NaN;
    this.hi = n ? hi : NaN;
    this.magnitude = n ? Math.max(Math.abs(lo), Math.abs(hi)) : 0;
    this.integers = integers && n > 0;
    this.band = band;
  }

  /** Return the median interval around a bucket; 0 if it is unknown or every bucket was full. */
  #usualAround(at: number): number {
    const around: number[] = [];
    for (let i = Math.max(0, at - NEIGHBOURS); i <= at + NEIGHBOURS && i < this.n; i++) {
      const silence = this.gapTo[i] - this.gapFrom[i];
      if (i !== at && silence >= 0) around.push(silence > 0 ? silence + this.bucketMs : 0);
    }
    return around.length < 2 ? 0 : around.sort((a, b) => a - b)[around.length >> 1];
  }

  /** Draw nothing. */
  clear(): void {
    this.n = 0;
    this.endedMs = NaN;
  }

  /** Return the silence from the last reading to the end of the window, if it is a gap. */
  silenceUntil(endMs: number): Silence | null {
    const longMs = endMs - this.endedMs + this.bucketMs;
    return longMs > this.#gapMs ? { fromMs: this.endedMs, toMs: endMs, longMs } : null;
  }

  /** Return the index of the bucket nearest a time, or -1 if none is within reach. */
  nearest(timeMs: number, reachMs: number): number {
    let lo = 0;
    let hi = this.n - 1;
    if (hi < 0) return -1;
    while (hi - lo > 1) {
      const middle = (lo + hi) >> 1;
      if (this.time[middle] <= timeMs) lo = middle;
      else hi = middle;
    }
    const best = Math.abs(this.time[lo] - timeMs) <= Math.abs(this.time[hi] - timeMs) ? lo : hi;
    return Math.abs(this.time[best] - timeMs) <= reachMs ? best : -1;
  }
}

/** Return the end of the last bucket with a reading before this one, also left of the window; NaN without one. */
function lastBefore(ring: BucketRing, slot: Slot, bucket: number): number {
  for (let b = bucket - 1; b >= ring.first; b--)
    if (!Number.isNaN(slot.data[ring.offset(b)])) return (b + 1) * ring.stepMs;
  return slot.beforeMs > 1_000 ? slot.beforeMs : NaN;
}

function whole(value: number): boolean {
  // Relative to the value: 1e-7 is not a rounded 0.
  return Math.abs(value - Math.round(value)) <= 1e-6 * Math.abs(value);
}

/** A silence of every series of a chart at once. */
export interface Silence {
  fromMs: number;
  toMs: number;
  /** From reading to reading, up to the width of a bucket. */
  longMs: number;
}

/**
 * Return the gaps that all traces share; a gap of one series among others only breaks its line. With `endMs`, a
 * silence up to there counts too.
 */
export function sharedGaps(traces: readonly Trace[], endMs = NaN): Silence[] {
  let shared: Silence[] | null = null;
  for (const trace of traces) {
    const own: Silence[] = [];
    for (let i = 0; i < trace.n; i++) {
      if (trace.breaks[i])
        own.push({
          fromMs: trace.gapFrom[i],
          toMs: trace.gapTo[i],
          longMs: trace.gapTo[i] - trace.gapFrom[i] + trace.bucketMs,
        });
    }
    const last = trace.silenceUntil(endMs);
    if (last) own.push(last);
    shared = shared === null ? own : intersect(shared, own);
    if (shared.length === 0) return shared;
  }
  return shared ?? [];
}

/** How far the two readings beside a silence may lie inside their buckets. */
const unsure = ({ fromMs, toMs, longMs }: Silence): number => longMs - (toMs - fromMs);

function intersect(a: readonly Silence[], b: readonly Silence[]): Silence[] {
  const both: Silence[] = [];
  for (const one of a) {
    for (const other of b) {
      const fromMs = Math.max(one.fromMs, other.fromMs);
      const toMs = Math.min(one.toMs, other.toMs);
      if (toMs > fromMs) both.push({ fromMs, toMs, longMs: toMs - fromMs + Math.min(unsure(one), unsure(other)) });
    }
  }
  return both;
}
