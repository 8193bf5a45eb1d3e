/** Steps: a value goes on until the next reading, to the present while its series lives, and never across a gap. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { areaPath, linear, linePath, type PathLike } from "../src/canvas/paths";
import { wholeStep } from "../src/canvas/scale";
import { valueAt } from "../src/chart/crosshair-rows";
import { BucketRing, type Slot } from "../src/model/bucket-ring";
import { sharedGaps, Trace } from "../src/model/buckets";
import type { PlotKind } from "../src/model/kinds";
import { decodeFrame, FLAG_ENDED, FLAG_PARTIAL, FLAG_STEPS } from "../src/wire/frame";
import { encodeFrame, type PackedSeries } from "./encode";

const NO = NaN;

function ringOf(series: PackedSeries, first = 0): BucketRing {
  const ring = new BucketRing();
  const one = { index: 0, flags: FLAG_STEPS, ...series };
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first, buckets: series.data.length, stepMs: 1000, series: [one] })));
  return ring;
}

const slotOf = (ring: BucketRing): Slot => ring.slots.get(0) as Slot;

function read(ring: BucketRing, startMs: number, endMs: number, gapMs = NaN, kind: PlotKind = "auto"): Trace {
  const trace = new Trace();
  trace.read(ring, slotOf(ring), startMs, endMs, gapMs, kind);
  return trace;
}

/** The path of a trace: 10 px a second, 10 px a unit, 0 at 100. */
function drawn(trace: Trace, add: "line" | "area" = "line"): string {
  const found: string[] = [];
  const at = (letter: string) => (x: number, y: number) => found.push(`${letter}${Math.round(x)},${Math.round(y)}`);
  const path: PathLike = { moveTo: at("M"), lineTo: at("L"), closePath: () => found.push("Z") };
  const [x, y] = [linear(0, 10_000, 0, 100), linear(0, 10, 100, 0)];
  if (add === "line") linePath(trace, x, y, path);
  else areaPath(trace, x, y, 100, path);
  return found.join(" ");
}

test("a value holds up to the next reading, and changes there", () => {
  const ring = ringOf({ data: [0, NO, 1, 1, NO, 0], lastTimeMs: 5_500, lastValue: 0 });
  assert.equal(drawn(read(ring, 0, 6_000)), "M5,100 L25,100 L25,90 L35,90 L55,90 L55,100");
  assert.equal(drawn(read(ring, 0, 6_000, NaN, "line")), "M5,100 L25,90 L35,90 L55,100");
});

test("a column of several readings is drawn through all of them, from the value before", () => {
  const ring = ringOf({ data: [0, [1, 0, 3, 2], 2], lastTimeMs: 2_500, lastValue: 2 });
  assert.equal(drawn(read(ring, 0, 3_000)), "M5,100 L15,100 L15,90 L15,100 L15,70 L15,80 L25,80");
});

test("few whole values come back exactly, whatever their share of the column", () => {
  const trace = read(ringOf({ data: [[1, 0, 7, 3]], lastTimeMs: 9_000, lastValue: 5 }), 0, 1_000);
  assert.deepEqual([trace.first[0], trace.last[0]], [1, 3]);
});

test("steps are chosen by the readings or by hand", () => {
  const fractions = ringOf({ data: [0.5, 1], flags: 0, lastTimeMs: 1_500, lastValue: 1 });
  const whole = ringOf({ data: [0, 1], lastTimeMs: 1_500, lastValue: 1 });
  const steps = (ring: BucketRing, kind?: PlotKind): boolean => read(ring, 0, 2_000, NaN, kind).steps;
  assert.deepEqual([steps(fractions), steps(fractions, "steps"), steps(fractions, "line")], [false, true, false]);
  assert.deepEqual([steps(whole), steps(whole, "steps"), steps(whole, "line")], [true, true, false]);
});

test("a gap ends a step, and a lonely reading is a point", () => {
  const ring = ringOf({ data: [1, 1, NO, NO, NO, 0, NO, NO, NO, 1, 1], lastTimeMs: 10_500, lastValue: 1 });
  assert.equal(drawn(read(ring, 0, 11_000, 1)), "M5,90 L15,90 M55,100 L55,100 M95,90 L105,90");
});

test("the last step goes on as long as its series lives", () => {
  const ring = ringOf({ data: [0, 1, NO, NO, NO], lastTimeMs: 1_500, lastValue: 1 });
  const held = (untilMs: number, gapMs = NaN): Trace => {
    const trace = read(ring, 0, 5_000, gapMs);
    trace.hold(slotOf(ring), untilMs);
    return trace;
  };
  assert.equal(drawn(held(4_500)), "M5,100 L15,100 L15,90 L45,90");
  assert.equal(held(4_500).endMs, 4_500);
  for (const dead of [held(NaN), held(4_500, 2_000), held(1_000)]) {
    assert.equal(drawn(dead), "M5,100 L15,100 L15,90");
    assert.equal(dead.endMs, 1_500);
  }
});

test("a value that is no number any more ends the last step", () => {
  const ring = ringOf({ data: [0, 1, NO, NO, NO], lastTimeMs: 3_200, lastValue: NaN });
  const trace = read(ring, 0, 5_000);
  trace.hold(slotOf(ring), 4_500);
  assert.equal(trace.endMs, 3_200);
});

test("the last step of a series that ended goes no further", () => {
  const flags = FLAG_STEPS | FLAG_ENDED;
  const trace = read(ringOf({ data: [0, 1, NO, NO, NO], flags, lastTimeMs: 1_900, lastValue: 1 }), 0, 5_000);
  trace.hold(slotOf(ringOf({ data: [NO], flags, lastTimeMs: 1_900, lastValue: 1 })), 4_500);
  assert.equal(trace.endMs, 1_900);
  const zoomed = read(ringOf({ data: [0, 1, NO], flags, lastTimeMs: 60_000, lastValue: 1 }), 0, 3_000);
  zoomed.hold(slotOf(ringOf({ data: [NO], flags, lastTimeMs: 60_000, lastValue: 1 })), 3_000);
  assert.equal(zoomed.endMs, 3_000, "it went on then");
  const later = withBefore([NO, NO, NO], { flags, lastTimeMs: 94_500, lastValue: 3 });
  assert.equal(read(later, 102_000, 104_000).n, 0, "nothing of it enters a window that begins after its end");
});

test("a line holds nothing", () => {
  const ring = ringOf({ data: [0, 1, NO], flags: 0, lastTimeMs: 1_500, lastValue: 1 });
  const trace = read(ring, 0, 3_000);
  trace.hold(slotOf(ring), 2_500);
  assert.equal(drawn(trace), "M5,100 L15,90");
});

/** A frame whose first bucket has what the series was before the window. */
function withBefore(data: number[], more: Partial<PackedSeries> = {}): BucketRing {
  const before = [3, 3, 3, 3] as const;
  return ringOf({ data: [before, ...data], count: 0, beforeMs: 95_000, ...more }, 100);
}

test("what a series was before the window enters it", () => {
  const ring = withBefore([NO, NO, NO, 1], { lastTimeMs: 104_500, lastValue: 1 });
  const trace = read(ring, 102_000, 105_000);
  assert.deepEqual([...trace.last.slice(0, trace.n)], [3, 1]);
  assert.deepEqual([trace.count[0], trace.time[0], trace.lo, trace.hi], [0, 100_500, 1, 3]);
  assert.equal(read(ring, 102_000, 105_000, NaN, "line").n, 1, "of a line it is no reading");
});

test("it does not cross a gap, which is as long as it was", () => {
  const trace = read(withBefore([NO, NO, NO, 1], { lastTimeMs: 104_500, lastValue: 1 }), 102_000, 105_000, 5_000);
  assert.deepEqual([...trace.breaks.slice(0, 2)], [0, 1]);
  assert.deepEqual(sharedGaps([trace]), [{ fromMs: 95_000, toMs: 104_000, longMs: 10_000 }]);
});

test("without a reading in the window it is held all through, unless its past is still to come", () => {
  const held = (flags: number): Trace => {
    const ring = withBefore([NO, NO, NO, NO], { flags, lastTimeMs: 94_500, lastValue: 3 });
    const trace = read(ring, 102_000, 105_000);
    trace.hold(slotOf(ring), 104_500);
    return trace;
  };
  assert.deepEqual([held(FLAG_STEPS).n, held(FLAG_STEPS).endMs], [1, 104_500]);
  assert.equal(held(FLAG_STEPS | FLAG_PARTIAL).n, 0);
});

test("what slides out of the window is held on", () => {
  const ring = ringOf({ data: [2, NO, NO, NO, NO], lastTimeMs: 100_500, lastValue: 2 }, 100);
  for (let n = 0; n < 8; n++) {
    const series = [{ index: 0, flags: FLAG_STEPS, data: [n < 7 ? NO : 5], lastTimeMs: 112_500, lastValue: 5 }];
    assert.ok(ring.apply(decodeFrame(encodeFrame({ kind: 2, first: 105 + n, buckets: 1, stepMs: 1000, series }))));
  }
  const trace = read(ring, 108_000, 113_000);
  assert.deepEqual([...trace.last.slice(0, trace.n)], [2, 5]);
});

test("the area lies under the steps", () => {
  const ring = ringOf({ data: [0, NO, 1, NO], lastTimeMs: 2_500, lastValue: 1 });
  const trace = read(ring, 0, 4_000);
  trace.hold(slotOf(ring), 3_500);
  assert.equal(drawn(trace, "area"), "M5,100 L5,100 L25,100 L25,90 L35,90 L35,100 Z");
});

test("the crosshair reads the value that is held", () => {
  const ring = ringOf({ data: [0, NO, NO, [4, 1, 4, 2], NO, NO, NO, 3, NO], lastTimeMs: 7_500, lastValue: 3 });
  const trace = read(ring, 0, 9_000, 5_000);
  trace.hold(slotOf(ring), 8_500);
  const at = (ms: number) => valueAt(trace, slotOf(ring), ms);
  assert.deepEqual(at(2_400), { bucket: 0, value: 0, timeMs: 2_400 });
  assert.deepEqual(at(3_700), { bucket: 1, value: trace.extreme(1), timeMs: 3_500 }, "its own column: the extreme");
  assert.deepEqual(at(4_200), { bucket: 1, value: 2, timeMs: 4_200 });
  assert.deepEqual(at(8_500), { bucket: 2, value: 3, timeMs: 8_500 });
  assert.equal(at(-2_000), null);
  const broken = ringOf({ data: [1, 1, 1, NO, NO, NO, 1, 1, 1], lastTimeMs: 8_500, lastValue: 1 });
  assert.equal(valueAt(read(broken, 0, 9_000, 2_000), slotOf(broken), 4_500), null, "inside a gap");
});

test("between whole values there is no tick", () => {
  assert.deepEqual(
    [wholeStep(-0.18, 1.28), wholeStep(-0.3, 3.3), wholeStep(0, 9), wholeStep(0, 1_000)],
    [1, 1, 2, 500],
  );
});
