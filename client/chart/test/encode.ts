/** Packs a view frame as Python does, for tests. */
import { HEADER_BYTES, RECORD_BYTES, type SeriesRecord, VERSION } from "../src/wire/frame";

export interface PackedSeries extends Partial<SeriesRecord> {
  /** [line, min, max] per bucket, minus base. */
  data: ArrayLike<number>;
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
  const bytes = new ArrayBuffer(HEADER_BYTES + frame.series.length * (RECORD_BYTES + frame.buckets * 12));
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
    const body = HEADER_BYTES + frame.series.length * RECORD_BYTES + s * frame.buckets * 12;
    for (let i = 0; i < frame.buckets * 3; i++) view.setFloat32(body + i * 4, series.data[i] ?? NaN, true);
  });
  return bytes;
}
