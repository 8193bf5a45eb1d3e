/** What is drawn of dense columns, and which view a chart draws from. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fillEnvelope, isDense } from "../src/canvas/ink";
import { linear } from "../src/canvas/paths";
import { Trace } from "../src/model/buckets";
import { ChartViews, MOST_WIDTHS } from "../src/model/chart-views";
import { LIST, Session } from "../src/model/session";

/** A trace of a column per px: [min, max] around their middle, so many readings each. */
function dense(columns: readonly (readonly [min: number, max: number])[], readings: number): Trace {
  const trace = new Trace();
  trace.n = columns.length;
  trace.stepMs = 1_000;
  trace.time = Float64Array.from(columns, (_, i) => (i + 0.5) * 1_000);
  trace.min = Float64Array.from(columns, ([min]) => min);
  trace.max = Float64Array.from(columns, ([, max]) => max);
  trace.mean = Float64Array.from(columns, ([min, max]) => (min + max) / 2);
  trace.count = new Float64Array(columns.length).fill(readings);
  trace.breaks = new Uint8Array(columns.length);
  return trace;
}

const y = linear(0, 100, 100, 0);
const x = linear(0, 1_000, 0, 1);
const steady = (n: number, min = 40, max = 60): [number, number][] => Array.from({ length: n }, () => [min, max]);

test("an envelope is for eight readings and more a column that is higher than 12 px", () => {
  assert.equal(isDense(dense(steady(50), 8), y), true);
  assert.equal(isDense(dense(steady(50), 7), y), false);
  assert.equal(isDense(dense(steady(50, 40, 51), 80), y), false, "low columns, however full");
  assert.equal(isDense(dense([...steady(26, 49, 51), ...steady(24)], 9), y), false, "half of them are low");
  assert.equal(isDense(dense([], 0), y), false);
});

test("a picture does not flicker between line and envelope", () => {
  assert.equal(isDense(dense(steady(50), 7), y, true), true);
  assert.equal(isDense(dense(steady(50), 5), y, true), false);
});

/** Draw an envelope; return the rectangles of each fill, by its style. */
function filled(trace: Trace): Record<string, number[][]> {
  const drawn: Record<string, number[][]> = {};
  let rects: number[][] = [];
  const ctx = {
    beginPath: () => (rects = []),
    rect: (...rect: number[]) => rects.push(rect.map((value) => Math.round(value * 100) / 100)),
    fill: () => (drawn[ctx.fillStyle] = rects),
    fillStyle: "",
    moveTo: () => undefined,
    lineTo: () => undefined,
    setLineDash: () => undefined,
    stroke: () => undefined,
  };
  const ink = {
    colour: "#102030",
    width: 1,
    dash: [],
    columnPx: 1,
    pixel: 1,
    text: "#ffffff",
    surface: "#000000",
  };
  fillEnvelope(ctx as unknown as CanvasRenderingContext2D, trace, x, y, ink);
  return drawn;
}

test("what leaves the envelope by half its height is drawn in full, down to it, and nothing else is", () => {
  const columns = steady(40);
  columns[20] = [40, 95];
  columns[30] = [12, 60];
  columns[35] = [40, 69];
  const drawn = filled(dense(columns, 20));
  assert.deepEqual(drawn["#102030"], [
    [20, 5, 1, 35],
    [30, 60, 1, 28],
  ]);
  assert.equal(drawn["rgba(16,32,48,0.3)"].length, 40);
  assert.deepEqual(drawn["rgba(16,32,48,0.3)"][20], [20, 5, 1, 55]);
});

test("the crest of a wave is no outlier", () => {
  const wave = Array.from({ length: 80 }, (_, i): [number, number] => {
    const middle = 50 + 30 * Math.cos((i - 40) / 6.4);
    return [middle - 6, middle + 6];
  });
  assert.deepEqual(filled(dense(wave, 20))["#102030"], []);
});

function views(): { charts: ChartViews; asked: Map<number, unknown> } {
  const asked = new Map<number, unknown>();
  const session = new Session(
    () => "deck",
    () => undefined,
  );
  session.requestView = (view, request): void => {
    if (request) asked.set(view, request);
    else asked.delete(view);
  };
  return { charts: new ChartViews(session), asked };
}

test("charts of one width share a view, and a width that stays keeps its own", () => {
  const { charts, asked } = views();
  charts.set([
    { series: [1, 2], devicePx: 294 },
    { series: [2, 3], devicePx: 294 },
    { series: [4], devicePx: 674 },
    { series: [5], devicePx: 0 },
  ]);
  charts.request(300_000, 5);
  assert.deepEqual(
    [...asked.values()],
    [
      { series: [1, 2, 3], window_ms: 300_000, buckets: 294, fps: 5 },
      { series: [4], window_ms: 300_000, buckets: 674, fps: 5 },
    ],
  );
  const wide = charts.viewOf(674);
  charts.set([
    { series: [4], devicePx: 674 },
    { series: [1], devicePx: 355 },
  ]);
  charts.request(300_000, 5);
  assert.equal(charts.viewOf(674), wide);
  assert.notEqual(charts.viewOf(355), wide);
  assert.equal(asked.size, 2);
});

test("with more widths than views the last share that of the nearest width, and the list keeps its own", () => {
  const { charts, asked } = views();
  const widths = Array.from({ length: 20 }, (_, i) => 100 + 10 * i);
  charts.set(widths.map((devicePx, i) => ({ series: [i], devicePx })));
  charts.request(300_000, 5);
  assert.equal(asked.size, MOST_WIDTHS);
  assert.ok(!asked.has(LIST));
  assert.equal(charts.viewOf(290), charts.viewOf(240));
  assert.deepEqual((asked.get(charts.viewOf(240)) as { series: number[] }).series, [14, 15, 16, 17, 18, 19]);
});
