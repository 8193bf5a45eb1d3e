/** View frames: our own encoding, and the byte-for-byte examples that the Python tests read as well. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodeFrame, FrameError } from "../src/wire/frame";
import { encodeFrame } from "./encode";

const VECTORS = join(process.cwd(), "../../tests/chart/vectors");

interface Vector {
  kind: number;
  seq: number;
  now_ms: number;
  first: number;
  buckets: number;
  view: number;
  step_ms: number;
  records: Record<string, number | null>[];
  body: (number | null)[][][];
}

/** JSON has no NaN: null stands for it. */
const number = (value: number | null): number => (value === null ? NaN : value);

test("every vector decodes to the values beside it", () => {
  assert.ok(existsSync(VECTORS), "tests/chart/vectors is missing");
  const names = readdirSync(VECTORS).filter((name) => name.endsWith(".bin"));
  assert.ok(names.length >= 4);
  for (const name of names) {
    const bytes = readFileSync(join(VECTORS, name));
    const wanted = JSON.parse(readFileSync(join(VECTORS, name.replace(/\.bin$/, ".json")), "utf8")) as Vector;
    const frame = decodeFrame(bytes);
    assert.deepEqual(
      [frame.kind, frame.seq, frame.nowMs, frame.first, frame.buckets, frame.view, frame.stepMs],
      [wanted.kind, wanted.seq, wanted.now_ms, wanted.first, wanted.buckets, wanted.view, wanted.step_ms],
    );
    assert.equal(frame.records.length, wanted.records.length);
    wanted.records.forEach((record, s) => {
      const got = frame.records[s];
      assert.deepEqual(
        [
          got.base,
          got.lastValue,
          got.lastTimeMs,
          got.lastIdMs,
          got.total,
          got.expectedMs,
          got.change,
          got.rate,
          got.flags,
          got.index,
          got.beforeMs / 1_000 - 1,
        ],
        [
          "base",
          "last_value",
          "last_time_ms",
          "last_id_ms",
          "total",
          "expected_ms",
          "change",
          "rate",
          "flags",
          "index",
          "before_s",
        ].map((field) => number(record[field])),
        `${name} record ${s}`,
      );
    });
    const view = new DataView(frame.body.buffer, frame.body.byteOffset, frame.body.byteLength);
    wanted.body.flat().forEach(([min, max, ...parts], i) => {
      const got = [view.getFloat32(i * 16, true), view.getFloat32(i * 16 + 4, true)];
      assert.deepEqual(got, [min, max].map(number).map(Math.fround), `${name} bucket ${i}`);
      parts.forEach((part, k) => assert.equal(view.getUint16(i * 16 + 8 + k * 2, true), part, `${name} bucket ${i}`));
    });
  }
});

test("a body at an unaligned offset is read as well", () => {
  const bytes = new Uint8Array(
    encodeFrame({ kind: 1, first: 7, buckets: 2, stepMs: 1000, series: [{ data: [1, [2, 1, 4, 3]] }] }),
  );
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  const frame = decodeFrame(new DataView(shifted.buffer, 1));
  assert.deepEqual([...new Float32Array(frame.body.buffer, frame.body.byteOffset, 6)].slice(4), [1, 4]);
});

test("bytes of another version or length are refused", () => {
  const good = new Uint8Array(encodeFrame({ kind: 1, first: 0, buckets: 1, stepMs: 50, series: [{ data: [1] }] }));
  assert.throws(() => decodeFrame(good.slice(0, -1)), FrameError);
  assert.throws(() => decodeFrame(good.slice(0, 10)), FrameError);
  good[0] = 1;
  assert.throws(() => decodeFrame(good), /version 1/);
});
