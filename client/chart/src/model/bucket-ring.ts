/**
 * The buckets of one view: a ring of float32 per series, written by snapshots and deltas, NaN where a bucket is empty.
 */
import { DELTA, type Frame, type SeriesRecord } from "../wire/frame";

/** Buckets kept beyond a snapshot's own, so that deltas do not overwrite the left edge of the window at once. */
const SPARE_BUCKETS = 4;

/** One series of a view: its newest record and its ring of [line, min, max] minus `base`. */
export interface Slot extends SeriesRecord {
  data: Float32Array;
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
      if (record.base !== slot.base) rebase(slot.data, slot.base - record.base);
      const beforeMs = Math.max(slot.beforeMs, record.beforeMs);
      Object.assign(slot, record, { beforeMs });
      this.#write(slot.data, frame, s);
    }
    if (frame.kind === DELTA && this.last > oldLast && frame.records.length < this.slots.size) {
      const written = new Set(frame.records.map((record) => record.index));
      for (const [index, slot] of this.slots) if (!written.has(index)) this.#clear(slot.data, oldLast + 1, this.last);
    }
    return true;
  }

  /** Remember the newest reading among the buckets that leave at the left, before they are overwritten. */
  #slideOut(slot: Slot, from: number, to: number): void {
    for (let bucket = Math.min(to, from + this.#capacity) - 1; bucket >= from; bucket--) {
      if (Number.isNaN(slot.data[this.offset(bucket)])) continue;
      slot.beforeMs = (bucket + 1) * this.stepMs;
      return;
    }
  }

  /** Float offset of a bucket in every slot's data; the bucket must lie in first…last. */
  offset(bucket: number): number {
    return (bucket % this.#capacity) * 3;
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
    for (const [index, slot] of this.slots) copy.slots.set(index, { ...slot, data: slot.data.slice() });
    return copy;
  }

  #reset(frame: Frame): void {
    this.stepMs = frame.stepMs;
    this.#capacity = Math.max(1, frame.buckets + SPARE_BUCKETS);
    this.first = frame.first;
    this.last = frame.first + frame.buckets - 1;
    this.slots.clear();
    for (const record of frame.records) {
      this.slots.set(record.index, { ...record, data: new Float32Array(this.#capacity * 3).fill(NaN) });
    }
  }

  #write(data: Float32Array, frame: Frame, s: number): void {
    const from = s * frame.buckets * 3;
    for (let b = 0; b < frame.buckets; b++) {
      const bucket = frame.first + b;
      if (bucket < this.first) continue;
      const to = this.offset(bucket);
      const at = from + b * 3;
      data[to] = frame.body[at];
      data[to + 1] = frame.body[at + 1];
      data[to + 2] = frame.body[at + 2];
    }
  }

  #clear(data: Float32Array, from: number, to: number): void {
    // A bucket that no frame wrote would show the previous lap as a spike at the live edge.
    for (let bucket = Math.max(from, this.first); bucket <= to; bucket++) {
      const at = this.offset(bucket);
      data[at] = data[at + 1] = data[at + 2] = NaN;
    }
  }
}

function rebase(data: Float32Array, shift: number): void {
  for (let i = 0; i < data.length; i++) data[i] += shift;
}
