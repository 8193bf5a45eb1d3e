/** A row for each series: its newest value, mean and greatest of the window, a sparkline and its age. */

import { h, setAttribute, setText, show } from "../../base/dom";
import { elided } from "../../base/elision";
import { fullName } from "../../base/naming";
import { font } from "../../base/tokens";
import { type Ctx, canvasName, fitCanvas } from "../../canvas/draw";
import { strokeLine } from "../../canvas/ink";
import { linear } from "../../canvas/paths";
import type { Picture } from "../../canvas/picture";
import { fillBands } from "../../canvas/state-bands";
import { changedAxis } from "../../model/axis-options";
import { ageOf, ageWords, isSilent, shortAgeWords } from "../../model/freshness";
import { changeChart } from "../../model/layout";
import { printMean, printValue } from "../../model/reading";
import { wordColours } from "../../model/states";
import { figuresOf } from "../figures";
import type { Moment } from "../moment";
import type { ChartKind, Drawing, Shown } from "./kind";
import css from "./kinds.css";
import { Pace } from "./pace";
import { earlierOf, lengthText, newestOf, shownOf, stateOf, wordWithin } from "./readings";
import { nextOrder, type RowValues, rowNames, sorted, sortWords } from "./rows";

const ROW_PX = 26;
const SPARK = { width: 56, height: 16 };
const SPARK_MS = 500;
/** Rows of a table; more can be hidden, split or searched for. */
const MOST_ROWS = 200;
/** Px below which mean and greatest leave, so that names can be read. */
const NARROW_PX = 400;
/** Rows change their places at most this often. */
const SORT_MS = 1_000;
/** The mark of a state and its distance from the name. */
const MARK_PX = 16;

const COLUMNS: readonly (readonly [column: keyof RowValues | "spark" | "then", text: string])[] = [
  ["name", "Series"],
  ["last", "Last"],
  ["then", ""],
  ["mean", "Mean"],
  ["max", "Max"],
  ["spark", ""],
  ["age", "Age"],
];

interface Row {
  element: HTMLElement;
  mark: HTMLElement;
  state: HTMLElement;
  name: HTMLElement;
  last: HTMLElement;
  unit: HTMLElement;
  then: HTMLElement;
  mean: HTMLElement;
  max: HTMLElement;
  spark: HTMLCanvasElement;
  age: HTMLElement;
}

function newRow(): Row {
  const [mark, state, name] = [h("i", { class: "age" }), h("span", { class: "spoken" }), h("span", {})];
  const [last, unit] = [h("b", {}), h("small", {})];
  const [mean, max, age] = [h("td", {}), h("td", {}), h("td", { class: "kind-age" })];
  const then = h("td", { class: "kind-then" });
  const spark = h("canvas", { "aria-hidden": "true" });
  const element = h(
    "tr",
    {},
    h("th", { scope: "row" }, mark, name, state),
    h("td", {}, last, unit),
    then,
    mean,
    max,
    h("td", {}, spark),
    age,
  );
  return { element, mark, state, name, last, unit, then, mean, max, spark, age };
}

class TableDrawing implements Drawing {
  readonly kind = "table";
  readonly words = "";
  readonly #body = h("tbody", {});
  readonly #caption = h("caption", { class: "spoken" });
  readonly #heads: HTMLElement[];
  readonly #more = h("p", { class: "kind-more", "data-tw": "kind-more" });
  readonly #element: HTMLElement;
  readonly #ruler = document.createElement("canvas").getContext("2d") as Ctx;
  #rows: Row[] = [];
  #chart: Shown;
  #order: number[] = [];
  #orderKey = "";
  #orderedAt = -Infinity;
  #sparkAt = -Infinity;
  readonly #pace = new Pace();
  #nameKey = "";
  #picture: { texts: string[][]; tokens: Moment["tokens"]; silent: boolean[]; width: number; height: number } | null =
    null;

  constructor(chart: Shown) {
    this.#chart = chart;
    this.#heads = COLUMNS.map(([column, text]) => {
      if (column === "spark") return h("th", { scope: "col" });
      if (column === "then") return h("th", { scope: "col", class: "kind-then" });
      const button = h("button", { type: "button", "data-column": column, onclick: () => this.#sort(column) }, text);
      return h("th", { scope: "col" }, button);
    });
    this.#element = h(
      "div",
      { class: "kind kind-table", "data-tw": "kind-table" },
      h("style", {}, css),
      h("table", {}, this.#caption, h("thead", {}, h("tr", {}, ...this.#heads)), this.#body),
      this.#more,
    );
    this.#element.addEventListener("scroll", () => (this.#sparkAt = -Infinity));
    const { plotHost } = chart.card;
    plotHost.append(this.#element);
    // An image has no parts that can be pressed.
    setAttribute(plotHost, "role", "group");
  }

  #sort(column: keyof RowValues): void {
    const order = nextOrder(this.#chart.axis.order, column);
    this.#chart.changeDeck?.((_, charts, at) => {
      const axis = changedAxis(charts[at].axis, { order });
      return changeChart(charts, at, { axis: Object.keys(axis).length ? axis : undefined });
    });
  }

  draw(picture: Picture, width: number, height: number, ratio: number, chart: Shown, moment: Moment): void {
    this.#chart = chart;
    if (!this.#pace.due([width, height, ratio], chart, moment)) return;
    const { series, traces, slots, prints, axis } = chart;
    const shown = shownOf(chart);
    const { names } = rowNames(series);
    const figures = new Map(shown.map((i) => [i, figuresOf(traces[i], moment.startMs, moment.endMs)]));
    const now = performance.now();
    const key = `${axis.order} ${shown.map((i) => series[i].index).join()}`;
    if (key !== this.#orderKey || now - this.#orderedAt > SORT_MS) {
      [this.#orderKey, this.#orderedAt] = [key, now];
      const rows = shown.map((i): RowValues => {
        const slot = slots[i];
        const { mean = NaN, max = NaN } = figures.get(i) ?? {};
        const age = slot ? ageOf(slot, moment.nowMs).ms : NaN;
        return { name: names[i], last: newestOf(chart, moment, i), mean, max, age };
      });
      this.#order = sorted(rows, axis.order)
        .slice(0, MOST_ROWS)
        .map((row) => shown[row]);
    }
    this.#frame(chart, moment, width, shown.length);
    while (this.#rows.length < this.#order.length) this.#rows.push(newRow());
    if (this.#rows.length !== this.#body.childElementCount || this.#rows.length > this.#order.length) {
      this.#rows.length = this.#order.length;
      this.#body.replaceChildren(...this.#rows.map(({ element }) => element));
      this.#nameKey = "";
    }
    const texts = this.#order.map((i, k) => {
      const row = this.#rows[k];
      const slot = slots[i];
      const print = prints[i];
      const state = stateOf(chart, moment, i);
      const alarm =
        !moment.zoomed && (state === "live" || state === "unknown") ? moment.alarms.get(series[i].index) : undefined;
      const word = wordWithin(chart, moment, i);
      const { min = NaN, max = NaN, mean = NaN, error = 0 } = figures.get(i) ?? {};
      const age = slot ? ageOf(slot, moment.nowMs) : { ms: NaN, wayMs: NaN };
      const silent = isSilent(state);
      row.element.classList.toggle("silent", silent);
      row.mark.className = `age ${alarm ?? state}`;
      setText(
        row.state,
        silent || alarm || state === "finished" ? `, ${state === "nodata" ? "no data" : (alarm ?? state)}` : "",
      );
      const cells = [
        names[i],
        word || printValue(newestOf(chart, moment, i), print),
        word ? "" : print.unit.text,
        printMean(mean, print, min, max, error),
        printValue(max, print),
        moment.paused || !Number.isFinite(age.ms) ? "–" : shortAgeWords(age),
      ];
      setText(row.then, chart.earlier ? printValue(earlierOf(chart, moment, i), print) : "");
      setText(row.last, cells[1]);
      setText(row.unit, cells[2]);
      setText(row.mean, cells[3]);
      setText(row.max, cells[4]);
      setText(row.age, cells[5]);
      setAttribute(row.age, "title", moment.paused ? "" : ageWords(age));
      return cells;
    });
    if (now - this.#sparkAt > SPARK_MS || moment.zoomed || this.#nameKey === "") {
      this.#sparkAt = now;
      this.#fitNames(names);
      this.#sparks(picture, ratio, height, moment);
    }
    const silent = this.#order.map((i) => isSilent(stateOf(chart, moment, i)));
    this.#picture = { texts, tokens: moment.tokens, silent, width, height };
  }

  /** Write heads, caption and what has no row. */
  #frame({ title, axis, earlier }: Shown, moment: Moment, width: number, count: number): void {
    this.#element.classList.toggle("narrow", width < NARROW_PX);
    this.#element.classList.toggle("compared", earlier !== null);
    setText(this.#heads[2], earlier?.ago ?? "");
    const window = lengthText(moment);
    setText(this.#caption, `${title}: last, mean and greatest value of each series in ${window}`);
    setText(this.#heads[5], window);
    COLUMNS.forEach(([column], k) => {
      if (column === "spark" || column === "then") return;
      setAttribute(this.#heads[k], "aria-sort", sortWords(axis.order, column));
    });
    const more = count - this.#order.length;
    show(this.#more, more > 0);
    setText(this.#more, `and ${more} more: hide some, or split the chart`);
  }

  /** Cut names in their middle, as far as their column is too narrow. */
  #fitNames(names: readonly string[]): void {
    const cell = this.#rows[0]?.name.parentElement;
    // The state's mark stands before a name.
    const room = (cell?.clientWidth ?? 0) - MARK_PX;
    const key = `${room} ${this.#order.map((i) => names[i]).join("\n")}`;
    if (room <= 0 || key === this.#nameKey) return;
    this.#nameKey = key;
    this.#ruler.font = font(400, 12);
    this.#order.forEach((i, k) => {
      const { name } = this.#rows[k];
      setText(
        name,
        elided(names[i], room, (text) => this.#ruler.measureText(text).width),
      );
      setAttribute(name.parentElement as HTMLElement, "title", fullName(this.#chart.series[i]));
    });
  }

  /** Draw the sparklines of the rows that are in view. */
  #sparks(picture: Picture, ratio: number, height: number, { tokens }: Moment): void {
    const { shown, traces, bands } = this.#chart;
    const first = Math.max(0, Math.floor(this.#element.scrollTop / ROW_PX) - 1);
    const last = Math.min(this.#order.length, first + Math.ceil(height / ROW_PX) + 2);
    const x = linear(shown.startMs, shown.endMs, 0, SPARK.width);
    for (let k = first; k < last; k++) {
      const i = this.#order[k];
      const canvas = this.#rows[k].spark;
      const ctx = canvas.getContext("2d") as Ctx;
      if (!fitCanvas(canvas, SPARK.width, SPARK.height, ratio)) ctx.clearRect(0, 0, canvas.width, canvas.height);
      ctx.save();
      ctx.scale(ratio, ratio);
      const trace = traces[i];
      const own = bands?.[i];
      ctx.globalAlpha = picture.stale[i] ? 0.62 : picture.alpha;
      if (own) {
        const colours = wordColours(own.map(([, , text]) => text));
        fillBands(ctx, tokens, { bands: own, colours }, x, { left: 0, right: SPARK.width, top: 2, height: 12 });
      } else if (trace.n > 0) {
        const spare = trace.hi > trace.lo ? 0 : Math.abs(trace.hi) * 0.01 || 1;
        const y = linear(trace.lo - spare, trace.hi + spare, SPARK.height - 1.5, 1.5);
        strokeLine(ctx, trace, x, y, {
          colour: picture.colours[i],
          width: 1.1,
          dash: [],
          columnPx: 1,
          pixel: 1 / ratio,
          text: tokens.text,
          surface: tokens.surface,
        });
      }
      ctx.restore();
    }
  }

  picture(ratio: number): HTMLCanvasElement {
    const canvas = document.createElement("canvas");
    if (!this.#picture) return canvas;
    const { texts, tokens, silent, width } = this.#picture;
    fitCanvas(canvas, width, ROW_PX * (texts.length + 1) + 8, ratio);
    const ctx = canvas.getContext("2d") as Ctx;
    ctx.scale(ratio, ratio);
    const line = (cells: readonly string[], top: number, head: boolean, muted: boolean): void => {
      ctx.font = font(head ? 400 : 500, 12);
      ctx.fillStyle = head || muted ? tokens.muted : tokens.text;
      const [name, last, unit, mean, max, age] = cells;
      const columns = [width - 14, width - 84, width - 164, width - 244];
      ctx.textAlign = "right";
      [age, max, mean, `${last} ${unit}`.trim()].forEach((text, k) => ctx.fillText(text, columns[k], top + 17));
      ctx.textAlign = "left";
      const room = Math.max(20, columns[3] - 104 - 14);
      const cut = elided(name, room, (text) => ctx.measureText(canvasName(text)).width);
      ctx.fillText(canvasName(cut), 14, top + 17);
      ctx.fillStyle = tokens.hairline;
      ctx.fillRect(14, top + ROW_PX - 1, width - 28, 1);
    };
    line(["Series", "Last", "", "Mean", "Max", "Age"], 0, true, false);
    texts.forEach((cells, k) => line(cells, ROW_PX * (k + 1), false, silent[k]));
    return canvas;
  }

  destroy(): void {
    this.#element.remove();
    setAttribute(this.#chart.card.plotHost, "role", "img");
  }
}

export const table: ChartKind = {
  name: "table",
  text: "Table",
  ranged: false,
  misfit: () => "",
  make: (chart) => new TableDrawing(chart),
};
