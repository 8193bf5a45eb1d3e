/** Tables in a dialog: the readings of a span as they were published, and the latest value of every series. */

import { h, setAttribute, setText } from "../base/dom";
import { elided } from "../base/elision";
import { clock, day, formatNumber, formatReading, longSpan, plural, spanText } from "../base/format";
import { fullName } from "../base/naming";
import { font, lineColour } from "../base/tokens";
import { fitCanvas } from "../canvas/draw";
import { drawSpark, readSpark } from "../canvas/sparkline";
import { tileState } from "../canvas/tile";
import { figuresOf } from "../chart/figures";
import { nextOrder, sorted, sortWords } from "../chart/kinds/rows";
import { columnsOf } from "../model/columns";
import type { Series } from "../model/directory";
import { ageOf, ageWords, freshness, shortAgeWords } from "../model/freshness";
import { printMean, printValue } from "../model/reading";
import { search } from "../model/search";
import { LIST } from "../model/session";
import { wordOf } from "../model/states";
import type { Span } from "../model/url";
import type { AppContext } from "./app-context";
import { SIDEBAR_WINDOW_MS } from "./side-room";
import css from "./tables.css";

/** Rows of the latest values; more can be searched for. */
const MOST_ROWS = 1_000;
const EVERY_MS = 1_000;
/** Px at the sides of a cell. */
const CELL_PAD = 20;

const NUMBERS = new Set(["Value", "Mean", "Rate /s"]);
/** What each column of the latest values is sorted by, empty for those that are not. */
const SORTED_BY = ["name", "", "last", "", "", "", "age", "rate", ""];
/** Places of the columns that a row fills by itself. */
const MEAN = 4;
const SPARK = 5;
const SPARK_PX = { width: 72, height: 16 } as const;
const ROW_PX = 26;
const head = (names: readonly string[]): HTMLElement =>
  h(
    "thead",
    {},
    h(
      "tr",
      {},
      ...names.map((name) => h("th", { scope: "col", class: NUMBERS.has(name) ? "number" : undefined }, name)),
    ),
  );

/** Show the newest readings of a span, unrounded. */
export async function showReadings(
  app: AppContext,
  title: string,
  series: readonly Series[],
  span: Span,
): Promise<void> {
  const body = h(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": `${title}, readings` },
    h("p", { class: "muted" }, "Reading…"),
  );
  const box = h("div", { class: "table-box" }, h("style", {}, css), body);
  app.dialog.show(`${title}, ${spanText(span.startMs, span.endMs, app.session.now())}`, box, undefined, true);
  try {
    const answer = await app.session.requests.send(
      { t: "table", series: series.map(({ index }) => index), start_ms: span.startMs, end_ms: span.endMs },
      true,
    );
    const { rows, units } = answer;
    const shown = rows.map(([time, index, value, text], row) => {
      const one = app.session.directory.byIndex.get(index);
      return h(
        "tr",
        {},
        h("td", {}, `${day(time)} ${clock(time, "ms")}`),
        h("td", {}, one ? `${one.metric} ${one.legend}`.trim() : ""),
        h("td", { class: "number" }, value === null ? "–" : String(value)),
        h("td", {}, units?.[row] ?? one?.unit ?? ""),
        h("td", {}, text ?? ""),
      );
    });
    const note =
      answer.of > rows.length
        ? `The newest ${formatNumber(rows.length, 0)} of ${plural(answer.of, "reading", "readings")}; export to get all.`
        : plural(rows.length, "reading", "readings");
    body.replaceChildren(
      h(
        "table",
        { class: "rows", "data-tw": "raw-table" },
        head(["Time", "Series", "Value", "Unit", "Text"]),
        h("tbody", {}, ...shown),
      ),
    );
    body.before(h("p", { class: "muted" }, note));
    body.focus();
  } catch (error) {
    body.replaceChildren(h("p", { class: "muted" }, (error as Error).message));
  }
}

/** Shows the latest value of every series that matches the search, updated while it is open. */
export class LatestValues {
  readonly #rows = h("tbody", {});
  readonly #count = h("p", { class: "muted" });
  #cells: HTMLElement[][] = [];
  #series: Series[] = [];
  /** See `sorted`; undefined: as the series are listed. */
  #order: string | undefined;
  #heads: [column: string, head: HTMLElement][] = [];
  #shown = false;
  /** The version of the directory that the rows show. */
  #version = -1;
  #drawnAt = 0;
  readonly #ruler = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;
  readonly #resizer = new ResizeObserver(() => this.#fitNames());
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  open(): void {
    const names = ["Metric", "Labels", "Value", "Unit", "Mean", longSpan(SIDEBAR_WINDOW_MS), "Age", "Rate /s", "State"];
    const heads = head(names);
    this.#heads = Array.from(heads.querySelectorAll("th")).flatMap((one, k): [string, HTMLElement][] => {
      const column = SORTED_BY[k];
      if (column === "") return [];
      const name = one.textContent ?? "";
      one.replaceChildren(h("button", { type: "button", onclick: () => this.#sort(column) }, name));
      return [[column, one]];
    });
    const table = h("table", { class: "rows latest", "data-tw": "latest-table" }, heads, this.#rows);
    const body = h(
      "div",
      { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Latest values" },
      table,
    );
    body.addEventListener("scroll", () => this.#drawSparks(this.#app.session.now()), { passive: true });
    this.#shown = true;
    this.#fill();
    this.#app.dialog.show(
      "Latest values",
      h("div", { class: "table-box" }, h("style", {}, css), this.#count, body),
      () => {
        this.#shown = false;
        this.#resizer.disconnect();
      },
      true,
    );
    this.#resizer.observe(body);
    body.focus();
  }

  #sort(column: string): void {
    this.#order = nextOrder(this.#order, column);
    this.#fill();
  }

  /** Return series in the order that was chosen, by their values now. */
  #sorted(series: readonly Series[]): Series[] {
    for (const [column, one] of this.#heads) setAttribute(one, "aria-sort", sortWords(this.#order, column));
    if (!this.#order) return [...series];
    const { session } = this.#app;
    const nowMs = session.now();
    const rows = series.map((one) => {
      const slot = session.views[LIST].slots.get(one.index);
      const age = slot ? ageOf(slot, nowMs).ms : NaN;
      return { name: `${one.metric} ${one.legend}`, last: slot?.lastValue ?? NaN, age, rate: slot?.rate ?? NaN };
    });
    return sorted(rows, this.#order).map((row) => series[row]);
  }

  /** Cut names and labels in their middle, as far as their columns are too narrow. */
  #fitNames(): void {
    if (!this.#cells.length) return;
    this.#ruler.font = font(400, 12);
    const wide = (text: string): number => this.#ruler.measureText(text).width;
    const [name, labels] = [0, 1].map((column) => this.#cells[0][column].clientWidth - CELL_PAD);
    if (name <= 0) return; // not on the page yet
    this.#series.forEach((one, i) => {
      // On a phone labels have no column of their own.
      const first = labels > 0 ? one.metric : `${one.metric} ${one.legend}`.trim();
      setText(this.#cells[i][0], elided(first, name, wide));
      setText(this.#cells[i][1], elided(one.legend, labels, wide));
    });
  }

  #found(): readonly Series[] {
    return search(this.#app.session.directory.measured, this.#app.state.query.trim()).found;
  }

  /** Build one row per series; also called when the directory changes, or their order. */
  #fill(found = this.#found(), series = this.#sorted(found).slice(0, MOST_ROWS)): void {
    const query = this.#app.state.query.trim();
    this.#version = this.#app.session.directory.version;
    this.#series = series;
    this.#cells = this.#series.map((one) => [
      h("th", { scope: "row", title: fullName(one) }, one.metric),
      h("td", {}, one.legend),
      h("td", { class: "number" }),
      h("td", {}),
      h("td", { class: "number" }),
      h("td", {}, h("canvas", { "aria-hidden": "true" })),
      h("td", {}),
      h("td", { class: "number" }),
      h("td", {}),
    ]);
    this.#rows.replaceChildren(...this.#cells.map((row) => h("tr", {}, ...row)));
    const all = plural(found.length, "series", "series");
    this.#count.textContent =
      found.length > this.#series.length
        ? `The first ${formatNumber(MOST_ROWS, 0)} of ${all}${this.#order ? " in this order" : ""}; search to see others.`
        : query
          ? `${all} with “${query}”`
          : all;
    this.#fitNames();
    this.#drawValues();
  }

  draw(): void {
    if (!this.#shown) return;
    const { session } = this.#app;
    if (this.#version !== session.directory.version) {
      this.#fill();
      return;
    }
    const now = performance.now();
    if (now - this.#drawnAt < EVERY_MS) return;
    this.#drawnAt = now;
    if (this.#order) {
      const found = this.#found();
      const series = this.#sorted(found).slice(0, MOST_ROWS);
      if (series.some((one, i) => one !== this.#series[i])) return this.#fill(found, series);
    }
    this.#drawValues();
  }

  #drawValues(): void {
    const { session } = this.#app;
    const nowMs = session.now();
    this.#series.forEach((one, i) => {
      const slot = session.views[LIST].slots.get(one.index);
      if (!slot) return;
      const print = session.prints.of(one, session.views[LIST]);
      const state = tileState(slot, one, { nowMs, alarms: session.alarms });
      const age = ageOf(slot, nowMs);
      const texts = [
        wordOf(slot) || printValue(slot.lastValue, print),
        print.unit.text,
        null,
        null,
        shortAgeWords(age),
        formatReading(slot.rate, 2),
        state === "nodata" ? "no data" : state === "unknown" ? "–" : state,
      ];
      texts.forEach((text, k) => text === null || setText(this.#cells[i][k + 2], text));
      setAttribute(this.#cells[i][6], "title", ageWords(age));
    });
    this.#drawSparks(nowMs);
  }

  /** Write the mean and draw the line of the rows that are in view. */
  #drawSparks(nowMs: number): void {
    const { session, tokens } = this.#app;
    const ring = session.views[LIST];
    const scroller = this.#rows.closest<HTMLElement>(".table-scroll");
    const first = Math.max(0, Math.floor((scroller?.scrollTop ?? 0) / ROW_PX) - 2);
    const last = first + Math.ceil((scroller?.clientHeight || ROW_PX * 40) / ROW_PX) + 4;
    const startMs = nowMs - SIDEBAR_WINDOW_MS;
    const columns = columnsOf(SIDEBAR_WINDOW_MS, SPARK_PX.width * devicePixelRatio);
    for (let i = first; i < Math.min(last, this.#series.length); i++) {
      const slot = ring.slots.get(this.#series[i].index);
      const canvas = this.#cells[i][SPARK].firstElementChild as HTMLCanvasElement;
      const ctx = canvas.getContext("2d");
      if (!slot || !ctx) continue;
      const trace = readSpark(ring, slot, columns, nowMs);
      const print = session.prints.of(this.#series[i], ring);
      const { min, max, mean, error } = figuresOf(trace, startMs, nowMs);
      setText(this.#cells[i][MEAN], printMean(mean, print, min, max, error));
      const { width, height } = SPARK_PX;
      if (!fitCanvas(canvas, width, height, devicePixelRatio)) ctx.clearRect(0, 0, canvas.width, canvas.height);
      ctx.save();
      ctx.scale(devicePixelRatio, devicePixelRatio);
      const box = { left: 0, top: 1, width: width - 3, height: height - 2, hatchRight: width };
      const style = { colour: lineColour(tokens, this.#series[i].style), width: 1.1, dot: 0, alpha: 1 };
      drawSpark(ctx, tokens, trace, slot, box, columns, nowMs, freshness(slot, nowMs), style);
      ctx.restore();
    }
  }
}
