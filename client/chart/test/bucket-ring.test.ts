/** Rings: snapshots, deltas, holes, skipped buckets, changes of the base. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BucketRing } from "../src/model/bucket-ring";
import { decodeFrame } from "../src/wire/frame";
import { encodeFrame, type PackedFrame } from "./encode";

const apply = (
  ring: BucketRing,
  frame: Partial<PackedFrame> & Pick<PackedFrame, "kind" | "first" | "series" | "buckets">,
): boolean => ring.apply(decodeFrame(encodeFrame({ stepMs: 1000, ...frame })));
const lines = (ring: BucketRing, index: number): number[] => {
  const slot = ring.slots.get(index);
  const values: number[] = [];
  for (let b = ring.first; b <= ring.last; b++) values.push(slot ? slot.floats[4 * ring.offset(b)] : NaN);
  return values;
};

test("a snapshot replaces everything, a delta rewrites from the open bucket on", () => {
  const ring = new BucketRing();
  assert.ok(apply(ring, { kind: 1, first: 100, buckets: 4, series: [{ index: 5, data: [1, 2, 3, 4] }] }));
  assert.ok(apply(ring, { kind: 2, first: 103, buckets: 2, series: [{ index: 5, data: [40, 5] }] }));
  assert.equal(ring.last, 104);
  assert.deepEqual(lines(ring, 5), [1, 2, 3, 40, 5]);
});

test("the ring slides and never shows the lap before", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 0, buckets: 3, series: [{ index: 0, data: [0, 1, 2] }] });
  for (let b = 3; b < 40; b++)
    assert.ok(apply(ring, { kind: 2, first: b, buckets: 1, series: [{ index: 0, data: [b % 5 === 0 ? NaN : b] }] }));
  assert.deepEqual(lines(ring, 0), [33, 34, NaN, 36, 37, 38, 39]);
});

test("a delta beyond last + 1 is a hole", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 0, buckets: 3, series: [{ index: 0, data: [0, 1, 2] }] });
  assert.equal(apply(ring, { kind: 2, first: 4, buckets: 1, series: [{ index: 0, data: [9] }] }), false);
  assert.equal(apply(ring, { kind: 2, first: 3, buckets: 1, stepMs: 2000, series: [{ index: 0, data: [9] }] }), false);
  assert.equal(apply(ring, { kind: 2, first: 3, buckets: 1, series: [{ index: 1, data: [9] }] }), false);
  assert.deepEqual(lines(ring, 0), [0, 1, 2]);
});

test("a delta before any snapshot is a hole", () => {
  assert.equal(apply(new BucketRing(), { kind: 2, first: 0, buckets: 1, series: [{ data: [1] }] }), false);
});

test("late readings rewrite older buckets", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 10, buckets: 4, series: [{ index: 0, data: [1, NaN, 3, 4] }] });
  assert.ok(apply(ring, { kind: 2, first: 11, buckets: 3, series: [{ index: 0, data: [2, 3, 4] }] }));
  assert.deepEqual(lines(ring, 0), [1, 2, 3, 4]);
});

test("a series that a delta leaves out is empty in the new buckets", () => {
  const ring = new BucketRing();
  apply(ring, {
    kind: 1,
    first: 0,
    buckets: 6,
    series: [
      { index: 0, data: [1, 1, 1, 1, 1, 1] },
      { index: 1, data: [2, 2, 2, 2, 2, 2] },
    ],
  });
  for (let b = 6; b < 12; b++) apply(ring, { kind: 2, first: b, buckets: 1, series: [{ index: 0, data: [1] }] });
  assert.deepEqual(lines(ring, 1).slice(-6), [NaN, NaN, NaN, NaN, NaN, NaN]);
});

test("a changed base shifts what is held", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 0, buckets: 2, series: [{ index: 0, base: 1000, data: [1, 2] }] });
  apply(ring, { kind: 2, first: 2, buckets: 1, series: [{ index: 0, base: 990, data: [13] }] });
  assert.deepEqual(
    lines(ring, 0).map((value) => value + 990),
    [1001, 1002, 1003],
  );
});

test("a changed exponent shifts what is held", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 0, buckets: 2, series: [{ index: 0, data: [1, 2] }] });
  apply(ring, { kind: 2, first: 2, buckets: 1, series: [{ index: 0, exponent: 1, data: [1.5] }] });
  assert.deepEqual(lines(ring, 0), [0.5, 1, 1.5]);
});

test("what changed since a version is known, or else it is everything", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 0, buckets: 9, series: [{ index: 0, data: [] }] });
  const { version } = ring;
  assert.equal(ring.changedSince(version), Infinity);
  apply(ring, { kind: 2, first: 8, buckets: 2, series: [{ index: 0, data: [1, 2] }] });
  apply(ring, { kind: 2, first: 5, buckets: 6, series: [{ index: 0, data: [1] }] });
  apply(ring, { kind: 2, first: 10, buckets: 2, series: [{ index: 0, data: [1] }] });
  assert.equal(ring.changedSince(version), 5);
  assert.equal(ring.changedSince(version + 2), 10);
  assert.equal(ring.changedSince(version - 1), -Infinity, "a snapshot");
  assert.equal(ring.changedSince(version - 2), -Infinity, "nothing is known of that");
});

test("a frozen ring does not change", () => {
  const ring = new BucketRing();
  apply(ring, { kind: 1, first: 0, buckets: 2, series: [{ index: 0, total: 5, data: [1, 2] }] });
  const frozen = ring.freeze();
  apply(ring, { kind: 2, first: 1, buckets: 2, series: [{ index: 0, total: 9, data: [7, 8] }] });
  assert.deepEqual(lines(frozen, 0), [1, 2]);
  assert.equal(frozen.slots.get(0)?.total, 5);
});
