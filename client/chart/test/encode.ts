/** Packs a view frame as Python does, for tests. */
import { BUCKET_BYTES, FRACTIONS, HEADER_BYTES, RECORD_BYTES, type SeriesRecord, VERSION } from "../src/wire/frame";

export interface PackedSeries extends Partial<SeriesRecord> {
  /** Per bucket its one reading, or [first, min, max, last], minus base; NaN for none. */
  data: readonly (number | readonly [first: number, min: number, max: number, last: number])[];
  /** Readings of each bucket that has four values. */
  count?: number;
}

export interface PackedFrame {
  kind: number;
  seq?: number;
  nowMs?: number;
  first: number;
  buckets: number;
  view?: number;
  stepMs: number;
  series: PackedSeries[];
}

export function encodeFrame(frame: PackedFrame): ArrayBuffer {
  const bytes = new ArrayBuffer(HEADER_BYTES + frame.series.length * (RECORD_BYTES + frame.buckets * BUCKET_BYTES));
  const view = new DataView(bytes);
  view.setUint8(0, VERSION);
  view.setUint8(1, frame.kind);
  view.setUint16(2, frame.series.length, true);
  view.setUint32(4, frame.seq ?? 1, true);
  view.setFloat64(8, frame.nowMs ?? 0, true);
  view.setFloat64(16, frame.first, true);
  view.setUint16(24, frame.buckets, true);
  view.setUint16(26, frame.view ?? 0, true);
  view.setUint32(28, frame.stepMs, true);
  frame.series.forEach((series, s) => {
    const at = HEADER_BYTES + s * RECORD_BYTES;
    const doubles = [
      series.base ?? 0,
      series.lastValue ?? NaN,
      series.lastTimeMs ?? NaN,
      series.lastIdMs ?? series.lastTimeMs ?? NaN,
      series.total ?? 0,
    ];
    doubles.forEach((value, i) => view.setFloat64(at + i * 8, value, true));
    [series.expectedMs ?? NaN, series.change ?? NaN, series.rate ?? 0].forEach((value, i) =>
      view.setFloat32(at + 40 + i * 4, value, true),
    );
    view.setUint32(at + 52, series.flags ?? 0, true);
    view.setUint32(at + 56, series.index ?? s, true);
    view.setUint32(at + 60, series.beforeMs ? series.beforeMs / 1_000 - 1 : 0, true);
    view.setInt16(at + 54, series.exponent ?? 0, true);
    for (let i = 0; i < frame.buckets; i++) {
      const body = HEADER_BYTES + frame.series.length * RECORD_BYTES + (s * frame.buckets + i) * BUCKET_BYTES;
      const bucket = series.data[i] ?? NaN;
      const [first, min, max, last] = typeof bucket === "number" ? [bucket, bucket, bucket, bucket] : bucket;
      view.setFloat32(body, min, true);
      view.setFloat32(body + 4, max, true);
      const parts = (value: number): number => (max > min ? Math.round(((value - min) / (max - min)) * FRACTIONS) : 0);
      const mean = (first + min + max + last) / 4;
      const count = Number.isNaN(min) ? 0 : typeof bucket === "number" ? 1 : (series.count ?? 4);
      [parts(first), parts(last), parts(mean), count].forEach((part, k) =>
        view.setUint16(body + 8 + k * 2, part, true),
      );
    }
  });
  return bytes;
}
