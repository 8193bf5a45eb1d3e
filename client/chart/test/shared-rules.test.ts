/** Rules that the deck and Python both follow: tests/chart/test_shared_rules.py reads the same vectors. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Labels } from "../src/base/naming";
import { matches } from "../src/base/pattern";
import { ALIASES, SCALES, shownUnit, unitKey, WORDS } from "../src/base/units";
import { LOCAL, setZone, UTC } from "../src/base/zone";
import { LINEAR } from "../src/canvas/axis";
import { OFFSET } from "../src/canvas/special";
import { timeLabels, timeStep } from "../src/canvas/time-scale";
import { barRange } from "../src/chart/kinds/bar";
import { gaugeRange, zonesOf } from "../src/chart/kinds/gauge";
import { placeTicks } from "../src/chart/run-chart";
import { BucketRing } from "../src/model/bucket-ring";
import { Trace } from "../src/model/buckets";
import { columnStep, columnsOf } from "../src/model/columns";
import { Directory } from "../src/model/directory";
import { liesOn } from "../src/model/events";
import { gapLimitMs } from "../src/model/freshness";
import { expectedInterval } from "../src/model/pace";
import { limitText } from "../src/model/thresholds";
import { parseState, selects } from "../src/model/url";
import { decodeFrame } from "../src/wire/frame";
import { encodeFrame } from "./encode";

function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(join(process.cwd(), `../../tests/chart/vectors/${name}.json`), "utf8")) as T;
}

test("a window has as many columns of the width that is meant", () => {
  const { cases } = vectors<{
    cases: { window_ms: number; px: number; columns: number; column_px: number; step_ms: number }[];
  }>("columns");
  for (const one of cases) {
    const wanted = { stepMs: one.step_ms, count: one.columns, px: one.column_px };
    assert.deepEqual(columnsOf(one.window_ms, one.px), wanted, JSON.stringify(one));
    assert.equal(columnStep(one.window_ms, one.columns), one.step_ms);
  }
});

test("how often readings are expected", () => {
  const { cases } = vectors<{ cases: { what: string; intervals_ms: number[]; expected_ms: number | null }[] }>("pace");
  for (const { what, intervals_ms: intervals, expected_ms: expected } of cases) {
    const found = expectedInterval(intervals);
    assert.ok(
      expected === null ? Number.isNaN(found) : Math.abs(found - expected) <= 1e-6 * expected,
      `${what}: ${found}`,
    );
  }
});

interface Ranges {
  gauges: {
    limits: { level: "warn" | "critical"; side: "above" | "below"; value: number }[];
    lo: number;
    hi: number;
    unit: string;
    range: [number, number];
    zones: [number, number, "warn" | "critical"][];
  }[];
  bars: { values: (number | null)[]; limits: number[]; range: [number, number] }[];
  texts: { value: number; divisor: number; text: string }[];
}

test("the ranges of dials and bars, the zones of their thresholds, and how a limit is written", () => {
  const { gauges, bars, texts } = vectors<Ranges>("ranges");
  for (const { limits, lo, hi, unit, range, zones } of gauges) {
    assert.deepEqual(gaugeRange({}, limits, { lo, hi }, unit), range, JSON.stringify(limits));
    const lines = limits.map((limit) => ({ ...limit, text: "" }));
    assert.deepEqual(zonesOf(lines, ...range), zones, JSON.stringify(limits));
  }
  for (const { values, limits, range } of bars) {
    const given = values.map((value) => value ?? NaN);
    assert.deepEqual(barRange({}, given, limits), range, JSON.stringify([values, limits]));
  }
  for (const { value, divisor, text } of texts) assert.equal(limitText(value, { text: "", divisor }), text);
});

test("a selection that Python writes holds for what is meant", () => {
  type Case = { what: string; meant: Labels[]; others: Labels[]; text: string; more: number };
  for (const { what, meant, others, text, more } of vectors<{ cases: Case[] }>("selections").cases) {
    const state = parseState("/d/a", `?sel=${text}`, "");
    assert.equal(state.select, text, what);
    assert.ok(
      meant.every((labels) => selects(state.select, labels)),
      what,
    );
    assert.equal(others.filter((labels) => selects(state.select, labels)).length, more, what);
  }
});

interface Gaps {
  limits: { expected_ms: number | null; step_ms: number; limit_ms: number | null }[];
  cases: { what: string; step_ms: number; expected_ms: number | null; held: number[]; gaps_before: number[] }[];
  readings: { what: string; values: (number | null)[]; gaps_before: number[] }[];
}

test("the longest silence that is no gap", () => {
  for (const one of vectors<Gaps>("gaps").limits)
    assert.equal(gapLimitMs(one.expected_ms ?? NaN, one.step_ms), one.limit_ms ?? NaN, JSON.stringify(one));
});

/** Return the buckets before which a chart draws a gap. */
function drawnGaps(values: readonly number[], stepMs: number, expectedMs: number): number[] {
  const endMs = values.length * stepMs;
  const ring = new BucketRing();
  const series = [{ index: 0, data: values, expectedMs, lastTimeMs: endMs - 1 }];
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first: 0, buckets: values.length, stepMs, series })));
  const slot = ring.slots.get(0);
  assert.ok(slot);
  const trace = new Trace();
  trace.read(ring, slot, 0, endMs, gapLimitMs(expectedMs, stepMs));
  const held = values.flatMap((value, bucket) => (Number.isNaN(value) ? [] : [bucket]));
  assert.equal(trace.n, held.length);
  return held.filter((_, i) => trace.breaks[i]);
}

test("where a gap lies", () => {
  for (const { what, step_ms: stepMs, expected_ms: expected, held, gaps_before: gaps } of vectors<Gaps>("gaps").cases) {
    const values = Array.from({ length: held[held.length - 1] + 1 }, (_, b) => (held.includes(b) ? 1 : NaN));
    assert.deepEqual(drawnGaps(values, stepMs, expected ?? NaN), gaps, what);
  }
});

test("a gap is where no number came, though readings did", () => {
  for (const { what, values, gaps_before: gaps } of vectors<Gaps>("gaps").readings) {
    const numbers = values.map((value) => value ?? NaN);
    assert.deepEqual(drawnGaps(numbers, 1_000, 1_000), gaps, what);
  }
});

test("a unit as people write it", () => {
  const { cases } = vectors<{ cases: { unit: string; magnitude: number; text: string; divisor: number }[] }>("units");
  for (const { unit, magnitude, text, divisor } of cases)
    assert.deepEqual(shownUnit(unit, magnitude), { text, divisor }, `${unit} ${magnitude}`);
  const units = new Set(cases.map(({ unit }) => unit));
  for (const unit of [...Object.keys(WORDS), ...Object.keys(SCALES)]) assert.ok(units.has(unit), unit);
});

test("units that mean the same, and those that do not", () => {
  const { same } = vectors<{ same: string[][] }>("units");
  const keys = same.map((units) => new Set(units.map(unitKey)));
  for (const [n, each] of keys.entries()) assert.equal(each.size, 1, same[n].join());
  assert.equal(new Set(keys.flatMap((each) => [...each])).size, same.length);
  const units = new Set(same.flat().map((unit) => unit.toLowerCase()));
  for (const unit of ALIASES.keys()) assert.ok(units.has(unit), unit);
});

test("on which charts an event lies", () => {
  type One = { metric: string; labels: Record<string, string> };
  const { cases } = vectors<{ cases: { what: string; event: One; series: One[]; lies: boolean }[] }>("events");
  for (const { what, event, series, lies } of cases) {
    const directory = new Directory();
    directory.update(
      true,
      series.map((one, i) => ({ i, unit: "", colour: 0, ...one })),
    );
    assert.equal(liesOn({ time_ms: 0, text: "", ...event }, directory.list), lies, what);
  }
});

test("what a pattern selects", () => {
  for (const [pattern, metric, selected] of vectors<{ cases: [string, string, boolean][] }>("patterns").cases)
    assert.equal(matches(pattern, metric), selected, `${pattern} ${metric}`);
});

interface TickVectors {
  values: {
    lo: number;
    hi: number;
    divisor: number;
    unit: string;
    fits: number;
    whole: boolean;
    offset: boolean;
    at: number[];
    texts: string[];
    over: string;
    base: string;
  }[];
  times: { start: number; end: number; px: number; labels: [number, string][] }[];
  places: { axis: "step" | "rel"; start: number; end: number; px: number; labels: [number, string][] }[];
}

test("a still in a notebook has the ticks of the chart", () => {
  for (const one of vectors<TickVectors>("ticks").values) {
    const { lo, hi, divisor, unit, whole, offset, fits } = one;
    const axis = { scale: LINEAR, lo, hi, inverted: false, whole, unit: { text: unit, divisor }, swatches: [] };
    const found = (offset ? OFFSET : LINEAR).ticks(axis, (text) => text.length <= fits);
    const texts = found.ticks.map(({ text }) => text);
    assert.deepEqual(texts, one.texts, JSON.stringify(one));
    found.ticks.forEach(({ at }, i) => assert.ok(Math.abs(at - one.at[i]) <= 1e-9 * Math.abs(hi), JSON.stringify(one)));
    assert.deepEqual([found.unit, found.base], [one.over, one.base], JSON.stringify(one));
  }
});

test("a still in a notebook has the times of the chart", () => {
  setZone(UTC);
  for (const { start, end, px, labels } of vectors<TickVectors>("ticks").times)
    assert.deepEqual(timeLabels(start, end, timeStep(end - start, px)), labels);
  setZone(LOCAL);
});

test("a still in a notebook has the steps and run times of the chart", () => {
  // Without the sign of -0.
  for (const { axis, start, end, px, labels } of vectors<TickVectors>("ticks").places)
    assert.deepEqual(
      placeTicks(axis, { startMs: start, endMs: end }, px).map(([at, text]) => [at + 0, text]),
      labels,
    );
});
