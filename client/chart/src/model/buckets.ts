/** Reads the buckets of a ring as the columns of a plot, and finds the gaps between them. */
import { FLAG_ENDED, FLAG_PARTIAL, FLAG_STEPS } from "../wire/frame";
import { type BucketRing, type Slot, share } from "./bucket-ring";
import type { PlotKind } from "./kinds";
import { expectedInterval, OUTAGE_AMONG } from "./pace";

/**
 * A silence is a gap only if it is this many times what those around it make expected: a series that was slower once
 * had no gaps then.
 */
const USUAL_TIMES = 3;
/** Relative errors of a rounded value. */
const FLOAT32 = 2 ** -23;
const FLOAT64 = 2 ** -51;
/** Silences at either side that are compared. */
const NEIGHBOURS = 10;

/** What the values of one series reach, NaN without one, and whether all of them are whole numbers. */
export interface Extent {
  lo: number;
  hi: number;
  integers: boolean;
}

export const NOTHING: Extent = { lo: NaN, hi: NaN, integers: false };

const NEVER: { of: readonly unknown[]; version: number; newest: number } = { of: [], version: 0, newest: 0 };

/** The columns of one series that hold a reading, oldest first. The arrays are reused from draw to draw. */
export class Trace implements Extent {
  n = 0;
  /** The middle of each column, Unix ms. */
  time = new Float64Array(0);
  /** In order of time; the newest reading's own value for the last column of a live window. */
  first = new Float64Array(0);
  last = new Float64Array(0);
  min = new Float64Array(0);
  max = new Float64Array(0);
  mean = new Float64Array(0);
  /** Readings that are numbers, at most 65,535. */
  count = new Float64Array(0);
  /** The silence before a bucket: from the end of the last one with a reading to the start of this one. */
  gapFrom = new Float64Array(0);
  gapTo = new Float64Array(0);
  /** 1 where a gap precedes the bucket: the line is broken there. */
  breaks = new Uint8Array(0);
  lo = NaN;
  hi = NaN;
  /** Whether every reading of the window is a whole number. */
  integers = true;
  /** Width of a column, and what its values were sent beyond. */
  stepMs = 0;
  base = 0;
  /** A value holds until the next one: no slopes. And up to when the last one holds, NaN if only where it was read. */
  steps = false;
  heldMs = NaN;
  /** End of the bucket of the last reading in the window, NaN without one; and the gap limit. */
  endedMs = NaN;
  /** Its series has ended in the window or before: its silence since then is none. */
  over = false;
  #gapMs = NaN;
  /** What was read last. */
  #was = NEVER;

  #reserve(n: number): void {
    if (this.time.length >= n) return;
    this.#was = NEVER;
    const size = n + 16;
    for (const name of ["time", "first", "last", "min", "max", "mean", "count"] as const)
      this[name] = new Float64Array(size);
    this.gapFrom = new Float64Array(size);
    this.gapTo = new Float64Array(size);
    this.breaks = new Uint8Array(size);
  }

  /**
   * Read the window [startMs, endMs] of one series, split where the silence exceeds `gapMs`. Columns that cannot have
   * changed since the last time stay: of a live chart that are all but the newest.
   */
  read(ring: BucketRing, slot: Slot, startMs: number, endMs: number, gapMs: number, kind: PlotKind = "auto"): void {
    const step = ring.stepMs;
    // A reading beyond each edge, so that the line enters and leaves the plot instead of starting inside it; in the
    // second column from the edge, since the width of the line reaches over the first.
    let from = Math.min(Math.max(ring.first, Math.floor(startMs / step) - 2), ring.last + 1);
    while (from > ring.first && isEmpty(ring, slot, from)) from--;
    let to = Math.max(Math.min(ring.last, Math.floor(endMs / step) + 1), ring.first - 1);
    while (to < ring.last && isEmpty(ring, slot, to)) to++;
    this.#reserve(Math.max(0, to - from + 2));
    const { floats, parts, base } = slot;
    const scale = 2 ** slot.exponent;
    // Few whole values come back as whole as they were.
    const exact = (slot.flags & FLAG_STEPS) !== 0;
    this.steps = kind === "steps" || (exact && (kind === "auto" || kind === "stacked"));
    this.heldMs = NaN;
    const newest = Math.floor(slot.lastTimeMs / step);
    const { exponent, flags, beforeValue } = slot;
    const stays = this.#staysTo(ring, newest, [ring, slot, from, this.steps, base, exponent, flags, beforeValue]);
    let n = this.indexAt(Math.min(stays, to + 1) * step);
    if (n < 2) n = 0;
    let lo = Infinity;
    let hi = -Infinity;
    let integers = true;
    for (let i = 0; i < n; i++) {
      if (this.min[i] < lo) lo = this.min[i];
      if (this.max[i] > hi) hi = this.max[i];
      integers &&= this.integers || (whole(this.min[i], base) && whole(this.max[i], base));
    }
    const kept = n;
    let previousEnd = n ? this.time[n - 1] + step / 2 : lastBefore(ring, slot, from);
    this.stepMs = step;
    this.base = base;
    if (n === 0 && this.steps && from <= to && isEmpty(ring, slot, from) && heldBefore(slot, from * step)) {
      // What it was before the window holds into it. No reading: the count is 0.
      const before = exact ? Math.round(slot.beforeValue) : slot.beforeValue;
      for (const name of ["first", "last", "min", "max", "mean"] as const) this[name][0] = before;
      this.time[0] = (from + 0.5) * step;
      this.count[0] = 0;
      this.gapFrom[0] = this.gapTo[0] = NaN;
      lo = hi = before;
      integers = whole(lo, base);
      n = 1;
    }
    for (let bucket = kept ? Math.round(previousEnd / step) : from; bucket <= to; bucket++) {
      const offset = ring.offset(bucket);
      const least = floats[4 * offset];
      // biome-ignore lint/suspicious/noSelfCompare: the cheapest test for NaN, in the innermost loop of a draw
      if (least !== least) continue;
      const most = floats[4 * offset + 1];
      const min = base + least * scale;
      const max = base + most * scale;
      const range = max - min;
      const at = 8 * offset + 4;
      // Between two buckets the silence is at least from the end of one to the start of the next.
      this.gapFrom[n] = previousEnd;
      this.gapTo[n] = bucket * step;
      previousEnd = (bucket + 1) * step;
      this.time[n] = (bucket + 0.5) * step;
      this.min[n] = min;
      this.max[n] = max;
      this.first[n] = share(min, max, range, parts[at]);
      this.last[n] = share(min, max, range, parts[at + 1]);
      this.mean[n] = share(min, max, range, parts[at + 2]);
      this.count[n] = parts[at + 3];
      if (exact) {
        this.first[n] = Math.round(this.first[n]);
        this.last[n] = Math.round(this.last[n]);
      }
      if (bucket === newest && !Number.isNaN(slot.lastValue)) this.last[n] = slot.lastValue;
      n++;
      if (min < lo) lo = min;
      if (max > hi) hi = max;
      if (integers && !(whole(min, base) && whole(max, base))) integers = false;
    }
    this.n = n;
    for (let i = gapMs === this.#gapMs ? Math.max(0, kept - NEIGHBOURS) : 0; i < n; i++) {
      const silence = this.gapTo[i] - this.gapFrom[i];
      this.breaks[i] = silence > gapMs - step && !(silence + step <= USUAL_TIMES * this.#expectedAround(i)) ? 1 : 0;
    }
    this.endedMs = previousEnd;
    this.over = (slot.flags & FLAG_ENDED) !== 0 && slot.lastTimeMs <= endMs;
    this.#gapMs = gapMs;
    this.lo = n ? lo : NaN;
    this.hi = n ? hi : NaN;
    this.integers = integers && n > 0;
  }

  /**
   * Return the first bucket that may differ from what was read last, -Infinity if all may; `of` is what all columns
   * depend on, and the newest bucket has the exact last value.
   */
  #staysTo(ring: BucketRing, newest: number, of: readonly unknown[]): number {
    const { of: before, version, newest: newestBefore } = this.#was;
    this.#was = { of, version: ring.version, newest };
    if (of.some((one, i) => !Object.is(one, before[i]))) return -Infinity;
    return Math.min(ring.changedSince(version), newestBefore, newest);
  }

  /** Move what was read in time; the next reading begins anew. */
  shift(ms: number): void {
    this.#was = NEVER;
    for (const times of [this.time, this.gapFrom, this.gapTo]) for (let i = 0; i < this.n; i++) times[i] += ms;
  }

  /** Return the last value inside a span, NaN without one. Steps hold theirs from before it. */
  lastWithin(startMs: number, endMs: number): number {
    const at = this.indexAt(endMs + 1) - 1;
    return at < 0 || (this.time[at] < startMs && !this.steps) ? NaN : this.last[at];
  }

  /**
   * Hold the last value of steps until a time, if no gap lies before it; one that is no number any more, or the last one
   * of a series that ended, until that was read.
   */
  hold(slot: Slot, untilMs: number): void {
    const over = Number.isNaN(slot.lastValue) || (slot.flags & FLAG_ENDED) !== 0;
    const heldMs = over ? Math.min(untilMs, slot.lastTimeMs) : untilMs;
    this.heldMs =
      this.steps && this.n > 0 && heldMs > this.time[this.n - 1] && !this.silenceUntil(heldMs) ? heldMs : NaN;
  }

  /** Where the line ends. */
  get endMs(): number {
    return Number.isNaN(this.heldMs) ? this.time[this.n - 1] : this.heldMs;
  }

  /** The value that stands for a column where there is room for one: the extreme that is further from its mean. */
  extreme(i: number): number {
    return this.max[i] - this.mean[i] >= this.mean[i] - this.min[i] ? this.max[i] : this.min[i];
  }

  /** Return the interval that those around a bucket make expected; NaN if it is unknown, 0 if every bucket was full. */
  #expectedAround(at: number): number {
    const around: number[] = [];
    for (let i = Math.max(0, at - NEIGHBOURS); i <= at + NEIGHBOURS && i < this.n; i++) {
      const silence = this.gapTo[i] - this.gapFrom[i];
      if (i !== at && silence >= 0) around.push(silence > 0 ? silence + this.stepMs : 0);
    }
    return expectedInterval(around, OUTAGE_AMONG);
  }

  /** Return the index of the first column whose middle is not before a time; `n` if there is none. */
  indexAt(timeMs: number): number {
    let lo = 0;
    let hi = this.n;
    while (lo < hi) {
      const middle = (lo + hi) >> 1;
      if (this.time[middle] < timeMs) lo = middle + 1;
      else hi = middle;
    }
    return lo;
  }

  /** Draw nothing. */
  clear(): void {
    this.#was = NEVER;
    this.n = 0;
    this.heldMs = NaN;
    this.lo = NaN;
    this.hi = NaN;
    this.endedMs = NaN;
  }

  /** Return the silence from the last reading to the end of the window, if it is a gap. */
  silenceUntil(endMs: number): Silence | null {
    const longMs = endMs - this.endedMs + this.stepMs;
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

/** Whether a slot knows the value that its series has when the window begins, and nothing is still to come before. */
const heldBefore = ({ beforeValue, flags, lastTimeMs }: Slot, startMs: number): boolean =>
  Number.isFinite(beforeValue) && (flags & FLAG_PARTIAL) === 0 && !((flags & FLAG_ENDED) !== 0 && lastTimeMs < startMs);

const isEmpty = (ring: BucketRing, slot: Slot, bucket: number): boolean =>
  Number.isNaN(slot.floats[4 * ring.offset(bucket)]);

/** Return what one series reaches in all that a ring holds. */
export function extentOf(ring: BucketRing, { floats, base, exponent }: Slot): Extent {
  const scale = 2 ** exponent;
  let [lo, hi, integers] = [Infinity, -Infinity, true];
  for (let bucket = ring.first; bucket <= ring.last; bucket++) {
    const at = 4 * ring.offset(bucket);
    if (Number.isNaN(floats[at])) continue;
    const [min, max] = [base + floats[at] * scale, base + floats[at + 1] * scale];
    lo = Math.min(lo, min);
    hi = Math.max(hi, max);
    integers &&= whole(min, base) && whole(max, base);
  }
  return lo <= hi ? { lo, hi, integers } : NOTHING;
}

/** Return the end of the last bucket with a reading before this one, also left of the window; NaN without one. */
function lastBefore(ring: BucketRing, slot: Slot, bucket: number): number {
  for (let b = bucket - 1; b >= ring.first; b--) if (!isEmpty(ring, slot, b)) return (b + 1) * ring.stepMs;
  return slot.beforeMs > 1_000 ? slot.beforeMs : NaN;
}

/** Return how far a value that was sent as float32 beyond a base may be from what it was. */
export const roundingOf = (value: number, base: number): number =>
  FLOAT32 * Math.abs(value - base) + FLOAT64 * Math.abs(base);

/** Tell whether a value that was sent as float32 beyond a base is a whole number, as far as that tells. */
function whole(value: number, base: number): boolean {
  return Math.abs(value - Math.round(value)) <= roundingOf(value, base);
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
 * silence up to there counts too, unless all series have ended.
 */
export function sharedGaps(traces: readonly Trace[], endMs = NaN): Silence[] {
  const goesOn = traces.some(({ over }) => !over);
  let shared: Silence[] | null = null;
  for (const trace of traces) {
    const own: Silence[] = [];
    for (let i = 0; i < trace.n; i++) {
      if (trace.breaks[i])
        own.push({
          fromMs: trace.gapFrom[i],
          toMs: trace.gapTo[i],
          longMs: trace.gapTo[i] - trace.gapFrom[i] + trace.stepMs,
        });
    }
    const last = goesOn ? trace.silenceUntil(endMs) : null;
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
