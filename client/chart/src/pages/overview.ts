/** The overview: every series as a tile on one canvas of the size of the screen, under a layer of links. */

import { h, setText, show } from "../base/dom";
import { groupBy } from "../base/group-by";
import { byName } from "../base/naming";
import { fitCanvas } from "../canvas/draw";
import { isNarrowWall, type TileMoment, tileState, WALL_TILE } from "../canvas/tile";
import { layoutTiles, type TileLayout, tileColumns, visibleTiles } from "../canvas/tile-layout";
import { drawPlaceholders, drawTilePage } from "../canvas/tile-page";
import { FOOT_PADS } from "../canvas/tiles";
import { type Columns, columnsOf } from "../model/columns";
import { Searched } from "../model/search";
import { LIST } from "../model/session";
import type { Filter } from "../model/url";
import type { AppContext } from "../panels/app-context";
import { filterOf, sorted } from "../panels/catalogue";
import { OverviewToolbar } from "../panels/overview-toolbar";
import { SavedDeckLinks } from "../panels/saved-deck-links";
import { TileLinks } from "../panels/tile-links";
import type { Page } from "./page";

/** Columns of all sparklines together: with more, they are made wider than a pixel. 10 MB a snapshot. */
const MOST_CELLS = 600_000;
/** A width that changes all the time, as while a window is resized, is requested once it rests. */
const REST_MS = 150;
/** Above this many series one frame a second is enough: nobody reads 500 numbers twice a second. */
const MANY_SERIES = 500;
/** Tiles sorted by a live value, or filtered by state, are ordered again this often. */
const REORDER_MS = 1_000;
const SCROLL_REST_MS = 120;
const PAUSED_DRAW_MS = 1_000;
/** Labels for screen readers are updated this often. */
const SPEAK_MS = 5_000;

/** Make the overview. */
export const openOverview = (app: AppContext): Page => new Overview(app);

class Overview implements Page {
  readonly element = h("div", { class: "overview" });
  readonly #toolbar: OverviewToolbar;
  readonly #savedDecks: SavedDeckLinks;
  readonly #scroller = h("div", { class: "tile-scroll", "data-tw": "tiles", tabindex: "-1" });
  readonly #canvas = h("canvas", { class: "tile-canvas", "aria-hidden": "true", "data-tw": "tile-canvas" });
  readonly #links: TileLinks;
  readonly #none = h("p", { class: "tile-none", "data-tw": "no-match" });
  readonly #resizer: ResizeObserver;
  #layout: TileLayout = { tiles: [], heads: [], height: 0, columns: 1 };
  #layoutKey = "";
  readonly #searched = new Searched();
  /** Query, sort and filter. */
  #shown = "";
  #orderedAt = 0;
  #drawnAt = 0;
  #drawnVersion = -1;
  #dirty = true;
  #scrolling = 0;
  #resizing = 0;
  #columns: Columns = { stepMs: 1_000, count: 2, px: 1 };
  #linkedAt = 0;
  #linkedVersion = -1;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#toolbar = new OverviewToolbar(app);
    this.#savedDecks = new SavedDeckLinks(app);
    this.#links = new TileLinks(app);
    this.#scroller.append(this.#canvas, this.#links.element);
    this.element.append(this.#toolbar.element, this.#savedDecks.element, this.#scroller, this.#none);
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#resizer = new ResizeObserver(() => {
      window.clearTimeout(this.#resizing);
      this.#resizing = window.setTimeout(() => this.#requestViews(), this.#drawnVersion < 1 ? 0 : REST_MS);
      this.#layoutKey = "";
      this.refresh();
    });
    this.#resizer.observe(this.#scroller);
    show(this.#none, false);
    this.stateChanged();
  }

  refresh(): void {
    this.#dirty = true;
    this.#app.requestDraw();
  }

  #scrolled(): void {
    window.clearTimeout(this.#scrolling);
    // Links are placed when scrolling rests; until then they scroll along with their tiles.
    this.#scrolling = window.setTimeout(() => this.#placeLinks(), SCROLL_REST_MS);
    this.refresh();
  }

  directoryChanged(): void {
    this.#requestViews();
    this.#layoutKey = "";
    this.refresh();
  }

  stateChanged(): void {
    const { query, sort, filter } = this.#app.state;
    this.#toolbar.setState(query, sort ?? "name");
    const shown = `${query}|${sort}|${filter}`;
    // Search results start at the top.
    if (shown !== this.#shown) this.#scroller.scrollTop = 0;
    this.#shown = shown;
    this.#savedDecks.draw();
    this.#requestViews();
    this.#layoutKey = "";
    this.refresh();
  }

  #requestViews(): void {
    const count = this.#app.session.directory.list.length;
    const { exact } = tileColumns(this.#scroller.clientWidth / this.#scale);
    const sparkPx = Math.floor((exact - FOOT_PADS) * this.#scale * devicePixelRatio);
    const leastPx = Math.max(1, Math.ceil((sparkPx * count) / MOST_CELLS));
    this.#columns = columnsOf(this.#app.state.windowMs, sparkPx, leastPx);
    for (const view of this.#app.session.views.keys()) if (view !== LIST) this.#app.session.requestView(view, null);
    this.#app.session.requestView(LIST, {
      series: null,
      window_ms: this.#app.state.windowMs,
      buckets: this.#columns.count,
      fps: count > MANY_SERIES ? 1 : 2,
    });
  }

  #moment(): TileMoment {
    const { timeline, session, tokens } = this.#app;
    const nowMs = timeline.now();
    return {
      ring: timeline.ring(LIST),
      nowMs,
      windowMs: this.#app.state.windowMs,
      columns: this.#columns,
      tokens,
      alarms: session.alarms,
      prints: session.prints,
      wall: this.#scale > 1,
      paused: timeline.paused,
    };
  }

  /** Scale of tiles: drawn size over layout size. */
  get #scale(): number {
    return this.#app.state.kiosk && !isNarrowWall(this.#scroller.clientWidth) ? WALL_TILE : 1;
  }

  draw(fresh: boolean): void {
    const { timeline } = this.#app;
    const ring = timeline.ring(LIST);
    const now = performance.now();
    const due = timeline.paused ? now - this.#drawnAt > PAUSED_DRAW_MS : !fresh || ring.version !== this.#drawnVersion;
    if (!due && !this.#dirty) return;
    this.#dirty = false;
    this.#drawnAt = now;
    this.#drawnVersion = ring.version;
    const moment = this.#moment();
    this.#order(moment, now);
    this.#paint(moment);
    this.#toolbar.setRate(this.#app.session.status?.readings_per_s ?? 0);
  }

  /** Filter, sort and lay out; by live values only once a second. */
  #order(moment: TileMoment, now: number): void {
    const { query, filter, sort, labels } = this.#app.state;
    const { directory } = this.#app.session;
    const width = this.#scroller.clientWidth;
    const key = `${this.#scale}|${query}|${JSON.stringify(labels)}|${filter}|${sort}|${width}|${directory.version}`;
    if (key === this.#layoutKey && now - this.#orderedAt < REORDER_MS) return;
    const moved = key !== this.#layoutKey;
    this.#layoutKey = key;
    this.#orderedAt = now;
    const counts: Record<Filter, number> = { all: 0, live: 0, stale: 0, nodata: 0, finished: 0, warn: 0 };
    const { found, problem } = this.#searched.of(directory, query, labels);
    this.#toolbar.search.setCount(found.length, directory.measured.length);
    const shown = found.filter((series) => {
      const slot = moment.ring.slots.get(series.index);
      const kinds = filterOf(tileState(slot, series, moment), moment.nowMs - (slot?.lastIdMs ?? NaN));
      counts.all++;
      for (const kind of kinds) counts[kind]++;
      return filter === "all" || kinds.includes(filter);
    });
    this.#toolbar.setCounts(counts, filter);
    const ordered = [...groupBy(shown, ({ group }) => group)]
      .sort(([a], [b]) => byName(a, b))
      .map(([name, series]) => ({ name: directory.heading(name), series: sorted(series, sort ?? "name", moment) }));
    this.#layout = layoutTiles(ordered, width / this.#scale);
    this.#links.resize(this.#layout.height, this.#scale);
    const nothing = this.#layout.tiles.length === 0 && directory.measured.length > 0;
    show(this.#none, nothing);
    if (nothing) setText(this.#none, problem || this.#noneWords(found.length, query));
    const due = now - this.#linkedAt > SPEAK_MS || (this.#linkedVersion < 1 && moment.ring.version > 0);
    if (moved || due || (sort ?? "name") !== "name" || filter !== "all") this.#placeLinks();
  }

  /** Say why there are no tiles. */
  #noneWords(found: number, query: string): string {
    if (found > 0) return "No series passes this filter";
    if (!query.trim()) return "No series has these labels";
    const near = this.#searched.nearest(this.#app.session.directory, query);
    return `No series matches “${query}”${near ? `. Nearest: ${near}` : ""}`;
  }

  #paint(moment: TileMoment): void {
    const scale = this.#scale;
    const { clientWidth: width, clientHeight: height, scrollTop } = this.#scroller;
    if (width === 0) return;
    const ratio = devicePixelRatio * scale;
    const ctx = this.#canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    fitCanvas(this.#canvas, width, height, devicePixelRatio);
    ctx.save();
    ctx.scale(ratio, ratio);
    ctx.fillStyle = moment.tokens.canvas;
    ctx.fillRect(0, 0, width / scale, height / scale);
    if (this.#app.session.directory.list.length === 0) drawPlaceholders(ctx, width / scale, moment.tokens);
    drawTilePage(ctx, this.#layout, scrollTop / scale, height / scale, moment);
    ctx.restore();
  }

  #placeLinks(): void {
    const { clientHeight, scrollTop } = this.#scroller;
    const moment = this.#moment();
    this.#linkedAt = performance.now();
    this.#linkedVersion = moment.ring.version;
    const tiles = visibleTiles(this.#layout, scrollTop / this.#scale, clientHeight / this.#scale);
    this.#links.place(tiles, moment);
    this.#app.session.gaze.list(tiles.map(({ series }) => series.index));
  }

  readonly actions = [];

  watched(): Iterable<number> {
    return this.#app.session.directory.byIndex.keys();
  }

  debug(): Record<string, unknown>[] {
    return [];
  }

  key(): boolean {
    return false;
  }

  readonly contents = "tiles";

  focusContents(): void {
    if (!this.#links.focus()) this.#scroller.focus();
  }

  toggleSidebar(): void {
    this.element.classList.toggle("bare");
  }

  focusSearch(): void {
    this.#toolbar.search.focus();
  }

  destroy(): void {
    window.clearTimeout(this.#scrolling);
    window.clearTimeout(this.#resizing);
    this.#resizer.disconnect();
    this.element.remove();
  }
}
