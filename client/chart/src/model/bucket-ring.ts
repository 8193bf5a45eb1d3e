/** The buckets of one view: a ring per series, written by snapshots and deltas, NaN where a bucket is empty. */
import { BUCKET_BYTES, DELTA, FRACTIONS, type Frame, type SeriesRecord, type State } from "../wire/frame";

import { joinStates } from "./states";

const WORDS = BUCKET_BYTES / 4;
/** A bucket without a number: NaN for min and max, 0 for the rest. */
const EMPTY = [0x7fc00000, 0x7fc00000, 0, 0];
/** Frames of which is known where they began; one that draws less often draws everything. */
const FRAMES_KEPT = 32;

/** Buckets kept beyond a snapshot's own, so that deltas do not overwrite the left edge of the window at once. */
const SPARE_BUCKETS = 4;

/** One series of a view: its newest record, and its ring of buckets in the three forms in which they are read. */
export interface Slot extends SeriesRecord {
  /** The newest value before the oldest bucket held; NaN if none is known. */
  beforeValue: number;
  /** Of a series of words, oldest first. */
  states: readonly State[];
  words: Uint32Array;
  /** At 4 × offset: min, max, minus `base` and divided by 2 ** `exponent`. */
  floats: Float32Array;
  /** At 8 × offset + 4: first, last, mean in parts of max - min, and how many readings. */
  parts: Uint16Array;
}

export class BucketRing {
  stepMs = 0;
  /** Oldest and newest bucket numbers held, both inclusive; last < first when empty. */
  first = 0;
  last = -1;
  nowMs = NaN;
  seq = 0;
  /** Incremented by every frame, so that a drawing can tell whether anything is new. */
  version = 0;
  readonly slots = new Map<number, Slot>();
  /** First bucket of the newest frames, oldest first. */
  #begins: number[] = [];
  #capacity = 0;

  /** Write one frame. Returns false if it leaves a hole or has another step: request a snapshot then. */
  apply(frame: Frame): boolean {
    if (frame.kind === DELTA) {
      if (this.#capacity === 0 || frame.stepMs !== this.stepMs || frame.first > this.last + 1) return false;
      for (const record of frame.records) if (!this.slots.has(record.index)) return false;
    } else {
      this.#reset(frame);
    }
    this.nowMs = frame.nowMs;
    this.seq = frame.seq;
    this.version++;
    const end = frame.first + frame.buckets - 1;
    const oldLast = this.last;
    if (frame.buckets > 0 && end > this.last) this.last = end;
    const oldFirst = this.first;
    this.first = Math.max(this.first, this.last - this.#capacity + 1);
    if (this.first > oldFirst) for (const slot of this.slots.values()) this.#slideOut(slot, oldFirst, this.first);
    for (let s = 0; s < frame.records.length; s++) {
      const record = frame.records[s];
      const slot = this.slots.get(record.index) as Slot;
      if (record.base !== slot.base || record.exponent !== slot.exponent) rescale(slot, record);
      const beforeMs = Math.max(slot.beforeMs, record.beforeMs);
      Object.assign(slot, record, { beforeMs });
      this.#write(slot.words, frame, s);
    }
    for (const [index, fresh] of frame.states) {
      const slot = this.slots.get(index);
      if (slot && fresh.length) slot.states = joinStates(slot.states, fresh, this.first * this.stepMs);
    }
    if (frame.kind !== DELTA) for (const slot of this.slots.values()) this.#takeBefore(slot);
    if (frame.kind === DELTA && this.last > oldLast && frame.records.length < this.slots.size) {
      const written = new Set(frame.records.map((record) => record.index));
      for (const [index, slot] of this.slots) if (!written.has(index)) this.#clear(slot.words, oldLast + 1, this.last);
    }
    this.#begins.push(frame.kind === DELTA ? frame.first : -Infinity);
    if (this.#begins.length > FRAMES_KEPT) this.#begins.shift();
    return true;
  }

  /** Return the first bucket that may differ from what it was at an earlier version; -Infinity if all may. */
  changedSince(version: number): number {
    const frames = this.version - version;
    if (frames < 0 || frames > this.#begins.length) return -Infinity;
    return frames === 0 ? Infinity : Math.min(...this.#begins.slice(-frames));
  }

  /** Remember the newest reading among the buckets that leave at the left, before they are overwritten. */
  #slideOut(slot: Slot, from: number, to: number): void {
    for (let bucket = Math.min(to, from + this.#capacity) - 1; bucket >= from; bucket--) {
      const at = this.offset(bucket);
      if (Number.isNaN(slot.floats[WORDS * at])) continue;
      slot.beforeValue = lastOf(slot, at);
      slot.beforeMs = (bucket + 1) * this.stepMs;
      return;
    }
  }

  /** Take the value before the window out of the first bucket, which holds no reading then. */
  #takeBefore(slot: Slot): void {
    const at = this.offset(this.first);
    if (this.last < this.first || slot.parts[8 * at + 7] > 0) return;
    slot.beforeValue = lastOf(slot, at);
    slot.words.set(EMPTY, WORDS * at);
  }

  /** Offset of a bucket in every slot's ring, in buckets; the bucket must lie in first…last. */
  offset(bucket: number): number {
    return bucket % this.#capacity;
  }

  /** Return a copy that later frames do not change. */
  freeze(): BucketRing {
    const copy = new BucketRing();
    copy.stepMs = this.stepMs;
    copy.first = this.first;
    copy.last = this.last;
    copy.nowMs = this.nowMs;
    copy.seq = this.seq;
    copy.version = 1;
    copy.#capacity = this.#capacity;
    for (const [index, slot] of this.slots) copy.slots.set(index, { ...slot, ...ringOf(slot.words.slice()) });
    return copy;
  }

  #reset(frame: Frame): void {
    this.stepMs = frame.stepMs;
    this.#capacity = Math.max(1, frame.buckets + SPARE_BUCKETS);
    this.first = frame.first;
    this.last = frame.first + frame.buckets - 1;
    this.slots.clear();
    for (const record of frame.records) {
      const words = new Uint32Array(this.#capacity * WORDS);
      for (let i = 0; i < words.length; i++) words[i] = EMPTY[i % WORDS];
      this.slots.set(record.index, { ...record, beforeValue: NaN, states: [], ...ringOf(words) });
    }
  }

  #write(words: Uint32Array, frame: Frame, s: number): void {
    const skipped = Math.max(0, this.first - frame.first);
    const from = s * frame.buckets;
    // In one or two runs: the ring may end in between.
    for (let b = skipped; b < frame.buckets; ) {
      const at = this.offset(frame.first + b);
      const run = Math.min(frame.buckets - b, this.#capacity - at);
      words.set(frame.body.subarray((from + b) * WORDS, (from + b + run) * WORDS), at * WORDS);
      b += run;
    }
  }

  #clear(words: Uint32Array, from: number, to: number): void {
    // A bucket that no frame wrote would show the previous lap as a spike at the live edge.
    for (let bucket = Math.max(from, this.first); bucket <= to; bucket++) words.set(EMPTY, this.offset(bucket) * WORDS);
  }
}

function ringOf(words: Uint32Array): Pick<Slot, "words" | "floats" | "parts"> {
  return { words, floats: new Float32Array(words.buffer), parts: new Uint16Array(words.buffer) };
}

/** Return the last value of the bucket at an offset; NaN if it is empty. */
export function lastOf({ floats, parts, base, exponent }: Slot, offset: number): number {
  const [min, max] = [floats[WORDS * offset], floats[WORDS * offset + 1]];
  return base + share(min, max, max - min, parts[8 * offset + 5]) * 2 ** exponent;
}

/** A value between two; exactly one of them at its ends. */
export function share(min: number, max: number, range: number, parts: number): number {
  return parts === FRACTIONS ? max : min + range * (parts / FRACTIONS);
}

/** Write what a slot holds for another base and exponent. */
function rescale({ floats, base, exponent }: Slot, record: SeriesRecord): void {
  const [was, is] = [2 ** exponent, 2 ** record.exponent];
  for (let i = 0; i < floats.length; i += WORDS) {
    floats[i] = (floats[i] * was + base - record.base) / is;
    floats[i + 1] = (floats[i + 1] * was + base - record.base) / is;
  }
}
