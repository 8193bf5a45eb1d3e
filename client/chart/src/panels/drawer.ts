/** The drawer of one chart: statistics, thresholds, events, export. */

import { h, icon, iconButton, messageLine, setText, show } from "../base/dom";
import { clock, formatNumber, span as inWords, longSpan, plural, spanText } from "../base/format";
import { chartTitle } from "../base/naming";
import type { Tokens } from "../base/tokens";
import type { Chart } from "../chart/chart";
import { pngOf } from "../chart/image-file";
import { NOTHING } from "../model/buckets";
import { saveFile } from "../model/deck-file";
import { isResult, type Series } from "../model/directory";
import { liesOn } from "../model/events";
import { freshness, isSilent } from "../model/freshness";
import { printIn, printOf } from "../model/reading";
import { LIST } from "../model/session";
import { type Span, windowName } from "../model/url";
import type { AppContext } from "./app-context";
import css from "./drawer.css";
import { pandasSnippet } from "./snippets";
import { StatisticsTable } from "./statistics";
import { showReadings } from "./tables";
import { ThresholdForm } from "./threshold-form";

/** Statistics of a live window are fetched again this often. */
const EVERY_MS = 5_000;
/** As many as the service accepts. */
const MOST_SERIES = 100;
const MOST_EVENTS = 20;
const DONE_MS = 2_000;

export class Drawer {
  readonly element = h("aside", {
    class: "drawer",
    "aria-label": "Chart",
    "data-tw": "drawer",
    tabindex: "-1",
    hidden: true, // it comes before anybody asks for it
  });
  readonly #title = h("h2", { class: "card-title" });
  readonly #unit = h("span", { class: "card-unit" });
  readonly #about = h("p", { class: "muted", "data-tw": "drawer-about" });
  readonly #statistics = new StatisticsTable();
  readonly #problem = h("p", { class: "muted", "data-tw": "drawer-problem" });
  readonly #thresholds: ThresholdForm;
  readonly #events = h("div", { "data-tw": "drawer-events" });
  readonly #count = h("span", { class: "muted", "data-tw": "drawer-count" });
  readonly #message = messageLine("drawer-message");
  readonly #copy = h("button", {
    type: "button",
    class: "button wide",
    "data-tw": "copy-pandas",
    onclick: () => void this.#copyPandas(),
  });
  readonly #readings: HTMLElement;
  #chart: Chart | null = null;
  #series: Series[] = [];
  #requestKey = "";
  #requestedAt = -Infinity;
  #eventsKey = "";
  readonly #app: AppContext;

  constructor(app: AppContext, close: () => void) {
    this.#app = app;
    this.#thresholds = new ThresholdForm(
      async (all) => !(await app.session.requests.send({ t: "save_thresholds", thresholds: all })).conflict,
    );
    const button = (text: string, hook: string, press: () => Promise<void>): HTMLElement =>
      h("button", { type: "button", class: "button", "data-tw": hook, onclick: () => void this.#run(press) }, text);
    this.#copyWords("Copy as pandas", false);
    const section = (name: string, ...content: (HTMLElement | null)[]): HTMLElement =>
      h(
        "section",
        { class: "drawer-section" },
        h("div", { class: "drawer-head" }, h("h3", {}, name), name === "Export" ? this.#count : null),
        ...content,
      );
    this.#readings = h(
      "button",
      {
        type: "button",
        class: "button wide",
        "data-tw": "readings",
        onclick: () => void showReadings(app, this.#title.textContent ?? "", this.#published, this.#span()),
      },
      icon("table", 14),
      "Show the readings",
    );
    this.element.append(
      h("style", {}, css),
      h(
        "header",
        { class: "drawer-top" },
        h(
          "div",
          { class: "drawer-title" },
          this.#title,
          this.#unit,
          h("span", { class: "grow" }),
          iconButton("close", "Close the drawer (f)", close, "drawer-close"),
        ),
        this.#about,
      ),
      section("Statistics", this.#statistics.element, this.#problem),
      this.#thresholds.element,
      section("Events", this.#events),
      section(
        "Export",
        h(
          "div",
          { class: "thirds" },
          button("CSV", "export-csv", () => this.#export("csv")),
          button("Parquet", "export-parquet", () => this.#export("parquet")),
          button("PNG", "export-png", () => this.#png()),
        ),
        this.#copy,
        this.#readings,
        this.#message,
      ),
    );
  }

  /** Show one chart; it has several cards if it is split by a label. */
  of(charts: readonly Chart[]): void {
    const chart = charts[0] ?? null;
    if (chart !== this.#chart) this.#message.textContent = "";
    this.#chart = chart;
    this.#series = charts.flatMap((one) => one.many?.all ?? one.series).slice(0, MOST_SERIES);
    show(this.element, chart !== null);
    // A result has no readings, and no thresholds: those are of metrics.
    const published = this.#formula === undefined || this.#published.length > 0;
    for (const part of [this.#copy, this.#readings, this.#thresholds.element]) show(part, published);
  }

  /** The series that are published: a formula may stand beside them. */
  get #published(): Series[] {
    return this.#series.filter((one) => !isResult(one));
  }

  /** The formula of the chart, whose series are published by nobody. */
  get #formula(): string | undefined {
    return this.#chart?.many ? this.#chart.many.formula : this.#chart?.formula;
  }

  /** What a request is about. */
  get #subject(): { series: number[]; formula?: string } {
    const formula = this.#formula;
    return { series: this.#published.map(({ index }) => index), ...(formula !== undefined && { formula }) };
  }

  focus(): void {
    this.element.focus();
  }

  #span(): Span {
    return this.#app.timeline.window(this.#app.state.windowMs);
  }

  /** Draw, with every frame; fetch the statistics every few seconds, or when series or span change. */
  draw(tokens: Tokens): void {
    const chart = this.#chart;
    const app = this.#app;
    if (!chart) return;
    if (this.#series.length === 0) return this.#drawNothing(chart, tokens);
    const { startMs, endMs } = this.#span();
    const { paused, zoom } = app.timeline;
    const published = this.#published;
    const metrics = new Set(published.map(({ metric }) => metric));
    setText(this.#title, chartTitle([...metrics, ...(this.#formula === undefined ? [] : [this.#formula])]));
    setText(this.#unit, chart.titleUnit);
    const stretch =
      zoom || paused ? spanText(startMs, endMs, app.session.now()) : `window ${windowName(app.state.windowMs)}`;
    setText(this.#about, `${plural(this.#series.length, "series", "series")} · ${stretch}`);
    // New columns are empty: fetch their numbers.
    const rate = published.length > 0 ? "readings/s" : "values/s";
    if (this.#statistics.shape(this.#series, tokens, rate)) this.#requestKey = "";
    this.#thresholds.update(app.session.thresholds, published, chart.unit);
    this.#drawEvents({ startMs, endMs });
    const live = !zoom && !paused;
    const key = `${this.#series.map(({ index }) => index).join()} ${live ? app.state.windowMs : `${startMs} ${endMs}`}`;
    const now = performance.now();
    if (key === this.#requestKey && (!live || now - this.#requestedAt < EVERY_MS)) return;
    this.#requestKey = key;
    this.#requestedAt = now;
    void this.#fetchStatistics(key, { startMs, endMs });
  }

  /** Show that there is nothing to tell of a chart. */
  #drawNothing(chart: Chart, tokens: Tokens): void {
    setText(this.#title, chart.title);
    for (const text of [this.#unit, this.#count, this.#problem]) setText(text, "");
    setText(this.#about, "No series");
    this.#statistics.shape([], tokens);
    this.#events.replaceChildren();
    this.#eventsKey = this.#requestKey = "";
  }

  async #fetchStatistics(key: string, { startMs, endMs }: Span): Promise<void> {
    const series = this.#series;
    try {
      const answer = await this.#app.session.requests.send(
        { t: "statistics", ...this.#subject, start_ms: startMs, end_ms: endMs },
        true,
      );
      if (key !== this.#requestKey || !this.#chart) return;
      const rows = answer.rows;
      const { unit } = this.#chart;
      const { prints, views } = this.#app.session;
      const { prints: own, series: drawn } = this.#chart;
      this.#statistics.fill(series, rows, (one) =>
        !isResult(one)
          ? printIn(unit, prints.of(one, views[LIST]))
          : (own[drawn.indexOf(one)] ?? printOf(unit, NOTHING)),
      );
      const readings = rows.reduce((sum, row) => sum + row.count, 0);
      const [one, many] = this.#formula === undefined ? ["reading", "readings"] : ["value", "values"];
      setText(this.#count, plural(readings, one, many));
      setText(this.#problem, "");
    } catch (error) {
      if (key === this.#requestKey) setText(this.#problem, (error as Error).message);
    }
  }

  /** List what is wrong now, then the events of the span, newest first. */
  #drawEvents(span: Span): void {
    const { session } = this.#app;
    const nowMs = session.now();
    const rows: [icon: "warn" | "critical" | "clock" | "flag", text: string, what: string, at: string][] = [];
    const slots = this.#series.map(({ index }) => session.slot(index));
    this.#series.forEach((one, i) => {
      const name = one.legend || one.name;
      const slot = slots[i];
      const alarm = session.alarms.get(one.index);
      if (slot && slot.total > 0 && isSilent(freshness(slot, nowMs)))
        rows.push(["clock", name, ` silent for ${inWords(nowMs - slot.lastTimeMs)}`, clock(slot.lastTimeMs)]);
      else if (alarm)
        rows.push([
          alarm,
          name,
          alarm === "warn" ? " warning" : " critical",
          clock(session.alarmsSince.get(one.index) ?? NaN),
        ]);
    });
    const marks = session.events
      .filter((event) => event.time_ms >= span.startMs && event.time_ms <= span.endMs && liesOn(event, this.#series))
      .sort((a, b) => b.time_ms - a.time_ms);
    for (const { text, time_ms: at, level } of marks.slice(0, MOST_EVENTS))
      rows.push([level ?? "flag", text, "", clock(at)]);
    const key = JSON.stringify([rows, marks.length]);
    if (key === this.#eventsKey) return;
    this.#eventsKey = key;
    const more =
      marks.length > MOST_EVENTS
        ? [h("p", { class: "muted" }, `${formatNumber(marks.length - MOST_EVENTS, 0)} more`)]
        : [];
    const lines = rows.map(([kind, text, what, at]) =>
      h(
        "div",
        { class: `drawer-row ${kind}` },
        icon(kind, 14),
        h("span", { class: "event-text", title: text + what }, h("span", {}, text), what),
        h("time", {}, at),
      ),
    );
    this.#events.replaceChildren(
      ...(lines.length
        ? lines
        : [h("p", { class: "muted" }, `None in the last ${longSpan(span.endMs - span.startMs)}`)]),
      ...more,
    );
  }

  /** Run a slow task and show its outcome. */
  async #run(work: () => Promise<void>): Promise<void> {
    setText(this.#message, "Preparing…");
    try {
      await work();
      setText(this.#message, "");
    } catch (error) {
      setText(this.#message, (error as Error).message);
    }
  }

  async #export(kind: string): Promise<void> {
    const { startMs, endMs } = this.#span();
    const answer = await this.#app.session.requests.send(
      { t: "export", kind, ...this.#subject, start_ms: startMs, end_ms: endMs },
      true,
    );
    const link = h("a", { href: `${this.#app.options.prefix}/${answer.url}`, download: "" });
    link.click();
  }

  async #png(): Promise<void> {
    if (!this.#chart) return;
    saveFile(await pngOf(this.#chart, this.#app.tokens), `${this.#title.textContent ?? "chart"}.png`);
  }

  #copyWords(words: string, done: boolean): void {
    this.#copy.replaceChildren(icon(done ? "check" : "copy", 14), words);
  }

  async #copyPandas(): Promise<void> {
    const text = pandasSnippet(this.#published, this.#span(), this.#app.session.snippet?.url ?? "");
    try {
      await navigator.clipboard.writeText(text);
      this.#copyWords("Copied", true);
      window.setTimeout(() => this.#copyWords("Copy as pandas", false), DONE_MS);
    } catch {
      this.#app.dialog.show("Copy as pandas", h("pre", { class: "code", tabindex: "0" }, text));
    }
  }
}
