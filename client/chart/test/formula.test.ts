/** Formulas in an address, in the directory, and as they are written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openApart } from "../src/model/apart";
import { ChartViews } from "../src/model/chart-views";
import { Directory } from "../src/model/directory";
import { cells, resolve, withSeries } from "../src/model/layout";
import { NO_VIEW, type Session, type ViewRequest } from "../src/model/session";
import { type ChartSpec, formatChart, parseChart } from "../src/model/url";
import { coloured, formulaOf } from "../src/panels/formula-editor";
import type { FormulaState } from "../src/wire/messages";

const state = (formula: string, part: Partial<FormulaState> = {}): FormulaState => ({
  t: "formula",
  formula,
  series: [
    { i: 16_777_216, name: "", labels: { site: "A" }, unit: "/s", colour: 3 },
    { i: 16_777_217, name: "", labels: { site: "B" }, unit: "/s", colour: 4 },
  ],
  loading: false,
  reads: 4,
  warnings: [],
  error: null,
  ...part,
});

test("a formula stands in the address behind a second equals sign, with size, split and options", () => {
  for (const formula of ['sum by (site) (rate(a/b{x="1:2"}[5m])) / 100 % 3', "a@b;c,d", "", "-α + β"]) {
    const chart: ChartSpec = { series: [], formula, columns: 6, rows: 8, facet: "site", kind: "bars" };
    const text = formatChart(chart);
    assert.ok(text.startsWith("="));
    assert.deepEqual(parseChart(text), chart);
  }
  assert.equal(formatChart({ series: [], formula: "rate(x)", columns: 4 }), "=rate%28x%29");
  assert.deepEqual(parseChart("%3Dx"), { series: [{ metric: "=x" }], columns: 4 }, "a name may begin with it");
});

test("the series of a result are those of its charts alone, and keep their objects", () => {
  const directory = new Directory();
  directory.update(true, [{ i: 0, metric: "site/heat", labels: { site: "A" }, unit: "Cel", colour: 1 }]);
  directory.setFormula(state("sum by (site) (x)"));
  const spec: ChartSpec = { series: [], formula: "sum by (site) (x)", columns: 4 };
  const series = resolve(directory, spec);
  assert.deepEqual(
    series.map(({ legend, style, unit }) => [legend, style, unit]),
    [
      ["site A", 3, "/s"],
      ["site B", 4, "/s"],
    ],
  );
  assert.equal(directory.list.length, 1);
  assert.equal(cells(directory, [{ ...spec, facet: "site" }]).length, 2);
  assert.deepEqual(withSeries(directory, [spec], directory.list[0])[0], spec);
  assert.deepEqual(openApart(directory, [spec], 0, series), [spec]);
  directory.setFormula(state("sum by (site) (x)", { reads: 5 }));
  assert.deepEqual(
    resolve(directory, spec).map((one, i) => one === series[i]),
    [true, true],
  );
  const error = { position: 0, end: 1, message: "wrong", remedy: "" };
  directory.setFormula(state("sum by (site) (x)", { series: [], error }));
  assert.equal(resolve(directory, spec).length, 2, "what was drawn stays");
  directory.restyle(new Map([["=sum by (site) (x)\0site=A", 9]]));
  assert.equal(resolve(directory, spec)[0].style, 9);
});

test("series of several metrics are told apart by their names", () => {
  const directory = new Directory();
  const named = (i: number, name: string) => ({ i, name, labels: { site: "A" }, unit: "", colour: i });
  directory.setFormula(state("x", { series: [named(1, "a/x"), named(2, "b/x")] }));
  assert.deepEqual(
    resolve(directory, { series: [], formula: "x", columns: 4 }).map(({ legend }) => legend),
    ["a/x", "b/x"],
  );
});

test("each formula has a view for each width, beside those of series", () => {
  const requests = new Map<number, ViewRequest | null>();
  const session = { requestView: (view: number, request: ViewRequest | null) => requests.set(view, request) };
  const views = new ChartViews(session as unknown as Session);
  const plots = [
    { series: [1], devicePx: 300 },
    { series: [16_777_216], devicePx: 300, formula: "x" },
    { series: [], devicePx: 300, formula: "y" },
    { series: [], devicePx: 500, formula: "x" },
    { series: [], devicePx: 300, formula: "" },
  ];
  views.set(plots);
  views.request(60_000, 5);
  const open = [...requests].filter(([, request]) => request !== null);
  assert.equal(open.length, 4);
  assert.deepEqual(requests.get(views.viewOf(300))?.series, [1]);
  for (const [formula, width] of [
    ["x", 300],
    ["y", 300],
    ["x", 500],
  ] as const) {
    const request = requests.get(views.viewOf(width, formula));
    assert.deepEqual([request?.formula, request?.series], [formula, []]);
  }
  assert.equal(views.viewOf(700, "x"), NO_VIEW);
  const kept = views.viewOf(300, "y");
  views.set(plots.slice(2));
  assert.equal(views.viewOf(300, "y"), kept);
});

test("a chart of series is the formula that names them", () => {
  assert.equal(formulaOf([{ metric: "host/cpu" }]), "host/cpu");
  assert.equal(formulaOf([{ metric: "a", labels: { b: 'c "d"' } }, { metric: "x y" }]), 'a{b="c \\"d\\""} or {"x y"}');
  assert.equal(formulaOf([{ metric: "by", labels: { k: "v" } }]), '{"by", k="v"}');
});

test("functions, labels and brackets have colours, and nothing is lost", () => {
  const text = 'sum by (site) (rate(a/b{code=~"5.."}[5m])) / "🙂 {';
  const words = coloured(text);
  assert.equal(words.map((word) => word.text).join(""), text);
  const of = (kind: string): string[] => words.filter((word) => word.kind === kind).map((word) => word.text);
  assert.deepEqual(of("l"), ["code"]);
  assert.deepEqual(of("f"), ["by", "rate"]);
});
