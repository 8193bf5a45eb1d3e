/** The deck page: sidebar, chart grid and drawer, drawn from two views. */

import { h, show } from "../base/dom";
import { chartTitle } from "../base/naming";
import { GUTTER } from "../canvas/plot";
import { Chart, type SharedRange } from "../chart/chart";
import { Crosshair } from "../chart/crosshair";
import type { Moment } from "../chart/moment";
import { bucketsFor } from "../model/buckets";
import type { Directory, Series } from "../model/directory";
import {
  cells,
  changeChart,
  defaultCharts,
  isOnDeck,
  moveChart,
  named,
  pressed,
  refOf,
  toggleSeries,
} from "../model/layout";
import { CHARTS, LIST } from "../model/session";
import {
  type ChartSpec,
  DEFAULT_COLUMNS,
  DEFAULT_ROWS,
  formatChart,
  MAX_COLUMNS,
  MAX_ROWS,
  MIN_COLUMNS,
  MIN_ROWS,
} from "../model/url";
import type { Action } from "../panels/action";
import type { AppContext } from "../panels/app-context";
import { Drawer } from "../panels/drawer";
import { Rearrange } from "../panels/rearrange";
import { Sidebar } from "../panels/sidebar";
import { fillWall, WallTiles } from "../panels/wall-tiles";
import { chartActions } from "./actions";
import { cardButtons } from "./card-menu";
import type { DeckCard, DeckCharts, Page } from "./page";

const FPS = 5;
/** Windows this long move less than a pixel a second: two frames a second are enough. */
const SLOW_WINDOW_MS = 3_600_000;
const SIDEBAR_WINDOW_MS = 120_000;
const SIDEBAR_BUCKETS = 60;
const PAUSED_DRAW_MS = 1_000;
const SPEAK_MS = 5_000;
/** As in deck.css. */
const SCROLL_PAD = 16;
/** Up to these widths of the charts' area there are two columns, or one. */
const TWO_COLUMNS_PX = 972;
const ONE_COLUMN_PX = 632;

export class DeckPage implements Page, DeckCharts {
  readonly element = h("div", { class: "deck-page" });
  readonly crosshair: Crosshair;
  readonly actions: readonly Action[];
  readonly #scroller = h("div", { class: "deck-scroll", tabindex: "-1" });
  readonly #grid = h("div", { class: "grid", "data-tw": "grid" });
  readonly #none = h("p", { class: "deck-none" }, "Click a series in the sidebar to add its chart.");
  readonly #sidebar: Sidebar;
  readonly #drawer: Drawer;
  readonly #wall = new WallTiles();
  #cards: DeckCard[] = [];
  readonly #placeholders: Chart[] = [];
  readonly #watcher: IntersectionObserver;
  readonly #resizer: ResizeObserver;
  readonly #rearrange: Rearrange;
  #drawnVersion = -1;
  #listVersion = -1;
  #dirty = true;
  /** The chart that was last under the pointer or focused. */
  #last = 0;
  #drawnAt = 0;
  #spokenAt = 0;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#sidebar = new Sidebar(app, {
      on: (series) => isOnDeck(app.session.directory, this.specs(), series),
      toggle: (series) => this.#toggle(series),
      overlay: (series) => this.#overlaySeries(this.#last, series.index),
    });
    this.#drawer = new Drawer(app, () => this.toggleDrawer());
    this.#scroller.append(this.#wall.element, this.#grid, this.#none);
    this.element.append(this.#sidebar.element, this.#scroller, this.#drawer.element);
    this.crosshair = new Crosshair(
      () => this.#cards.map((one) => one.chart),
      (span) => app.time.zoomTo(span),
      () => app.time.live(),
      (span) => app.time.preview(span),
    );
    this.#rearrange = new Rearrange(this.#grid, this.#scroller, {
      move: (from, to) => this.setCharts(moveChart(this.specs(), this.#cards[from].at, this.#cards[to].at)),
      drop: (card, index) => (card < 0 ? this.#addChart(index) : this.#overlaySeries(this.#cards[card].at, index)),
      resize: (card, columns, rows) =>
        this.setCharts(changeChart(this.specs(), this.#cards[card].at, this.#sized(columns, rows))),
    });
    this.actions = chartActions(this);
    this.#watcher = new IntersectionObserver((entries) => this.#onIntersect(entries), {
      root: this.#scroller,
      rootMargin: "80px",
    });
    this.#resizer = new ResizeObserver(() => {
      // Not container queries: those made the browser lay out twice for every text that changed.
      const wide = this.#scroller.clientWidth;
      this.#grid.dataset.room = app.state.kiosk || wide > TWO_COLUMNS_PX ? "" : wide > ONE_COLUMN_PX ? "2" : "1";
      if (app.state.kiosk) fillWall(this.#scroller, this.#grid);
      this.#requestViews();
      this.refresh();
    });
    this.#resizer.observe(this.#grid);
    this.#resizer.observe(this.#scroller);
  }

  specs(): ChartSpec[] {
    const { state, savedDecks } = this.#app;
    return (
      state.charts ??
      savedDecks.charts ??
      (savedDecks.reading ? [] : defaultCharts(this.#app.session.directory, state.slug))
    );
  }

  /** Open the drawer of the chart at an index. */
  openDrawer(at: number): void {
    this.#app.change({ drawer: at });
    this.#drawer.focus();
  }

  /** Close the drawer, or open that of the current chart. */
  toggleDrawer(): void {
    if (this.#app.state.drawer !== null) return this.#app.change({ drawer: null });
    if (this.#cards.length) this.openDrawer(this.current()?.at ?? this.#last);
  }

  isAlone(at: number): boolean {
    return this.#app.state.only === at;
  }

  /** Show one chart alone, or all again. */
  alone(at: number): void {
    this.#app.change({ only: this.isAlone(at) ? null : at }, true);
  }

  watched(): Set<number> {
    return new Set(this.#cards.flatMap((one) => one.chart.series.map((series) => series.index)));
  }

  get directory(): Directory {
    return this.#app.session.directory;
  }

  /** Set the charts, as a step of the browser's history: Back undoes it. */
  setCharts(charts: ChartSpec[]): void {
    const { drawer } = this.#app.state;
    this.#app.change({ charts, drawer: drawer !== null && drawer < charts.length ? drawer : null, only: null }, true);
  }

  /** Return the card that keys act on: the focused one, or else the one under the pointer. */
  current(): DeckCard | undefined {
    const root = this.#grid.getRootNode() as Document | ShadowRoot;
    const inside = (element: Element | null): DeckCard | undefined =>
      this.#cards.find(({ chart }) => element !== null && chart.card.element.contains(element));
    return inside(root.activeElement) ?? inside(this.#grid.querySelector(".card:hover"));
  }

  #sized(columns: number, rows: number): Partial<ChartSpec> {
    const between = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));
    return { columns: between(columns, MIN_COLUMNS, MAX_COLUMNS), rows: between(rows, MIN_ROWS, MAX_ROWS) };
  }

  /** Hide or show a series; with `alone`, all others of its chart. */
  #press(series: Series, alone: boolean): void {
    const own = this.#cards.find((one) => one.series.includes(series))?.series ?? [];
    this.#app.change({ hidden: pressed(this.#app.state.hidden, own, series, alone) });
  }

  #toggle(series: Series): void {
    this.setCharts(toggleSeries(this.#app.session.directory, this.specs(), series));
  }

  /** Append a chart for a series, even if other charts show it. */
  #addChart(index: number): void {
    const series = this.directory.byIndex.get(index);
    if (series)
      this.setCharts([...this.specs(), { series: [refOf(this.directory, series)], columns: DEFAULT_COLUMNS }]);
  }

  #overlaySeries(at: number, index: number): void {
    const series = this.#app.session.directory.byIndex.get(index);
    if (!series || this.#cards.some((one) => one.at === at && one.series.includes(series))) return;
    if (at >= this.specs().length) return this.#toggle(series);
    const charts = this.specs().map((chart, i) =>
      i === at ? { ...chart, series: [...chart.series, refOf(this.#app.session.directory, series)] } : chart,
    );
    this.setCharts(charts);
  }

  directoryChanged(): void {
    this.#reconcile();
    this.#sidebar.directoryChanged();
  }

  stateChanged(): void {
    this.#reconcile();
    this.#sidebar.stateChanged();
  }

  /** Update the cards to the state; a chart that stays keeps its object. */
  #reconcile(): void {
    const { directory } = this;
    const specs = this.specs();
    const before = new Map(this.#cards.map((one) => [one.key, one]));
    const seen = new Map<string, number>();
    const off = new Set(
      directory.list.filter((series) => named(this.#app.state.hidden, series)).map((series) => series.index),
    );
    const ranges = new Map<number, SharedRange>();
    this.#cards = cells(directory, specs).map((cell) => {
      const name = `${formatChart({ series: cell.spec.series, columns: 4, facet: cell.spec.facet })} ${cell.facet ?? ""}`;
      const copy = seen.get(name) ?? 0;
      seen.set(name, copy + 1);
      const key = `${name} ${copy}`;
      const chart = before.get(key)?.chart ?? this.#create();
      before.delete(key);
      return { ...cell, key, chart };
    });
    if (this.#cards.length || !this.#app.savedDecks.reading)
      for (const placeholder of this.#placeholders.splice(0)) placeholder.destroy();
    for (const gone of before.values()) {
      this.#watcher.unobserve(gone.chart.card.element);
      gone.chart.destroy();
    }
    const only = this.#cards.some(({ at }) => this.isAlone(at)) ? this.#app.state.only : null;
    this.#grid.classList.toggle("alone", only !== null);
    this.#cards.forEach(({ chart, spec, series, at, facet }, i) => {
      const { element } = chart.card;
      show(element, only === null || only === at);
      const names = [...new Set(spec.series.map((ref) => ref.metric))];
      chart.facetOf(spec.facet, facet);
      if (facet !== null && !ranges.has(at)) ranges.set(at, new Map());
      chart.range = facet === null ? null : (ranges.get(at) as SharedRange);
      chart.setSeries(series, directory.list.length > 0 ? chartTitle(names) : "");
      chart.hide(off);
      element.style.gridColumn = `span ${spec.columns}`;
      element.style.gridRow = `span ${spec.rows ?? DEFAULT_ROWS}`;
      element.dataset.columns = String(spec.columns);
      if (this.#grid.children[i] !== element) this.#grid.insertBefore(element, this.#grid.children[i] ?? null);
      this.#menu(this.#cards[i]);
    });
    if (this.#app.state.kiosk) fillWall(this.#scroller, this.#grid);
    show(this.#none, this.#cards.length === 0 && directory.list.length > 0 && !this.#app.savedDecks.reading);
    this.#drawerOf();
    this.#requestViews();
    this.refresh();
  }

  /** Update the drawer's chart, and mark that chart by a border. */
  #drawerOf(): void {
    const { drawer } = this.#app.state;
    const own = drawer === null ? [] : this.#cards.filter(({ at }) => at === drawer).map(({ chart }) => chart);
    const root = this.element.getRootNode() as Document | ShadowRoot;
    if (own.length === 0 && this.#drawer.element.contains(root.activeElement)) this.#scroller.focus();
    this.#drawer.of(own);
    this.element.classList.toggle("with-drawer", own.length > 0);
    for (const { chart } of this.#cards) chart.card.element.classList.toggle("owner", own.includes(chart));
  }

  #create(): Chart {
    const chart = new Chart((series, alone) => this.#press(series, alone));
    this.#watcher.observe(chart.card.element);
    this.crosshair.attach(chart);
    this.#rearrange.attach(chart.card.head, chart.card.element);
    for (const touched of ["pointerenter", "focusin"])
      chart.card.element.addEventListener(
        touched,
        () => (this.#last = this.#cards.find((one) => one.chart === chart)?.at ?? 0),
      );
    return chart;
  }

  #menu(card: DeckCard): void {
    card.chart.card.menu.replaceChildren(
      cardButtons(this, card, this.#app.timeline.zoom !== null, () => this.#app.time.live()),
    );
  }

  /** Request the views that this page needs. */
  #requestViews(): void {
    const series = [...this.watched()].sort((a, b) => a - b);
    const windowMs = this.#app.state.windowMs;
    let widest = 0;
    for (const { chart } of this.#cards)
      widest = Math.max(widest, chart.card.plotHost.clientWidth - GUTTER.left - GUTTER.right);
    if (series.length > 0 && widest > 0) {
      const buckets = bucketsFor(windowMs, widest);
      this.#app.session.requestView(CHARTS, {
        series,
        window_ms: windowMs,
        buckets,
        fps: windowMs >= SLOW_WINDOW_MS ? 2 : FPS,
      });
    } else if (series.length === 0) {
      this.#app.session.requestView(CHARTS, null);
    }
    this.#app.timeline.fetch(series, Math.max(50, widest), windowMs, () => this.refresh());
    this.#app.session.requestView(LIST, {
      series: null,
      window_ms: SIDEBAR_WINDOW_MS,
      buckets: SIDEBAR_BUCKETS,
      fps: 2,
    });
  }

  #onIntersect(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const one = this.#cards.find(({ chart }) => chart.card.element === entry.target);
      if (one) one.chart.visible = entry.isIntersecting;
    }
    this.refresh();
  }

  refresh(): void {
    this.#dirty = true;
    this.#app.requestDraw();
  }

  draw(fresh: boolean): void {
    const { timeline, session } = this.#app;
    const ring = timeline.ring(CHARTS);
    const list = session.views[LIST];
    const now = performance.now();
    if (!fresh || list.version !== this.#listVersion) {
      this.#listVersion = list.version;
      this.#sidebar.draw();
    }
    const due = timeline.paused ? now - this.#drawnAt > PAUSED_DRAW_MS : !fresh || ring.version !== this.#drawnVersion;
    if (!due && !this.#dirty) return;
    const wasZoomed = this.element.classList.toggle("zoomed", timeline.zoom !== null);
    if (!wasZoomed && this.#grid.querySelector('[data-tw="chart-unzoom"]'))
      for (const one of this.#cards) this.#menu(one);
    this.#dirty = false;
    this.#drawnAt = now;
    this.#drawnVersion = ring.version;
    const speak = now - this.#spokenAt > SPEAK_MS;
    if (speak) this.#spokenAt = now;
    const span = timeline.window(this.#app.state.windowMs);
    const moment: Moment = {
      ring,
      startMs: span.startMs,
      endMs: span.endMs,
      nowMs: timeline.now(),
      paused: timeline.paused,
      zoomed: timeline.zoom !== null,
      settled: timeline.settled,
      offline: this.#app.offline(),
      tokens: this.#app.tokens,
      events: session.events,
      thresholds: session.thresholds,
      alarms: session.alarms,
      speak,
    };
    this.crosshair.frame(moment);
    if (this.#cards.length === 0 && (session.directory.list.length === 0 || this.#app.savedDecks.reading))
      this.#skeletons();
    for (const { chart } of this.#cards) chart.draw(moment);
    this.#drawer.draw(this.#app.tokens);
    if (this.#app.state.kiosk) this.#drawWall(moment);
  }

  #drawWall(moment: Moment): void {
    const endMs = this.#app.session.now();
    const { tokens, alarms } = moment;
    this.#wall.draw(
      this.#cards.map(({ series }) => series),
      {
        ring: this.#app.session.views[LIST],
        nowMs: endMs,
        startMs: endMs - SIDEBAR_WINDOW_MS,
        endMs,
        tokens,
        alarms,
        wall: true,
        paused: false,
      },
      this.#scroller.clientWidth - 2 * SCROLL_PAD,
    );
  }

  /** Show nine empty cards until the directory is known. */
  #skeletons(): void {
    if (this.#grid.childElementCount > 0) return;
    for (let i = 0; i < 9; i++) {
      const chart = new Chart();
      chart.card.loading(true, "Loading");
      chart.card.element.style.gridColumn = "span 4";
      this.#grid.append(chart.card.element);
      this.#placeholders.push(chart);
    }
  }

  key(event: KeyboardEvent): boolean {
    return this.crosshair.key(event);
  }

  focusSearch(): void {
    // On a narrow screen the drawer takes the sidebar's place: close it.
    if (this.#app.state.drawer !== null && !this.#sidebar.element.checkVisibility()) this.#app.change({ drawer: null });
    this.element.classList.toggle("sheet");
    this.#sidebar.focus();
  }

  debug(): Record<string, unknown>[] {
    return this.#cards.map(({ chart }) => chart.debug());
  }

  destroy(): void {
    this.#watcher.disconnect();
    this.#resizer.disconnect();
    this.#sidebar.destroy();
    for (const { chart } of this.#cards) chart.destroy();
    this.element.remove();
  }
}
