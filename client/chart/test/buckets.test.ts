/** What a chart draws: columns of pixels, gaps, the newest value at the end, paths without lines across silences. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { areaPath, linear, linePath, type PathLike } from "../src/canvas/paths";
import { bucketAt } from "../src/chart/crosshair-rows";
import { BucketRing } from "../src/model/bucket-ring";
import { sharedGaps, Trace } from "../src/model/buckets";
import { columnsOf, shownBy } from "../src/model/columns";
import { decodeFrame, FLAG_ENDED } from "../src/wire/frame";
import { encodeFrame, type PackedSeries } from "./encode";

function ringOf(series: PackedSeries, buckets: number, first = 0): BucketRing {
  const ring = new BucketRing();
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first, buckets, stepMs: 1000, series: [{ index: 0, ...series }] })));
  return ring;
}

function read(ring: BucketRing, startMs: number, endMs: number, gapMs = 2_000): Trace {
  const trace = new Trace();
  const slot = ring.slots.get(0);
  assert.ok(slot);
  trace.read(ring, slot, startMs, endMs, gapMs);
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

const same = (...values: number[]): number[] => values;

test("a plot has a column for every device pixel, and shows hardly more than its window", () => {
  for (const windowMs of [1_000, 7_000, 60_000, 300_000, 900_000, 960_000, 3_600_000, 21_600_000, 86_400_000]) {
    for (const px of [40, 120, 177, 294, 355, 674, 1_340, 2_400, 3_696]) {
      const { stepMs, count, px: wide } = columnsOf(windowMs, px);
      assert.ok(count * wide <= px && count * wide > px - wide, `${windowMs} ${px}: whole pixels`);
      assert.ok(count <= 2_000 && Number.isInteger(stepMs));
      assert.ok(
        stepMs * count >= windowMs && stepMs * count <= 1.3 * windowMs,
        `${windowMs} ${px}: ${stepMs} ${count}`,
      );
      assert.ok(wide <= 2 || px > 2_000 || stepMs < 10 || stepMs % 1_000 === 0, `${windowMs} ${px}: ${wide}`);
    }
  }
  assert.deepEqual(columnsOf(300_000, 294), { stepMs: 1_021, count: 294, px: 1 });
  assert.deepEqual(columnsOf(300_000, 294, 3), { stepMs: 3_062, count: 98, px: 3 });
});

test("the picture moves by whole columns", () => {
  const columns = columnsOf(300_000, 294);
  const at = 1_790_000_000_000;
  const ends = new Set(Array.from({ length: 100 }, (_, n) => shownBy(columns, at + n * 100).endMs));
  assert.ok(ends.size <= 11);
  for (const end of ends) assert.equal(end % columns.stepMs, 0);
  const { startMs, endMs } = shownBy(columns, at);
  assert.ok(endMs - startMs === 294 * 1_021 && endMs >= at && endMs - at < 1_021);
});

test("a silence that began before the window is a gap at its left edge", () => {
  const none = same(NaN, NaN, NaN);
  const late = ringOf({ data: [...none, 1, 2], beforeMs: 95_000 }, 5, 100);
  assert.deepEqual(sharedGaps([read(late, 100_000, 105_000)]), [{ fromMs: 95_000, toMs: 103_000, longMs: 9_000 }]);
  assert.deepEqual(sharedGaps([read(late, 100_000, 105_000, 9_000)]), [], "no longer than is usual");
  const born = ringOf({ data: [...none, 1, 2] }, 5, 100);
  assert.deepEqual(sharedGaps([read(born, 100_000, 105_000)]), [], "nothing is known before it");
});

test("what follows the end of a series is no silence, unless another should go on", () => {
  const data = [1, 2, ...same(NaN, NaN, NaN, NaN, NaN)];
  const living = read(ringOf({ data, lastTimeMs: 1_500, lastValue: 2 }, 7), 0, 7_000);
  const ended = read(ringOf({ data, lastTimeMs: 1_500, lastValue: 2, flags: FLAG_ENDED }, 7), 0, 7_000);
  const later = read(ringOf({ data, lastTimeMs: 90_000, lastValue: 2, flags: FLAG_ENDED }, 7), 0, 7_000);
  const silence = [{ fromMs: 2_000, toMs: 7_000, longMs: 6_000 }];
  assert.deepEqual(sharedGaps([living], 7_000), silence);
  assert.deepEqual(sharedGaps([ended], 7_000), []);
  assert.deepEqual(sharedGaps([ended, ended], 7_000), []);
  assert.deepEqual(sharedGaps([ended, living], 7_000), silence);
  assert.deepEqual(sharedGaps([later], 7_000), silence, "it ended after this window");
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
  assert.deepEqual(sharedGaps([read(ring, 108_000, 113_000)]), [{ fromMs: 101_000, toMs: 111_000, longMs: 11_000 }]);
});

test("a column has first, min, max and last, in the middle of its time", () => {
  const data = [[1, 0, 2, 1.5] as const, 3, [5, 4, 6, 5.5] as const, 7];
  const trace = read(ringOf({ data, lastTimeMs: 3_500, lastValue: 7 }, 4), 0, 4_000);
  assert.equal(trace.n, 4);
  const near = (values: Float64Array, wanted: number[]) =>
    wanted.forEach((value, i) => assert.ok(Math.abs(values[i] - value) <= 2 / 65_535, `${values[i]} ${value}`));
  near(trace.first, [1, 3, 5, 7]);
  near(trace.last, [1.5, 3, 5.5, 7]);
  assert.deepEqual([...trace.min.slice(0, 4)], [0, 3, 4, 7]);
  assert.deepEqual([...trace.max.slice(0, 4)], [2, 3, 6, 7]);
  assert.deepEqual([...trace.count.slice(0, 4)], [4, 1, 4, 1]);
  assert.deepEqual([...trace.time.slice(0, 4)], [500, 1_500, 2_500, 3_500]);
});

test("the extreme of a column is the one that is further from its mean", () => {
  const trace = read(ringOf({ data: [[5, 4.9, 15.58, 5], [5, -9, 5.1, 5], 5] }, 3), 0, 3_000);
  assert.deepEqual(
    [0, 1, 2].map((i) => trace.extreme(i)),
    [Math.fround(15.58), -9, 5],
  );
});

test("the end of the line is the last value, exactly", () => {
  const ring = ringOf({ data: [1, 2, 3, [9, 9, 11, 10]], lastTimeMs: 3250, lastValue: 10.125 }, 4);
  const trace = read(ring, 0, 4000);
  assert.equal(trace.last[trace.n - 1], 10.125);
});

test("values beyond float32 have an exponent", () => {
  const trace = read(ringOf({ data: [0.5, -0.75], exponent: 1_000, lastTimeMs: 100, lastValue: NaN }, 2), 0, 2_000);
  assert.deepEqual([...trace.max.slice(0, 2)], [0.5 * 2 ** 1_000, -0.75 * 2 ** 1_000]);
});

test("the base is added back in float64", () => {
  const ring = ringOf({ base: 1e12, data: same(0.25, 0.5), lastTimeMs: 1500, lastValue: 1e12 + 0.5 }, 2);
  const trace = read(ring, 0, 2000);
  assert.deepEqual([trace.last[0], trace.last[1]], [1e12 + 0.25, 1e12 + 0.5]);
});

test("a silence breaks the line, a short one does not, and an unknown interval never does", () => {
  const ring = ringOf({ data: same(1, NaN, 2, NaN, NaN, NaN, 3), lastTimeMs: 6500, lastValue: 3 }, 7);
  assert.deepEqual([...read(ring, 0, 7000).breaks.slice(0, 3)], [0, 0, 1]);
  assert.deepEqual([...read(ring, 0, 7000, NaN).breaks.slice(0, 3)], [0, 0, 0]);
  const gaps = sharedGaps([read(ring, 0, 7000)]);
  assert.deepEqual(gaps, [{ fromMs: 3000, toMs: 6000, longMs: 4000 }]);
});

test("only a silence of all series of a chart is hatched", () => {
  const silent = read(ringOf({ data: same(1, NaN, NaN, NaN, NaN, 2), lastTimeMs: 5500, lastValue: 2 }, 6), 0, 6000);
  const busy = read(ringOf({ data: same(1, 1, 1, 1, 1, 1), lastTimeMs: 5500, lastValue: 1 }, 6), 0, 6000);
  const late = read(ringOf({ data: same(1, 1, NaN, NaN, NaN, 2), lastTimeMs: 5500, lastValue: 2 }, 6), 0, 6000);
  assert.deepEqual(sharedGaps([silent, busy]), []);
  assert.deepEqual(sharedGaps([silent, late]), [{ fromMs: 2000, toMs: 5000, longMs: 4000 }]);
});

test("whole numbers are known as counts", () => {
  assert.equal(read(ringOf({ data: same(11, 12), lastTimeMs: 1500, lastValue: 12 }, 2), 0, 2000).integers, true);
  assert.equal(read(ringOf({ data: same(11, 12.5), lastTimeMs: 1500, lastValue: 12.5 }, 2), 0, 2000).integers, false);
  assert.equal(read(ringOf({ data: same(1e-7, 2e-7), lastTimeMs: 1500, lastValue: 2e-7 }, 2), 0, 2000).integers, false);
  assert.equal(
    read(ringOf({ data: same(0, -7), base: 1e9, lastTimeMs: 1500, lastValue: 1e9 - 7 }, 2), 0, 2000).integers,
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

test("a column is drawn from its first to its last value through both extremes", () => {
  const steps = (...column: [number, number, number, number]): string[] => {
    const path = new Recorder();
    const trace = read(ringOf({ data: [0, column, 9], lastTimeMs: 2_500, lastValue: 9 }, 3), 0, 3_000);
    linePath(trace, linear(0, 3_000, 0, 30), linear(0, 10, 100, 0), path);
    assert.deepEqual([path.steps[0], path.steps.at(-1)], ["M5,100", "L25,10"]);
    return path.steps.slice(1, -1).map((step) => step.replace("L15,", ""));
  };
  assert.deepEqual(steps(3, 2, 8, 4), ["70", "80", "20", "60"]);
  assert.deepEqual(steps(2, 2, 8, 4), ["80", "20", "60"], "first is min");
  assert.deepEqual(steps(8, 2, 8, 4), ["20", "80", "60"], "first is max");
  assert.deepEqual(steps(8, 2, 8, 8), ["20", "80", "20"], "and last as well");
  assert.deepEqual(steps(8, 2, 8, 2), ["20", "80"]);
  assert.deepEqual(steps(2, 2, 8, 8), ["80", "20"]);
  assert.deepEqual(steps(2, 2, 8, 2), ["80", "20", "80"]);
});

test("an area lies under the means, one outline per run", () => {
  const y = linear(0, 10, 100, 0);
  const x = linear(0, 2000, 0, 20);
  const area = new Recorder();
  areaPath(read(ringOf({ data: same(1, 2), lastTimeMs: 1500, lastValue: 2 }, 2), 0, 2000), x, y, 100, area);
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
  const until = (startMs: number, endMs: number) => sharedGaps([read(ring, startMs, endMs)], endMs);
  assert.deepEqual(until(100_000, 106_000), [{ fromMs: 102_000, toMs: 106_000, longMs: 5_000 }]);
  assert.deepEqual(until(104_000, 106_000), [{ fromMs: 102_000, toMs: 106_000, longMs: 5_000 }]);
  assert.deepEqual(until(100_000, 102_500), []);
  const born = ringOf({ data: same(NaN, NaN, NaN), expectedMs: 1_000 }, 3, 100);
  assert.deepEqual(
    sharedGaps([read(born, 100_000, 103_000)], 103_000),
    [],
    "before the first reading there is no silence",
  );
});

test("a pace that was slower once is no row of gaps, and a gap at any pace is one", () => {
  const values = (...at: number[]): number[] => Array.from({ length: 121 }, (_, i) => (at.includes(i) ? i : NaN));
  const every = (from: number, to: number, step: number): number[] =>
    Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);
  const gaps = (...at: number[]) =>
    sharedGaps([read(ringOf({ data: values(...at), expectedMs: 1_000 }, 121), 0, 121_000, 3_000)]).map(
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
  const data = [0, 10, 20, 30].flatMap((at) => [at, ...Array<number>(9).fill(NaN)]);
  const ring = ringOf({ data, expectedMs: 1_000 }, 40);
  const trace = read(ring, 0, 40_000, 3_000);
  const slot = ring.slots.get(0);
  assert.deepEqual(
    [5_000, 6_000, 14_000, 24_000].map((ms) => bucketAt(trace, slot, ms)),
    [0, 1, 1, 2],
  );
  assert.equal(bucketAt(trace, slot, 39_000), -1, "after the last one there is nothing yet");
});
