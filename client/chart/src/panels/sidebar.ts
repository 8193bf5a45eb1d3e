/** The sidebar of a deck: search, labels, and the tree of series with their values. */

import { h, icon, setText, show } from "../base/dom";
import { fitted } from "../base/elision";
import { formatNumber, formatRate } from "../base/format";
import { fullName } from "../base/naming";
import { reportOnce } from "../base/report";
import { font, lineColour } from "../base/tokens";
import { fitCanvas } from "../canvas/draw";
import { drawSpark, readSpark } from "../canvas/sparkline";
import { columnsOf } from "../model/columns";
import type { Series } from "../model/directory";
import { freshness } from "../model/freshness";
import { printValue } from "../model/reading";
import { Searched } from "../model/search";
import { LIST } from "../model/session";
import { wordOf } from "../model/states";
import type { Folder, Leaf } from "../model/tree";
import type { AppContext } from "./app-context";
import { LabelChips } from "./label-chips";
import { SERIES_TYPE } from "./rearrange";
import { SearchBox } from "./search-box";
import { SIDEBAR_WINDOW_MS, SPARK_WIDTH } from "./side-room";
import css from "./sidebar.css";
import { INDENT, type LeafRow, TreeView } from "./tree-view";
import { widthHandle } from "./width-handle";

const SPARK_HEIGHT = 16;
/** From this width of the sidebar on, sparklines are wider. */
const WIDE = 360;
const WIDE_SPARK = 72;

interface Row {
  button: HTMLElement;
  dot: HTMLElement;
  names: HTMLElement;
  name: HTMLElement;
  short: HTMLElement;
  canvas: HTMLCanvasElement;
  value: HTMLElement;
  unit: HTMLElement;
  shown: Leaf | null;
  /** Px that it had for its texts when they were fitted. */
  room: number;
}

/** What the sidebar asks of its deck. */
export interface SidebarDeck {
  on(series: Series): boolean;
  toggle(series: Series): void;
  overlay(series: Series): void;
  /** Add the series of a level as charts. */
  addLevel(folder: Folder): void;
}

export class Sidebar {
  readonly element: HTMLElement;
  readonly #search: SearchBox;
  readonly #chips: LabelChips;
  readonly #tree: TreeView;
  readonly #note = h("div", { class: "side-hidden", "data-tw": "sidebar-note" });
  readonly #foot = h("div", { class: "side-foot", "data-tw": "sidebar-foot" });
  readonly #searched = new Searched();
  readonly #app: AppContext;
  readonly #ruler = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;
  readonly #resizer = new ResizeObserver(() => this.#resized());
  #sparkWidth = SPARK_WIDTH;
  readonly #deck: SidebarDeck;

  /** `element` is where it is shown, as wide as it was left. */
  constructor(app: AppContext, element: HTMLElement, deck: SidebarDeck) {
    this.#app = app;
    this.element = element;
    this.#deck = deck;
    this.#search = new SearchBox((query) => app.change({ query }));
    this.#search.setQuery(app.state.query);
    this.#chips = new LabelChips(app);
    this.#tree = new TreeView({
      label: "Series",
      leafRow: () => this.#createRow(),
      folds: () => app.state.folds,
      setFolds: (folds) => app.change({ folds }),
      enterFolder: (folder, shift) => (shift ? deck.addLevel(folder) : app.change({ query: `${folder.path}/**` })),
      clickFolder: (folder) => this.#tree.fold(folder),
      chooseLeaf: ({ series }, shift) => (shift ? deck.overlay(series) : deck.toggle(series)),
      selected: (branch) => branch.kind === "leaf" && deck.on(branch.series),
      seen: (series) => app.session.gaze.list(series.map(({ index }) => index)),
    });
    this.element.append(
      h("style", {}, css),
      h("div", { class: "side-search" }, this.#search.element),
      this.#chips.element,
      this.#tree.element,
      this.#note,
      this.#foot,
      widthHandle(this.element),
    );
    this.#resizer.observe(this.#tree.element);
    void document.fonts.ready.then(() => this.#resized());
  }

  /** Device pixels of a sparkline. */
  get sparkPx(): number {
    return this.#sparkWidth * devicePixelRatio;
  }

  /** Fit names and sparklines to the width of the sidebar. */
  #resized(): void {
    const wide = this.element.clientWidth >= WIDE;
    this.#sparkWidth = wide ? WIDE_SPARK : SPARK_WIDTH;
    this.element.classList.toggle("wide", wide);
    this.#tree.refill();
  }

  focus(): void {
    this.#search.focus();
  }

  directoryChanged(): void {
    this.#update();
  }

  stateChanged(): void {
    this.#search.setQuery(this.#app.state.query);
    this.#update();
  }

  #update(): void {
    const { directory } = this.#app.session;
    const { query, labels } = this.#app.state;
    const { found, problem } = this.#searched.of(directory, query, labels);
    this.#search.setCount(found.length, directory.measured.length);
    this.#chips.update();
    this.#tree.setSeries(found);
    this.#drawNote(directory.measured.length - found.length, problem);
    this.draw();
  }

  /** Say what the search and the labels hide, and what is wrong with the search. */
  #drawNote(hidden: number, problem: string): void {
    const { query, labels } = this.#app.state;
    const searched = query.trim() !== "";
    const narrowed = searched || Object.keys(labels).length > 0;
    show(this.#note, problem !== "" || (narrowed && hidden > 0));
    const { directory } = this.#app.session;
    const near = hidden === directory.measured.length && searched ? this.#searched.nearest(directory, query) : "";
    const words = `${formatNumber(hidden, 0)} series ${hidden === 1 ? "is" : "are"} hidden by the ${searched ? "search" : "labels"}.`;
    const all = h(
      "button",
      { type: "button", "data-tw": "show-all", onclick: () => this.#app.change({ query: "", labels: {} }) },
      "Show all",
    );
    const text = problem ? `${problem}. ` : near ? `No series matches ${query}. Nearest: ${near}. ` : `${words} `;
    this.#note.replaceChildren(text, all);
  }

  /** Fill the rows in view. */
  draw(): void {
    const { session } = this.#app;
    this.#tree.mark(session.views[LIST], session.alarms, session.now());
    this.#tree.draw();
    this.#drawFoot();
  }

  #createRow(): LeafRow {
    const dot = h("i", { class: "age" });
    const name = h("span", {});
    const short = h("span", { class: "side-short" });
    const names = h("span", { class: "side-name" }, name, " ", short, " ");
    const canvas = h("canvas", { class: "side-spark" });
    const value = h("b", {});
    const unit = h("span", {});
    const button = h(
      "div",
      { class: "side-row", draggable: "true", "data-tw": "sidebar-row" },
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
    const row: Row = { button, dot, names, name, short, canvas, value, unit, shown: null, room: 0 };
    button.addEventListener(
      "dragstart",
      (event) => row.shown && event.dataTransfer?.setData(SERIES_TYPE, String(row.shown.series.index)),
    );
    return {
      element: button,
      fill: (leaf) => this.#fill(row, leaf),
      clear: () => {
        row.shown = null;
      },
    };
  }

  /** Show a series in a row; an error leaves this row without its value, and no other. */
  #fill(row: Row, leaf: Leaf): void {
    const { series } = leaf;
    const on = this.#deck.on(series);
    if (row.shown !== leaf) {
      row.shown = leaf;
      show(row.button, true);
      row.button.style.setProperty("--indent", `${(leaf.depth - 1) * INDENT}px`);
      row.room = row.names.clientWidth - 1;
      this.#ruler.font = font(500, 12); // that of a row that is on, which is wider
      const wide = (text: string): number => this.#ruler.measureText(text).width;
      const labels = leaf.name ? series.shorts : [];
      const texts = leaf.name || !series.short ? this.#tree.namesOf(leaf) : [series.short, ...series.shorts];
      const [name, short] = fitted(texts, labels, row.room, wide);
      setText(row.name, name);
      setText(row.short, short);
      show(row.short, short !== "");
      row.button.dataset.series = String(series.index);
      row.button.title = fullName(series);
    }
    row.button.classList.toggle("on", on);
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
    if (!fitCanvas(row.canvas, this.#sparkWidth, SPARK_HEIGHT, ratio))
      ctx.clearRect(0, 0, row.canvas.width, row.canvas.height);
    if (!slot) {
      setText(row.value, "");
      setText(row.unit, "");
      row.dot.className = "age unknown";
      return;
    }
    const now = session.now();
    const state = freshness(slot, now);
    const alert = state === "live" || state === "unknown" ? (session.alarms.get(series.index) ?? null) : null;
    row.dot.className = `age ${alert ?? state}`;
    const width = this.#sparkWidth;
    const columns = columnsOf(SIDEBAR_WINDOW_MS, this.sparkPx);
    const trace = readSpark(ring, slot, columns, now);
    const print = session.prints.of(series, ring);
    setText(row.value, wordOf(slot) || printValue(slot.lastValue, print));
    setText(row.unit, print.unit.text);
    ctx.save();
    ctx.scale(ratio, ratio);
    const box = { left: 0, top: 0, width, height: SPARK_HEIGHT, hatchRight: width };
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
    this.#foot.replaceChildren(
      h("span", { class: "grow" }, count, " series", h("span", { class: "dotsep" }, "·"), speed, " readings/s"),
      h("kbd", { title: "Hide this list" }, "m"),
    );
  }

  destroy(): void {
    this.#resizer.disconnect();
    this.#chips.destroy();
    this.element.remove();
  }
}
