/** Very many series in one chart: what selects them, what stands in their place, and how that is asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DARK, LIGHT } from "../src/base/tokens";
import { LINEAR } from "../src/canvas/axis";
import { LOG } from "../src/canvas/special";
import { fillBetween } from "../src/chart/many/band";
import { heatColour } from "../src/chart/many/face";
import { groundOf, heightsOf } from "../src/chart/many/heat";
import { Trace } from "../src/model/buckets";
import { ChartViews } from "../src/model/chart-views";
import { columnsOf, leastPx, sourceOf } from "../src/model/columns";
import { Directory } from "../src/model/directory";
import { isDrawn, isMany } from "../src/model/layout";
import { selectorOf } from "../src/model/selector";
import { Session } from "../src/model/session";
import { type ChartSpec, formatChart, parseChart } from "../src/model/url";
import { narrowed } from "../src/panels/many";
import type { DeckMessage } from "../src/wire/messages";
import type { Port } from "../src/wire/port";

function fleet(): Directory {
  const directory = new Directory();
  directory.update(
    true,
    Array.from({ length: 60 }, (_, i) => ({
      i,
      metric: i < 40 ? "fleet/cpu" : "fleet/load",
      labels: { az: `az${i % 3}`, node: `n.${i}`, ...(i % 2 ? { __proto__label: "x" } : {}) },
      unit: "%",
      colour: 0,
    })),
  );
  return directory;
}

test("a selector selects the series of a chart and no others, or there is none", () => {
  const directory = fleet();
  const cpu = directory.byMetric.get("fleet/cpu") ?? [];
  assert.equal(selectorOf(directory, cpu), '{__name__="fleet/cpu"}');
  assert.equal(selectorOf(directory, directory.list), '{__name__=~"fleet/cpu|fleet/load"}');
  const inOne = cpu.filter(({ labels }) => labels.az === "az1");
  assert.equal(selectorOf(directory, inOne), '{__name__="fleet/cpu", az="az1"}');
  const two = cpu.filter(({ labels }) => labels.node === "n.3" || labels.node === "n.4");
  assert.match(selectorOf(directory, two) ?? "", /node=~"n\\\\\.3\|n\\\\\.4"/, "a point is no pattern");
  const odd = [...inOne.slice(0, 2), ...cpu.filter(({ labels }) => labels.az === "az2").slice(0, 2)];
  assert.match(selectorOf(directory, odd) ?? "", /node=~/);
  const crossed = directory.list.filter(({ index }) => index % 7 === 0);
  const text = selectorOf(directory, crossed);
  assert.ok(text === null || text.includes("node=~"));
  const many = new Directory();
  many.update(
    true,
    Array.from({ length: 2_000 }, (_, i) => ({
      i,
      metric: "m",
      labels: { id: `${"long".repeat(5)}${i}` },
      unit: "",
      colour: 0,
    })),
  );
  assert.equal(selectorOf(many, many.list.slice(1)), null, "one that would be longer than a formula may be");
});

test("a view is in the address, and from 25 series on a chart shows others in their place", () => {
  for (const view of ["lines", "band", "heat", "top"] as const) {
    const chart: ChartSpec = { series: [{ metric: "fleet/cpu" }], columns: 6, rows: 8, view };
    assert.equal(formatChart(chart), `fleet/cpu:6x8;v=${view}`);
    assert.deepEqual(parseChart(formatChart(chart)), chart);
  }
  assert.deepEqual(parseChart("x;v=pie"), { series: [{ metric: "x" }], columns: 4, unknown: ["v=pie"] });
  const spec: ChartSpec = { series: [{ metric: "x" }], columns: 4 };
  const series = fleet().list;
  assert.equal(isMany(spec, { length: 24 }), false);
  assert.equal(isMany(spec, { length: 25 }), true);
  assert.equal(isMany({ ...spec, view: "band" }, { length: 3 }), true);
  assert.equal(isMany({ ...spec, kind: "table", view: "band" }, { length: 90 }), false, "a table has a row for each");
  assert.equal(isDrawn({ at: 0, spec, series, facet: null }), false);
  assert.equal(isDrawn({ at: 0, spec: { ...spec, view: "lines" }, series, facet: null }), true);
});

test("what stands in the place of series is asked for by its formula, in few columns and frames", () => {
  const sent: DeckMessage[] = [];
  const session = new Session(
    () => "deck",
    () => undefined,
  );
  session.port = { send: (message: DeckMessage) => sent.push(message), ack: () => undefined } as unknown as Port;
  const views = new ChartViews(session);
  const plots = ["band", "heat", "top", undefined].map((summary) => ({
    series: [],
    devicePx: 558,
    formula: sourceOf("rate(x)", summary),
  }));
  views.set(plots);
  views.request(300_000, 5);
  const asked = sent.flatMap((one) => (one.t === "view" ? [one] : []));
  assert.deepEqual(
    asked.map(({ formula, summary, fps }) => [formula, summary, fps]),
    [
      ["rate(x)", "band", 2],
      ["rate(x)", "heat", 2],
      ["rate(x)", "top", 2],
      ["rate(x)", undefined, 5],
    ],
  );
  const most = [300, 60, 60, 2_000];
  for (const [i, { buckets }] of asked.entries()) assert.ok(buckets <= most[i] && buckets > most[i] / 4, `${buckets}`);
  assert.equal(new Set(plots.map(({ devicePx, formula }) => views.viewOf(devicePx, formula))).size, 4);
  assert.equal(columnsOf(300_000, 558, leastPx(558, plots[1].formula)).count, asked[1].buckets);
  assert.deepEqual([leastPx(0, "x\0heat"), leastPx(0), leastPx(558)], [1, 1, 1]);
  session.requestRange([], 0, 60_000, 60, () => undefined, { formula: sourceOf("a", "heat") });
  const range = sent[sent.length - 1];
  assert.deepEqual(range.t === "range" && [range.formula, range.summary], ["a", "heat"]);
});

test("rows of a summary are known by their source, apart from the result of the formula", () => {
  const directory = new Directory();
  const rest = { t: "formula", formula: "a", loading: false, reads: 40, warnings: [], error: null } as const;
  const row = { name: "", labels: {}, unit: "%", colour: 0 };
  directory.setFormula({ ...rest, series: [{ ...row, i: 7 }] });
  directory.setFormula({ ...rest, series: [{ ...row, i: 8, role: "p50" }], summary: "band", of: 40 });
  assert.deepEqual(
    directory.formula("a")?.series.map(({ index, role }) => [index, role]),
    [[7, undefined]],
  );
  const band = directory.formula(sourceOf("a", "band"));
  assert.deepEqual(
    band?.series.map(({ index, role }) => [index, role]),
    [[8, "p50"]],
  );
  assert.equal(band?.state.of, 40);
});

test("rows of a summary that were named before stay known, of bounded number", () => {
  const directory = new Directory();
  const rest = { t: "formula", formula: "a", loading: false, reads: 40, warnings: [], error: null } as const;
  const top = (...numbers: number[]) =>
    numbers.map((i) => ({ i, name: "", labels: { node: `${i}` }, unit: "%", colour: 0, role: "top" }));
  const known = (): number[] => directory.formula(sourceOf("a", "top"))?.series.map(({ index }) => index) ?? [];
  directory.setFormula({ ...rest, series: top(1, 2), summary: "top", of: 40 });
  directory.setFormula({ ...rest, series: top(2, 3), summary: "top", of: 40 });
  assert.deepEqual(known(), [2, 3, 1], "a chart that is paused draws those that it had");
  const error = { position: 0, end: 1, message: "too many", remedy: "" };
  directory.setFormula({ ...rest, series: [], summary: "top", of: 40, error });
  assert.deepEqual(known(), [2, 3, 1]);
  for (let i = 10; i < 2_000; i += 10)
    directory.setFormula({
      ...rest,
      series: top(...Array.from({ length: 10 }, (_, k) => i + k)),
      summary: "top",
      of: 40,
    });
  assert.equal(known().length, 512);
  assert.deepEqual(known().slice(0, 2), [1_990, 1_991]);
});

test("a heat map on a logarithmic axis has its ranges at their heights", () => {
  const ranges = [
    [-10, 0],
    [0, 10],
    [10, 20],
    [90, 100],
  ] as const;
  assert.equal(groundOf([], true), null);
  assert.deepEqual(groundOf(ranges, false), { ends: [-10, 100], dropped: "" });
  assert.deepEqual(groundOf(ranges, true), { ends: [5, 100], dropped: "values ≤ 0 are not on a log axis" });
  assert.deepEqual(groundOf(ranges.slice(2), true), { ends: [10, 100], dropped: "" });
  assert.deepEqual(groundOf(ranges.slice(0, 1), true)?.ends, [NaN, NaN]);
  const axis = { scale: LOG, lo: Math.log10(5) };
  assert.equal(heightsOf(ranges[0], axis), null);
  assert.deepEqual(heightsOf(ranges[1], axis), [Math.log10(5), 1]);
  assert.deepEqual(heightsOf(ranges[3], axis), [Math.log10(90), 2]);
  assert.deepEqual(heightsOf(ranges[0], { scale: LINEAR, lo: -10 }), [-10, 0]);
});

test("a band whose lower end has no height is filled down to the foot, column by column", () => {
  const trace = (times: number[], values: number[]): Trace => {
    const made = new Trace();
    made.n = times.length;
    made.time = Float64Array.from(times);
    made.last = Float64Array.from(values);
    made.breaks = new Uint8Array(times.length);
    return made;
  };
  const points: number[][] = [];
  const ctx = {
    beginPath: () => undefined,
    closePath: () => undefined,
    fill: () => undefined,
    moveTo: (x: number, y: number) => points.push([x, y]),
    lineTo: (x: number, y: number) => points.push([x, y]),
  } as unknown as CanvasRenderingContext2D;
  const one = { a: 1, b: 0 };
  fillBetween(ctx, trace([1, 3], [10, 30]), trace([1, 2, 3], [11, 22, 33]), one, one, "red", 99);
  assert.deepEqual(points, [
    [1, 11],
    [2, 22],
    [3, 33],
    [3, 30],
    [2, 99],
    [1, 10],
  ]);
});

test("fuller cells are further from the card, in both themes", () => {
  const light = (text: string): number => {
    const [r, g, b] = (text.match(/\d+/g) ?? []).map(Number);
    return 0.21 * r + 0.72 * g + 0.07 * b;
  };
  const shares = Array.from({ length: 11 }, (_, i) => i / 10);
  for (const [tokens, way] of [
    [DARK, 1],
    [LIGHT, -1],
  ] as const) {
    const levels = shares.map((share) => way * light(heatColour(share, tokens)));
    for (let i = 1; i < levels.length; i++) assert.ok(levels[i] > levels[i - 1], `${i}`);
  }
});

test("a cell narrows what is selected: its terms replace those of the same labels", () => {
  assert.equal(narrowed("", "host=h1|h2"), "host=h1|h2");
  assert.equal(narrowed("az=a,host=h1|h2|h3", "host=h1"), "az=a,host=h1");
  assert.equal(narrowed("host!=h9,hosts=x", "host=h1,az=a"), "host!=h9,hosts=x,host=h1,az=a");
});
