/** The overview: every series as a tile on one canvas of the size of the screen, under a layer of links. */

import { h, setText, show } from "../base/dom";
import { shorterForms } from "../base/elision";
import { formatNumber } from "../base/format";
import { groupBy } from "../base/group-by";
import { keep, readKept } from "../base/kept";
import type { Lazy } from "../base/lazy";
import { byName } from "../base/naming";
import { fitCanvas } from "../canvas/draw";
import { isNarrowWall, type TileMoment, type TileState, tileState, WALL_TILE } from "../canvas/tile";
import {
  layoutTiles,
  type TileGroup,
  type TileLayout,
  tileColumns,
  visibleHeads,
  visibleTiles,
} from "../canvas/tile-layout";
import { drawPlaceholders, drawTilePage } from "../canvas/tile-page";
import { FOOT_PADS } from "../canvas/tiles";
import { type Columns, columnsOf } from "../model/columns";
import { isOwn, type Series } from "../model/directory";
import { Searched } from "../model/search";
import { LIST } from "../model/session";
import { groupsOf } from "../model/tree";
import type { Filter, Sort } from "../model/url";
import type { Action } from "../panels/action";
import type { AddData } from "../panels/add-data";
import type { AppContext } from "../panels/app-context";
import { filterOf, sorted } from "../panels/catalogue";
import { LabelChips } from "../panels/label-chips";
import { LevelPane } from "../panels/level-pane";
import { OverviewToolbar } from "../panels/overview-toolbar";
import { SavedDeckLinks } from "../panels/saved-deck-links";
import { applySidebar, toggleSidebar } from "../panels/side-room";
import { TileHeads } from "../panels/tile-heads";
import { TileLinks } from "../panels/tile-links";
import { IDLE_DRAW_MS } from "./draw-loop";
import css from "./overview.css";
import type { Page } from "./page";

/** Columns of all sparklines together: with more, they are made wider than a pixel. 10 MB a snapshot. */
const MOST_CELLS = 600_000;
/** A width that changes all the time, as while a window is resized, is requested once it rests. */
const REST_MS = 150;
/** Above this many series one frame a second is enough: nobody reads 500 numbers twice a second. */
const MANY_SERIES = 500;
/** A series that appears while the page is open is marked as new for so long. */
const NEW_MS = 60_000;
/** States that need a look. */
const BAD: readonly TileState[] = ["critical", "warn", "stale", "nodata"];
const ADD_DATA_KEY = "tidewire.add-data.hidden";
/** Tidewire's own health, which is folded away while all is well. */
const OWN_GROUP = "tidewire";
/** Tiles sorted by a live value, or filtered by state, are ordered again this often. */
const REORDER_MS = 1_000;
const SCROLL_REST_MS = 120;
const PAUSED_DRAW_MS = 1_000;
/** Labels for screen readers are updated this often. */
const SPEAK_MS = 5_000;

/** From this many series up, the tree of levels leads to them, and a group shows its first rows. */
const MANY_TILES = 200;
const MOST_OF_GROUP = 100;
const ROWS = 3;

/** Series under one heading, and the shorter texts of their names below it; null: those of the directory. */
interface NamedGroup {
  path: string;
  name: string;
  series: readonly Series[];
  names: ReadonlyMap<string, readonly string[]> | null;
}

/** Return the texts of each metric's name below a level. */
function namesBelow(path: string, series: readonly Series[]): Map<string, readonly string[]> {
  const below = (metric: string): string => metric.slice(path.length + 1) || metric.slice(metric.lastIndexOf("/") + 1);
  const metrics = [...new Set(series.map(({ metric }) => metric))];
  const forms = shorterForms(metrics.map(below), "/");
  return new Map(metrics.map((metric) => [metric, forms.get(below(metric)) ?? [below(metric)]]));
}

/** How much a group needs a look: by its worst state. */
const urgency = ({ critical = 0, warn = 0, silent = 0 }: TileGroup): number =>
  critical > 0 ? 3 : warn > 0 ? 2 : silent > 0 ? 1 : 0;

/** Make the overview. */
export const openOverview = (app: AppContext): Page => new Overview(app);

class Overview implements Page {
  readonly element = h("div", { class: "overview" });
  readonly #toolbar: OverviewToolbar;
  readonly #savedDecks: SavedDeckLinks;
  readonly #scroller = h("div", { class: "tile-scroll", "data-tw": "tiles", tabindex: "-1" });
  readonly #canvas = h("canvas", { class: "tile-canvas", "aria-hidden": "true", "data-tw": "tile-canvas" });
  readonly #links: TileLinks;
  readonly #levels: LevelPane;
  readonly #chips: LabelChips;
  readonly #heads: TileHeads;
  readonly #addData: Lazy<AddData>;
  #grouping: { found: readonly Series[]; many: boolean; groups: readonly NamedGroup[] } | null = null;
  readonly #none = h("p", { class: "tile-none", "data-tw": "no-match" });
  readonly #resizer: ResizeObserver;
  #layout: TileLayout = { tiles: [], heads: [], height: 0, columns: 1 };
  #layoutKey = "";
  readonly #searched = new Searched();
  /** Query, sort and filter. */
  #shown = "";
  #orderedAt = 0;
  #orderedVersion = -1;
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
    this.#levels = new LevelPane(app);
    this.#chips = new LabelChips(app);
    this.#heads = new TileHeads(app);
    this.#addData = app.part(() =>
      import("../panels/add-data").then((part) => new part.AddData(app, () => this.#hideAddData())),
    );
    this.#links.element.prepend(this.#heads.element);
    this.#scroller.append(this.#canvas, this.#links.element);
    applySidebar(this.element);
    this.element.append(
      h("style", {}, css),
      this.#levels.element,
      h(
        "div",
        { class: "overview-main" },
        this.#toolbar.element,
        this.#chips.element,
        this.#savedDecks.element,
        this.#scroller,
        this.#none,
      ),
    );
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
    if (this.#isFirstRun()) this.#showAddData();
    this.#updateLevels();
    this.#requestViews();
    this.#layoutKey = "";
    this.refresh();
  }

  /** Whether there is nothing yet but what Tidewire publishes itself, and nobody has said that this is enough. */
  #isFirstRun(): boolean {
    const { measured } = this.#app.session.directory;
    const { kiosk, embed } = this.#app.state;
    if (this.#addData.here || kiosk || embed || measured.length === 0) return false;
    return measured.every(isOwn) && readKept(ADD_DATA_KEY) === null;
  }

  #showAddData(): void {
    this.#addData.use((part) => {
      const { element } = part;
      if (!element.isConnected) this.#scroller.before(element);
      else if (!element.hidden) return;
      part.begin();
      show(element, true);
      this.refresh();
    });
  }

  #hideAddData(): void {
    keep(ADD_DATA_KEY, "1");
    this.#addData.use(({ element }) => show(element, false));
    this.#scroller.focus();
  }

  /** Whether there are so many series that levels, not one list of tiles, lead to them. */
  get #many(): boolean {
    return this.#app.session.directory.measured.length >= MANY_TILES;
  }

  #updateLevels(): void {
    this.#levels.update(this.#many);
    this.#toolbar.setSort(this.#sort);
    if (this.#many || Object.keys(this.#app.state.labels).length) this.#chips.update();
    else show(this.#chips.element, false);
  }

  get #sort(): Sort {
    return this.#app.state.sort ?? (this.#many ? "state" : "name");
  }

  stateChanged(): void {
    const { query, sort, filter } = this.#app.state;
    this.#toolbar.setQuery(query);
    this.#updateLevels();
    const shown = `${query}|${sort}|${filter}|${JSON.stringify(this.#app.state.labels)}`;
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
      newSince: timeline.paused ? Infinity : performance.now() - NEW_MS,
      paused: timeline.paused,
    };
  }

  /** Scale of tiles: drawn size over layout size. */
  get #scale(): number {
    return this.#app.state.kiosk && !isNarrowWall(this.#scroller.clientWidth) ? WALL_TILE : 1;
  }

  draw(): void {
    const { timeline } = this.#app;
    const ring = timeline.ring(LIST);
    const now = performance.now();
    const due = timeline.paused
      ? now - this.#drawnAt > PAUSED_DRAW_MS
      : ring.version !== this.#drawnVersion || now - this.#drawnAt > IDLE_DRAW_MS;
    if (!due && !this.#dirty) return;
    this.#dirty = false;
    this.#drawnAt = now;
    this.#drawnVersion = ring.version;
    const moment = this.#moment();
    this.#order(moment, now);
    this.#paint(moment);
    this.#levels.draw();
    this.#addData.here?.draw();
    this.#toolbar.setRate(this.#app.session.status?.readings_per_s ?? 0);
  }

  /** Filter, sort and lay out; by live values only once a second. */
  #order(moment: TileMoment, now: number): void {
    const { query, filter, labels, folds } = this.#app.state;
    const sort = this.#sort;
    const { directory } = this.#app.session;
    const width = this.#scroller.clientWidth;
    const key = `${this.#scale}|${query}|${JSON.stringify(labels)}|${filter}|${sort}|${width}|${JSON.stringify([...folds])}|${directory.version}`;
    const first = this.#orderedVersion < 1 && moment.ring.version > 0;
    if (key === this.#layoutKey && now - this.#orderedAt < REORDER_MS && !first) return;
    const moved = key !== this.#layoutKey;
    this.#layoutKey = key;
    this.#orderedAt = now;
    this.#orderedVersion = moment.ring.version;
    const counts: Record<Filter, number> = { all: 0, live: 0, stale: 0, nodata: 0, finished: 0, warn: 0 };
    const { found, problem } = this.#searched.of(directory, query, labels);
    this.#toolbar.search.setCount(found.length, directory.measured.length);
    const { columns } = tileColumns(width / this.#scale);
    const states = new Map<Series, TileState>();
    for (const series of found) {
      const slot = moment.ring.slots.get(series.index);
      const state = tileState(slot, series, moment);
      const kinds = filterOf(state, moment.nowMs - (slot?.lastIdMs ?? NaN));
      counts.all++;
      for (const kind of kinds) counts[kind]++;
      if (filter === "all" || kinds.includes(filter)) states.set(series, state);
    }
    this.#toolbar.setCounts(counts, filter);
    const groups = this.#groups(found);
    const ordered = groups
      .map((group) => ({
        group,
        series: sorted(
          group.series.filter((one) => states.has(one)),
          sort,
          moment,
        ),
      }))
      .filter(({ series }) => series.length > 0)
      .sort((a, b) => Number(a.group.path === OWN_GROUP) - Number(b.group.path === OWN_GROUP))
      .map(({ group, series }) =>
        this.#tileGroup(group, series, states, groups.length > 1 ? ROWS * columns : Infinity),
      );
    if (sort === "state") ordered.sort((a, b) => urgency(b) - urgency(a));
    this.#layout = layoutTiles(ordered, width / this.#scale);
    this.#links.resize(this.#layout.height, this.#scale);
    const nothing = this.#layout.tiles.length === 0 && directory.measured.length > 0;
    show(this.#none, nothing);
    if (nothing) setText(this.#none, problem || this.#noneWords(found.length, query));
    const due = now - this.#linkedAt > SPEAK_MS || (this.#linkedVersion < 1 && moment.ring.version > 0);
    if (moved || due || sort !== "name" || filter !== "all") this.#placeLinks();
  }

  /** Return the groups of what was found, in order of name: the same until something else is found. */
  #groups(found: readonly Series[]): readonly NamedGroup[] {
    const many = this.#many;
    if (this.#grouping?.found === found && this.#grouping.many === many) return this.#grouping.groups;
    const { directory } = this.#app.session;
    const groups: NamedGroup[] = many
      ? groupsOf(found, MOST_OF_GROUP).map(({ path, series }) => ({
          path,
          name: path,
          series,
          names: namesBelow(path, series),
        }))
      : [...groupBy(found, ({ group }) => group)]
          .sort(([a], [b]) => byName(a, b))
          .map(([path, series]) => ({ path, name: directory.heading(path), series, names: null }));
    this.#grouping = { found, many, groups };
    return groups;
  }

  /** Return the tiles of a group: all that pass the filter, or as many as fill the first rows. */
  #tileGroup(
    { path, name, names }: NamedGroup,
    series: readonly Series[],
    states: ReadonlyMap<Series, TileState>,
    most: number,
  ): TileGroup {
    const fold = `${path}/`;
    const count = (...wanted: TileState[]): number =>
      series.filter((one) => wanted.includes(states.get(one) ?? "unknown")).length;
    const open = this.#app.state.folds.get(fold) ?? (this.#hidesOwn(path) && count(...BAD) === 0 ? false : undefined);
    const shown = this.#many && open !== true && series.length > most ? series.slice(0, most) : series;
    const rest = series.slice(shown.length);
    const well = rest.every((one) => ["live", "unknown"].includes(states.get(one) ?? ""));
    const last = path.slice(path.lastIndexOf("/") + 1);
    return {
      name: path === OWN_GROUP ? "Tidewire itself" : name,
      series: shown,
      fold,
      folded: open === false,
      more: rest.length,
      moreWords: `${formatNumber(rest.length, 0)} more of ${last}${well ? ", all live and without a warning" : ""}`,
      critical: count("critical"),
      warn: count("warn"),
      silent: count("stale", "nodata"),
      namesOf: ({ metric }) => names?.get(metric),
    };
  }

  /** Whether a group is Tidewire's own health, and not what somebody looks for. */
  #hidesOwn(path: string): boolean {
    const { query, filter, labels, kiosk } = this.#app.state;
    const searched = query !== "" || filter !== "all" || kiosk || Object.keys(labels).length > 0;
    return (
      path === OWN_GROUP && !searched && !this.#app.session.directory.measured.every(({ group }) => group === path)
    );
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
    this.#heads.place(visibleHeads(this.#layout, scrollTop / this.#scale, clientHeight / this.#scale));
    this.#app.session.gaze.list(tiles.map(({ series }) => series.index));
  }

  readonly actions: Action[] = [
    { keys: [], words: "Add data", page: "overview", menu: true, run: () => this.#showAddData() },
  ];

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
    toggleSidebar(this.element);
  }

  focusSearch(): void {
    this.#toolbar.search.focus();
  }

  destroy(): void {
    window.clearTimeout(this.#scrolling);
    window.clearTimeout(this.#resizing);
    this.#resizer.disconnect();
    this.#chips.destroy();
    this.element.remove();
  }
}
