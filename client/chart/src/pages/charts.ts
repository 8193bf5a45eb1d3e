/**
 * The deck page: sidebar, chart grid and drawer, drawn from two views.
 *
 * Over 500 lines: the grid, the drawer, the sidebar, the menus and the wall have files of their own. What is left are the
 * commands that all of them call here, and the one order in which a page is drawn from its views.
 */

import { focusedAt, h, show } from "../base/dom";
import type { Lazy } from "../base/lazy";
import { isNarrowWall } from "../canvas/tile";
import type { Chart } from "../chart/chart";
import type { Compared } from "../chart/compared";
import { Crosshair } from "../chart/crosshair";
import type { Moment } from "../chart/moment";
import { ChartViews } from "../model/chart-views";
import { type Columns, columnsOf } from "../model/columns";
import { allColours, changedColours, deckStyles, keptStyles } from "../model/deck-colours";
import { type Directory, isResult, type Series } from "../model/directory";
import { DEFAULT_COLUMNS } from "../model/kinds";
import {
  cells,
  changeChart,
  chartsOfLevel,
  defaultCharts,
  isDrawn,
  isOnDeck,
  moveChart,
  pressed,
  refOf,
  toggleSeries,
} from "../model/layout";
import { LIST } from "../model/session";
import { boundColumns, boundRows, type ChartSpec, type KeptColour } from "../model/url";
import type { Action } from "../panels/action";
import type { AppContext } from "../panels/app-context";
import type { Drawer } from "../panels/drawer";
import type { EventForm } from "../panels/event-form";
import type { FormulaEditor } from "../panels/formula-editor";
import type { Nearest } from "../panels/nearest";
import type { Rearrange } from "../panels/rearrange";
import type { SelectionBar } from "../panels/selection-bar";
import { applySidebar, keptWidth, SIDEBAR_WINDOW_MS, SPARK_WIDTH, toggleSidebar } from "../panels/side-room";
import type { Sidebar } from "../panels/sidebar";
import type { WallTiles } from "../panels/wall-tiles";
import type { YMenu } from "../panels/y-menu";
import { chartActions } from "./actions";
import { CardGrid, type GridOwner } from "./card-grid";
import { IDLE_DRAW_MS } from "./draw-loop";
import type { DeckCard, Page } from "./page";

const FPS = 5;
/** Windows this long move less than a pixel a second: two frames a second are enough. */
const SLOW_WINDOW_MS = 3_600_000;
const PAUSED_DRAW_MS = 1_000;
/** A width that changes all the time, as while a window is resized, is requested once it rests. */
const REST_MS = 150;
const SPEAK_MS = 5_000;
/** As in deck.css. */
const SCROLL_PAD = 16;
const NARROW_PAD = 10;
/** Up to these widths of the charts' area there are two columns, or one. */
const TWO_COLUMNS_PX = 972;
const ONE_COLUMN_PX = 632;

/** Make the page of a deck. */
export const openCharts = (app: AppContext): Page => new DeckPage(app);

/** Load the page of a deck over steps; from here, so that it shares what these charts have loaded. */
export const loadRuns = async (): Promise<typeof openCharts> => (await import("./runs")).openRuns;

const publishedOf = (series: readonly Series[]): number[] =>
  series.flatMap((one) => (isResult(one) ? [] : [one.index]));

class DeckPage implements Page, GridOwner {
  readonly element = h("div", { class: "deck-page" });
  readonly crosshair: Crosshair;
  readonly actions: readonly Action[];
  readonly #scroller = h("div", { class: "deck-scroll", tabindex: "-1" });
  readonly #none = h("p", { class: "deck-none" }, "Click a series in the sidebar to add its chart.");
  /** Where the sidebar will be: the charts are drawn before it is here, and keep their places. */
  readonly #side = h("nav", {
    class: "sidebar",
    "aria-label": "Series",
    "data-tw": "sidebar",
    style: `--side-width:${keptWidth()}px`,
  });
  readonly #sidebar: Lazy<Sidebar>;
  readonly #drawer: Lazy<Drawer>;
  readonly #compared: Lazy<Compared>;
  readonly #selection: Lazy<SelectionBar>;
  readonly #nearest: Lazy<Nearest>;
  #compareMs = 0;
  readonly #wall: Lazy<WallTiles>;
  readonly #grid: CardGrid;
  readonly #resizer: ResizeObserver;
  readonly #rearrange: Lazy<Rearrange>;
  readonly #axis: Lazy<YMenu>;
  readonly #formula: Lazy<FormulaEditor>;
  readonly #event: Lazy<EventForm>;
  readonly #views: ChartViews;
  #drawnVersion = "";
  #listVersion = -1;
  #listAt = -Infinity;
  #dirty = true;
  #drawnAt = 0;
  #resizing = 0;
  #listColumns: Columns = { stepMs: 1_000, count: 2, px: 1 };
  #spokenAt = 0;
  /** The styles that were shown, and the colours of the state from which they follow. */
  #styles = new Map<string, number>();
  #colours: readonly KeptColour[] | null = null;
  #gone = false;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#views = new ChartViews(app.session);
    this.#sidebar = app.part(async () => {
      const sidebar = new (await import("../panels/sidebar")).Sidebar(app, this.#side, {
        on: (series) => isOnDeck(app.session.directory, this.specs(), series),
        toggle: (series) => this.#toggle(series),
        overlay: (series) => this.#overlaySeries(this.#grid.last, series.index),
        addLevel: (folder) => this.#addLevel(folder.path),
      });
      if (this.#gone) sidebar.destroy();
      return sidebar;
    });
    if (!app.state.embed)
      this.#sidebar.use((sidebar) => {
        if (this.#gone) return;
        sidebar.directoryChanged();
        this.#requestViews();
      });
    this.#drawer = app.part(async () => {
      const drawer = new (await import("../panels/drawer")).Drawer(app, () => this.toggleDrawer());
      this.element.append(drawer.element);
      return drawer;
    });
    this.#event = app.part(async () => new (await import("../panels/event-form")).EventForm(app));
    this.#compared = app.part(
      async () => new (await import("../chart/compared")).Compared(app.session, () => this.refresh()),
    );
    this.#selection = app.part(async () => {
      const bar = new (await import("../panels/selection-bar")).SelectionBar(app);
      this.#scroller.prepend(bar.element);
      return bar;
    });
    this.#nearest = app.part(async () => new (await import("../panels/nearest")).Nearest(app, this.element));
    this.#grid = new CardGrid(app, this, this.#scroller);
    this.#wall = app.part(async () => {
      const wall = new (await import("../panels/wall-tiles")).WallTiles(app.turns);
      if (this.#gone) wall.turns.destroy(this.#scroller);
      this.#scroller.prepend(wall.element);
      return wall;
    });
    this.#scroller.append(this.#grid.element, this.#none);
    this.element.append(this.#side, this.#scroller);
    applySidebar(this.element);
    this.crosshair = new Crosshair(
      () => this.#grid.cards.map((one) => one.chart),
      (span) => app.time.zoomTo(span),
      () => app.time.live(),
      (span) => app.time.preview(span),
    );
    this.#rearrange = app.part(async () => this.#rearranging((await import("../panels/rearrange")).Rearrange));
    this.#axis = app.part(async () => {
      const menu = new (await import("../panels/y-menu")).YMenu(() => app.tokens);
      this.element.append(menu.element);
      return menu;
    });
    this.#formula = app.part(async () => new (await import("../panels/formula-editor")).FormulaEditor(app));
    this.actions = chartActions(this);
    this.#resizer = new ResizeObserver(() => {
      // Not container queries: those made the browser lay out twice for every text that changed.
      const wide = this.#scroller.clientWidth;
      this.#grid.element.dataset.room =
        app.state.kiosk || wide > TWO_COLUMNS_PX ? "" : wide > ONE_COLUMN_PX ? "2" : "1";
      this.#fitWall();
      this.plotResized();
      this.refresh();
    });
    this.#resizer.observe(this.#grid.element);
    this.#resizer.observe(this.#scroller);
  }

  specs(): ChartSpec[] {
    const { state, savedDecks } = this.#app;
    return state.charts ?? savedDecks.charts ?? (savedDecks.reading ? [] : defaultCharts(this.directory, state.slug));
  }

  /** Open the drawer of the chart at an index. */
  openDrawer(at: number): void {
    this.#app.change({ drawer: at });
    this.#drawer.use((drawer) => drawer.focus());
  }

  /** Close the drawer, or open that of the current chart. */
  toggleDrawer(): void {
    if (this.#app.state.drawer !== null) return this.#app.change({ drawer: null });
    if (this.#grid.cards.length) this.openDrawer(this.current()?.at ?? this.#grid.last);
  }

  openAxis(): void {
    const key = this.current()?.key;
    const card = (): DeckCard | undefined => this.#grid.cards.find((one) => one.key === key);
    if (key === undefined) return;
    this.#axis.use((menu) =>
      menu.toggle({
        spec: () => card()?.spec ?? null,
        chart: () => card()?.chart ?? null,
        button: () => card()?.chart.card.menu.querySelector('[data-tw="chart-axis"]') ?? null,
        change: (part) => {
          const at = card()?.at;
          if (at !== undefined) this.setCharts(changeChart(this.specs(), at, part));
        },
      }),
    );
  }

  /** Write the formula of the current chart, or of a new one. */
  openFormula(): void {
    const own = (): DeckCard | undefined => this.current() ?? this.#grid.cards.find(({ spec }) => spec.formula === "");
    // Not a change yet: with its formula, or without, it is one step.
    const made: ChartSpec = { series: [], formula: "", columns: DEFAULT_COLUMNS };
    if (!own()) this.#app.change({ charts: [...this.specs(), made] }, true);
    this.#write(own()?.key);
  }

  #write(key: string | undefined): void {
    this.#formula.use((editor) =>
      editor.write({
        card: () => this.#grid.cards.find((one) => one.key === key),
        specs: () => this.specs(),
        set: (charts) => this.setCharts(charts),
        added: (charts) => {
          this.#app.change({ charts });
          this.#app.undoable(1);
        },
      }),
    );
  }

  isAlone(at: number): boolean {
    return this.#app.state.only === at;
  }

  /** Show one chart alone, or all again. */
  alone(at: number): void {
    this.#app.change({ only: this.isAlone(at) ? null : at }, true);
  }

  watched(): Iterable<number> {
    return new Set(this.#grid.cards.flatMap(({ series }) => publishedOf(series)));
  }

  get directory(): Directory {
    return this.#app.session.directory;
  }

  /** Set the charts, as a step of the browser's history: Back undoes it. */
  setCharts(charts: ChartSpec[]): void {
    const { drawer } = this.#app.state;
    const before = this.specs().length;
    this.#app.change({ charts, drawer: drawer !== null && drawer < charts.length ? drawer : null, only: null }, true);
    this.#app.undoable(charts.length - before);
  }

  /** Return the card that keys act on: the focused one, or else the one under the pointer. */
  current(): DeckCard | undefined {
    return this.#grid.current();
  }

  addEvent(): void {
    const { chart } = this.current() ?? {};
    const timeMs = chart?.crossTime || this.#app.timeline.now();
    this.#event.use((form) => form.open(timeMs, chart?.series ?? []));
  }

  /** Hide or show a series; with `alone`, all others of its chart. */
  press(series: Series, alone: boolean): void {
    const own = this.#grid.cards.find((one) => one.series.includes(series))?.series ?? [];
    this.#app.change({ hidden: pressed(this.#app.state.hidden, own, series, alone) });
  }

  attach(chart: Chart): void {
    this.crosshair.attach(chart);
    if (this.#app.state.embed) return;
    chart.card.plotHost.addEventListener("contextmenu", (event) => {
      // With Shift, the browser's own menu; a long press is a crosshair.
      if (event.shiftKey || (event as PointerEvent).pointerType !== "mouse") return;
      event.preventDefault();
      this.addEvent();
    });
    this.#rearrange.use((one) => one.attach(chart.card.head, chart.card.element));
  }

  /** Let cards be moved and resized, and series and levels dropped on them. */
  #rearranging(Kind: typeof Rearrange): Rearrange {
    return new Kind(this.#grid.element, this.#scroller, {
      move: (from, to) => this.setCharts(moveChart(this.specs(), this.#grid.cards[from].at, this.#grid.cards[to].at)),
      drop: (card, index) => (card < 0 ? this.#addChart(index) : this.#overlaySeries(this.#grid.cards[card].at, index)),
      dropLevel: (path) => this.#addLevel(path),
      resize: (card, columns, rows) =>
        this.setCharts(
          changeChart(this.specs(), this.#grid.cards[card].at, {
            columns: boundColumns(columns),
            rows: boundRows(rows),
          }),
        ),
    });
  }

  #toggle(series: Series): void {
    this.setCharts(toggleSeries(this.directory, this.specs(), series));
  }

  /** Append a chart for a series, even if other charts show it. */
  #addChart(index: number): void {
    const series = this.directory.byIndex.get(index);
    if (series)
      this.setCharts([...this.specs(), { series: [refOf(this.directory, series)], columns: DEFAULT_COLUMNS }]);
  }

  /** Append the charts of a level: one for each unit of its metrics. */
  #addLevel(path: string): void {
    const charts = chartsOfLevel(this.directory, path);
    if (charts.length) this.setCharts([...this.specs(), ...charts]);
  }

  /** Show the sidebar, or hide it. */
  toggleSidebar(): void {
    toggleSidebar(this.element);
  }

  /** Add a series to a chart; if there is no such chart, show the series by a chart of its own. */
  #overlaySeries(at: number, index: number): void {
    const series = this.directory.byIndex.get(index);
    if (!series || this.#grid.cards.some((one) => one.at === at && one.series.includes(series))) return;
    const specs = this.specs();
    if (at >= specs.length || specs[at].formula === "") return this.#toggle(series);
    this.setCharts(changeChart(specs, at, { series: [...specs[at].series, refOf(this.directory, series)] }));
  }

  directoryChanged(): void {
    this.#reconcile();
    this.#sidebar.here?.directoryChanged();
  }

  stateChanged(): void {
    this.#reconcile();
    this.#sidebar.here?.stateChanged();
  }

  /** Give the series of the charts their styles, and keep in the address what the dashboard would give otherwise. */
  #restyle(): void {
    const app = this.#app;
    const shown = cells(this.directory, this.specs(), app.state);
    const charts = shown.filter(isDrawn).map(({ series }) => series);
    if (app.state.colours !== this.#colours) this.#styles = keptStyles(app.state.colours);
    for (const [id, style] of deckStyles(this.directory, charts, this.#styles)) this.#styles.set(id, style);
    this.directory.restyle(this.#styles);
    this.#colours = changedColours([...new Set(charts.flat())], app.state.colours);
    app.coloursChanged(this.#colours);
  }

  /** Return the charts, and the styles of all their series. */
  written(): { charts: ChartSpec[]; colours: KeptColour[] } {
    const series = this.#grid.cards.filter(isDrawn).flatMap((card) => card.series);
    return { charts: this.specs(), colours: allColours(this.directory, series) };
  }

  warm(): void {
    for (const part of [this.#drawer, this.#axis, this.#formula]) part.warm();
  }

  /** Update grid, drawer and views to the state. */
  #reconcile(): void {
    this.#app.session.prints.forgetCharts();
    this.#restyle();
    this.#grid.reconcile();
    this.#fitWall();
    show(this.#none, this.#grid.cards.length === 0 && this.directory.list.length > 0 && !this.#app.savedDecks.reading);
    this.#drawerOf();
    this.#axis.here?.refresh();
    if (this.#app.state.select || this.#selection.here) this.#selection.use((bar) => bar.update());
    this.#requestViews();
    this.refresh();
  }

  /** Update the drawer's chart, and mark that chart by a border. */
  #drawerOf(): void {
    const { drawer } = this.#app.state;
    const own = drawer === null ? [] : this.#grid.cards.filter(({ at }) => at === drawer).map(({ chart }) => chart);
    if (own.length === 0 && this.#drawer.here?.element.contains(focusedAt(this.element))) this.#scroller.focus();
    if (this.#drawer.here) this.#drawer.here.of(own);
    else if (own.length) this.#drawer.use(() => this.#reconcile());
    this.element.classList.toggle("with-drawer", own.length > 0);
    for (const { chart } of this.#grid.cards) chart.card.element.classList.toggle("owner", own.includes(chart));
  }

  /** Request the views that this page needs. */
  #requestViews(): void {
    const { windowMs, kiosk } = this.#app.state;
    const fps = windowMs >= SLOW_WINDOW_MS ? 2 : FPS;
    this.#views.set(
      this.#grid.cards.flatMap(({ chart: { series, devicePx, formula } }) => [
        { series: publishedOf(series), devicePx },
        { series: [], devicePx, formula },
      ]),
    );
    this.#views.request(windowMs, fps);
    const { timeline } = this.#app;
    const { startMs, endMs } = timeline.window(windowMs);
    timeline.fetch(this.#views.parts(endMs - startMs), windowMs, () => this.refresh());
    const wall = kiosk ? this.#wall.here : null;
    const sparkPx =
      wall?.sparkPx(this.#wallSeries(), this.#wallWidth()) ??
      this.#sidebar.here?.sparkPx ??
      SPARK_WIDTH * devicePixelRatio;
    this.#listColumns = columnsOf(SIDEBAR_WINDOW_MS, Math.max(2, sparkPx));
    this.#app.session.requestView(LIST, {
      series: null,
      window_ms: SIDEBAR_WINDOW_MS,
      buckets: this.#listColumns.count,
      fps: 2,
    });
  }

  /** A plot has another width: request its columns once the layout rests. */
  plotResized(): void {
    window.clearTimeout(this.#resizing);
    this.#resizing = window.setTimeout(() => this.#requestViews(), this.#drawnVersion === "" ? 0 : REST_MS);
  }

  #wallSeries(): readonly (readonly Series[])[] {
    return this.#grid.cards.map(({ series }) => series);
  }

  #wallWidth(): number {
    return this.#scroller.clientWidth - 2 * this.#pad;
  }

  get #pad(): number {
    return isNarrowWall(this.#scroller.clientWidth) ? NARROW_PAD : SCROLL_PAD;
  }

  refresh(): void {
    this.#dirty = true;
    this.#app.requestDraw();
  }

  draw(): void {
    const { timeline, session } = this.#app;
    const version = this.#views.version((view) => timeline.ring(view));
    const list = session.views[LIST];
    const now = performance.now();
    if (list.version !== this.#listVersion || now - this.#listAt > IDLE_DRAW_MS) {
      this.#listVersion = list.version;
      this.#listAt = now;
      this.#sidebar.here?.draw();
    }
    const due = timeline.paused
      ? now - this.#drawnAt > PAUSED_DRAW_MS
      : version !== this.#drawnVersion || now - this.#drawnAt > IDLE_DRAW_MS;
    if (!due && !this.#dirty) return;
    const zoomed = this.element.classList.toggle("zoomed", timeline.zoom !== null);
    if (!zoomed) this.#grid.zoomEnded();
    this.#dirty = false;
    this.#drawnAt = now;
    this.#drawnVersion = version;
    const speak = now - this.#spokenAt > SPEAK_MS;
    if (speak) this.#spokenAt = now;
    const span = timeline.window(this.#app.state.windowMs);
    const moment: Moment = {
      ring: (devicePx, formula) => timeline.ring(this.#views.viewOf(devicePx, formula)),
      startMs: span.startMs,
      endMs: span.endMs,
      nowMs: timeline.now(),
      paused: timeline.paused,
      zoomed: timeline.zoom !== null,
      settled: timeline.settled,
      retentionMs: session.status?.retention_ms ?? null,
      offline: this.#app.offline(),
      pastWords: session.loading.words(session.status, now),
      tokens: this.#app.tokens,
      events: session.events,
      eventsShown: this.#app.eventsShown(),
      thresholds: session.thresholds,
      alarms: session.alarms,
      prints: session.prints,
      alarmsSince: session.alarmsSince,
      speak,
    };
    this.crosshair.frame(moment);
    if (this.#grid.cards.length === 0 && (session.directory.list.length === 0 || this.#app.savedDecks.reading))
      this.#grid.showPlaceholders();
    const charts = this.#grid.cards.map(({ chart }) => chart);
    const compared = this.#comparison();
    compared?.prepare(charts, this.#views, moment);
    for (const chart of charts) chart.draw(moment);
    compared?.paint(moment);
    const { zoom, settled } = timeline;
    if (this.#nearest.here || (zoom && settled && charts.some((chart) => chart.empty)))
      this.#nearest.use((nearest) => nearest.update(charts, settled ? timeline.zoom : null));
    session.loading.update(moment.paused ? [] : charts.map((chart) => chart.loading), now);
    session.gaze.charts(charts.flatMap((chart) => (chart.visible ? publishedOf(chart.series) : [])));
    this.#drawer.here?.draw(this.#app.tokens);
    if (this.#app.state.kiosk) this.#drawWall(moment);
  }

  /** Return what compares the charts with a span earlier, null while they are not or until it is here. */
  #comparison(): Compared | null {
    const compareMs = this.#app.compareMs();
    const { here } = this.#compared;
    if (compareMs === this.#compareMs) return compareMs > 0 ? here : null;
    if (compareMs > 0 && !here) {
      this.#compareMs = compareMs;
      this.#compared.use((compared) => {
        compared.set(this.#compareMs);
        this.refresh();
      });
      return null;
    }
    this.#compareMs = compareMs;
    if (compareMs === 0) here?.clear();
    else here?.set(compareMs);
    return compareMs > 0 ? here : null;
  }

  /** Let charts and tiles fill the screen of a wall. */
  #fitWall(): void {
    const wall = this.#wall.here;
    if (!this.#app.state.kiosk) return wall?.turns.leave(this.#scroller);
    if (wall) wall.fill(this.#scroller, this.#grid.element, this.#wallSeries(), this.#wallWidth());
    else this.#wall.use(() => !this.#gone && this.#reconcile());
  }

  /** Return where the tiles and each chart begin and end below the top of what is scrolled. */
  #wallRows(): [top: number, bottom: number][] {
    const above = this.#scroller.getBoundingClientRect().top - this.#scroller.scrollTop;
    const parts = this.#grid.cards.map(({ chart }) => chart.card.element as HTMLElement);
    if (this.#wall.here) parts.unshift(this.#wall.here.element);
    return parts
      .map((one) => one.getBoundingClientRect())
      .map(({ top, bottom }): [number, number] => [top - above - this.#pad, bottom - above + this.#pad / 2])
      .sort(([a], [b]) => a - b);
  }

  #drawWall(moment: Moment): void {
    const endMs = this.#app.session.now();
    const { tokens, alarms, prints } = moment;
    this.#wall.here?.draw(
      this.#wallSeries(),
      {
        ring: this.#app.session.views[LIST],
        nowMs: endMs,
        windowMs: SIDEBAR_WINDOW_MS,
        columns: this.#listColumns,
        tokens,
        prints,
        alarms,
        wall: !isNarrowWall(this.#scroller.clientWidth),
        paused: false,
        newSince: Infinity,
      },
      this.#wallWidth(),
    );
    this.#wall.here?.turns.draw(this.#scroller, this.#wallRows(), this.#app.state.turnMs);
  }

  key(event: KeyboardEvent): boolean {
    return this.#formula.awaited || this.crosshair.key(event);
  }

  readonly contents = "charts";

  focusContents(): void {
    (this.#grid.cards[0]?.chart.card.plotHost ?? this.#scroller).focus();
  }

  focusSearch(): void {
    // On a narrow screen the drawer takes the sidebar's place: close it.
    if (this.#app.state.drawer !== null && !this.#side.checkVisibility()) this.#app.change({ drawer: null });
    this.element.classList.toggle("sheet");
    this.#sidebar.use((sidebar) => sidebar.focus());
  }

  debug(): Chart[] {
    return this.#grid.cards.map(({ chart }) => chart);
  }

  destroy(): void {
    window.clearTimeout(this.#resizing);
    this.#app.session.prints.forgetCharts();
    this.#grid.destroy();
    this.#axis.here?.destroy();
    this.#resizer.disconnect();
    this.#wall.here?.turns.destroy(this.#scroller);
    this.#gone = true;
    this.#sidebar.here?.destroy();
    this.directory.restyle(new Map());
    this.element.remove();
  }
}
