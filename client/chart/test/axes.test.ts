/** A y axis puts values where they belong, names its ticks so that each differs, and stands at the side of its unit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Axis, LINEAR } from "../src/canvas/axis";
import { isOffset } from "../src/canvas/scale";
import { LOG, OFFSET, powerText, rangeBy, stacked, unitIn, unitsLike } from "../src/canvas/special";
import { openApart } from "../src/model/apart";
import { sidesOf } from "../src/model/axes";
import { tagsOf } from "../src/model/axis-options";
import { Trace } from "../src/model/buckets";
import { Directory } from "../src/model/directory";
import { type ChartSpec, formatChart, parseChart } from "../src/model/url";

const fits = (text: string): boolean => text.length <= 7;
const axis = (part: Partial<Axis>): Axis => ({
  ...{ scale: LINEAR, lo: 0, hi: 1, inverted: false, whole: false, unit: { text: "", divisor: 1 }, swatches: [] },
  ...part,
});
const texts = ({ scale, ...rest }: Axis): string[] =>
  scale.ticks({ scale, ...rest }, fits).ticks.map(({ text }) => text);

/** A trace of one reading in each column. */
function traceOf(values: readonly number[], stepMs = 1_000): Trace {
  const trace = new Trace();
  trace.n = values.length;
  trace.stepMs = stepMs;
  trace.time = Float64Array.from(values, (_, i) => (i + 0.5) * stepMs);
  for (const name of ["first", "last", "min", "max", "mean"] as const) trace[name] = Float64Array.from(values);
  trace.count = new Float64Array(values.length).fill(1);
  trace.breaks = new Uint8Array(values.length);
  [trace.gapFrom, trace.gapTo] = [new Float64Array(values.length), new Float64Array(values.length)];
  [trace.lo, trace.hi] = [Math.min(...values), Math.max(...values)];
  return trace;
}

test("a log axis has a tick for each power of ten, every third from nine decades, and 2 and 5 within one", () => {
  assert.deepEqual(texts(axis({ scale: LOG, lo: -1, hi: 3.2 })), ["0.1", "1", "10", "100", "1,000"]);
  assert.deepEqual(texts(axis({ scale: LOG, lo: -9, hi: 9 })), ["10⁻⁹", "10⁻⁶", "0.001", "1", "1,000", "10⁶", "10⁹"]);
  assert.equal(new Set(texts(axis({ scale: LOG, lo: Math.log10(118), hi: Math.log10(138) }))).size >= 3, true);
  assert.ok(texts(axis({ scale: LOG, lo: -300, hi: 300 })).length < 40);
  assert.deepEqual([powerText(-12), powerText(0), powerText(4)], ["10⁻¹²", "1", "10⁴"]);
  const { minor } = LOG.ticks(axis({ scale: LOG, lo: 0, hi: 2 }), fits);
  assert.deepEqual(
    minor.map((height) => Math.round(10 ** height)),
    [2, 5, 20, 50],
  );
});

test("what is not above zero has no place on a log axis, breaks the line and is counted", () => {
  const trace = traceOf([1, 10, 0, -5, 100]);
  const drawn = LOG.shape(trace);
  assert.deepEqual(Array.from(drawn.last.slice(0, drawn.n)), [0, 1, 2]);
  assert.deepEqual(Array.from(drawn.breaks.slice(0, 3)), [0, 0, 1]);
  assert.deepEqual([drawn.lo, drawn.hi], [0, 2]);
  assert.equal(LOG.dropped([trace]), "2 readings ≤ 0 are not on a log axis");
  assert.equal(LOG.dropped([traceOf([1, 0])]), "1 reading ≤ 0 is not on a log axis");
  assert.equal(LOG.dropped([traceOf([1, 2])]), "");
  assert.equal(LOG.shape(traceOf([-1, 0])).n, 0);
  assert.equal(trace.n, 5, "the readings themselves stay");
});

test("differences far below the values are what the ticks say, with their base and their own unit", () => {
  const clock = axis({ scale: OFFSET, lo: 1e6 - 0.012, hi: 1e6 + 0.012, unit: { text: "Hz", divisor: 1 } });
  const { ticks, unit, base } = OFFSET.ticks(clock, fits);
  assert.deepEqual(
    [ticks.map(({ text }) => text), unit, base],
    [["−10", "−5", "±0", "+5", "+10"], "mHz", "±0 = 1,000,000 Hz"],
  );
  const odd = OFFSET.ticks(
    axis({ scale: OFFSET, lo: 1234.5001, hi: 1234.5009, unit: { text: "parts", divisor: 1 } }),
    fits,
  );
  assert.equal(new Set(odd.ticks.map(({ text }) => text)).size, odd.ticks.length);
  assert.equal(odd.unit, "parts");
  assert.ok(odd.ticks.some(({ text }) => text === "±0"));
});

test("an axis is read by differences below a thousandth, and does not change to and fro", () => {
  assert.equal(isOffset(1e6, 1e6 + 1), true);
  assert.equal(isOffset(1000, 1001.2), false);
  assert.equal(isOffset(1000, 1001.2, true), true);
  assert.equal(isOffset(-0.1, 0.1), false);
  assert.equal(isOffset(5, 5), false);
  assert.equal(isOffset(1e6, 1e6 * (1 + 1e-15)), false, "what differs by rounding is flat");
});

test("ticks of 1e-12 differ from each other", () => {
  const small = texts(axis({ lo: 1e-12, hi: 3e-12 }));
  assert.ok(small.length >= 3 && new Set(small).size === small.length, small.join(" "));
});

test("a typed range is obeyed; an end that a scale cannot have is automatic", () => {
  assert.deepEqual(rangeBy({ lo: 118, hi: 138 }, LINEAR, [120, 130]), [118, 138]);
  assert.deepEqual(rangeBy({ lo: 118 }, LINEAR, [120, 130]), [118, 130]);
  assert.deepEqual(rangeBy({ lo: 200 }, LINEAR, [120, 130]), [200, 210]);
  assert.deepEqual(rangeBy({ hi: 100 }, LINEAR, [120, 130]), [90, 100]);
  assert.deepEqual(rangeBy({ lo: -5, hi: 1000 }, LOG, [0, 2]), [0, 3]);
});

test("stacked traces stand on each other, also where one has no reading in a column", () => {
  const [low, high] = [traceOf([1, 1, 1, 1]), traceOf([2, 3, 4, 5])];
  const [, sum] = stacked([low, high]);
  assert.deepEqual(Array.from(sum.mean), [3, 4, 5, 6]);
  assert.deepEqual([sum.lo, sum.hi], [0, 6]);
  const sparse = traceOf([0, 4], 3_000);
  sparse.time = Float64Array.from([500, 3_500]);
  assert.deepEqual(
    Array.from(stacked([sparse, low])[1].mean, (value) => Math.round(value * 1e6) / 1e6),
    [1, 2.333333, 3.666667, 5],
  );
  const hidden = traceOf([]);
  assert.deepEqual(Array.from(stacked([hidden, low])[1].mean), [1, 1, 1, 1]);
  const [mode, long] = [traceOf([3]), traceOf([1, 1, 1, 1, 1, 1, 1, 1])];
  Object.assign(mode, { steps: true, heldMs: long.time[long.n - 1] });
  assert.deepEqual(Array.from(stacked([mode, long])[1].mean), [4, 4, 4, 4, 4, 4, 4, 4], "a step is held");
});

test("units of one dimension can be shown for each other", () => {
  assert.deepEqual(unitIn({ text: "L/min", divisor: 1 }, "L/s"), { text: "L/s", divisor: 60 });
  assert.deepEqual(unitIn({ text: "MB", divisor: 1e6 }, "kB"), { text: "kB", divisor: 1e3 });
  assert.equal(unitIn({ text: "L/min", divisor: 1 }, "bar"), null);
  assert.equal(unitIn({ text: "constructor", divisor: 1 }, "bar"), null);
  assert.equal(unitsLike("L/min")[0], "L/min");
  assert.deepEqual(unitsLike("°C"), ["°C"]);
});

function directoryOf(...units: readonly string[]): Directory {
  const directory = new Directory();
  directory.update(
    true,
    units.map((unit, i) => ({ i, metric: "abcd"[i], labels: {}, unit, colour: 0 })),
  );
  return directory;
}

test("a second unit stands on the right, a third on neither side, and a choice changes places", () => {
  const { list } = directoryOf("L/min", "Cel", "bar", "°C");
  assert.deepEqual(sidesOf(list, null), { of: [0, 1, -1, 1], units: ["L/min", "Cel"] });
  assert.deepEqual(sidesOf(list, (one) => one === list[0]).of, [1, 0, -1, 0]);
  assert.deepEqual(
    sidesOf(list, (one) => one === list[2]),
    { of: [0, -1, 1, -1], units: ["L/min", "bar"] },
  );
  assert.deepEqual(sidesOf(list, () => true).of, [0, 1, -1, 1], "one axis is the left one");
  const same = directoryOf("V", "V").list;
  assert.deepEqual(
    sidesOf(same, (one) => one === same[1]),
    { of: [0, 1], units: ["V", "V"] },
  );
  assert.deepEqual(sidesOf([], null).units, [""]);
});

test("series without an axis open beside their chart", () => {
  const directory = directoryOf("L/min", "Cel", "bar");
  const chart = parseChart("a,b,c:6x8;log;r=2") as ChartSpec;
  const charts = openApart(directory, [chart, { series: [{ metric: "z" }], columns: 4 }], 0, [directory.list[2]]);
  assert.deepEqual(charts.map(formatChart), ["a,b:6x8;log;r=2", "c:6x8", "z"]);
  const left = openApart(directory, [chart], 0, [directory.list[0]]);
  assert.deepEqual(left.map(formatChart), ["b,c:6x8;log;r=1", "a:6x8"]);
});

test("a card says how its chart is drawn by hand", () => {
  assert.deepEqual(tagsOf("auto", {}), []);
  assert.deepEqual(tagsOf("bars", { lo: 118, hi: 138, log: true }), ["bars", "log", "118 – 138"]);
  assert.deepEqual(tagsOf("auto", { hi: -3, zero: true, inverted: true }), ["up to −3", "from 0", "upside down"]);
});
