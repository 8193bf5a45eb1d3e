/** Tables in a dialog: the readings of a stretch as they were published, and the latest value of every series. */
import type { App } from "./app";
import type { Series } from "./directory";
import { h, setText } from "./dom";
import { clock, day, formatNumber, plural, shortAge } from "./format";
import { printOf, printValue, type Print } from "./reading";
import { LIST } from "./session";
import { tileState } from "./tiles";
import type { Span } from "./url";

/** Rows of the latest values; more can be searched for. */
const MOST_ROWS = 1_000;
const EVERY_MS = 1_000;

type Row = readonly [time: number, index: number, value: number | null, text: string | null];

const NUMBERS = new Set(["Value", "Rate /s"]);
const head = (names: readonly string[]): HTMLElement => h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col", class: NUMBERS.has(name) ? "number" : undefined }, name))));

/** Ask for the newest readings of a stretch and show them as they are, unrounded. */
export async function showReadings(app: App, title: string, series: readonly Series[], span: Span): Promise<void> {
  const body = h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": `${title}, readings` }, h("p", { class: "muted" }, "Reading…"));
  app.dialog.show(`${title}, ${clock(span.startMs)} – ${clock(span.endMs)}`, body, undefined, true);
  try {
    const answer = await app.session.questions.ask({ t: "table", series: series.map(({ index }) => index), start_ms: span.startMs, end_ms: span.endMs }, true);
    const rows = answer.rows as Row[];
    const shown = rows.map(([time, index, value, text]) => {
      const one = app.session.directory.byIndex.get(index);
      return h("tr", {}, h("td", {}, `${day(time)} ${clock(time, "ms")}`), h("td", {}, one ? `${one.metric} ${one.legend}`.trim() : ""), h("td", { class: "number" }, value === null ? "–" : String(value)), h("td", {}, one?.unit ?? ""), h("td", {}, text ?? ""));
    });
    const note = Number(answer.of) > rows.length ? `The newest ${formatNumber(rows.length, 0)} of ${plural(Number(answer.of), "reading", "readings")}; an export has all.` : plural(rows.length, "reading", "readings");
    body.replaceChildren(h("table", { class: "rows", "data-tw": "raw-table" }, head(["Time", "Series", "Value", "Unit", "Text"]), h("tbody", {}, ...shown)));
    body.before(h("p", { class: "muted" }, note));
    body.focus();
  } catch (error) {
    body.replaceChildren(h("p", { class: "muted" }, (error as Error).message));
  }
}

/** The latest value of every series that the page searches for, kept current while it is open. */
export class LatestValues {
  private cells: HTMLElement[][] = [];
  private series: Series[] = [];
  private body: HTMLElement | null = null;
  private drawnAt = 0;

  constructor(private readonly app: App) {}

  open(): void {
    const { app } = this;
    const words = app.state.query.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = app.session.directory.measured.filter(({ haystack }) => words.every((word) => haystack.includes(word)));
    this.series = found.slice(0, MOST_ROWS);
    this.cells = this.series.map((one) => [h("th", { scope: "row" }, one.metric), h("td", {}, one.legend), h("td", { class: "number" }), h("td", {}), h("td", {}), h("td", { class: "number" }), h("td", {})]);
    const table = h("table", { class: "rows", "data-tw": "latest-table" }, head(["Metric", "Labels", "Value", "Unit", "Age", "Rate /s", "State"]), h("tbody", {}, ...this.cells.map((row) => h("tr", {}, ...row))));
    this.body = h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Latest values" }, table);
    const more = found.length > this.series.length ? h("p", { class: "muted" }, `The first ${formatNumber(MOST_ROWS, 0)} of ${formatNumber(found.length, 0)}; search to see others.`) : null;
    this.drawnAt = 0;
    app.dialog.show(`Latest values of ${plural(found.length, "series", "series")}`, h("div", { class: "table-box" }, more, this.body), () => (this.body = null), true);
    this.draw();
    this.body.focus();
  }

  draw(): void {
    const now = performance.now();
    if (!this.body || now - this.drawnAt < EVERY_MS) return;
    this.drawnAt = now;
    const { session } = this.app;
    const nowMs = session.now();
    this.series.forEach((one, i) => {
      const slot = session.views[LIST].slots.get(one.index);
      if (!slot) return;
      const print: Print = printOf(one.unit, Math.abs(slot.lastValue) || 0, Number.isInteger(slot.lastValue));
      const state = tileState(slot, one, { nowMs, alarms: session.alarms });
      const texts = [printValue(slot.lastValue, print), print.unit.text, shortAge(nowMs - slot.lastIdMs), formatNumber(slot.rate, 2), state === "nodata" ? "no data" : state];
      texts.forEach((text, k) => setText(this.cells[i][k + 2], text));
    });
  }
}
