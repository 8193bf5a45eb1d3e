/** The deck page: sidebar and chart grid, which charts there are, and the two views they are drawn from. */
import type { App, Page } from "./app";
import { bucketsFor } from "./buckets";
import { Chart, type Moment } from "./chart";
import type { Series } from "./directory";
import { h, iconButton, show } from "./dom";
import { Crosshair } from "./crosshair";
import { defaultCharts, moveChart, removeChart, resizeChart, resolve, toggleSeries, isOnDeck, refOf } from "./layout";
import { chartTitle } from "./naming";
import { GUTTER } from "./plot";
import { Rearrange } from "./rearrange";
import { CHARTS, LIST } from "./session";
import { Sidebar } from "./sidebar";
import { COLUMNS, formatChart, type ChartSpec, type Columns } from "./url";

const FPS = 5;
/** Windows this long move less than a pixel a second: two frames a second show all there is. */
const SLOW_WINDOW_MS = 3_600_000;
const SIDEBAR_WINDOW_MS = 120_000;
const SIDEBAR_BUCKETS = 60;
const PAUSED_DRAW_MS = 1_000;
const SPEAK_MS = 5_000;

interface Held {
  key: string;
  chart: Chart;
}

export class DeckPage implements Page {
  readonly element = h("div", { class: "deck-page" });
  readonly crosshair: Crosshair;
  private readonly scroller = h("div", { class: "deck-scroll", tabindex: "-1" });
  private readonly grid = h("div", { class: "grid", "data-tw": "grid" });
  private readonly none = h("p", { class: "deck-none" }, "Click a series in the sidebar to add its chart.");
  private readonly sidebar: Sidebar;
  private held: Held[] = [];
  private readonly placeholders: Chart[] = [];
  private readonly watcher: IntersectionObserver;
  private readonly resizer: ResizeObserver;
  private readonly rearrange: Rearrange;
  private drawnVersion = -1;
  private listVersion = -1;
  private dirty = true;
  private drawnAt = 0;
  private spokenAt = 0;

  constructor(private readonly app: App) {
    this.sidebar = new Sidebar(app, {
      on: (series) => isOnDeck(app.session.directory, this.specs(), series),
      toggle: (series) => this.toggle(series),
    });
    this.scroller.append(this.grid, this.none);
    this.element.append(this.sidebar.element, this.scroller);
    this.crosshair = new Crosshair(
      () => this.held.map((one) => one.chart),
      (span) => this.zoom(span.startMs, span.endMs),
      () => app.live(),
    );
    this.rearrange = new Rearrange(this.grid, (from, to) => this.setCharts(moveChart(this.specs(), from, to)), (at, index) => this.overlaySeries(at, index));
    this.watcher = new IntersectionObserver((entries) => this.seen(entries), { root: this.scroller, rootMargin: "80px" });
    this.resizer = new ResizeObserver(() => {
      this.ask();
      this.refresh();
    });
    this.resizer.observe(this.grid);
  }

  specs(): ChartSpec[] {
    return this.app.state.charts ?? defaultCharts(this.app.session.directory, this.app.state.slug);
  }

  watched(): Set<number> {
    return new Set(this.held.flatMap((one) => one.chart.series.map((series) => series.index)));
  }

  private setCharts(charts: ChartSpec[]): void {
    this.app.change({ charts });
  }

  private toggle(series: Series): void {
    this.setCharts(toggleSeries(this.app.session.directory, this.specs(), series));
  }

  private overlaySeries(at: number, index: number): void {
    const series = this.app.session.directory.byIndex.get(index);
    if (!series) return;
    const charts = this.specs().map((chart, i) => (i === at ? { ...chart, series: [...chart.series, refOf(this.app.session.directory, series)] } : chart));
    this.setCharts(charts);
  }

  directoryChanged(): void {
    this.reconcile();
    this.sidebar.directoryChanged();
  }

  stateChanged(): void {
    this.reconcile();
    this.sidebar.stateChanged();
  }

  /** Make the cards those of the state; a chart that stays is the same object, at its new place. */
  private reconcile(): void {
    const directory = this.app.session.directory;
    const specs = this.specs();
    const before = new Map(this.held.map((one) => [one.key, one]));
    const seen = new Map<string, number>();
    this.held = specs.map((spec) => {
      const name = formatChart({ ...spec, columns: 4 });
      const copy = seen.get(name) ?? 0;
      seen.set(name, copy + 1);
      const key = `${name} ${copy}`;
      const one = before.get(key) ?? { key, chart: this.create() };
      before.delete(key);
      return one;
    });
    for (const placeholder of this.placeholders.splice(0)) placeholder.destroy();
    for (const gone of before.values()) {
      this.watcher.unobserve(gone.chart.card.element);
      gone.chart.destroy();
    }
    this.held.forEach(({ chart }, i) => {
      const { element } = chart.card;
      const names = [...new Set(specs[i].series.map((ref) => ref.metric))];
      chart.setSeries(resolve(directory, specs[i]), directory.list.length > 0 ? chartTitle(names) : "");
      element.style.gridColumn = `span ${specs[i].columns}`;
      element.dataset.columns = String(specs[i].columns);
      if (this.grid.children[i] !== element) this.grid.insertBefore(element, this.grid.children[i] ?? null);
      this.menu(chart, i, specs[i].columns);
    });
    show(this.none, this.held.length === 0 && directory.list.length > 0);
    this.ask();
    this.refresh();
  }

  private create(): Chart {
    const chart = new Chart();
    this.watcher.observe(chart.card.element);
    this.crosshair.attach(chart);
    this.rearrange.attach(chart.card.head, chart.card.element);
    return chart;
  }

  private menu(chart: Chart, at: number, columns: Columns): void {
    const next = COLUMNS[(COLUMNS.indexOf(columns) + 1) % COLUMNS.length];
    const grow = next > columns;
    const resize = iconButton(grow ? "wide" : "narrow", `${grow ? "Widen" : "Narrow"} ${chart.title} to ${next} of 12 columns`, () => this.setCharts(resizeChart(this.specs(), at, next)), "chart-resize", 14);
    const remove = iconButton("close", `Remove ${chart.title}`, () => this.setCharts(removeChart(this.specs(), at)), "chart-remove", 14);
    const buttons = [resize, remove];
    if (this.app.timeline.zoom) buttons.unshift(iconButton("unzoom", "Back to live", () => this.app.live(), "chart-unzoom", 14));
    chart.card.menu.replaceChildren(h("div", { class: "card-buttons" }, ...buttons));
  }

  /** Ask for the views this page needs now. */
  private ask(): void {
    const series = [...this.watched()].sort((a, b) => a - b);
    const windowMs = this.app.state.windowMs;
    let widest = 0;
    for (const { chart } of this.held) widest = Math.max(widest, chart.card.plotHost.clientWidth - GUTTER.left - GUTTER.right);
    if (series.length > 0 && widest > 0) {
      const buckets = bucketsFor(windowMs, widest);
      this.app.session.want(CHARTS, { series, window_ms: windowMs, buckets, fps: windowMs >= SLOW_WINDOW_MS ? 2 : FPS });
    } else if (series.length === 0) {
      this.app.session.want(CHARTS, null);
    }
    this.app.session.want(LIST, { series: null, window_ms: SIDEBAR_WINDOW_MS, buckets: SIDEBAR_BUCKETS, fps: 2 });
  }

  private seen(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const one = this.held.find(({ chart }) => chart.card.element === entry.target);
      if (one) one.chart.visible = entry.isIntersecting;
    }
    this.refresh();
  }

  private refresh(): void {
    this.dirty = true;
    this.app.requestDraw();
  }

  private zoom(startMs: number, endMs: number): void {
    const widest = Math.max(...this.held.map(({ chart }) => chart.plot?.box.width ?? 0));
    this.app.timeline.zoomTo({ startMs, endMs }, [...this.watched()], Math.max(50, Math.round(widest)), () => this.refresh());
    this.reconcile();
  }

  draw(fresh: boolean): void {
    const { timeline, session } = this.app;
    const ring = timeline.ring(CHARTS);
    const list = session.views[LIST];
    const now = performance.now();
    if (!fresh || list.version !== this.listVersion) {
      this.listVersion = list.version;
      this.sidebar.draw();
    }
    const due = timeline.paused ? now - this.drawnAt > PAUSED_DRAW_MS : !fresh || ring.version !== this.drawnVersion;
    if (!due && !this.dirty) return;
    const wasZoomed = this.element.classList.toggle("zoomed", timeline.zoom !== null);
    if (!wasZoomed && this.grid.querySelector('[data-tw="chart-unzoom"]')) this.held.forEach(({ chart }, i) => this.menu(chart, i, this.specs()[i].columns));
    this.dirty = false;
    this.drawnAt = now;
    this.drawnVersion = ring.version;
    const speak = now - this.spokenAt > SPEAK_MS;
    if (speak) this.spokenAt = now;
    const span = timeline.window(this.app.state.windowMs);
    const moment: Moment = {
      ring,
      startMs: span.startMs,
      endMs: span.endMs,
      nowMs: timeline.now(),
      paused: timeline.paused,
      zoomed: timeline.zoom !== null,
      offline: this.app.offline(),
      tokens: this.app.tokens,
      events: session.events,
      thresholds: session.thresholds,
      speak,
    };
    this.crosshair.frame(moment);
    if (this.held.length === 0 && session.directory.list.length === 0) this.skeletons();
    for (const { chart } of this.held) chart.draw(moment);
  }

  /** Before the directory is known: nine empty cards in their final places. */
  private skeletons(): void {
    if (this.grid.childElementCount > 0) return;
    for (let i = 0; i < 9; i++) {
      const chart = new Chart();
      chart.card.loading(true, "Loading");
      chart.card.element.style.gridColumn = "span 4";
      this.grid.append(chart.card.element);
      this.placeholders.push(chart);
    }
  }

  key(event: KeyboardEvent): boolean {
    if (event.key === "/") {
      this.sidebar.focus();
      return true;
    }
    return this.crosshair.key(event);
  }

  debug(): Record<string, unknown>[] {
    return this.held.map(({ chart }) => chart.debug());
  }

  destroy(): void {
    this.watcher.disconnect();
    this.resizer.disconnect();
    this.sidebar.destroy();
    for (const { chart } of this.held) chart.destroy();
    this.element.remove();
  }
}
