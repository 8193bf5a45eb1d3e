/** The grid of a deck: keeps one card for each chart of the state, with its size, order, buttons and shared y range. */

import { focusedAt, h, show } from "../base/dom";
import type { Lazy } from "../base/lazy";
import { chartTitle } from "../base/naming";
import { Chart, type SharedRange } from "../chart/chart";
import type { Press } from "../chart/legend";
import { tagsOf } from "../model/axis-options";
import { cells, changeChart, isMany, named, resolve } from "../model/layout";
import { type ChartSpec, DEFAULT_ROWS, formatChart } from "../model/url";
import type { AppContext } from "../panels/app-context";
import { cardButtons } from "./card-menu";
import type { DeckCard, DeckCharts } from "./page";

/** The deck page, as its grid sees it. */
export interface GridOwner extends DeckCharts {
  /** Hide or show a series; with `alone`, all others of its chart. */
  press: Press;
  /** Make a new chart respond to pointers. */
  attach(chart: Chart): void;
  /** Draw at the next animation frame. */
  refresh(): void;
  /** The plot of a chart has another width in device pixels. */
  plotResized(): void;
}

/** What a chart is of, as far as it stays the same chart. */
const pick = ({ series, formula, facet }: ChartSpec): Pick<ChartSpec, "series" | "formula" | "facet"> => ({
  series,
  formula,
  facet,
});

export class CardGrid {
  readonly element = h("div", { class: "grid", "data-tw": "grid" });
  cards: DeckCard[] = [];
  /** Index of the chart that was last under the pointer or focused. */
  last = 0;
  /** Empty cards, shown until the directory is known. */
  readonly #placeholders: Chart[] = [];
  readonly #watcher: IntersectionObserver;
  readonly #formulas: Lazy<typeof import("../panels/formula-card")>;
  readonly #many: Lazy<typeof import("../panels/many")>;
  readonly #app: AppContext;
  readonly #deck: GridOwner;

  constructor(app: AppContext, deck: GridOwner, scroller: HTMLElement) {
    this.#app = app;
    this.#deck = deck;
    this.#formulas = app.part(() => import("../panels/formula-card"));
    this.#many = app.part(() => import("../panels/many"));
    this.#watcher = new IntersectionObserver((entries) => this.#onIntersect(entries), {
      root: scroller,
      rootMargin: "80px",
    });
  }

  /** Return the card that keys act on: the focused one, or else the one under the pointer. */
  current(): DeckCard | undefined {
    const inside = (element: Element | null): DeckCard | undefined =>
      this.cards.find(({ chart }) => element !== null && chart.card.element.contains(element));
    return inside(focusedAt(this.element)) ?? inside(this.element.querySelector(".card:hover"));
  }

  /** Update the cards to the state; a chart that stays keeps its object. */
  reconcile(): void {
    const { session, state, savedDecks } = this.#app;
    const { directory } = session;
    const before = new Map(this.cards.map((one) => [one.key, one]));
    const seen = new Map<string, number>();
    const hidden = new Set(
      [...directory.list, ...directory.results()].filter((one) => named(state.hidden, one)).map(({ index }) => index),
    );
    const ranges = new Map<number, SharedRange>();
    this.cards = cells(directory, this.#deck.specs(), state).map((cell) => {
      const name = `${formatChart({ ...pick(cell.spec), columns: 4 })} ${cell.facet ?? ""}`;
      const copy = seen.get(name) ?? 0;
      seen.set(name, copy + 1);
      const key = `${name} ${copy}`;
      const chart = before.get(key)?.chart ?? this.#create();
      before.delete(key);
      return { ...cell, key, chart };
    });
    if (this.cards.length || !savedDecks.reading)
      for (const placeholder of this.#placeholders.splice(0)) placeholder.destroy();
    for (const gone of before.values()) {
      this.#watcher.unobserve(gone.chart.card.element);
      gone.chart.destroy();
    }
    const labels = Object.entries(state.labels)
      .map(([name, value]) => `${name}: ${value}`)
      .concat(state.select ? ["the labels of the selection"] : [])
      .join(", ");
    const only = this.cards.some(({ at }) => this.#deck.isAlone(at)) ? state.only : null;
    this.element.classList.toggle("alone", only !== null);
    this.cards.forEach(({ chart, spec, series, at, facet }, i) => {
      const { element } = chart.card;
      show(element, only === null || only === at);
      const names = [...new Set(spec.series.map((ref) => ref.metric))];
      chart.formula = spec.formula;
      chart.byValue = spec.byValue ?? false;
      chart.facetOf(spec.facet, facet);
      const { kind = "auto", axis = {} } = spec;
      const right = axis.right?.flatMap((number) => spec.series[number - 1] ?? []);
      chart.drawAs(kind, axis, right ? (one) => named(right, one) : null);
      const { formula } = spec;
      const tags = tagsOf(kind, axis);
      if (formula === undefined) chart.card.tags(tags);
      else
        this.#formulas.use(({ dress }) =>
          dress(chart.card, spec, directory.formula(formula)?.state, tags, (mended) =>
            this.#deck.setCharts(changeChart(this.#deck.specs(), at, { formula: mended })),
          ),
        );
      if (facet !== null && !ranges.has(at)) ranges.set(at, new Map());
      chart.range = facet === null ? null : (ranges.get(at) as SharedRange);
      chart.card.lacks = series.length === 0 && resolve(directory, spec).length > 0 ? labels : "";
      const title =
        formula !== undefined || directory.list.length > 0 ? chartTitle([...names, ...(formula ? [formula] : [])]) : "";
      if (chart.many || isMany(spec, series)) this.#dressMany(chart, title);
      else chart.setSeries(series, title);
      chart.hide(hidden);
      element.style.gridColumn = `span ${spec.columns}`;
      element.style.gridRow = `span ${spec.rows ?? DEFAULT_ROWS}`;
      element.dataset.columns = String(spec.columns);
      if (this.element.children[i] !== element) this.element.insertBefore(element, this.element.children[i] ?? null);
      this.#updateButtons(this.cards[i]);
    });
  }

  /** Let others stand in the place of very many series. */
  #dressMany(chart: Chart, title: string): void {
    this.#many.use(({ dress }) => {
      const own = this.cards.find((card) => card.chart === chart);
      if (!own) return;
      const source = chart.formula;
      dress(own, title, this.#app, (part) => this.#deck.setCharts(changeChart(this.#deck.specs(), own.at, part)));
      if (chart.formula !== source) this.#deck.plotResized();
    });
  }

  /** Remove the buttons that leave a zoom, once the page is live again. */
  zoomEnded(): void {
    if (this.element.querySelector('[data-tw="chart-unzoom"]'))
      for (const card of this.cards) this.#updateButtons(card);
  }

  /** Show nine empty cards. */
  showPlaceholders(): void {
    if (this.element.childElementCount > 0) return;
    for (let i = 0; i < 9; i++) {
      const chart = new Chart();
      chart.card.loading(true, "Loading");
      chart.card.element.style.gridColumn = "span 4";
      this.element.append(chart.card.element);
      this.#placeholders.push(chart);
    }
  }

  #create(): Chart {
    const chart = new Chart(
      (series, alone) => this.#deck.press(series, alone),
      () => this.#deck.plotResized(),
      () => this.#app.switchEvents(),
      (make) => {
        const at = this.cards.find((one) => one.chart === chart)?.at;
        if (at !== undefined) this.#deck.setCharts(make(this.#deck.directory, this.#deck.specs(), at));
      },
    );
    this.#watcher.observe(chart.card.element);
    this.#deck.attach(chart);
    for (const touched of ["pointerenter", "focusin"])
      chart.card.element.addEventListener(
        touched,
        () => (this.last = this.cards.find((one) => one.chart === chart)?.at ?? 0),
      );
    return chart;
  }

  #updateButtons(card: DeckCard): void {
    const { timeline, time } = this.#app;
    card.chart.card.menu.replaceChildren(cardButtons(this.#deck, card, timeline.zoom !== null, () => time.live()));
  }

  #onIntersect(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const one = this.cards.find(({ chart }) => chart.card.element === entry.target);
      if (one) one.chart.visible = entry.isIntersecting;
    }
    this.#deck.refresh();
  }

  destroy(): void {
    this.#watcher.disconnect();
    for (const { chart } of this.cards) chart.destroy();
  }
}
