/**
 * The overview: toolbar, and every series as a tile on one viewport-sized canvas under a transparent layer of links.
 */

import { h, icon, opensElsewhere, Segments, searchInput, setAttribute, setText, show } from "../base/dom";
import { clock, day, formatNumber, plural } from "../base/format";
import { groupBy } from "../base/group-by";
import { byName } from "../base/naming";
import { font } from "../base/tokens";
import { canvasName, fitCanvas } from "../canvas/draw";
import { type TileMoment, tileState, WALL_TILE } from "../canvas/tile";
import { firstVisible, GAP, layoutTiles, PAD, TILE_HEIGHT, type TileLayout } from "../canvas/tile-layout";
import { drawEmptyTile, drawTile } from "../canvas/tiles";
import { bucketsFor } from "../model/buckets";
import type { Series } from "../model/directory";
import { LIST } from "../model/session";
import { type Filter, FRESH, SORTS, type Sort } from "../model/url";
import type { AppContext } from "../panels/app-context";
import { describe, filterOf, sorted } from "../panels/catalogue";
import type { Page } from "./page";

/** Width of the sparkline of a wide tile. */
const TILE_PX = 178;
/** Above this many series one frame a second is enough: nobody reads 500 numbers twice a second. */
const MANY_SERIES = 500;
/** Tiles sorted by a live value, or filtered by state, are ordered again this often. */
const REORDER_MS = 1_000;
const SCROLL_REST_MS = 120;
const PAUSED_DRAW_MS = 1_000;
/** Labels for screen readers are updated this often. */
const SPEAK_MS = 5_000;

const FILTER_WORDS: readonly (readonly [Filter, string])[] = [
  ["all", "All"],
  ["live", "Live"],
  ["stale", "Stale"],
  ["nodata", "No data"],
  ["warn", "Warn"],
];
const SORT_WORDS: Record<Sort, string> = { name: "Name", value: "Value", rate: "Rate", age: "Age" };

export class Overview implements Page {
  readonly element = h("div", { class: "overview" });
  readonly #search = searchInput();
  readonly #filters = h("div", { class: "filters", role: "group", "aria-label": "Filter", "data-tw": "filters" });
  readonly #filterCounts = new Map<Filter, HTMLElement>();
  readonly #rate = h("span", { class: "rate", "data-tw": "rate" });
  readonly #sort: Segments<Sort>;
  readonly #decks = h("nav", { class: "saved-decks", "aria-label": "Saved decks", "data-tw": "saved-decks" });
  #decksKey = "";
  readonly #scroller = h("div", { class: "tile-scroll", "data-tw": "tiles", tabindex: "-1" });
  readonly #canvas = h("canvas", { class: "tile-canvas", "aria-hidden": "true", "data-tw": "tile-canvas" });
  readonly #layer = h("div", { class: "tile-layer", "data-tw": "tile-layer", role: "group", "aria-label": "Series" });
  readonly #links: HTMLAnchorElement[] = [];
  readonly #none = h("p", { class: "tile-none", "data-tw": "no-match" });
  readonly #resizer: ResizeObserver;
  #layout: TileLayout = { tiles: [], heads: [], height: 0, columns: 1 };
  #layoutKey = "";
  /** Query, sort and filter. */
  #shown = "";
  #orderedAt = 0;
  #drawnAt = 0;
  #drawnVersion = -1;
  #dirty = true;
  #scrolling = 0;
  #linkedAt = 0;
  #linkedVersion = -1;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#search.value = app.state.query;
    this.#search.addEventListener("input", () => app.change({ query: this.#search.value }));
    this.#search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      app.change({ query: "" });
      this.#search.blur();
    });
    for (const [value, text] of FILTER_WORDS) {
      const count = h("span", { class: "count" });
      const button = h(
        "button",
        { type: "button", class: "filter", "data-value": value, onclick: () => app.change({ filter: value }) },
        value === "warn" ? icon("warn", 14) : null,
        text,
        count,
      );
      if (value === "warn") this.#filters.append(h("span", { class: "sep", "data-for": "warn" }));
      this.#filters.append(button);
      this.#filterCounts.set(value, count);
    }
    this.#sort = new Segments(
      "Sort",
      "sort",
      SORTS.map((name) => [name, SORT_WORDS[name]] as const),
      (sort) => app.change({ sort }),
    );
    const box = h("label", { class: "search", "data-tw": "search" }, icon("search"), this.#search, h("kbd", {}, "/"));
    const right = h(
      "div",
      { class: "toolbar-right" },
      this.#rate,
      h("span", { class: "sep" }),
      h("span", { class: "sort-label" }, "Sort"),
      this.#sort.element,
    );
    this.#scroller.append(this.#canvas, this.#layer);
    this.element.append(
      h("div", { class: "toolbar" }, box, this.#filters, right),
      this.#decks,
      this.#scroller,
      this.#none,
    );
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#resizer = new ResizeObserver(() => {
      this.#layoutKey = "";
      this.refresh();
    });
    this.#resizer.observe(this.#scroller);
    show(this.#none, false);
    show(this.#decks, false);
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
    this.#search.placeholder = `Search ${plural(this.#app.session.directory.measured.length, "series", "series")}`;
    this.#requestViews();
    this.#layoutKey = "";
    this.refresh();
  }

  stateChanged(): void {
    const { query, sort } = this.#app.state;
    if (this.#search.value !== query) this.#search.value = query;
    const shown = `${query}|${sort}|${this.#app.state.filter}`;
    // Search results start at the top.
    if (shown !== this.#shown) this.#scroller.scrollTop = 0;
    this.#shown = shown;
    this.#sort.select(sort);
    this.#drawDecks();
    this.#requestViews();
    this.#layoutKey = "";
    this.refresh();
  }

  /** List the saved decks, newest first. */
  #drawDecks(): void {
    const { decks } = this.#app.savedDecks;
    const key = JSON.stringify(decks);
    if (key === this.#decksKey) return;
    this.#decksKey = key;
    const links = decks.map(({ slug, name, updated_ms: savedMs }) => {
      const link = h(
        "a",
        {
          class: "saved-deck",
          href: this.#app.addressOf({ page: "deck", slug, ...FRESH }),
          title: `Saved ${day(savedMs)} ${clock(savedMs, "min")}`,
          "data-tw": "saved-deck",
        },
        icon("deck", 14),
        name,
      );
      link.addEventListener("click", (event) => {
        if (opensElsewhere(event)) return;
        event.preventDefault();
        this.#app.visit("deck", slug);
      });
      return link;
    });
    this.#decks.replaceChildren(h("span", { class: "saved-word" }, "Decks"), ...links);
    show(this.#decks, links.length > 0);
  }

  #requestViews(): void {
    const fps = this.#app.session.directory.list.length > MANY_SERIES ? 1 : 2;
    this.#app.session.requestView(0, null);
    this.#app.session.requestView(LIST, {
      series: null,
      window_ms: this.#app.state.windowMs,
      buckets: bucketsFor(this.#app.state.windowMs, TILE_PX),
      fps,
    });
  }

  #moment(): TileMoment {
    const { timeline, session, tokens } = this.#app;
    const nowMs = timeline.now();
    return {
      ring: timeline.ring(LIST),
      nowMs,
      startMs: nowMs - this.#app.state.windowMs,
      endMs: nowMs,
      tokens,
      alarms: session.alarms,
      wall: this.#app.state.kiosk,
      paused: timeline.paused,
    };
  }

  /** Scale of tiles: drawn size over layout size. */
  get #scale(): number {
    return this.#app.state.kiosk ? WALL_TILE : 1;
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
    setText(this.#rate, `${formatNumber(this.#app.session.status?.readings_per_s ?? 0, 0)} readings/s`);
  }

  /** Filter, sort and lay out; by live values only once a second. */
  #order(moment: TileMoment, now: number): void {
    const { query, filter, sort } = this.#app.state;
    const key = `${this.#scale}|${query}|${filter}|${sort}|${this.#scroller.clientWidth}|${this.#app.session.directory.version}`;
    if (key === this.#layoutKey && now - this.#orderedAt < REORDER_MS) return;
    const moved = key !== this.#layoutKey;
    this.#layoutKey = key;
    this.#orderedAt = now;
    const counts: Record<Filter, number> = { all: 0, live: 0, stale: 0, nodata: 0, warn: 0 };
    const shown = this.#app.session.directory.search(query).filter((series) => {
      const kinds = filterOf(tileState(moment.ring.slots.get(series.index), series, moment));
      counts.all++;
      for (const kind of kinds) counts[kind]++;
      return filter === "all" || kinds.includes(filter);
    });
    this.#toolbar(counts, filter);
    const ordered = [...groupBy(shown, ({ group }) => group)]
      .sort(([a], [b]) => byName(a, b))
      .map(([name, series]) => ({ name, series: sorted(series, sort, moment) }));
    this.#layout = layoutTiles(ordered, this.#scroller.clientWidth / this.#scale);
    this.#layer.style.setProperty("zoom", String(this.#scale));
    this.#layer.style.height = `${this.#layout.height}px`;
    const found = this.#layout.tiles.length;
    const nothing = found === 0 && this.#app.session.directory.measured.length > 0;
    show(this.#none, nothing);
    if (nothing) setText(this.#none, query ? `No series matches “${query}”` : "No series here");
    const due = now - this.#linkedAt > SPEAK_MS || (this.#linkedVersion < 1 && moment.ring.version > 0);
    if (moved || due || sort !== "name" || filter !== "all") this.#placeLinks();
  }

  #toolbar(counts: Record<Filter, number>, filter: Filter): void {
    for (const [value, count] of this.#filterCounts) {
      setText(count, formatNumber(counts[value], 0));
      const button = count.parentElement as HTMLElement;
      setAttribute(button, "aria-pressed", String(value === filter));
      if (value === "warn") {
        show(button, counts.warn > 0 || filter === "warn");
        show(button.previousElementSibling as HTMLElement, !button.hidden);
      }
    }
  }

  #paint(moment: TileMoment): void {
    const scale = this.#scale;
    const width = this.#scroller.clientWidth / scale;
    const height = this.#scroller.clientHeight / scale;
    if (width === 0) return;
    const ratio = devicePixelRatio * scale;
    const ctx = this.#canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    fitCanvas(this.#canvas, width * scale, height * scale, devicePixelRatio);
    ctx.save();
    ctx.scale(ratio, ratio);
    ctx.fillStyle = moment.tokens.canvas;
    ctx.fillRect(0, 0, width, height);
    const scroll = this.#scroller.scrollTop / this.#scale;
    if (this.#app.session.directory.list.length === 0) {
      for (let i = 0; i < 35; i++) {
        const columns = Math.max(1, Math.floor((width - 2 * PAD + GAP) / (168 + GAP)));
        const wide = (width - 2 * PAD - (columns - 1) * GAP) / columns;
        drawEmptyTile(
          ctx,
          Math.round(PAD + (i % columns) * (wide + GAP)),
          30 + Math.floor(i / columns) * (TILE_HEIGHT + GAP),
          Math.round(wide),
          moment.tokens,
        );
      }
    }
    for (const head of this.#layout.heads) {
      if (head.top - scroll > height || head.top + head.height < scroll) continue;
      const y = head.top - scroll + head.height - 9;
      ctx.textAlign = "left";
      ctx.font = font(600, 13);
      ctx.fillStyle = moment.tokens.text;
      const name = canvasName(head.name);
      ctx.fillText(name, PAD, y);
      const after = PAD + ctx.measureText(name).width + 8;
      ctx.font = font(400, 12);
      ctx.fillStyle = moment.tokens.muted;
      ctx.fillText(`${formatNumber(head.count, 0)} series`, after, y);
    }
    for (let i = firstVisible(this.#layout, scroll); i < this.#layout.tiles.length; i++) {
      const box = this.#layout.tiles[i];
      if (box.top > scroll + height) break;
      drawTile(ctx, box, box.top - scroll, moment.ring.slots.get(box.series.index), moment);
    }
    ctx.restore();
  }

  /** One transparent link per visible tile, for the pointer, the keyboard and screen readers. */
  #placeLinks(): void {
    const scroll = this.#scroller.scrollTop / this.#scale;
    const height = this.#scroller.clientHeight / this.#scale;
    const moment = this.#moment();
    this.#linkedAt = performance.now();
    this.#linkedVersion = moment.ring.version;
    let used = 0;
    for (let i = firstVisible(this.#layout, scroll); i < this.#layout.tiles.length; i++) {
      const box = this.#layout.tiles[i];
      if (box.top > scroll + height) break;
      const link = this.#links[used] ?? this.#createLink();
      used++;
      show(link, true);
      link.style.transform = `translate(${box.left}px,${box.top}px)`;
      link.style.width = `${box.width}px`;
      const address = this.#addressOf(box.series);
      if (link.getAttribute("href") !== address) link.setAttribute("href", address);
      link.dataset.series = String(box.series.index);
      setAttribute(link, "aria-label", describe(box.series, moment.ring.slots.get(box.series.index), moment));
      link.title = `${box.series.metric}${box.series.key ? ` {${box.series.key}}` : ""}`;
    }
    for (let i = used; i < this.#links.length; i++) show(this.#links[i], false);
  }

  #createLink(): HTMLAnchorElement {
    const link = h("a", { class: "tile-link", "data-tw": "tile" });
    link.addEventListener("click", (event) => {
      if (opensElsewhere(event)) return;
      event.preventDefault();
      const series = this.#app.session.directory.byIndex.get(Number(link.dataset.series));
      if (series)
        this.#app.change(
          {
            page: "deck",
            slug: series.group,
            ...FRESH,
            charts: [{ series: [{ metric: series.metric }], columns: 12 }],
          },
          true,
        );
    });
    this.#links.push(link);
    this.#layer.append(link);
    return link;
  }

  #addressOf(series: Series): string {
    return this.#app.addressOf({
      page: "deck",
      slug: series.group,
      ...FRESH,
      charts: [{ series: [{ metric: series.metric }], columns: 12 }],
    });
  }

  readonly actions = [];

  key(): boolean {
    return false;
  }

  focusSearch(): void {
    this.#search.focus();
    this.#search.select();
  }

  destroy(): void {
    window.clearTimeout(this.#scrolling);
    this.#resizer.disconnect();
    this.element.remove();
  }
}
