/** What a chart draws: merging to pixels, gaps, the newest value at the end, paths without lines across silences. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { areaPath, bandPath, linear, linePath, type PathLike } from "../src/canvas/paths";
import { bucketAt } from "../src/chart/crosshair-rows";
import { BucketRing } from "../src/model/bucket-ring";
import { bucketsFor, mergeFactor, sharedGaps, Trace } from "../src/model/buckets";
import { decodeFrame } from "../src/wire/frame";
import { encodeFrame, type PackedSeries } from "./encode";

function ringOf(series: PackedSeries, buckets: number, first = 0): BucketRing {
  const ring = new BucketRing();
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first, buckets, stepMs: 1000, series: [{ index: 0, ...series }] })));
  return ring;
}

function read(ring: BucketRing, startMs: number, endMs: number, factor: number, gapMs = 2_000): Trace {
  const trace = new Trace();
  const slot = ring.slots.get(0);
  assert.ok(slot);
  trace.read(ring, slot, startMs, endMs, factor, gapMs);
  return trace;
}

class Recorder implements PathLike {
  steps: string[] = [];
  moveTo(x: number, y: number): void {
    this.steps.push(`M${Math.round(x)},${Math.round(y)}`);
  }
  lineTo(x: number, y: number): void {
    this.steps.push(`L${Math.round(x)},${Math.round(y)}`);
  }
  closePath(): void {
    this.steps.push("Z");
  }
}

const same = (...values: number[]): number[] => values.flatMap((value) => [value, value, value]);

test("buckets are merged until each has about two pixels", () => {
  assert.equal(mergeFactor(300, 674), 1);
  assert.equal(mergeFactor(300, 294), 2);
  assert.equal(mergeFactor(2000, 294), 13);
  assert.equal(mergeFactor(10, 294), 1);
});

test("a view is asked for buckets of at most 2.6 px", () => {
  assert.equal(bucketsFor(300_000, 294), 150);
  assert.equal(bucketsFor(300_000, 674), 300);
  assert.equal(bucketsFor(60_000, 294), 120);
  assert.equal(bucketsFor(86_400_000, 294), 144);
  for (const windowMs of [60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000]) {
    for (const px of [120, 294, 355, 674, 1_340, 2_400]) {
      const buckets = bucketsFor(windowMs, px);
      assert.ok(px / buckets <= 2.6 && px / buckets > 0.9, `${windowMs} ${px}: ${buckets}`);
    }
  }
});

test("a silence that began before the window is a gap at its left edge", () => {
  const none = same(NaN, NaN, NaN);
  const late = ringOf({ data: [...none, ...same(1, 2)], beforeMs: 95_000 }, 5, 100);
  assert.deepEqual(sharedGaps([read(late, 100_000, 105_000, 1)]), [{ fromMs: 95_000, toMs: 103_000, longMs: 9_000 }]);
  assert.deepEqual(sharedGaps([read(late, 100_000, 105_000, 1, 9_000)]), [], "no longer than is usual");
  const born = ringOf({ data: [...none, ...same(1, 2)] }, 5, 100);
  assert.deepEqual(sharedGaps([read(born, 100_000, 105_000, 1)]), [], "nothing is known before it");
});

test("a reading that slides out of the window is remembered", () => {
  const ring = ringOf({ data: [...same(1), ...same(NaN, NaN, NaN, NaN)] }, 5, 100);
  for (let n = 0; n < 8; n++) {
    const data = n < 6 ? same(NaN) : same(7);
    assert.ok(
      ring.apply(
        decodeFrame(encodeFrame({ kind: 2, first: 105 + n, buckets: 1, stepMs: 1000, series: [{ index: 0, data }] })),
      ),
    );
  }
  assert.deepEqual(sharedGaps([read(ring, 108_000, 113_000, 1)]), [{ fromMs: 101_000, toMs: 111_000, longMs: 11_000 }]);
});

test("merged buckets are anchored to the epoch and keep min and max", () => {
  const ring = ringOf({ data: [1, 0, 2, 3, 2, 9, 5, 4, 6, 7, 7, 7], lastTimeMs: 3500, lastValue: 7, flags: 1 }, 4);
  const trace = read(ring, 0, 4000, 2);
  assert.equal(trace.n, 2);
  assert.deepEqual([trace.line[0], trace.min[0], trace.max[0]], [2, 0, 9]);
  assert.deepEqual([...trace.time.slice(0, 2)], [1000, 3500]);
});

test("the end of the line is the last value at its own time, however the buckets are merged", () => {
  const ring = ringOf({ data: same(1, 2, 3, 10), lastTimeMs: 3250, lastValue: 10.125, flags: 1 }, 4);
  for (const factor of [1, 2, 3, 4]) {
    const trace = read(ring, 0, 4000, factor);
    assert.equal(trace.line[trace.n - 1], 10.125);
    assert.equal(trace.time[trace.n - 1], 3250);
  }
});

test("the base is added back in float64", () => {
  const ring = ringOf({ base: 1e12, data: same(0.25, 0.5), lastTimeMs: 1500, lastValue: 1e12 + 0.5 }, 2);
  const trace = read(ring, 0, 2000, 1);
  assert.deepEqual([trace.line[0], trace.line[1]], [1e12 + 0.25, 1e12 + 0.5]);
});

test("a silence breaks the line, a short one does not, and an unknown interval never does", () => {
  const ring = ringOf({ data: same(1, NaN, 2, NaN, NaN, NaN, 3), lastTimeMs: 6500, lastValue: 3 }, 7);
  assert.deepEqual([...read(ring, 0, 7000, 1).breaks.slice(0, 3)], [0, 0, 1]);
  assert.deepEqual([...read(ring, 0, 7000, 1, NaN).breaks.slice(0, 3)], [0, 0, 0]);
  const gaps = sharedGaps([read(ring, 0, 7000, 1)]);
  assert.deepEqual(gaps, [{ fromMs: 3000, toMs: 6000, longMs: 4000 }]);
});

test("only a silence of all series of a chart is hatched", () => {
  const silent = read(ringOf({ data: same(1, NaN, NaN, NaN, NaN, 2), lastTimeMs: 5500, lastValue: 2 }, 6), 0, 6000, 1);
  const busy = read(ringOf({ data: same(1, 1, 1, 1, 1, 1), lastTimeMs: 5500, lastValue: 1 }, 6), 0, 6000, 1);
  const late = read(ringOf({ data: same(1, 1, NaN, NaN, NaN, 2), lastTimeMs: 5500, lastValue: 2 }, 6), 0, 6000, 1);
  assert.deepEqual(sharedGaps([silent, busy]), []);
  assert.deepEqual(sharedGaps([silent, late]), [{ fromMs: 2000, toMs: 5000, longMs: 4000 }]);
});

test("whole numbers are known as counts", () => {
  assert.equal(read(ringOf({ data: same(11, 12), lastTimeMs: 1500, lastValue: 12 }, 2), 0, 2000, 1).integers, true);
  assert.equal(
    read(ringOf({ data: same(11, 12.5), lastTimeMs: 1500, lastValue: 12.5 }, 2), 0, 2000, 1).integers,
    false,
  );
  assert.equal(
    read(ringOf({ data: same(1e-7, 2e-7), lastTimeMs: 1500, lastValue: 2e-7 }, 2), 0, 2000, 1).integers,
    false,
  );
  assert.equal(
    read(ringOf({ data: same(0, -7), base: 1e9, lastTimeMs: 1500, lastValue: 1e9 - 7 }, 2), 0, 2000, 1).integers,
    true,
  );
});

test("no line crosses a gap, and a lonely reading is a point", () => {
  const trace = read(
    ringOf({ data: same(0, 1, NaN, NaN, NaN, 4, NaN, NaN, NaN, 8, 9), lastTimeMs: 10_500, lastValue: 9 }, 11),
    0,
    11_000,
    1,
  );
  const path = new Recorder();
  linePath(trace, linear(0, 11_000, 0, 110), linear(0, 10, 100, 0), path);
  assert.deepEqual(path.steps, ["M5,100", "L15,90", "M55,60", "L55,60", "M95,20", "L105,10"]);
});

test("a band is closed per run, and where min is max there is none", () => {
  const y = linear(0, 10, 100, 0);
  const x = linear(0, 2000, 0, 20);
  const flat = new Recorder();
  bandPath(read(ringOf({ data: same(1, 2), lastTimeMs: 1500, lastValue: 2 }, 2), 0, 2000, 1), x, y, flat);
  assert.deepEqual(flat.steps, []);
  const thick = new Recorder();
  bandPath(read(ringOf({ data: [1, 0, 2, 2, 1, 3], lastTimeMs: 1500, lastValue: 2 }, 2), 0, 2000, 1), x, y, thick);
  assert.deepEqual(thick.steps, ["M5,80", "L15,70", "L15,90", "L5,100", "Z"]);
  const area = new Recorder();
  areaPath(read(ringOf({ data: same(1, 2), lastTimeMs: 1500, lastValue: 2 }, 2), 0, 2000, 1), x, y, 100, area);
  assert.deepEqual(area.steps, ["M5,100", "L5,90", "L15,80", "L15,100", "Z"]);
});

test("the value at a time is a drawn bucket, or nothing inside a gap", () => {
  const trace = read(
    ringOf({ data: same(1, 2, NaN, NaN, NaN, NaN, 3), lastTimeMs: 6500, lastValue: 3 }, 7),
    0,
    7000,
    1,
  );
  assert.equal(trace.nearest(600, 1000), 0);
  assert.equal(trace.nearest(1400, 1000), 1);
  assert.equal(trace.nearest(4000, 1000), -1);
  assert.equal(trace.nearest(9000, 1000), -1);
});

test("on a stretch that is zoomed into, a silence up to its end is one, and so is one that fills it", () => {
  const ring = ringOf({ data: same(1, 2, NaN, NaN, NaN, NaN, NaN), expectedMs: 1_000 }, 7, 100);
  const until = (startMs: number, endMs: number) => sharedGaps([read(ring, startMs, endMs, 1)], endMs);
  assert.deepEqual(until(100_000, 106_000), [{ fromMs: 102_000, toMs: 106_000, longMs: 5_000 }]);
  assert.deepEqual(until(104_000, 106_000), [{ fromMs: 102_000, toMs: 106_000, longMs: 5_000 }]);
  assert.deepEqual(until(100_000, 102_500), []);
  const born = ringOf({ data: same(NaN, NaN, NaN), expectedMs: 1_000 }, 3, 100);
  assert.deepEqual(
    sharedGaps([read(born, 100_000, 103_000, 1)], 103_000),
    [],
    "before the first reading there is no silence",
  );
});

test("a pace that was slower once is no row of gaps, and a gap at any pace is one", () => {
  const values = (...at: number[]): number[] =>
    Array.from({ length: 121 }, (_, i) => (at.includes(i) ? i : NaN)).flatMap((value) => [value, value, value]);
  const every = (from: number, to: number, step: number): number[] =>
    Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);
  const gaps = (...at: number[]) =>
    sharedGaps([read(ringOf({ data: values(...at), expectedMs: 1_000 }, 121), 0, 121_000, 1, 3_000)]).map(
      ({ fromMs, toMs }) => [fromMs / 1e3, toMs / 1e3],
    );
  assert.deepEqual(gaps(...every(0, 60, 5), ...every(61, 120, 1)), [], "every five seconds, then every second");
  assert.deepEqual(gaps(...every(0, 30, 5), ...every(60, 120, 5)), [[31, 60]], "half a minute at a slow pace");
  assert.deepEqual(
    gaps(...every(0, 40, 1), 80, ...every(110, 120, 1)),
    [
      [41, 80],
      [81, 110],
    ],
    "two in a row",
  );
  assert.deepEqual(gaps(...every(0, 60, 1), ...every(65, 120, 1)), [[61, 65]]);
});

test("between two readings of a line the crosshair has the nearer one, also at a slow pace", () => {
  const data = [0, 10, 20, 30]
    .flatMap((at) => [at, ...Array<number>(9).fill(NaN)])
    .flatMap((value) => [value, value, value]);
  const ring = ringOf({ data, expectedMs: 1_000 }, 40);
  const trace = read(ring, 0, 40_000, 1, 3_000);
  const slot = ring.slots.get(0);
  assert.deepEqual(
    [5_000, 6_000, 14_000, 24_000].map((ms) => bucketAt(trace, slot, ms)),
    [0, 1, 1, 2],
  );
  assert.equal(bucketAt(trace, slot, 39_000), -1, "after the last one there is nothing yet");
});
