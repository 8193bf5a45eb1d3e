/** A colour is one series: in every chart of a deck, in its address, and whatever is published later. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dashesOf, STYLES, swatch } from "../src/base/colour";
import { DARK, lineColour } from "../src/base/tokens";
import { allColours, changedColours, deckStyles, keptStyles } from "../src/model/deck-colours";
import { Directory, type Series, seriesId } from "../src/model/directory";
import { cells } from "../src/model/layout";
import { type ChartSpec, FRESH, formatState, type KeptColour, parseChart, parseState } from "../src/model/url";

/** A page of a deck, as `pages/deck.ts` runs it: what was shown stays, what differs goes into the address. */
class Page {
  readonly directory = new Directory();
  #styles = new Map<string, number>();
  #index = 0;
  said: readonly KeptColour[];
  charts: ChartSpec[] = [];

  constructor(search = "") {
    this.said = parseState("/d/x", search, "").colours;
    this.#styles = keptStyles(this.said);
  }

  /** Series with the styles that the dashboard gives them. */
  publish(...entries: [metric: string, label: string, colour: number][]): this {
    const labels = (label: string): Record<string, string> => (label ? Object.fromEntries([label.split("=")]) : {});
    this.directory.update(
      false,
      entries.map(([metric, label, colour]) => ({ i: this.#index++, metric, labels: labels(label), unit: "", colour })),
    );
    return this.show();
  }

  show(...charts: string[]): this {
    if (charts.length) this.charts = charts.map((chart) => parseChart(chart) as ChartSpec);
    for (const [id, style] of deckStyles(this.directory, this.drawn, this.#styles)) this.#styles.set(id, style);
    this.directory.restyle(this.#styles);
    this.said = changedColours([...new Set(this.drawn.flat())], this.said);
    return this;
  }

  get drawn(): Series[][] {
    return cells(this.directory, this.charts).map(({ series }) => series);
  }

  style(metric: string, key = ""): number | undefined {
    return this.directory.find(metric, key)?.style;
  }

  styles(): Map<string, number> {
    return new Map(this.drawn.flat().map((one) => [seriesId(one), one.style]));
  }

  /** The address bar, and the link that is copied. */
  get address(): string {
    return this.#search(this.said);
  }
  get link(): string {
    return this.#search(allColours(this.directory, this.drawn.flat()));
  }
  #search(colours: readonly KeptColour[]): string {
    const state = { ...parseState("/d/x", "", ""), ...FRESH, charts: this.charts, colours };
    return new URL(formatState(state, ""), "http://host").search;
  }
}

function distinct(page: Page): void {
  for (const chart of page.drawn)
    assert.equal(new Set(chart.map(({ style }) => style)).size, Math.min(chart.length, STYLES));
}

const SITES = ["A", "B", "C"].map((site) => `site=${site}`);
const plant = (): Page =>
  new Page().publish(
    ...SITES.map((site, i): [string, string, number] => ["furnace/temperature", site, i]),
    ...SITES.map((site, i): [string, string, number] => ["furnace/pressure", site, i]),
    ["furnace/exhaust", "", 1],
  );

test("a chart of one metric shows what the dashboard gives, and its address says nothing of it", () => {
  const page = plant().show("furnace/temperature", "furnace/pressure");
  assert.deepEqual(
    page.drawn.map((chart) => chart.map(({ style }) => style)),
    [
      [0, 1, 2],
      [0, 1, 2],
    ],
  );
  assert.equal(page.address, "?c=furnace/temperature&c=furnace/pressure");
});

test("two label sets over each other in one chart are six colours, and the same six wherever else they are drawn", () => {
  const page = plant().show("furnace/temperature,furnace/pressure", "furnace/pressure", "furnace/temperature");
  distinct(page);
  assert.deepEqual(
    SITES.map((site) => page.style("furnace/temperature", site)),
    [0, 1, 2],
  );
  assert.deepEqual(
    SITES.map((site) => page.style("furnace/pressure", site)),
    [3, 4, 5],
  );
});

test("what is shown keeps its colour when a series is laid over it, which takes a free one", () => {
  const page = plant().show("furnace/pressure", "furnace/exhaust");
  page.show("furnace/pressure,furnace/exhaust");
  assert.deepEqual(
    SITES.map((site) => page.style("furnace/pressure", site)),
    [0, 1, 2],
  );
  assert.equal(page.style("furnace/exhaust"), 3);
  const first = plant().show("furnace/exhaust").show("furnace/exhaust,furnace/pressure(site=B)");
  assert.equal(first.style("furnace/exhaust"), 1);
  assert.notEqual(first.style("furnace/pressure", "site=B"), 1);
  const back = plant().show("furnace/exhaust", "furnace/pressure(site=B)");
  back.show("furnace/pressure(site=B),furnace/exhaust", "furnace/pressure");
  distinct(back);
});

test("a label set that appears or goes recolours nothing", () => {
  const page = plant().show("furnace/temperature,furnace/pressure,furnace/exhaust", "furnace/pressure");
  const before = page.styles();
  page.publish(["furnace/temperature", "site=0", 4], ["furnace/pressure", "site=0", 4]);
  distinct(page);
  for (const [id, style] of before) assert.equal(page.styles().get(id), style, id);
  page.show("furnace/pressure").show("furnace/temperature,furnace/pressure,furnace/exhaust", "furnace/pressure");
  for (const [id, style] of before) assert.equal(page.styles().get(id), style, id);
});

test("a reload and another browser have the colours of the address, also where a chart came later", () => {
  const page = plant().show("furnace/pressure", "furnace/temperature");
  page.show("furnace/pressure", "furnace/temperature", "furnace/exhaust,furnace/temperature");
  page.publish(["furnace/temperature", "site=0", 5], ["furnace/exhaust", "site=A", 0]);
  const again = new Page(page.address).publish(
    ...page.directory.list.map(({ metric, key, given }): [string, string, number] => [metric, key, given]),
  );
  again.charts = parseState("/d/x", page.address, "").charts ?? [];
  assert.deepEqual(again.show().styles(), page.styles());
  assert.equal(again.address, page.address);
});

test("a link and a saved deck keep the colours when another dashboard gives others", () => {
  const page = plant().show("furnace/temperature,furnace/exhaust", "furnace/pressure", "furnace/exhaust");
  assert.match(page.link, /col=\*\(site=A\):1,\*\(site=B\):2,\*\(site=C\):3,furnace\/exhaust\(\):4$/);
  const other = new Page(page.link).publish(
    ["furnace/exhaust", "", 3],
    ...SITES.map((site, i): [string, string, number] => ["furnace/pressure", site, 5 - i]),
    ...SITES.map((site, i): [string, string, number] => ["furnace/temperature", site, 5 - i]),
    ["furnace/temperature", "site=D", 0],
  );
  other.charts = page.charts;
  other.show();
  distinct(other);
  for (const [id, style] of page.styles()) assert.equal(other.styles().get(id), style, id);
});

for (const [count, colours, dashed] of [
  [1, 1, 0],
  [12, 12, 0],
  [13, 12, 1],
  [40, 12, 28],
] as const)
  test(`${count} series in a chart: ${colours} colours, ${dashed} of them with a dash, all different`, () => {
    const names = Array.from({ length: count }, (_, i) => `m${i}`);
    // All would have the first colour: series of metrics of their own.
    const page = new Page().publish(...names.map((name): [string, string, number] => [name, "", 0])).show(names.join());
    const [chart] = page.drawn;
    distinct(page);
    const dashes = dashesOf(chart.map(({ style }) => style));
    const looks = chart.map(({ style }, i) => `${lineColour(DARK, style)} ${dashes[i]}`);
    assert.equal(new Set(looks).size, count);
    assert.equal(new Set(chart.map(({ style }) => lineColour(DARK, style))).size, colours);
    assert.equal(dashes.filter(({ length }) => length > 0).length, dashed);
    assert.deepEqual(
      chart.map(({ style }) => style),
      names.map((_, i) => i),
    );
  });

test("more series than there are styles are drawn, and keep what they have", () => {
  const names = Array.from({ length: STYLES + 9 }, (_, i): [string, string, number] => ["m", `n=${i}`, i % STYLES]);
  const page = new Page().publish(...names).show("m");
  distinct(page);
  assert.equal(page.address, "?c=m");
});

test("a dash is drawn only beside another line of its colour", () => {
  assert.deepEqual(dashesOf([13]), [[]]);
  assert.deepEqual(dashesOf([1, 13, 25, 37, 2]), [[], [6, 3], [2, 3], [9, 3, 2, 3], []]);
  assert.deepEqual(dashesOf([25, 13]), [[2, 3], []]);
});

test("a swatch is the line at half its size", () => {
  assert.equal(swatch("#FFF", []), "#FFF");
  assert.equal(swatch("#FFF", [6, 3]), "repeating-linear-gradient(90deg,#FFF 0px 3px,transparent 3px 4.5px)");
});

test("what is no colour in an address is left out", () => {
  const { colours } = parseState("/d/x", "col=a(k=v):3,b:2,*(k=w):0,c():49,d():48,,e():x", "");
  assert.deepEqual(
    colours.map(({ metric, style }) => [metric, style]),
    [
      ["a", 2],
      ["d", 47],
    ],
  );
});
