/**
 * What a chart of very many series shows: all of them as lines, or a few rows in their place, which the dashboard computes:
 * a band of quantiles, a heat map or the ten greatest. The series themselves are sent for lines alone.
 */

import { h, Segments, setText, show } from "../base/dom";
import { formatNumber, plural } from "../base/format";
import { labelKey } from "../base/naming";
import { shownUnit, unitKey } from "../base/units";
import type { TraceInk } from "../canvas/picture";
import type { Chart } from "../chart/chart";
import { Band } from "../chart/many/band";
import { type Counts, CountTrace, type Face } from "../chart/many/face";
import { Heat } from "../chart/many/heat";
import { Top } from "../chart/many/top";
import type { Ground, Many, Moment } from "../chart/moment";
import type { OverlayRow } from "../chart/overlay";
import type { AxisOptions } from "../model/axis-options";
import type { BucketRing } from "../model/bucket-ring";
import { sourceOf } from "../model/columns";
import type { Directory, Series } from "../model/directory";
import { isMany } from "../model/layout";
import { selectorOf } from "../model/selector";
import type { Session } from "../model/session";
import { type ChartSpec, type PageState, VIEWS, type View } from "../model/url";
import css from "./many.css";

const WORDS: readonly (readonly [View, string])[] = [
  ["lines", "Lines"],
  ["band", "Band"],
  ["heat", "Heat map"],
  ["top", "Top 10"],
];
const FACES = { band: Band, heat: Heat, top: Top } as const;
/** Most series of one view, as Python has it in `tidewire/livestore/messages.py`. */
const MOST_LINES = 2_000;
/** Px of the buttons of a card, which lie over the right end of its head. */
const BUTTONS_PX = 190;

/** A card of the deck: its chart, how it is set, and all its series. */
interface Card {
  chart: Chart;
  spec: ChartSpec;
  series: readonly Series[];
}

/** The page of a chart, of a deck or in a notebook. */
export interface ManyPage {
  readonly session: Session;
  readonly state: Pick<PageState, "embed"> & Partial<Pick<PageState, "select">>;
  /** Change the state, as a step of the browser's history; and say something to the person. Not in a notebook. */
  change?(part: Partial<PageState>, push: boolean): void;
  notify?(words: string): void;
}

/** Add terms to a selection; they replace those of the same labels, which they narrow. */
export function narrowed(before: string, terms: string): string {
  const names = terms.split(",").map((term) => term.slice(0, term.indexOf("=") + 1));
  return [...before.split(",").filter((term) => term && !names.some((name) => term.startsWith(name))), terms].join();
}

/** Show a chart as it is set; `change` sets it otherwise. */
export function dress(card: Card, title: string, app: ManyPage, change: (part: Partial<ChartSpec>) => void): void {
  const { chart, spec, series } = card;
  const { directory } = app.session;
  const found = VIEWS.map((view) => (spec.formula && directory.formula(sourceOf(spec.formula, view))?.state.of) || 0);
  const of = Math.max(series.length, ...found);
  if (!isMany(spec, { length: of })) {
    chart.many?.destroy();
    chart.many = null;
    chart.setSeries([...series], title);
    return;
  }
  const own = chart.many instanceof Dressed ? chart.many : new Dressed(chart, app.state.embed ? null : change);
  chart.many = own;
  own.set(spec, series, of, title, app);
}

/** The dress of one chart. */
class Dressed implements Many {
  summary: "band" | "heat" | "top" | null = null;
  all: readonly Series[] = [];
  formula: string | undefined;
  /** The formula whose series are summarized. */
  source = "";
  readonly #segments: Segments<View>;
  readonly #list = h("select", { class: "many-list", "aria-label": "Many series as", "data-tw": "many-list" });
  readonly #views: HTMLElement;
  readonly #style = h("style", {}, css);
  readonly #host = h("span", { class: "many-parts" });
  readonly #about = h("span", { class: "many-about", "data-tw": "many-about" });
  readonly #legend = h("div", { class: "legend many-legend", "data-tw": "many-legend" }, this.#host, this.#about);
  #face: Face | null = null;
  #view: View = "lines";
  #offered: readonly View[] = VIEWS;
  #of = 0;
  /** All of the window has been computed. */
  #whole = false;
  #title = "";
  #axis: AxisOptions = {};
  /** All rows that the dashboard named, and which of them are drawn. */
  #known: readonly Series[] = [];
  #fitted = "";
  /** The width and title for which the views have their place. */
  #fittedFor = "";
  readonly #counted = new CountTrace();
  #counter: Series | undefined;
  #app: ManyPage | null = null;
  readonly #chart: Chart;
  readonly #change: ((part: Partial<ChartSpec>) => void) | null;

  constructor(chart: Chart, change: ((part: Partial<ChartSpec>) => void) | null) {
    this.#chart = chart;
    this.#change = change;
    this.#segments = new Segments("Many series as", "many-views", WORDS, (view) => this.#choose(view));
    this.#list.append(...WORDS.map(([value, text]) => h("option", { value }, text)));
    this.#list.addEventListener("change", () => this.#choose(this.#list.value as View));
    // A press on the list is none on the title, which moves the card.
    this.#list.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.#views = h("span", { class: "many-views" }, this.#segments.element, this.#list);
    const { card } = chart;
    card.element.append(this.#style);
    if (change) card.head.insertBefore(this.#views, card.head.children[3] ?? null);
    card.legend.element.before(this.#legend);
  }

  get ink(): TraceInk | null {
    return this.#face?.ink ?? null;
  }

  get edges(): boolean {
    return this.#face?.edges ?? true;
  }

  ground(log: boolean): Ground | null {
    return this.#face?.ground(log) ?? null;
  }

  get spoken(): string {
    return this.#face ? `${this.#face.spoken(this.#counts())}. ${this.#aboutText()}` : "";
  }

  #choose(view: View): void {
    if (view !== this.#view) this.#change?.({ view });
  }

  /** Let the deck show the series of a cell alone. */
  pick(timeMs: number): boolean {
    const app = this.#app;
    const cell = this.#face?.cell?.(timeMs);
    if (!cell?.count || !app?.change || app.state.embed) return false;
    const { endMs, stepMs, low, high } = cell;
    const notify = (words: string): void => app.notify?.(words);
    app.session.requests
      .send({ t: "cell", formula: this.source, end_ms: endMs, step_ms: stepMs, low, high }, true)
      .then(({ select, count, more }) => {
        const series = plural(count, "series", "series");
        if (count === 0) return notify("No series is in this cell any more");
        if (select) app.change?.({ select: narrowed(app.state.select ?? "", select) }, true);
        if (more > 0) notify(`No label tells the ${series} of this cell from ${formatNumber(more, 0)} others`);
        else if (!select) notify(`All ${series} are in this cell`);
      })
      .catch((error: Error) => notify(error.message));
    return true;
  }

  step(): boolean {
    const at = this.#offered.indexOf(this.#view);
    this.#choose(this.#offered[(at + 1) % this.#offered.length]);
    return this.#change !== null;
  }

  /** Show a list in the place of the segments where these would lie under the buttons of the card. */
  #fitViews(): void {
    const wide = this.#chart.card.element.clientWidth;
    const key = `${wide} ${this.#title}`;
    if (key === this.#fittedFor || !this.#change) return;
    this.#fittedFor = key;
    this.#views.classList.remove("tight");
    const { offsetLeft, offsetWidth } = this.#views;
    this.#views.classList.toggle("tight", offsetLeft + offsetWidth + BUTTONS_PX > wide);
  }

  /** Show these series as the chart is set, as far as that can be. */
  set(spec: ChartSpec, series: readonly Series[], of: number, title: string, app: ManyPage): void {
    const { directory } = app.session;
    const chart = this.#chart;
    this.#app = app;
    [this.all, this.formula, this.#of] = [series, spec.formula, of];
    const own = spec.series.length === 0 ? spec.formula : undefined;
    const source = own ?? (series.length ? selectorOf(directory, series) : null);
    const fault = this.#fault(spec, series, source);
    this.source = source ?? "";
    this.#offered = fault === "" ? VIEWS : ["lines"];
    this.#view = fault === "" ? (spec.view ?? this.#usual(spec, series, app)) : "lines";
    this.#segments.select(this.#view);
    this.#list.value = this.#view;
    show(this.#views, fault === "");
    chart.card.element.classList.toggle("of-views", fault === "" && this.#change !== null);
    const summary = this.#view === "lines" ? null : this.#view;
    const others = summary !== this.summary;
    if (others) {
      this.#face?.destroy();
      this.#host.replaceChildren();
      this.#face = summary && new FACES[summary]();
      this.summary = summary;
    }
    chart.card.element.classList.toggle("of-many", summary !== null);
    show(this.#legend, summary !== null);
    show(chart.card.legend.element, summary === null);
    if (!summary || !this.#face) {
      if (spec.view && fault) chart.card.fault(fault);
      else if (spec.formula === undefined) chart.card.fault("");
      this.#lines(series, title);
      return;
    }
    chart.formula = sourceOf(this.source, summary);
    chart.kind = "auto";
    this.#title = title;
    this.#axis = chart.axis;
    this.#rows(directory, series);
    if (others) chart.setSeries([], title);
    this.#setEnds(this.#face);
  }

  /** Draw all, or as many as can be. */
  #lines(series: readonly Series[], title: string): void {
    const { card } = this.#chart;
    this.#chart.setSeries(series.slice(0, MOST_LINES), title);
    const words =
      series.length > MOST_LINES
        ? `${formatNumber(MOST_LINES, 0)} of ${plural(series.length, "series", "series")} are drawn as lines`
        : "";
    if (words) card.third(words, null);
  }

  /** Take the rows that there are, of the live window and of those in the past. */
  #rows(directory: Directory, series: readonly Series[]): void {
    const chart = this.#chart;
    const found = directory.formula(chart.formula as string);
    this.#known = (found?.series ?? []).map((one) => this.#named(one, directory, series));
    this.#fitted = "";
    this.#whole = found !== undefined && !found.state.loading;
    const error = found?.state.error ?? null;
    chart.card.fault(error ? [error.message, error.remedy].filter(Boolean).join("; ") : "");
    chart.card.nothing = !found || found.state.loading ? "Loading" : error ? "No result" : "No series has a number";
  }

  fit(ring: BucketRing): void {
    if (!this.#face) return;
    const rows = this.#known.filter(({ index }) => ring.slots.has(index));
    const key = rows.map(({ index }) => index).join();
    if (rows.length === 0 || key === this.#fitted) return;
    this.#fitted = key;
    this.#counter = rows.find(({ role }) => role === "count");
    const drawn = this.#face.arrange(rows);
    this.#setEnds(this.#face);
    this.#chart.setSeries(drawn, this.#title);
  }

  /** Set the ends of the axis, unless somebody has. */
  #setEnds(face: Face): void {
    const { lo, hi, log } = this.#axis;
    const ends = face.ground(log ?? false)?.ends;
    if (!ends) return;
    const code = this.#known.find(({ role }) => role === "cell")?.unit;
    const shown = shownUnit(code, Math.max(...ends.map((end) => Math.abs(end) || 0)));
    const own = { ...this.#axis, lo: lo ?? ends[0], hi: hi ?? ends[1], ...(shown.text && { unit: shown.text }) };
    this.#chart.drawAs("auto", own, null);
  }

  /** Give a row the name that its series has on the page, and its metric, by which thresholds are found. */
  #named(row: Series, directory: Directory, series: readonly Series[]): Series {
    const metrics = new Set(series.map(({ metric }) => metric));
    const metric = metrics.size === 1 ? series[0].metric : row.metric;
    const own = row.name && directory.find(row.name, labelKey(bare(row)));
    return { ...row, metric, legend: own ? own.legend || own.name : row.legend };
  }

  /** Return why nothing can stand in the place of the series, empty if something can. */
  #fault(spec: ChartSpec, series: readonly Series[], source: string | null): string {
    if (spec.formula !== undefined && spec.series.length > 0)
      return "Series beside a formula have no band in common with it";
    if (spec.formula !== undefined) return spec.formula === "" ? "There is no formula yet" : "";
    if (series.length === 0) return "";
    if (new Set(series.map(({ unit }) => unitKey(unit))).size > 1)
      return "Series of different units have no band in common";
    return source === null
      ? "A band is of whole metrics, or of all series with some labels; this chart names its series one by one"
      : "";
  }

  /** Words have no quantiles; and what was drawn otherwise by hand stays so. */
  #usual(spec: ChartSpec, series: readonly Series[], app: ManyPage): View {
    const first = series[0] && app.session.slot(series[0].index);
    const words = first !== undefined && first.states.length > 0 && Number.isNaN(first.lastValue);
    const byHand = spec.kind !== undefined && !["auto", "line"].includes(spec.kind);
    return words || byHand ? "lines" : "band";
  }

  prepare(ring: BucketRing, moment: Moment): void {
    if (!this.#face) return;
    this.#counted.read(ring, this.#counter, this.#chart, moment);
    this.#face.prepare(this.#chart, moment);
  }

  #counts(timeMs = NaN): Counts {
    const live = this.#counted.at(timeMs);
    // Of a window that is whole and has no count at its end, no series has a value.
    const none = Number.isNaN(live) && Number.isNaN(timeMs) && this.#whole;
    return { of: this.#of || this.#counted.at(NaN) || 0, live: none ? 0 : live };
  }

  /** 1,000 series, or 12 of 1,000 silent; at a time 988 of 1,000 series. */
  #aboutText(timeMs = NaN): string {
    const { of, live } = this.#counts(timeMs);
    const all = plural(of, "series", "series");
    if (Number.isNaN(live) || live >= of) return this.#view === "top" ? "" : all;
    if (!this.#counted.live || !Number.isNaN(timeMs)) return `${formatNumber(live, 0)} of ${all}`;
    return `${formatNumber(of - live, 0)} of ${formatNumber(of, 0)} silent`;
  }

  words(_moment: Moment): void {
    if (!this.#face) return;
    const timeMs = this.#chart.crossTime;
    this.#face.legend(this.#host, timeMs, this.#counts(timeMs));
    setText(this.#about, this.#aboutText(timeMs));
    this.#fitViews();
  }

  rows(timeMs: number): OverlayRow[] | null {
    return this.#face?.rows(timeMs) ?? null;
  }

  debug(): Record<string, unknown> {
    const state = { view: this.#view, about: this.#about.textContent, source: this.source };
    return { ...state, ...this.#face?.debug() };
  }

  destroy(): void {
    this.#face?.destroy();
    for (const part of [this.#views, this.#legend, this.#style]) part.remove();
    const { card } = this.#chart;
    card.element.classList.remove("of-many", "of-views");
    show(card.legend.element, true);
    card.fault("");
  }
}

/** The labels of a row, as its series was published with. */
const bare = ({ labels }: Series): Series["labels"] =>
  Object.fromEntries(Object.entries(labels).filter(([name]) => name !== "__name__"));
