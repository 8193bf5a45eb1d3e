/** The figures of a series: exact, told apart, and the same wherever they stand. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decimalsFor, decimalsOf, formatRate, formatReading } from "../src/base/format";
import { shownUnit } from "../src/base/units";
import { figuresOf } from "../src/chart/figures";
import { BucketRing } from "../src/model/bucket-ring";
import { extentOf, roundingOf, Trace } from "../src/model/buckets";
import type { Series } from "../src/model/directory";
import { Prints } from "../src/model/prints";
import { magnitudeOf, printIn, printMean, printOf, printValue } from "../src/model/reading";
import { limitText } from "../src/model/thresholds";
import { decodeFrame, MOST_COUNTED } from "../src/wire/frame";
import { encodeFrame } from "./encode";

interface Case {
  what: string;
  unit?: string;
  lo: number | null;
  hi: number | null;
  whole?: boolean;
  mean: number | null;
  error?: number;
  texts: string[];
}

const { cases } = JSON.parse(readFileSync(join(process.cwd(), "../../tests/chart/vectors/numbers.json"), "utf8")) as {
  cases: Case[];
};

test("smallest, largest and mean are told apart, and none of them is another than it is", () => {
  for (const one of cases) {
    const [lo, hi, mean] = [one.lo ?? NaN, one.hi ?? NaN, one.mean ?? NaN];
    const extent = { lo, hi, integers: one.whole ?? false };
    const print = printOf(shownUnit(one.unit, magnitudeOf(extent)), extent);
    const texts = [printValue(lo, print), printValue(hi, print), printMean(mean, print, lo, hi, one.error)];
    assert.deepEqual(
      texts.map((text) => `${text} ${print.unit.text}`.trim()),
      one.texts,
      one.what,
    );
  }
});

test("what is not zero is not written as zero, and zero is", () => {
  assert.equal(formatReading(0, 1), "0.0");
  assert.equal(formatReading(0, -1), "0");
  assert.equal(formatReading(0.04, 1), "0.040");
  assert.equal(formatReading(-0.04, 1), "−0.040");
  assert.equal(formatReading(1e-9, 0), "1.00e−9");
  assert.deepEqual([0, 0.03, 2.4, 1_328].map(formatRate), ["0.0", "0.030", "2.4", "1,328"]);
});

test("a limit is written as it was given", () => {
  assert.deepEqual([0.85, 935, 0.1 + 0.2, 1e-7, 1.25e-7, 1e21, -3.5].map(decimalsOf), [2, 0, 1, 7, 9, 0, 1]);
  assert.equal(limitText(0.85, shownUnit("bar", 100)), "0.85");
  assert.equal(limitText(1_500_000, shownUnit("By", 2e6)), "1.5");
});

/** Return ring and trace of one series, a bucket each second. */
function drawn(values: readonly number[], parts: Record<string, unknown> = {}): { ring: BucketRing; trace: Trace } {
  const ring = new BucketRing();
  const lastTimeMs = values.length * 1_000 - 1;
  const series = [{ index: 0, data: values, lastTimeMs, lastValue: values[values.length - 1], ...parts }];
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first: 0, buckets: values.length, stepMs: 1_000, series })));
  const slot = ring.slots.get(0);
  assert.ok(slot);
  const trace = new Trace();
  trace.read(ring, slot, 0, values.length * 1_000, NaN);
  return { ring, trace };
}

test("hundredths beside a million are no whole numbers", () => {
  const { ring, trace } = drawn([-0.01, 0.01, 0], { base: 1e6, lastValue: 1e6 });
  assert.equal(trace.integers, false);
  const slot = ring.slots.get(0);
  assert.ok(slot);
  assert.deepEqual(extentOf(ring, slot), { lo: trace.lo, hi: trace.hi, integers: false });
  assert.equal(decimalsFor(1e6, trace.integers, trace.hi - trace.lo), 3);
  assert.equal(drawn([1, 2, 16_777_216]).trace.integers, true);
  assert.equal(drawn([1e-7, 1]).trace.integers, false);
});

test("the figures of a span know how far their mean may be off, and how many readings they are of", () => {
  const { trace } = drawn([0, 1, 1, 0]);
  const { min, max, mean, error, readings, columns } = figuresOf(trace, 0, 4_000);
  assert.deepEqual(
    { min, max, mean, error, readings, columns },
    { min: 0, max: 1, mean: 0.5, error: 0, readings: 4, columns: 4 },
  );
  assert.deepEqual(figuresOf(trace, 10_000, 20_000), {
    min: NaN,
    max: NaN,
    mean: NaN,
    error: 0,
    readings: 0,
    columns: 0,
    more: false,
  });
});

test("a series on a chart is printed as there, and else by what the list holds", () => {
  const { ring } = drawn([9.5, 10.25, 9.75]);
  const series = { index: 0, unit: "Cel" } as Series;
  const prints = new Prints();
  assert.equal(printValue(9.75, prints.of(series, ring)), "9.75");
  const charted = printOf(shownUnit("Cel", 1_000), { lo: 0, hi: 1_000, integers: false });
  prints.follow(0, charted);
  assert.equal(printValue(9.75, prints.of(series, ring)), "10");
  prints.follow(0, charted, 1_000);
  assert.equal(printValue(9.75, prints.of(series, ring, 2_000)), "10");
  assert.equal(printValue(9.75, prints.of(series, ring, 5_000)), "9.75", "its chart is out of sight");
  prints.follow(0, charted);
  prints.forgetCharts();
  assert.equal(printValue(9.75, prints.of(series, ring)), "9.75");
  assert.equal(printValue(NaN, prints.of({ index: 7, unit: "" } as Series, ring)), "–");
});

test("the same digits in another scale of the unit", () => {
  const [mega, giga] = [shownUnit("By", 5e6), shownUnit("By", 5e9)];
  const print = printOf(mega, { lo: 1.2e6, hi: 34.5e6, integers: true });
  assert.equal(printValue(12.34e6, print), "12.34");
  assert.equal(printValue(12.34e6, printIn(giga, print)), "0.01234");
  assert.equal(printIn(mega, print), print);
});

test("a mean that may as well be nothing is nothing", () => {
  const sine = printOf(shownUnit("", 1), { lo: -1, hi: 1, integers: false });
  assert.equal(printMean(4.44e-7, sine, -1, 1, 1.15e-6), printMean(0, sine, -1, 1));
  const whole = printOf(shownUnit("", 1), { lo: -1, hi: 1, integers: true });
  assert.equal(printMean(1.53e-5, whole, -1, 1, 1.53e-5), "0");
  assert.equal(printMean(-3e-17, sine, -1, 1), printMean(0, sine, -1, 1));
  assert.notEqual(printMean(0.25, whole, -1, 1, 1.53e-5), "0");
});

test("what came as float32 is as exact as its distance from the base", () => {
  assert.ok(roundingOf(1_000_000_050, 1_000_000_000) < 0.001, "a meter that hardly moved is told apart");
  assert.ok(roundingOf(924.6, 0) > 924.6 - Math.fround(924.6));
  assert.equal(roundingOf(0, 0), 0);
});

test("a column that counts no further makes a mean that is about right, and says so", () => {
  const ring = new BucketRing();
  const series = [{ index: 0, data: [[1, 1, 1, 1] as const, [3, 3, 3, 3] as const], count: MOST_COUNTED }];
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first: 0, buckets: 2, stepMs: 1_000, series })));
  const slot = ring.slots.get(0);
  assert.ok(slot);
  const trace = new Trace();
  trace.read(ring, slot, 0, 2_000, 5_000);
  assert.equal(figuresOf(trace, 0, 2_000).more, true);
  assert.equal(figuresOf(trace, 2_000, 3_000).more, false);
});
