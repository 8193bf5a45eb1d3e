/** Runs over their steps: lines as they arrive, smoothing, which are drawn, and what a table says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { standing, stepTicks } from "../src/chart/run-chart";
import { addressNotice } from "../src/model/address-notice";
import {
  chartsByUnit,
  drawnRuns,
  isSetting,
  leastIsBest,
  metricUnits,
  placed,
  pointAt,
  RunLines,
  refOfRun,
  runsOf,
  settingsOf,
  smoothed,
  smoothingUnit,
  sortedRuns,
  traceOf,
} from "../src/model/runs";
import { formatState, parseState } from "../src/model/url";
import type { RunEntry, RunPoints } from "../src/wire/messages";

const entry = (labels: Record<string, string>, part: Partial<RunEntry> = {}): RunEntry => ({
  labels,
  state: "live",
  step: 10,
  start_ms: 1_000,
  end_ms: 2_000,
  metrics: [],
  settings: {},
  ...part,
});
const points = (part: Partial<RunPoints>): RunPoints => ({
  i: 3,
  version: 1,
  start: 0,
  x: [],
  mean: [],
  min: [],
  max: [],
  first: [],
  last: [],
  ...part,
});

test("an exponential mean never shifts the first point, keeps what is level, and is that of Adam with even steps", () => {
  const x = [0, 1, 2, 3, 4];
  const values = [5, 1, 4, -2, 7];
  for (const weight of [0.3, 0.9, 0.99]) {
    let mean = 0;
    const adam = values.map((value, i) => {
      mean = weight * mean + (1 - weight) * value;
      return mean / (1 - weight ** (i + 1));
    });
    const own = smoothed(x, values, weight, 1);
    own.forEach((value, i) => assert.ok(Math.abs(value - adam[i]) < 1e-12));
    assert.equal(own[0], values[0]);
    for (const value of smoothed(x, [2, 2, 2, 2, 2], weight, 1)) assert.ok(Math.abs(value - 2) < 1e-12);
  }
  assert.equal(smoothed(x, values, 0, 1), values);
  // Twice as far apart, it has forgotten as if there had been a point between.
  const [, far] = smoothed([0, 2], [0, 1], 0.5, 1);
  assert.equal(far, 0.5 / (0.5 * 0.25 + 0.5));
});

test("lines of other densities are as smooth: a unit is a point of the densest, and at least a thousandth", () => {
  const each = Array.from({ length: 101 }, (_, i) => i);
  assert.equal(smoothingUnit([each, [0, 50, 100]]), 1);
  assert.equal(smoothingUnit([each.map((x) => x / 100), [0, 100]]), 0.1);
  assert.equal(smoothingUnit([]), 1);
  assert.equal(smoothingUnit([[5], [], [2, 2]]), 1);
});

test("a line grows by what has changed, and is asked for from there", () => {
  const lines = new RunLines();
  assert.deepEqual(lines.wanted([3, 4]), [
    { i: 3, version: 0 },
    { i: 4, version: 0 },
  ]);
  lines.take([points({ x: [0, 1, 2], mean: [5, 6, 7] })]);
  lines.take([
    points({ version: 4, start: 2, x: [2, 3], mean: [8, 9], min: [7, 9], max: [9, 9], first: [7, 9], last: [9, 9] }),
  ]);
  const line = lines.get(3);
  assert.deepEqual(line?.x, [0, 1, 2, 3]);
  assert.deepEqual(line?.mean, [5, 6, 8, 9]);
  assert.deepEqual(line?.min, [5, 6, 7, 9]);
  assert.deepEqual(lines.wanted([3]), [{ i: 3, version: 4 }]);
  lines.wanted([4]);
  assert.equal(lines.get(3), undefined, "what is not drawn is forgotten");
});

test("the point at a step is the last that was reached, none after a line has ended", () => {
  const x = [0, 10, 20];
  for (const [at, found] of [
    [-5, -1],
    [0, 0],
    [9, 0],
    [10, 1],
    [20.5, 2],
    [22, -1],
  ])
    assert.equal(pointAt(x, 3, at, 1), found === 0 && at === 9 ? 1 : found, String(at));
  assert.equal(pointAt([], 0, 5, 1), -1);
});

test("runs of other hours begin together at 0, and a trace has their extremes", () => {
  const line = { version: 1, x: [60_000, 61_000], mean: [1, 2], min: [0, 2], max: [3, 2], first: [0, 2], last: [3, 2] };
  assert.deepEqual(placed(line.x, "rel", 60_000), [0, 1_000]);
  assert.equal(placed(line.x, "time", 60_000), line.x);
  const trace = traceOf([0, 1_000], line, null);
  assert.deepEqual([trace.n, trace.lo, trace.hi, trace.stepMs], [2, 0, 3, 1_000]);
  assert.deepEqual([...traceOf([0, 1], line, [1.5, 1.6]).max], [1.5, 1.6]);
});

test("a run is called by its label run; other labels and what it was begun with are its settings", () => {
  const runs = runsOf([
    entry({ run: "a", lr: "0.1" }, { settings: { batch: 64, optimiser: "AdamW" } }),
    entry({ run: "b", lr: "0.3" }, { settings: { batch: 64 }, step: null }),
    entry({ site: "A" }),
    entry({ constructor: "x", run: "__proto__" }),
  ]);
  assert.deepEqual(
    runs.map(({ name }) => name),
    ["a", "b", "site A", "__proto__"],
  );
  assert.deepEqual(settingsOf(runs.slice(0, 2), false), ["batch", "lr", "optimiser"]);
  assert.deepEqual(settingsOf(runs.slice(0, 2), true), ["lr", "optimiser"]);
  const twice = runsOf([entry({ run: "a", split: "val" }), entry({ run: "a", split: "train" })]);
  assert.deepEqual(
    twice.map(({ name }) => name),
    ["a val", "a train"],
  );
});

test("the newest runs that have a step are drawn, or those that an address names, whatever they are called", () => {
  const odd = [
    entry({ run: "a,b=(c)" }),
    entry({ run: "*" }),
    entry({ run: "a", split: "v,(" }),
    entry({}),
    entry({ run: "n" }, { step: null }),
  ];
  const runs = runsOf(odd);
  assert.equal(drawnRuns(runs, null, "step").size, 4);
  assert.equal(drawnRuns(runs, null, "rel").size, 5);
  assert.equal(drawnRuns(runs, [], "rel").size, 0);
  const state = parseState("/d/t", "?x=step", "");
  for (const run of runs) {
    const address = formatState({ ...state, runs: [refOfRun(run.entry)] }, "");
    const back = parseState("/d/t", address.slice(address.indexOf("?")), "");
    assert.deepEqual([...drawnRuns(runs, back.runs, "step")], [run.key], address);
  }
  const none = formatState({ ...state, runs: [] }, "");
  assert.deepEqual(parseState("/d/t", none.slice(none.indexOf("?")), "").runs, []);
  const many = runsOf(Array.from({ length: 80 }, (_, i) => entry({ run: String(i) })));
  assert.equal(drawnRuns(many, null, "step").size, 50);
});

test("a table is sorted by numbers and by words, and what has none comes last either way", () => {
  const runs = runsOf([
    entry({ run: "r10" }),
    entry({ run: "r9" }, { step: null }),
    entry({ run: "r1" }, { step: 400 }),
  ]);
  const names = (down: boolean, column: string): string[] =>
    sortedRuns(runs, { column, down }, (run, by) => (by === "name" ? run.name : run.entry.step)).map(
      ({ name }) => name,
    );
  assert.deepEqual(names(false, "step"), ["r10", "r1", "r9"]);
  assert.deepEqual(names(true, "step"), ["r1", "r10", "r9"]);
  assert.deepEqual(names(false, "name"), ["r1", "r9", "r10"]);
  assert.equal(
    sortedRuns(runs, null, () => null),
    runs,
  );
  assert.deepEqual(["train/loss", "val/error", "eval/accuracy", "throughput"].map(leastIsBest), [
    true,
    true,
    false,
    false,
  ]);
});

test("a chart is divided by the units of its runs, and a metric of two units has two columns", () => {
  const of = (metric: string, ...units: string[]): { metric: string; unit: string }[] =>
    units.map((unit) => ({ metric, unit }));
  assert.deepEqual(chartsByUnit(["a", "b"], []), [{ metrics: ["a", "b"], unit: null, left: 0 }]);
  assert.deepEqual(chartsByUnit(["a", "b"], [...of("b", "°C"), ...of("a", "Cel", "K"), ...of("c", "m")]), [
    { metrics: ["a", "b"], unit: "°C", left: 0 },
    { metrics: ["a"], unit: "K", left: 0 },
  ]);
  const many = chartsByUnit(["a"], of("a", "m", "s", "K", "V", "A", "W"));
  assert.deepEqual(
    many.map(({ unit, left }) => [unit, left]),
    [
      ["A", 0],
      ["K", 0],
      ["m", 0],
      ["s", 2],
    ],
  );
  assert.deepEqual(metricUnits(["a", "b", "none"], [...of("b", "s"), ...of("a", "s", "Cel", "°C", "ms")]), [
    { metric: "a", unit: "Cel", key: "°C" },
    { metric: "a", unit: "ms", key: "ms" },
    { metric: "a", unit: "s", key: "s" },
    { metric: "b", unit: "s", key: "" },
    { metric: "none", unit: "", key: "" },
  ]);
  assert.equal(metricUnits(["constructor"], []).length, 1);
});

test("a chart of runs says how they stand: as the freshest, and of those that are over as the worst", () => {
  assert.deepEqual(standing([]), ["unknown", ""]);
  assert.deepEqual(standing(["finished", "live", "failed"]), ["live", "LIVE"]);
  assert.deepEqual(standing(["stale", "finished"]), ["stale", "STALE"]);
  assert.deepEqual(standing(["stale"]), ["stale", "STALE"]);
  assert.deepEqual(standing(["finished", "failed", "stopped"]), ["nodata", "FAILED"]);
  assert.deepEqual(standing(["finished", "stopped"]), ["nodata", "STOPPED"]);
  assert.deepEqual(standing(["finished", "finished"]), ["finished", "FINISHED"]);
});

test("a setting is below a level config", () => {
  assert.deepEqual(["config/lr", "a/config/lr", "a/config", "a/configs/b"].map(isSetting), [true, true, false, false]);
});

test("ticks of steps are whole and do not touch", () => {
  assert.deepEqual(
    stepTicks(0, 12_180, 620).map(([, text]) => text),
    ["0", "2,000", "4,000", "6,000", "8,000", "10,000", "12,000"],
  );
  for (const [lo, hi, px] of [
    [0, 5, 900],
    [0, 1, 900],
    [3, 3e9, 500],
    [0, 1e12, 500],
    [0, 0.004, 400],
  ] as const) {
    const ticks = stepTicks(lo, hi, px);
    assert.ok(ticks.length >= 2 && ticks.length <= px / 60, `${lo} ${hi}: ${ticks}`);
    assert.equal(new Set(ticks.map(([, text]) => text)).size, ticks.length, `${ticks}`);
  }
});

test("an address says what of it is no axis or smoothing", () => {
  assert.match(addressNotice("?x=epoch"), /“x=epoch” is no x axis/);
  assert.match(addressNotice("?sm=2"), /“sm=2” is no smoothing/);
  assert.equal(addressNotice("?x=rel&sm=0.99"), "");
  assert.equal(parseState("/d/a", "?sm=1&x=epoch", "").smoothing, null);
});
