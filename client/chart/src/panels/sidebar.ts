/** The sidebar of a deck: search, groups and rows. Only rows in view exist as elements. */

import { h, icon, setAttribute, setText, show } from "../base/dom";
import { fitted } from "../base/elision";
import { formatNumber, formatRate } from "../base/format";
import { groupBy } from "../base/group-by";
import { fullName } from "../base/naming";
import { reportOnce } from "../base/report";
import { font, lineColour } from "../base/tokens";
import { fitCanvas } from "../canvas/draw";
import { drawSpark, readSpark } from "../canvas/sparkline";
import { columnsOf } from "../model/columns";
import type { Series } from "../model/directory";
import { freshness } from "../model/freshness";
import { printValue } from "../model/reading";
import { LIST } from "../model/session";
import { wordOf } from "../model/states";
import type { AppContext } from "./app-context";
import { SERIES_TYPE } from "./rearrange";
import { SearchBox } from "./search-box";
import { SIDEBAR_WINDOW_MS, SPARK_WIDTH } from "./side-room";
import { widthHandle } from "./width-handle";

const ROW = 26;
/** On a phone, where rows are touched. */
const TOUCH_ROW = 40;
const rowHeight = (): number => (window.matchMedia("(max-width: 767px)").matches ? TOUCH_ROW : ROW);
const GROUP = 28;
const GROUP_GAP = 4;
const SPARK = { width: SPARK_WIDTH, height: 16 };
/** From this width of the sidebar on, sparklines are wider. */
const WIDE = 360;
const WIDE_SPARK = 72;
/** Rows kept beyond the visible ones. */
const SPARE = 4;

type Entry =
  | { kind: "group"; name: string; count: number; top: number; open: boolean }
  | { kind: "row"; series: Series; top: number };

interface Row {
  element: HTMLElement;
  button: HTMLButtonElement;
  dot: HTMLElement;
  names: HTMLElement;
  name: HTMLElement;
  short: HTMLElement;
  canvas: HTMLCanvasElement;
  value: HTMLElement;
  unit: HTMLElement;
  shown: Series | null;
}

export class Sidebar {
  readonly element: HTMLElement;
  readonly #search: SearchBox;
  readonly #scroller = h("div", { class: "side-scroll" });
  readonly #spacer = h("div", { class: "side-spacer" });
  readonly #foot = h("div", { class: "side-foot", "data-tw": "sidebar-foot" });
  readonly #rows: Row[] = [];
  readonly #groups = new Map<string, HTMLElement>();
  readonly #closed = new Set<string>();
  #entries: Entry[] = [];
  #query = "";
  readonly #app: AppContext;
  readonly #ruler = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;
  readonly #resizer = new ResizeObserver(() => this.#resized());
  /** Px that a row has for its name and labels. */
  #room = 0;
  #sparkWidth = SPARK.width;
  readonly #deck: {
    on: (series: Series) => boolean;
    toggle: (series: Series) => void;
    overlay: (series: Series) => void;
  };

  /** `element` is where it is shown, as wide as it was left. */
  constructor(
    app: AppContext,
    element: HTMLElement,
    deck: { on: (series: Series) => boolean; toggle: (series: Series) => void; overlay: (series: Series) => void },
  ) {
    this.#app = app;
    this.element = element;
    this.#deck = deck;
    this.#query = app.state.query;
    this.#search = new SearchBox((query) => {
      this.#query = query;
      app.change({ query });
    });
    this.#search.setQuery(this.#query);
    this.#scroller.append(this.#spacer);
    this.#scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    this.element.append(
      h("div", { class: "side-search" }, this.#search.element),
      this.#scroller,
      this.#foot,
      widthHandle(this.element),
    );
    this.#resizer.observe(this.#scroller);
    void document.fonts.ready.then(() => this.#resized());
  }

  /** Fit names and sparklines to the width of the sidebar. */
  /** Device pixels of a sparkline. */
  get sparkPx(): number {
    return this.#sparkWidth * devicePixelRatio;
  }

  #resized(): void {
    const wide = this.element.clientWidth >= WIDE;
    this.#sparkWidth = wide ? WIDE_SPARK : SPARK.width;
    this.element.classList.toggle("wide", wide);
    for (const row of this.#rows) row.shown = null;
    this.#room = 0;
    this.draw();
  }

  focus(): void {
    this.#search.focus();
  }

  directoryChanged(): void {
    this.#search.setCount(this.#app.session.directory.measured.length);
    this.#layout();
  }

  stateChanged(): void {
    this.#query = this.#app.state.query;
    this.#search.setQuery(this.#query);
    this.#layout();
  }

  #layout(): void {
    const byGroup = groupBy(this.#app.session.directory.search(this.#query), ({ group }) => group);
    this.#entries = [];
    let top = 0;
    for (const [name, series] of byGroup) {
      if (top > 0) top += GROUP_GAP;
      const open = this.#query.trim() !== "" || !this.#closed.has(name);
      this.#entries.push({ kind: "group", name, count: series.length, top, open });
      top += GROUP;
      if (!open) continue;
      for (const one of series) {
        this.#entries.push({ kind: "row", series: one, top });
        top += rowHeight();
      }
    }
    this.#spacer.style.height = `${top}px`;
    for (const [name, element] of this.#groups) {
      if (byGroup.has(name)) continue;
      element.remove();
      this.#groups.delete(name);
    }
    this.draw();
  }

  /** Place and fill the rows in view. */
  draw(): void {
    const from = this.#scroller.scrollTop - rowHeight() * SPARE;
    const to = this.#scroller.scrollTop + (this.#scroller.clientHeight || 900) + rowHeight() * SPARE;
    let used = 0;
    const seen: number[] = [];
    for (const entry of this.#entries) {
      const inView = entry.top >= from && entry.top <= to;
      if (entry.kind === "group") this.#placeGroup(entry, inView);
      else if (inView) seen.push(entry.series.index);
      if (entry.kind === "row" && inView) this.#fill(this.#rows[used++] ?? this.#createRow(), entry.series, entry.top);
    }
    for (let i = used; i < this.#rows.length; i++) {
      show(this.#rows[i].element, false);
      this.#rows[i].shown = null;
    }
    this.#app.session.gaze.list(seen);
    this.#drawFoot();
  }

  #placeGroup(entry: Entry & { kind: "group" }, inView: boolean): void {
    let element = this.#groups.get(entry.name);
    if (!element) {
      if (!inView) return;
      element = h(
        "button",
        { type: "button", class: "side-group", "data-tw": "sidebar-group", onclick: () => this.#fold(entry.name) },
        icon("chevron", 14),
        h("span", { class: "side-group-name" }),
        h("span", { class: "side-group-count" }),
      );
      this.#groups.set(entry.name, element);
      this.#spacer.append(element);
    }
    element.style.transform = `translateY(${entry.top}px)`;
    setAttribute(element, "aria-expanded", String(entry.open));
    const [, name, count] = element.children;
    setText(name as HTMLElement, this.#app.session.directory.heading(entry.name));
    setText(count as HTMLElement, String(entry.count));
  }

  #fold(name: string): void {
    if (!this.#closed.delete(name)) this.#closed.add(name);
    this.#layout();
  }

  #createRow(): Row {
    const dot = h("i", { class: "age" });
    const name = h("span", {});
    const short = h("span", { class: "side-short" });
    const names = h("span", { class: "side-name" }, name, " ", short, " ");
    const canvas = h("canvas", { class: "side-spark" });
    const value = h("b", {});
    const unit = h("span", {});
    const button = h(
      "button",
      { type: "button", class: "side-row", draggable: "true", "data-tw": "sidebar-row" },
      dot,
      names,
      h(
        "span",
        { class: "side-mid" },
        canvas,
        h("span", { class: "side-plus", "aria-hidden": "true" }, icon("plus", 14)),
      ),
      h("span", { class: "side-value" }, value, " ", unit),
    );
    const row: Row = { element: button, button, dot, names, name, short, canvas, value, unit, shown: null };
    button.addEventListener(
      "click",
      (event) => row.shown && (event.shiftKey ? this.#deck.overlay(row.shown) : this.#deck.toggle(row.shown)),
    );
    button.addEventListener(
      "dragstart",
      (event) => row.shown && event.dataTransfer?.setData(SERIES_TYPE, String(row.shown.index)),
    );
    this.#rows.push(row);
    this.#spacer.append(button);
    return row;
  }

  /** Show a series in a row; an error leaves this row without its value, and no other. */
  #fill(row: Row, series: Series, top: number): void {
    const on = this.#deck.on(series);
    show(row.element, true);
    if (row.shown !== series) {
      row.shown = series;
      this.#room ||= row.names.clientWidth - 1;
      this.#ruler.font = font(500, 12); // that of a row that is on, which is wider
      const [name, short] = fitted(
        series.names,
        series.shorts,
        this.#room,
        (text) => this.#ruler.measureText(text).width,
      );
      setText(row.name, name);
      setText(row.short, short);
      show(row.short, short !== "");
      row.button.dataset.series = String(series.index);
      row.button.title = fullName(series);
    }
    row.element.style.transform = `translateY(${top}px)`;
    row.button.classList.toggle("on", on);
    setAttribute(row.button, "aria-pressed", String(on));
    try {
      this.#fillValue(row, series, on);
    } catch (error) {
      setText(row.value, "–");
      setText(row.unit, "");
      reportOnce(fullName(series), error);
    }
  }

  #fillValue(row: Row, series: Series, on: boolean): void {
    const { session, tokens } = this.#app;
    const ring = session.views[LIST];
    const slot = ring.slots.get(series.index);
    const ctx = row.canvas.getContext("2d") as CanvasRenderingContext2D;
    const ratio = devicePixelRatio;
    if (!fitCanvas(row.canvas, this.#sparkWidth, SPARK.height, ratio))
      ctx.clearRect(0, 0, row.canvas.width, row.canvas.height);
    if (!slot) {
      setText(row.value, "");
      setText(row.unit, "");
      row.dot.className = "age unknown";
      return;
    }
    const now = session.now();
    const state = freshness(slot, now);
    const alert = state === "live" ? (session.alarms.get(series.index) ?? null) : null;
    row.dot.className = `age ${alert ?? state}`;
    const width = this.#sparkWidth;
    const columns = columnsOf(SIDEBAR_WINDOW_MS, this.sparkPx);
    const trace = readSpark(ring, slot, columns, now);
    const print = session.prints.of(series, ring);
    setText(row.value, wordOf(slot) || printValue(slot.lastValue, print));
    setText(row.unit, print.unit.text);
    ctx.save();
    ctx.scale(ratio, ratio);
    const box = { left: 0, top: 0, width, height: SPARK.height, hatchRight: width };
    drawSpark(ctx, tokens, trace, slot, box, columns, now, state, {
      colour: on ? lineColour(tokens, series.style) : tokens.muted,
      width: 1.1,
      dot: 0,
      alpha: on ? 1 : 0.75,
    });
    ctx.restore();
  }

  #drawFoot(): void {
    const { session } = this.#app;
    const rate = session.status?.readings_per_s ?? 0;
    const count = h("b", {}, formatNumber(session.directory.measured.length, 0));
    const speed = h("b", {}, formatRate(rate));
    const key = `${count.textContent} ${speed.textContent}`;
    if (this.#foot.dataset.shown === key) return;
    this.#foot.dataset.shown = key;
    this.#foot.replaceChildren(count, " series", h("span", { class: "dotsep" }, "·"), speed, " readings/s");
  }

  destroy(): void {
    this.#resizer.disconnect();
    this.element.remove();
  }
}
