/** The address of a page holds its whole state, for names of any characters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressNotice } from "../src/model/address-notice";
import { formatFile, parseFile } from "../src/model/deck-file";
import { Directory } from "../src/model/directory";
import {
  cells,
  changeChart,
  defaultCharts,
  isOnDeck,
  moveChart,
  named,
  nextFacet,
  pressed,
  removeChart,
  resolve,
  sharedUnit,
  toggleSeries,
  unitsOf,
  unitsOfMetrics,
} from "../src/model/layout";
import { nextKind } from "../src/model/next-kind";
import { slugOf } from "../src/model/saved-decks";
import {
  type ChartSpec,
  formatChart,
  formatState,
  type PageState,
  parseChart,
  parseState,
  selects,
} from "../src/model/url";
import { pandasSnippet } from "../src/panels/snippets";
import { withLimit, withoutLimit } from "../src/panels/threshold-form";
import type { Threshold } from "../src/wire/messages";

const round = (state: PageState, prefix = ""): PageState => {
  const [path, search = ""] = formatState(state, prefix).split("?");
  return parseState(path, search, prefix);
};
const base: PageState = {
  page: "deck",
  slug: "Furnace shift",
  windowMs: 900_000,
  theme: "light",
  query: "flow & more",
  filter: "all",
  sort: null,
  labels: { "l,=&": "A/b é", line: "" },
  select: "",
  folds: new Map([
    ["plant/hall 3:x", true],
    ["tidewire/", false],
  ]),
  charts: null,
  zoom: { startMs: 1_763_900_000_000, endMs: 1_763_900_040_250 },
  zone: "America/New_York",
  compareMs: 604_800_000,
  kiosk: true,
  turnMs: 30_000,
  embed: true,
  drawer: 1,
  only: 2,
  hidden: [{ metric: "a/b", labels: { k: "v" } }],
  events: "host/**",
  x: "step",
  smoothing: 0.9,
  raw: false,
  runs: [{ metric: "lr=0.1, b" }, { metric: "*", labels: { run: "a", "s,:": "(t)" } }],
  by: "-best train/loss",
  differing: true,
  colours: [
    { metric: "a/b", labels: { k: "v" }, style: 6 },
    { metric: "*", labels: { "k,:": "(v)+ 1" }, style: 47 },
    { metric: "c", labels: {}, style: 0 },
  ],
};

test("a deck of any name has an address that a browser keeps", () => {
  for (const slug of [".", "..", "...", "~", "~.", "~~x", "a~b", "a/..", "%2e", "#", "?", "\\", "é", "constructor"]) {
    const address = formatState({ ...base, slug }, "/prefix");
    const { pathname, search } = new URL(address, "http://host");
    assert.equal(pathname + search, address);
    assert.equal(parseState(pathname, search, "/prefix").slug, slug);
  }
});

test("a state survives its address", () => {
  for (const prefix of ["", "/dash"]) {
    assert.deepEqual(round(base, prefix), base);
    const overview: PageState = {
      ...base,
      page: "overview",
      slug: "",
      zoom: null,
      compareMs: null,
      hidden: [],
      colours: [],
      events: null,
      drawer: null,
      only: null,
      x: null,
      smoothing: null,
      raw: null,
      runs: null,
      by: null,
      differing: null,
      filter: "stale",
      sort: "rate",
    };
    assert.deepEqual(round(overview, prefix), overview);
    assert.deepEqual(round({ ...base, charts: [] }, prefix).charts, []);
    // What was chosen against a saved deck stays chosen.
    const against: PageState = { ...base, raw: true, by: "", differing: false };
    assert.deepEqual(round(against, prefix), against);
  }
});

test("names with every separator survive as well", () => {
  const wild = "a,b(c)=d:8/é%~+&?#";
  const charts: ChartSpec[] = [
    { series: [{ metric: wild, labels: { [`k${wild}`]: wild, plain: "x" } }, { metric: wild }], columns: 8 },
    { series: [{ metric: "host/cpu", labels: {} }], columns: 4 },
    { series: [{ metric: "host/cpu" }], columns: 6, rows: 8, facet: wild },
  ];
  assert.deepEqual(round({ ...base, charts }).charts, charts);
});

test("how a chart is drawn is in its address", () => {
  const steps: ChartSpec = { series: [{ metric: "oven/door" }], columns: 6, rows: 8, facet: "oven", kind: "steps" };
  assert.equal(formatChart(steps), "oven/door@oven:6x8;k=steps");
  assert.deepEqual(parseChart(formatChart(steps)), steps);
  assert.equal(formatChart({ ...steps, kind: "auto" }), "oven/door@oven:6x8");
  assert.deepEqual(round({ ...base, charts: [steps, { series: [{ metric: "a;k=line" }], columns: 4 }] }).charts, [
    steps,
    { series: [{ metric: "a;k=line" }], columns: 4 },
  ]);
  assert.deepEqual(parseFile(formatFile({ ...base, charts: [steps] })).charts, [steps]);
  assert.deepEqual([nextKind(), nextKind("line"), nextKind("steps")], ["line", "steps", "bars"]);
  assert.deepEqual([nextKind("bars"), nextKind("points"), nextKind("stacked")], ["points", "stacked", "stat"]);
  assert.equal(nextKind("table"), "auto");
  assert.equal(
    nextKind("stacked", (kind) => kind !== "stat" && kind !== "gauge"),
    "bar",
  );
});

test("what is no plot has its width and its order in the address", () => {
  const stat: ChartSpec = { series: [{ metric: "line/speed" }], columns: 2, kind: "stat" };
  assert.equal(formatChart(stat), "line/speed;k=stat");
  assert.deepEqual(parseChart("line/speed;k=stat"), stat);
  assert.equal(formatChart({ ...stat, columns: 4 }), "line/speed:4;k=stat");
  assert.deepEqual(parseChart("line/speed:4;k=stat"), { ...stat, columns: 4 });
  for (const [kind, columns] of [
    ["gauge", 3],
    ["bar", 3],
    ["hist", 4],
    ["table", 5],
    ["steps", 4],
  ] as const)
    assert.equal(parseChart(`a;k=${kind}`)?.columns, columns, kind);
  const table: ChartSpec = { series: [{ metric: "a" }], columns: 5, kind: "table", axis: { order: "-mean" } };
  assert.equal(formatChart(table), "a;k=table;o=-mean");
  assert.deepEqual(round({ ...base, charts: [table, stat] }).charts, [table, stat]);
  assert.deepEqual(parseFile(formatFile({ ...base, charts: [table] })).charts, [table]);
  for (const option of ["o=", "o=size", "o=--name", "o=constructor", "k=STAT", "k=stats"])
    assert.deepEqual(parseChart(`a;${option}`)?.unknown, [option], option);
});

test("how a y axis is set is in the address and in a deck's file", () => {
  const axis = { lo: 118, hi: 138, zero: true, log: true, inverted: true, right: [2, 3], unit: "L/min; =%" } as const;
  const chart: ChartSpec = { series: [{ metric: "a" }, { metric: "b" }, { metric: "c" }], columns: 6, axis };
  assert.equal(formatChart(chart), "a,b,c:6;y=118..138;zero;log;inv;r=2,3;u=L/min%3B%20%3D%25");
  assert.deepEqual(round({ ...base, charts: [chart] }).charts, [chart]);
  assert.deepEqual(parseFile(formatFile({ ...base, charts: [chart] })).charts, [chart]);
  for (const [option, one] of [
    ["y=118..", { lo: 118 }],
    ["y=..-1e-9", { hi: -1e-9 }],
    ["y=-.5..0", { lo: -0.5, hi: 0 }],
    ["inv", { inverted: true }],
  ] as const) {
    assert.deepEqual(parseChart(`a;${option}`)?.axis, one);
    assert.equal(formatChart(parseChart(`a;${option}`) as ChartSpec), `a;${option.replace("-.5", "-0.5")}`);
  }
});

test("an option that no axis can have is kept, not obeyed, and said", () => {
  for (const option of [
    "y=5..3",
    "y=1..1",
    "y=..x",
    "y=1",
    "y=0x1..",
    "y=1..2..3",
    "r=0",
    "r=x",
    "r=",
    "u=",
    "log=1",
    "y=NaN..",
  ]) {
    const chart = parseChart(`a;${option}`);
    assert.deepEqual([chart?.axis, chart?.unknown], [undefined, [option]], option);
    assert.equal(formatChart(chart as ChartSpec), `a;${option}`);
    assert.match(addressNotice(`?c=a;${option}`), /is no option/);
  }
  assert.deepEqual(parseChart("a;zero;y=2..1")?.axis, { zero: true });
});

test("a series that leaves a chart takes its side along", () => {
  const directory = new Directory();
  directory.update(
    true,
    ["a", "b", "c"].map((metric, i) => ({ i, metric, labels: {}, unit: "", colour: 0 })),
  );
  const [a, b] = directory.list;
  const chart = parseChart("a,b,c;r=2,3;log") as ChartSpec;
  const without = (one: typeof a) => toggleSeries(directory, [chart], one)[0].axis;
  assert.deepEqual(without(a), { log: true, right: [1, 2] });
  assert.deepEqual(without(b), { log: true, right: [2] });
  assert.deepEqual(toggleSeries(directory, [{ ...chart, axis: { right: [2] } }], b)[0].axis, {});
});

test("an option that is not understood is kept, not obeyed, and said", () => {
  const text = "oven/door:6;k=steps;x=2;k=pie";
  assert.equal(parseChart(text)?.kind, "steps");
  assert.equal(formatChart(parseChart(text) as ChartSpec), text);
  assert.match(addressNotice(`?c=${text}`), /“x=2;k=pie” is no option/);
  assert.equal(addressNotice("?c=oven/door:6;k=steps"), "");
});

test("charts are readable in the address", () => {
  assert.equal(formatChart({ series: [{ metric: "furnace/temperature" }], columns: 8 }), "furnace/temperature:8");
  assert.equal(
    formatChart({ series: [{ metric: "host/net", labels: { direction: "rx" } }], columns: 4 }),
    "host/net(direction=rx)",
  );
  assert.deepEqual(parseChart("host/cpu(core=0),host/cpu(core=1):12"), {
    series: [
      { metric: "host/cpu", labels: { core: "0" } },
      { metric: "host/cpu", labels: { core: "1" } },
    ],
    columns: 12,
  });
  assert.equal(parseChart(""), null);
});

test("an address may say the time in either form, and never a stretch that cannot be", () => {
  const span = { startMs: 1_763_900_000_000, endMs: 1_763_900_040_000 };
  const zoom = (search: string): unknown => parseState("/d/a", search, "").zoom;
  assert.deepEqual(zoom("from=2025-11-23T12:13:20Z&to=2025-11-23T12:14:00Z"), span);
  assert.deepEqual(zoom("from=1763900000000&to=1763900040000"), span);
  for (const wrong of ["from=2&to=1", "from=x&to=y", "from=1", ""]) assert.equal(zoom(wrong), null);
});

test("any window of a second to a year has a name that is read again", () => {
  for (const ms of [1_000, 90_000, 420_000, 7_200_000, 86_400_000, 604_800_000, 30 * 86_400_000])
    assert.equal(round({ ...base, windowMs: ms }).windowMs, ms);
  assert.equal(parseState("/d/a", "w=7d", "").windowMs, 7 * 86_400_000);
  assert.equal(parseState("/d/a", "w=2w", "").windowMs, 14 * 86_400_000);
  for (const wrong of ["", "0s", "5", "m", "1y", "constructor"]) {
    assert.equal(parseState("/d/a", `w=${wrong}`, "").windowMs, 300_000);
    assert.match(addressNotice(`?w=${wrong}`), /is no window/);
  }
  assert.equal(parseState("/d/a", "w=400d", "").windowMs, 366 * 86_400_000);
  assert.match(addressNotice("?w=400d"), /not 400d but 366d is shown/);
  for (const right of ["w=1d", "w=7d", "w=5m", "", "q=w"]) assert.equal(addressNotice(`?${right}`), "");
});

test("zone and comparison have names in the address; what cannot be read is said", () => {
  assert.match(formatState(base, ""), /&tz=America\/New_York&/);
  assert.match(formatState(base, ""), /&cmp=1w&/);
  for (const [text, ms] of [
    ["1h", 3_600_000],
    ["1d", 86_400_000],
    ["8h", 28_800_000],
    ["2w", 1_209_600_000],
    ["0", 0],
  ] as const) {
    const state = parseState("/d/a", `cmp=${text}`, "");
    assert.equal(state.compareMs, ms);
    assert.match(formatState(state, ""), new RegExp(`cmp=${text}$`));
  }
  assert.equal(parseState("/d/a", "tz=local", "").zone, "local");
  assert.equal(parseState("/d/a", "", "").zone, null);
  for (const [wrong, says] of [
    ["tz=Mars/Phobos", /“tz=Mars\/Phobos” is no time zone/],
    ["turn=1s", /“turn=1s” is no time from 2s to 1h/],
    ["cmp=soon", /“cmp=soon” is no span/],
    ["from=now-1x&to=2026-11-20T08:00Z", /“from=now-1x” is no time/],
    ["from=2026-11-20T08:00Z", /“to=” is no time/],
    ["from=2026-11-20T08:00Z&to=2026-11-20T07:00Z", /not after/],
  ] as const) {
    assert.match(addressNotice(`?${wrong}`), says);
    assert.equal(parseState("/d/a", wrong, "").zoom, null);
  }
});

test("sizes of a chart stay within the grid", () => {
  assert.deepEqual(parseChart("a:6x9"), { series: [{ metric: "a" }], columns: 6, rows: 9 });
  assert.deepEqual(parseChart("a@site:99x1"), { series: [{ metric: "a" }], columns: 12, rows: 3, facet: "site" });
  assert.equal(formatChart({ series: [{ metric: "a" }], columns: 4, rows: 8, facet: "site" }), "a@site:4x8");
});

test("a file holds the page, and says what is wrong with another file", () => {
  const charts: ChartSpec[] = [{ series: [{ metric: "host/cpu" }], columns: 6, rows: 8, facet: "core" }];
  assert.deepEqual(parseFile(formatFile({ ...base, charts })), { ...base, charts });
  for (const [text, reason] of [
    ["{", /not JSON/],
    ["[]", /not a deck/],
    ['{"tidewire":"deck","version":9,"address":"/"}', /version 9/],
  ] as const)
    assert.throws(() => parseFile(text), reason);
});

test("a broken address gives the defaults", () => {
  const state = parseState("/", "w=25h&theme=pink&sort=%E0%A4&filter=&c", "");
  assert.deepEqual(
    [state.page, state.windowMs, state.theme, state.sort, state.filter, state.charts],
    ["overview", 25 * 3_600_000, null, null, "all", []],
  );
  assert.equal(parseState("/elsewhere", "", "", "deck").page, "deck");
});

function plant(): Directory {
  const directory = new Directory();
  const entries = [
    ["host/cpu", { core: "0" }, "%"],
    ["host/cpu", { core: "1" }, "%"],
    ["host/memory", {}, "GiBy"],
    ["line-1/flow", {}, "L/min"],
    ["annotations", {}, ""],
  ] as const;
  directory.update(
    true,
    entries.map(([metric, labels, unit], i) => ({ i, metric, labels, unit, colour: 0 })),
  );
  return directory;
}

test("a deck without charts has one per metric of its group, or of the first metrics", () => {
  const metrics = (slug: string): string[] => defaultCharts(plant(), slug).map((chart) => chart.series[0].metric);
  assert.deepEqual(metrics("host"), ["host/cpu", "host/memory"]);
  assert.deepEqual(metrics("all"), ["host/cpu", "host/memory", "line-1/flow"]);
});

test("a series is toggled onto the chart of its metric, or onto one of its own", () => {
  const directory = plant();
  const flow = directory.find("line-1/flow", "");
  const core1 = directory.find("host/cpu", "core=1");
  assert.ok(flow && core1);
  let charts = toggleSeries(directory, defaultCharts(directory, "host"), flow);
  assert.deepEqual(charts.map(formatChart), ["host/cpu", "host/memory", "line-1/flow"]);
  charts = toggleSeries(directory, charts, core1);
  assert.deepEqual(charts.map(formatChart), ["host/cpu(core=0)", "host/memory", "line-1/flow"]);
  assert.equal(isOnDeck(directory, charts, core1), false);
  charts = toggleSeries(directory, charts, core1);
  assert.deepEqual(
    resolve(directory, charts[0]).map((series) => series.key),
    ["core=0", "core=1"],
  );
  charts = toggleSeries(directory, charts, flow);
  assert.equal(charts.length, 2);
});

test("a chart is split by each label that differs, then joined again", () => {
  const directory = plant();
  const [cpu] = defaultCharts(directory, "host");
  assert.equal(nextFacet(directory, cpu), "core");
  const split = { ...cpu, facet: "core" };
  assert.equal(nextFacet(directory, split), undefined);
  assert.deepEqual(
    cells(directory, [split, { series: [{ metric: "host/memory" }], columns: 4, facet: "core" }]).map((cell) => [
      cell.at,
      cell.facet,
      cell.series.length,
    ]),
    [
      [0, "0", 1],
      [0, "1", 1],
      [1, null, 1],
    ],
  );
});

test("a series is named by its metric, or by its labels", () => {
  const directory = plant();
  const core1 = directory.find("host/cpu", "core=1");
  assert.ok(core1);
  assert.equal(named([{ metric: "host/cpu", labels: { core: "0" } }], core1), false);
  assert.ok(named([{ metric: "host/cpu" }], core1) && named([{ metric: "host/cpu", labels: { core: "1" } }], core1));
});

test("a press on a legend switches one series, or all others of its chart, and no other chart's", () => {
  const directory = plant();
  const [core0, core1] = directory.byMetric.get("host/cpu") ?? [];
  const own = [core0, core1];
  const other = [{ metric: "host/memory", labels: {} }];
  const keys = (refs: ReturnType<typeof pressed>): string[] =>
    refs.map((ref) => `${ref.metric} ${ref.labels?.core ?? ""}`.trim());
  const off = pressed(other, own, core0, false);
  assert.deepEqual(keys(off), ["host/memory", "host/cpu 0"]);
  assert.deepEqual(keys(pressed(off, own, core0, false)), ["host/memory"]);
  const alone = pressed(other, own, core0, true);
  assert.deepEqual(keys(alone), ["host/memory", "host/cpu 1"]);
  assert.deepEqual(keys(pressed(alone, own, core0, true)), ["host/memory"]);
});

test("charts are moved, resized and removed; mixed units are found", () => {
  const directory = plant();
  const charts = defaultCharts(directory, "all");
  assert.deepEqual(moveChart(charts, 2, 0).map(formatChart), ["line-1/flow", "host/cpu", "host/memory"]);
  assert.deepEqual(changeChart(charts, 1, { columns: 8 }).map(formatChart), [
    "host/cpu",
    "host/memory:8",
    "line-1/flow",
  ]);
  assert.deepEqual(removeChart(charts, 0).map(formatChart), ["host/memory", "line-1/flow"]);
  assert.deepEqual(
    unitsOf(resolve(directory, { series: [{ metric: "host/cpu" }, { metric: "host/memory" }], columns: 4 })),
    ["%", "GiBy"],
  );
});

test("a metric is drawn in the unit of most of its series, however they write it", () => {
  const drawn = (...units: string[]) => {
    const directory = new Directory();
    directory.update(
      true,
      units.map((unit, i) => ({ i, metric: "m", labels: { n: String(i) }, unit, colour: 0 })),
    );
    return sharedUnit(directory.list);
  };
  assert.equal(drawn("Cel", "[degF]", "°C"), "Cel");
  assert.equal(drawn("[degF]", "Cel", "degC"), "Cel");
  assert.equal(drawn("Cel", "[degF]"), "Cel");
  assert.equal(drawn("", "", "Cel"), "");
  assert.equal(drawn(), "");
  const two = new Directory();
  two.update(true, [
    { i: 0, metric: "a", labels: { n: "0" }, unit: "Cel", colour: 0 },
    { i: 1, metric: "a", labels: { n: "1" }, unit: "[degF]", colour: 0 },
    { i: 2, metric: "b", labels: {}, unit: "°C", colour: 0 },
    { i: 3, metric: "c", labels: {}, unit: "kW", colour: 0 },
  ]);
  assert.deepEqual(unitsOfMetrics(two.list.filter(({ metric }) => metric !== "c")), ["Cel"]);
  assert.deepEqual(unitsOfMetrics(two.list), ["Cel", "kW"]);
});

test("a deck's name becomes an address", () => {
  assert.equal(slugOf("Furnace shift"), "furnace-shift");
  assert.equal(slugOf("  Öfen & Linie_2 "), "ofen-linie_2");
  assert.match(slugOf("炉"), /^deck-[a-z0-9]+$/);
  assert.notEqual(slugOf("炉"), slugOf("窯"));
  assert.equal(slugOf("…"), "");
  assert.equal(slugOf("x".repeat(100)).length, 60);
});

const limit = (part: Partial<Threshold>): Threshold => ({ metric: "a", labels: {}, for_s: 0, hysteresis: 0, ...part });

test("a limit joins those of the same series with the same manners, and the last one to go takes them along", () => {
  const one = withLimit([], "warn_above", limit({ warn_above: 9 }));
  const two = withLimit(one, "critical_above", limit({ critical_above: 12 }));
  assert.deepEqual(two, [limit({ warn_above: 9, critical_above: 12 })]);
  const three = withLimit(two, "warn_above", limit({ warn_above: 5, for_s: 10 }));
  assert.equal(three.length, 2);
  const less = withoutLimit(three, three[0], "warn_above");
  assert.deepEqual(less[0], { ...limit({ critical_above: 12 }), warn_above: null });
  assert.deepEqual(withoutLimit(less, less[0], "critical_above"), [three[1]]);
});

test("the snippet names series and stretch", () => {
  const text = pandasSnippet(
    [{ metric: 'a"b', labels: { site: "A" } }],
    { startMs: 0, endMs: 60_000 },
    "http://127.0.0.1:8000",
  );
  assert.ok(text.includes('"a\\"b",'));
  assert.ok(text.includes('labels={"site": "A"},'));
  assert.ok(text.includes('start="1970-01-01T00:00:00.000Z"'));
});

test("a formula stands beside series in one chart", () => {
  const chart = parseChart("line/flow,line/pressure(site=A),=rate%28x%2Cy%29@site:6x8;k=line");
  assert.deepEqual(chart, {
    series: [{ metric: "line/flow" }, { metric: "line/pressure", labels: { site: "A" } }],
    formula: "rate(x,y)",
    facet: "site",
    columns: 6,
    rows: 8,
    kind: "line",
  });
  const address = formatChart(chart as ChartSpec);
  assert.equal(address, "line/flow,line/pressure(site=A),=rate%28x%2Cy%29@site:6x8;k=line");
  assert.deepEqual(parseChart(address), chart);
  // As addresses had it: a formula alone, with commas or without.
  assert.deepEqual(parseChart("=sum by (a, b) (x)"), { series: [], formula: "sum by (a, b) (x)", columns: 4 });
  assert.deepEqual(parseChart("="), { series: [], formula: "", columns: 4 });
  assert.deepEqual(parseChart("a=b"), { series: [{ metric: "a=b" }], columns: 4 });
});

test("a selection of label sets is in the address and chooses the series of all charts", () => {
  assert.ok(selects("az=az1|az2,host!=web%2C1", { az: "az2", host: "web-2" }));
  assert.ok(!selects("az=az1|az2", { az: "az3" }));
  assert.ok(!selects("az=az1", {}), "without the label");
  assert.ok(selects("az=", {}), "an empty value is as good as none");
  assert.ok(selects("az=az1", {}, true), "a sum over it has it no more");
  assert.ok(!selects("host!=web%2C1", { host: "web,1" }));
  assert.ok(selects("constructor=x|toString", { constructor: "x" }));
  assert.ok(selects("nonsense,,=", { az: "az1" }));
  const address = "/d/x?c=fleet/cpu&sel=az=az1|az2,host!=web%2C1";
  const state = parseState("/d/x", address.slice(4), "");
  assert.equal(state.select, "az=az1|az2,host!=web%2C1");
  assert.equal(formatState(state, ""), address);
});
