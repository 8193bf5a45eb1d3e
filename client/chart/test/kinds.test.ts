/** Kinds that are no plot: bins and quantiles, the range of a dial and of bars, the order of rows, and what fits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { barRange, rowsShown } from "../src/chart/kinds/bar";
import { gaugeRange, zonesOf } from "../src/chart/kinds/gauge";
import { binsOf, isExact, quantile, readingsOf, type Weighted } from "../src/chart/kinds/hist";
import type { Shown } from "../src/chart/kinds/kind";
import { CHART_KINDS } from "../src/chart/kinds/kinds";
import { earlierWords } from "../src/chart/kinds/readings";
import { nextOrder, type RowValues, rowNames, sorted } from "../src/chart/kinds/rows";
import { outward, typedRange } from "../src/chart/kinds/span";
import type { Moment } from "../src/chart/moment";
import { Trace } from "../src/model/buckets";
import type { Series } from "../src/model/directory";
import { OTHER_KINDS, type OtherKind } from "../src/model/kinds";

/** A trace of columns of one second: the readings in each. */
function traceOf(...columns: number[][]): Trace {
  const trace = new Trace();
  trace.n = columns.length;
  trace.time = Float64Array.from(columns, (_, i) => i * 1_000 + 500);
  trace.count = Float64Array.from(columns, (one) => one.length);
  trace.min = Float64Array.from(columns, (one) => Math.min(...one));
  trace.max = Float64Array.from(columns, (one) => Math.max(...one));
  trace.mean = Float64Array.from(columns, (one) => one.reduce((sum, value) => sum + value, 0) / one.length);
  trace.first = Float64Array.from(columns, (one) => one[0]);
  trace.last = Float64Array.from(columns, (one) => one[one.length - 1]);
  trace.stepMs = 1_000;
  return trace;
}

const flat = (readings: readonly Weighted[]): number[] =>
  readings.flatMap(([value, count]) => new Array<number>(count).fill(value)).sort((a, b) => a - b);

test("up to three readings of a column are exact, of more the ends and the mean are, and all are counted", () => {
  const exact = flat(readingsOf(traceOf([4], [1, 3], [5, 9, 6], [2, 2]), 0, 4_000));
  assert.deepEqual(
    exact.map((value) => Number(value.toFixed(9))),
    [1, 2, 2, 3, 4, 5, 6, 9],
  );
  const many = traceOf([0, 10, 4, 4, 7, 2], [3, 3, 3, 3, 8, 3]);
  const spread = readingsOf(many, 0, 2_000);
  const sum = (each: (one: Weighted) => number): number => spread.reduce((all, one) => all + each(one), 0);
  assert.ok(Math.abs(sum(([, count]) => count) - 12) < 1e-9);
  assert.ok(Math.abs(sum(([value, count]) => value * count) - 50) < 1e-9, "the mean is kept");
  assert.ok(spread.every(([value]) => value >= 0 && value <= 10));
  const near3 = spread.filter(([value]) => Math.abs(value - 3) < 1e-9).reduce((all, [, count]) => all + count, 0);
  assert.ok(near3 >= 5, "one that is apart from equal ones spreads none of them");
  assert.deepEqual([isExact(many), isExact(traceOf([1, 2, 3], [4, 4, 4, 4]))], [false, true]);
  const door = binsOf(readingsOf(traceOf([0, 0, 1, 0, 1, 0, 0]), 0, 1_000, true), true);
  assert.deepEqual(
    door.counts.map((count) => Math.round(count * 1e9) / 1e9),
    [5, 2],
  );
  assert.deepEqual(readingsOf(traceOf([1], [2], [3]), 1_000, 2_000), [[2, 1]], "only those inside the window");
});

test("bins have a width of 1, 2, 2.5 or 5, are 20 to 40, and hold every reading", () => {
  for (const [lo, size] of [
    [0, 1],
    [39.95, 0.12],
    [-7, 3],
    [1e6, 400],
    [-1e-9, 3e-9],
    [2.5, 77],
    [0, 1e12],
  ]) {
    const readings = Array.from({ length: 401 }, (_, i): Weighted => [lo + (size * i) / 400, 1 + (i % 3)]);
    const { from, width, counts, total } = binsOf(readings, false);
    const [mantissa] = width.toExponential(6).split("e");
    assert.ok([1, 2, 2.5, 5].includes(Number(mantissa)), `${width}`);
    assert.ok(counts.length >= 16 && counts.length <= 41, `${counts.length} bins of ${width} for ${size}`);
    assert.equal(
      counts.reduce((sum, one) => sum + one, 0),
      total,
    );
    assert.ok(from <= lo + width * 1e-6 && from + width * counts.length >= lo + size - width * 1e-6);
  }
});

test("few whole numbers have a bin each, one value has one, and none has none", () => {
  const dice = binsOf(
    [
      [1, 5],
      [2, 1],
      [6, 2],
    ],
    true,
  );
  assert.deepEqual(dice, { from: 0.5, width: 1, counts: [5, 1, 0, 0, 0, 2], total: 8 });
  assert.equal(binsOf([[7, 3]], true).counts.length, 1);
  assert.deepEqual(
    binsOf(
      [
        [0.1 + 0.2, 1],
        [0.3, 1],
      ],
      false,
    ).counts,
    [2],
  );
  assert.deepEqual(binsOf([], false).counts, []);
  const wide = binsOf(
    [
      [0, 1],
      [200, 1],
    ],
    true,
  );
  assert.ok(Number.isInteger(wide.width) && wide.counts.length <= 41, `${wide.width}`);
  assert.deepEqual(
    binsOf(
      [
        [2e6, 1],
        [3e6, 1],
      ],
      false,
      1e6,
    ).from,
    2,
  );
});

test("a quantile is a reading that was read", () => {
  const readings: Weighted[] = [
    [3, 1],
    [1, 90],
    [2, 9],
  ];
  assert.deepEqual([quantile(readings, 0.5), quantile(readings, 0.95), quantile(readings, 1)], [1, 2, 3]);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("a dial reaches as it was told, beyond its thresholds, or over what was read", () => {
  const above = [
    { side: "above", value: 4.5 },
    { side: "above", value: 5.5 },
  ] as const;
  const read = { lo: 4.7, hi: 4.9 };
  assert.deepEqual(gaugeRange({}, above, read, "bar"), [0, 6.1]);
  assert.deepEqual(gaugeRange({ lo: 0, hi: 6 }, above, read, "bar"), [0, 6]);
  assert.deepEqual(gaugeRange({ lo: 4 }, above, read, "bar"), [4, 6.1]);
  assert.deepEqual(gaugeRange({ lo: 10 }, above, read, "bar"), [10, 16.1]);
  const both = [
    { side: "below", value: -10 },
    { side: "above", value: 40 },
  ] as const;
  assert.deepEqual(gaugeRange({}, both, read, "Cel"), [-15, 45]);
  assert.deepEqual(gaugeRange({}, [{ side: "below", value: 2 }], { lo: 3, hi: 8 }, "bar"), [1.4, 8.6]);
  assert.deepEqual(gaugeRange({}, [], { lo: 12, hi: 60 }, "%"), [0, 100]);
  assert.deepEqual(gaugeRange({}, [], { lo: 12, hi: 61 }, "bar"), [0, 80]);
  assert.deepEqual(gaugeRange({}, [], { lo: -3, hi: -1 }, "V")[1], 0);
  assert.deepEqual(gaugeRange({}, [], { lo: NaN, hi: NaN }, "V"), [0, 1]);
  assert.deepEqual(gaugeRange({}, [], { lo: 0, hi: 0 }, "V"), [0, 1]);
});

test("a threshold's zone ends where the next one begins", () => {
  const line = (level: "warn" | "critical", side: "above" | "below", value: number) => ({
    level,
    side,
    value,
    text: "",
  });
  const lines = [line("warn", "above", 4.5), line("critical", "above", 5.5), line("warn", "below", 1)];
  assert.deepEqual(zonesOf(lines, 0, 6), [
    [4.5, 5.5, "warn"],
    [5.5, 6, "critical"],
    [0, 1, "warn"],
  ]);
  assert.deepEqual(zonesOf(lines, 2, 5), [[4.5, 5, "warn"]]);
});

test("ranges are rounded outward, and a typed end is kept", () => {
  assert.deepEqual(outward(0, 6.05), [0, 6.1]);
  assert.deepEqual(outward(-0.031, 0.9), [-0.04, 0.9]);
  assert.deepEqual(outward(3, 3), [3, 3]);
  assert.deepEqual(typedRange({ hi: -5 }, [0, 10]), [-15, -5]);
  assert.deepEqual(barRange({}, [1.42, 0.31], [1.2, 90]), [0, 1.5]);
  assert.deepEqual(barRange({}, [1, 0.5], [1.2]), [0, 1.3]);
  assert.deepEqual(barRange({}, [-4, 2, NaN], []), [-4.2, 2.1]);
  assert.deepEqual(barRange({}, [], []), [0, 1]);
  assert.deepEqual(barRange({ lo: 1, hi: 3 }, [2], []), [1, 3]);
  assert.deepEqual([rowsShown(7, 7), rowsShown(8, 7), rowsShown(3, 0)], [7, 6, 0]);
});

test("rows are sorted both ways, those without a number last, and the third click restores", () => {
  const row = (name: string, last: number, age = 0): RowValues => ({ name, last, mean: last, max: last, age });
  const rows = [row("b10", 2, 5), row("b9", NaN, NaN), row("a", 7, 1), row("c", 2, 3)];
  assert.deepEqual(sorted(rows, undefined), [0, 1, 2, 3]);
  assert.deepEqual(sorted(rows, "last"), [2, 0, 3, 1]);
  assert.deepEqual(sorted(rows, "-last"), [0, 3, 2, 1]);
  assert.deepEqual(sorted(rows, "name"), [2, 1, 0, 3]);
  assert.deepEqual(sorted(rows, "-name"), [3, 0, 1, 2]);
  assert.deepEqual(sorted(rows, "age"), [2, 3, 0, 1]);
  assert.deepEqual(
    [nextOrder(undefined, "max"), nextOrder("max", "max"), nextOrder("-max", "max")],
    ["max", "-max", undefined],
  );
  assert.equal(nextOrder("-name", "max"), "max");
});

const series = (metric: string, labels: Record<string, string>): Series =>
  ({ metric, labels, name: metric, legend: Object.values(labels).join(" "), index: 1 }) as unknown as Series;

test("rows of one metric are called by the label in which they differ", () => {
  const lines = ["A", "B"].map((line) => series("line/scrap", { line, plant: "x" }));
  assert.deepEqual(rowNames(lines), { per: "line", names: ["A", "B"] });
  assert.deepEqual(rowNames([...lines, series("line/scrap", { plant: "x" })]).names, ["A", "B", "no line"]);
  assert.deepEqual(rowNames([series("a", { constructor: "1" }), series("a", {})]).names, ["1", "no constructor"]);
  assert.deepEqual(rowNames([series("a", {}), series("b", { s: "1" })]), { per: "", names: ["a", "b 1"] });
});

test("a kind that cannot show a chart says why, and a table shows all", () => {
  assert.deepEqual([...CHART_KINDS.keys()], [...OTHER_KINDS]);
  const chart = (count: number, hidden: number, units: number, words = false): Shown =>
    ({
      series: Array.from({ length: count }, (_, index) => ({ index })),
      hides: (index: number) => index < hidden,
      codes: new Array(units).fill(""),
      bands: words ? [] : null,
    }) as unknown as Shown;
  const why = (kind: OtherKind, one: Shown): string => CHART_KINDS.get(kind)?.misfit(one) ?? "no kind";
  for (const kind of OTHER_KINDS) assert.equal(why(kind, chart(1, 0, 1)), "", kind);
  for (const kind of ["stat", "gauge"] as const) {
    assert.match(why(kind, chart(3, 0, 1)), /shows one series, and here are 3/);
    assert.equal(why(kind, chart(3, 2, 1)), "", "the others are hidden");
  }
  for (const kind of ["gauge", "bar", "hist"] as const) {
    assert.match(why(kind, chart(1, 0, 1, true)), /these readings are words/);
    assert.match(why(kind, chart(2, 1, 2)), /shows one unit/);
  }
  assert.equal(why("stat", chart(1, 0, 1, true)), "");
  assert.equal(why("table", chart(9, 0, 3, true)), "");
});

test("the value of a span is the last one inside it", () => {
  const trace = traceOf([1], [2], [3], [4]);
  assert.equal(trace.lastWithin(1_000, 3_000), 3);
  assert.equal(trace.lastWithin(0, 9_000), 4);
  assert.ok(Number.isNaN(trace.lastWithin(-2_000, -1_000)));
  assert.ok(Number.isNaN(trace.lastWithin(5_000, 9_000)), "what was read before it is no value of it");
  trace.steps = true;
  assert.equal(trace.lastWithin(5_000, 9_000), 4, "a step holds");
});

test("what is compared is not said to be nothing until it has come", () => {
  const chart = (ready: boolean, n: number): Shown =>
    ({ earlier: { traces: [{ n }], ago: "a day ago", ready, comparable: true } }) as unknown as Shown;
  const moment = {} as Moment;
  assert.equal(earlierWords(chart(false, 0), moment, null), "a day ago: loading");
  assert.equal(earlierWords(chart(true, 0), moment, null), "nothing a day ago");
  assert.equal(earlierWords(chart(true, 5), moment, null), "pale: a day ago");
});
