/** Decodes one binary view frame (docs/view-frame.md) without allocating per bucket. */

/** A state of a series of words: from when until when, Unix ms, and the word. */
export type State = readonly [fromMs: number, toMs: number, text: string];

export const VERSION = 2;
export const HEADER_BYTES = 32;
export const RECORD_BYTES = 64;
export const BUCKET_BYTES = 16;
/** First, last and mean of a bucket lie so many parts of max - min above min. */
export const FRACTIONS = 65_535;
/** Readings of a bucket beyond these are not counted. */
export const MOST_COUNTED = 65_535;
export const SNAPSHOT = 1;
export const DELTA = 2;
export const RANGE = 4;
export const FLAG_PARTIAL = 2;
/** Every reading of the window is whole and they are few distinct values: steps, not slopes. */
export const FLAG_STEPS = 4;
/** The newest reading is the last one: the series has ended. */
export const FLAG_ENDED = 8;
/** Nothing of it comes at the moment: its partition of the log does not answer. */
export const FLAG_LATE = 16;

/** One series of a frame; times are Unix ms on the log's clock. */
export interface SeriesRecord {
  index: number;
  base: number;
  lastValue: number;
  lastTimeMs: number;
  lastIdMs: number;
  total: number;
  expectedMs: number;
  /** How far apart the blocks come in which readings are published; 0 if each comes at its time. */
  blocksMs: number;
  change: number;
  rate: number;
  flags: number;
  /** Power of two by which every value was divided after the base was subtracted; 0 but for extreme values. */
  exponent: number;
  /** No reading lies between this time and the window; up to 1000: none is known before it. */
  beforeMs: number;
}

export interface Frame {
  kind: number;
  seq: number;
  nowMs: number;
  /** Number of the first bucket; bucket b covers [b * stepMs, (b + 1) * stepMs). */
  first: number;
  buckets: number;
  view: number;
  stepMs: number;
  records: SeriesRecord[];
  /** [series][bucket] of 4 words: min and max as float32; first, last, mean and count as uint16. NaN where empty. */
  body: Uint32Array;
  /** By index of the series: the states of words from the first bucket on, and the one before. */
  states: ReadonlyMap<number, readonly State[]>;
}

/** The bytes are not a view frame of this version. */
export class FrameError extends Error {}

/** Decode what follows the body: nothing, or JSON. */
function statesOf(rest: Uint8Array): Map<number, State[]> {
  if (rest.byteLength === 0) return new Map();
  let states: Record<string, State[]>;
  try {
    states = JSON.parse(new TextDecoder().decode(rest)) as typeof states;
  } catch {
    throw new FrameError(`a view frame that is ${rest.byteLength} bytes too long`);
  }
  return new Map(Object.entries(states).map(([index, runs]) => [Number(index), runs]));
}

/** How far apart blocks of readings come, ms, by the eight bits that tell it. */
const blocksOf = (bits: number): number => (bits === 0 ? 0 : 1_000 * 2 ** (bits / 8));

export function decodeFrame(data: ArrayBuffer | ArrayBufferView): Frame {
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  if (bytes.byteLength < HEADER_BYTES) throw new FrameError(`a view frame of ${bytes.byteLength} bytes has no header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(0);
  if (version !== VERSION) throw new FrameError(`view frame version ${version}, expected ${VERSION}`);
  const series = view.getUint16(2, true);
  const buckets = view.getUint16(24, true);
  const bodyAt = HEADER_BYTES + series * RECORD_BYTES;
  const bodyBytes = series * buckets * BUCKET_BYTES;
  if (bytes.byteLength < bodyAt + bodyBytes) {
    throw new FrameError(`a view frame of ${bytes.byteLength} bytes, expected ${bodyAt + bodyBytes}`);
  }
  const records: SeriesRecord[] = new Array(series);
  for (let s = 0, at = HEADER_BYTES; s < series; s++, at += RECORD_BYTES) {
    records[s] = {
      base: view.getFloat64(at, true),
      lastValue: view.getFloat64(at + 8, true),
      lastTimeMs: view.getFloat64(at + 16, true),
      lastIdMs: view.getFloat64(at + 24, true),
      total: view.getFloat64(at + 32, true),
      expectedMs: view.getFloat32(at + 40, true),
      blocksMs: blocksOf(view.getUint8(at + 53)),
      change: view.getFloat32(at + 44, true),
      rate: view.getFloat32(at + 48, true),
      flags: view.getUint32(at + 52, true),
      exponent: view.getInt16(at + 54, true),
      index: view.getUint32(at + 56, true),
      // In whole seconds, rounded down: the silence after it is at least this short.
      beforeMs: (view.getUint32(at + 60, true) + 1) * 1_000,
    };
  }
  const start = bytes.byteOffset + bodyAt;
  // A host may hand over a view that is not aligned for words; then the body is copied once.
  const body =
    start % 4 === 0
      ? new Uint32Array(bytes.buffer as ArrayBuffer, start, bodyBytes / 4)
      : new Uint32Array(bytes.slice(bodyAt).buffer, 0, bodyBytes / 4);
  return {
    kind: view.getUint8(1),
    seq: view.getUint32(4, true),
    nowMs: view.getFloat64(8, true),
    first: view.getFloat64(16, true),
    buckets,
    view: view.getUint16(26, true),
    stepMs: view.getUint32(28, true),
    records,
    body,
    states: statesOf(bytes.subarray(bodyAt + bodyBytes)),
  };
}
