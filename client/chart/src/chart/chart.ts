/**
 * One chart: draws its card, legend and plot from a ring. An error stops only this chart.
 *
 * Over 600 lines: legend, table, crosshair, picture, other kinds than plots and what few charts are drawn with have files of
 * their own. The rest shares the traces of the moment and is run in one order.
 */

import { dashesOf, swatch } from "../base/colour";
import { formatNumber, plural } from "../base/format";
import { Lazy } from "../base/lazy";
import { chartTitle, legendLabel } from "../base/naming";
import { lineColour, type Tokens } from "../base/tokens";
import { type ShownUnit, shownUnit, unitKey } from "../base/units";
import type { Axis, Scale } from "../canvas/axis";
import { zoomOf } from "../canvas/draw";
import type { Linear } from "../canvas/paths";
import type { Picture } from "../canvas/picture";
import { edgesOf, Plot } from "../canvas/plot";
import { isOffset } from "../canvas/scale";
import { type Sides, sidesOf } from "../model/axes";
import type { AxisOptions } from "../model/axis-options";
import type { BucketRing, Slot } from "../model/bucket-ring";
import { extentOf, NOTHING, Trace } from "../model/buckets";
import { type Columns, columnsOf, leastPx, shownBy } from "../model/columns";
import { isResult, type Series } from "../model/directory";
import { ChartEvents } from "../model/events";
import { chartWords, emptyWords, type Freshness, freshness, gapLimitMs, isSilent, spoken } from "../model/freshness";
import { type Kind, type OtherKind, otherKind, type PlotKind } from "../model/kinds";
import {
  chartFreshness,
  extentOr,
  magnitudeOf,
  type Print,
  printMean,
  printOf,
  printValue,
  valueWidthCh,
} from "../model/reading";
import { bandAt, bandsOf, sharesOf, wordColours, wordOf } from "../model/states";
import type { Span } from "../model/url";
import type { State } from "../wire/frame";
import { ChartFrame } from "./card";
import { composePicture } from "./compose-picture";
import { eventsAt, readingsIn, rowsAt, snapped, valueAt } from "./crosshair-rows";
import { spokenEvents } from "./event-strip";
import { type FigureRow, figuresOf } from "./figures";
import type { Drawing } from "./kinds/kind";
import type { LegendStats, Press } from "./legend";
import { isLoading } from "./loading-part";
import type { ChangeDeck, Many, Moment, Parts } from "./moment";
import { Overlay, type OverlayRow } from "./overlay";

/** The y ranges of the charts that one chart was split into. */
export type SharedRange = Map<Chart, (readonly [number, number])[]>;

/** Px left and right of the legend row. */
const LEGEND_PAD = 26;
/** Min, max and mean are shown in legends at least this wide, and computed this often. */
const STATS_PX = 440;
const STATS_MS = 1_000;
/** Texts change at most this often: to lay them out takes as long as to draw the lines. */
const WORDS_MS = 300;
/** Readings in a column of pixels from which the legend says how many there are. */
const MANY_EACH = 8;
/** A live y axis that would move by less than this share of its range stays, within the room above and below. */
const STEADY = 0.04;

export class Chart implements Parts {
  readonly card: ChartFrame;
  readonly overlay = new Overlay();
  plot: Plot | null = null;
  visible = true;
  /** Whether its past is still to come. */
  loading = false;
  series: Series[] = [];
  range: SharedRange | null = null;
  /** What it is compared with; null: nothing. */
  earlier: {
    readonly canvas: HTMLCanvasElement;
    /** Of each series, at the times of the page, and how much earlier they are. */
    readonly traces: readonly Trace[];
    readonly ago: string;
    /** Whether what was asked for has come. */
    readonly ready: boolean;
    /** Whether there are values that can be compared. */
    readonly comparable: boolean;
    /** Return the least and the greatest height of what stands on an axis; nothing if none does. */
    reach(axis: number, scale: Scale): readonly number[];
    /** Draw as large as the plot, of which each CSS px is `ratio` pixels. */
    draw(ratio: number, tokens: Tokens): void;
    /** Return what a legend says. */
    words(tokens: Tokens): { ago: string; value: string; colour: string };
    rows(timeMs: number, now: readonly OverlayRow[], tokens: Tokens): OverlayRow[];
  } | null = null;
  /** What is drawn beside its series, or in the place of any: see `sourceOf`; undefined: nothing. */
  formula: string | undefined;
  kind: PlotKind = "auto";
  /** What it shows in the place of a plot, null: a plot. */
  other: OtherKind | null = null;
  /** Whether its legend begins with the greatest newest value. */
  byValue = false;
  /** What draws it, and says what it is, if others stand in the place of its series or may. */
  many: Many | null = null;
  axis: AxisOptions = {};
  /** Tells which series stand on the right axis by hand, null if none does. */
  #right: ((one: Series) => boolean) | null = null;
  #sides: Sides = { of: [], units: [""] };
  readonly #unloaded = (): void => this.card.fail(this.title, new Error("What draws it could not be loaded."));
  readonly #special = new Lazy(() => import("../canvas/special"), this.#unloaded);
  readonly #kinds = new Lazy(() => import("./kinds/kinds"), this.#unloaded);
  #drawing: Drawing | null = null;
  readonly #table = new Lazy(() => import("./figure-table"), this.#unloaded);
  #facet = "";
  #stats: FigureRow[] = [];
  /** What the values of the legend are as wide as, ch. */
  #widths: number[] = [];
  /** How many readings each series has in the window, where a column holds many. */
  #density: string[] = [];
  #statsAt = -Infinity;
  /** What the texts were drawn of last. */
  #worded: { at: number } & Partial<Pick<Moment, "tokens" | "paused" | "alarms">> & { state?: Freshness } = {
    at: -Infinity,
  };
  #tokens: Tokens | null = null;
  traces: Trace[] = [];
  #hidden: ReadonlySet<number> = new Set();
  slots: (Slot | undefined)[] = [];
  units: readonly ShownUnit[] = [shownUnit("", 0)];
  prints: Print[] = [];
  bands: readonly (readonly State[])[] | null = null;
  dashes: readonly (readonly number[])[] = [];
  readonly events = new ChartEvents();
  columns: Columns = { stepMs: 1_000, count: 2, px: 1 };
  freshMs = -Infinity;
  shown: Span = { startMs: 0, endMs: 0 };
  x: Linear = { a: 1, b: 0 };
  #crossMs = NaN;
  #hovered = false;
  #moment: Moment | null = null;
  /** What was drawn last. */
  #seen: { ring: BucketRing | null; version: number } = { ring: null, version: 0 };
  #drawn: Picture | null = null;
  /** Whether there is room for events; kept while zoomed or paused, so that nothing moves. */
  #eventStrip = false;
  #reported = "";
  #plannedTitle = "";
  #autoUnit = shownUnit("", 0);
  #width = 0;
  #height = 0;
  /** Of each axis. */
  readonly #yRanges: (readonly [number, number])[] = [];
  #zoom = 1;
  #toldPx = 0;
  /** Null: nothing of the deck can be changed. */
  readonly changeDeck: ChangeDeck | null;
  readonly #sizes: ResizeObserver;

  /** `resized` is called when the plot has another width in device pixels, `switchEvents` to show or hide events. */
  constructor(
    press: Press | null = null,
    resized: () => void = () => undefined,
    switchEvents: () => void = () => undefined,
    changeDeck: ChangeDeck | null = null,
  ) {
    this.changeDeck = changeDeck;
    this.card = new ChartFrame(
      () => this.#reload(),
      press,
      () => this.toggleTable(),
      switchEvents,
    );
    this.#sizes = new ResizeObserver(([entry]) => {
      this.#width = entry.contentRect.width;
      this.#height = entry.contentRect.height;
      this.#zoom = zoomOf(this.card.plotHost);
      if (this.devicePx !== this.#toldPx) resized();
      this.#toldPx = this.devicePx;
      if (this.#moment) this.draw(this.#moment);
    });
    this.#sizes.observe(this.card.plotHost);
  }

  /** Width of the plot in device pixels; 0 while it is not known. */
  get devicePx(): number {
    const { left, right } = edgesOf(this.#width, devicePixelRatio * this.#zoom, this.units.length);
    return this.#width === 0 ? 0 : Math.max(0, right - left);
  }

  get heard(): readonly (Slot | undefined)[] {
    return this.allHidden ? this.slots : this.slots.filter((_, i) => !this.hides(this.series[i].index));
  }

  get allHidden(): boolean {
    return this.series.every(({ index }) => this.#hidden.has(index));
  }

  /** Title of the chart; also what its buttons are named after. */
  get title(): string {
    const published = this.series.filter((one) => !isResult(one));
    const formula = this.many ? undefined : this.formula;
    if (formula !== undefined && published.length === 0) return formula || "New formula";
    return published.length > 0 && !this.many
      ? `${chartTitle([...new Set(published.map((one) => one.metric)), ...(formula ? [formula] : [])])} ${this.#facet}`.trim()
      : `${this.#plannedTitle} ${this.#facet}`.trim();
  }

  /** Return the x of a pointer in layout px of the plot; a wall is drawn larger than it is laid out. */
  local(event: MouseEvent): number {
    const host = this.card.plotHost;
    return (event.clientX - host.getBoundingClientRect().left) / this.#zoom;
  }

  /** Note the height of a pointer, by which the tooltip chooses among many series. */
  pointer(event: MouseEvent): void {
    this.overlay.pointerY = (event.clientY - this.card.plotHost.getBoundingClientRect().top) / this.#zoom;
  }

  /** Whether the legend has switched a series off. */
  hides(index: number): boolean {
    return this.#hidden.has(index);
  }

  /** The time of the crosshair, NaN without one. */
  get crossTime(): number {
    return this.#crossMs;
  }

  /** Set the hidden series, of all charts. */
  hide(hidden: ReadonlySet<number>): void {
    if (hidden === this.#hidden) return;
    this.#hidden = hidden;
    this.#statsAt = -Infinity;
    if (this.#moment) this.draw(this.#moment);
  }

  /** Set the label and value of this chart, if a chart is split. */
  facetOf(name: string | undefined, value: string | null): void {
    this.#facet = name === undefined || value === null ? "" : legendLabel({ [name]: value }) || `no ${name}`;
  }

  /**
   * Draw lines, steps, what the readings suggest, or what is no plot, over an axis that was set by hand; `right` tells who
   * stands there.
   */
  drawAs(kind: Kind, axis: AxisOptions, right: ((one: Series) => boolean) | null): void {
    this.other = otherKind(kind);
    this.kind = this.other ? "auto" : (kind as PlotKind);
    this.axis = axis;
    this.#right = right;
  }

  get sides(): readonly number[] {
    return this.#sides.of;
  }

  get codes(): readonly string[] {
    return this.#sides.units;
  }

  /** The unit of the left axis. */
  get unit(): ShownUnit {
    return this.units[0];
  }

  /** The unit beside the title; two stand over their axes. */
  get titleUnit(): string {
    return this.units.length > 1 ? "" : this.unit.text;
  }

  /** The unit of the left axis if none was chosen. */
  get autoUnit(): ShownUnit {
    return this.#autoUnit;
  }

  /** The axis of a series as it was drawn last. */
  axisOf(i: number): Axis | undefined {
    return this.#drawn?.axes[this.sides[i]];
  }

  /** The left axis as it was drawn last. */
  get leftAxis(): Axis | undefined {
    return this.#drawn?.axes[0];
  }

  /** Whether there is no reading in the span that is shown, and it says so. */
  get empty(): boolean {
    return (this.#drawn?.emptyText.length ?? 0) > 0;
  }

  /** What is said of it besides its values, if it is no plot. */
  get words(): string {
    return this.#drawing?.words ?? "";
  }

  /** Load what draws it by hand, then run. */
  useSpecial(run: () => void): void {
    this.#special.use(run);
  }

  get special(): typeof import("../canvas/special") | null {
    return this.#special.here;
  }

  /** Show or hide the data table over the plot. */
  toggleTable(): void {
    this.#table.use(({ FigureTable }) => {
      const { card } = this;
      card.table ??= new FigureTable(card.element);
      card.table.toggle();
      this.#statsAt = -Infinity;
      if (this.#moment) this.draw(this.#moment);
      (card.table.open ? card.table.element : card.plotHost).focus();
    });
  }

  /** `plannedTitle` names the chart while none of its series is known; empty while the directory is not. */
  setSeries(series: Series[], plannedTitle = ""): void {
    this.#plannedTitle = plannedTitle;
    // A table has a row for each series, whatever its unit.
    const right = this.other ? null : this.#right;
    const sides = sidesOf(series, right, this.other === "table" ? Infinity : 2);
    const key = `${series.map((one) => `${one.index}:${one.unit}:${one.style}:${one.legend}`).join()} ${sides.of} ${this.byValue}`;
    if (key === this.#reported) return;
    this.#reported = key;
    this.#statsAt = -Infinity;
    this.series = series;
    this.#sides = sides;
    this.units = sides.units.map((code) => shownUnit(code, 0));
    const manyMetrics = new Set(series.map((one) => one.metric)).size > 1;
    this.traces = series.map(() => new Trace());
    this.dashes = dashesOf(series.map(({ style }) => style));
    this.prints = series.map(() => printOf(this.unit, NOTHING));
    this.card.legend.build(series, (one, i) => {
      const text = manyMetrics ? `${one.name} ${one.legend}`.trim() : one.legend;
      const unit = unitKey(one.unit) || "no unit";
      if (sides.of[i] < 0) return [`${text} (${unit}: not drawn)`.trim(), ""];
      return [text, sides.units.length > 1 ? `${unit}, ${sides.of[i] === 0 ? "left" : "right"}` : ""];
    });
    this.#reload();
  }

  #reload(): void {
    this.#clear();
    this.card.events.update(null, this.title);
    this.card.clearError();
    if (this.#moment) this.draw(this.#moment);
  }

  /** Remove what is drawn. */
  #clear(): void {
    this.plot?.destroy();
    this.#drawing?.destroy();
    this.plot = this.#drawing = null;
    this.overlay.hide();
  }

  /** Draw what is visible. */
  draw(moment: Moment): void {
    this.#moment = moment;
    this.#guarded(() => this.many?.fit(moment.ring(this.devicePx, this.formula)));
    this.loading = !moment.zoomed && isLoading(this.#slotsAt(moment));
    this.card.absent(this.series.length === 0 && this.#plannedTitle !== "", this.title);
    if (!this.visible || this.card.failed || this.series.length === 0) return;
    this.#guarded(() => this.#paint(moment));
  }

  /** The ring of a series: those of a formula have another than those beside it. */
  #ringOf(moment: Moment, one: Pick<Series, "index">, devicePx = this.devicePx): BucketRing {
    return moment.ring(devicePx, isResult(one) ? this.formula : undefined);
  }

  /** The slot of each series; undefined for one without, so that indices stay aligned. */
  #slotsAt(moment: Moment): (Slot | undefined)[] {
    const { devicePx } = this;
    return this.series.map((one) => this.#ringOf(moment, one, devicePx).slots.get(one.index));
  }

  /** Run what a bad series may break: an error stops this chart and no other. */
  #guarded(part: () => void): void {
    try {
      part();
    } catch (error) {
      this.#clear();
      this.card.fail(this.title, error as Error);
    }
  }

  #paint(moment: Moment): void {
    const { tokens } = moment;
    const host = this.card.plotHost;
    // Measured once, then by the observer: reading the layout between the texts of two charts would redo it for each.
    if (this.#width === 0) [this.#width, this.#height] = [host.clientWidth, host.clientHeight];
    const width = this.#width;
    const height = this.#height;
    const ring = moment.ring(this.devicePx, this.formula);
    this.slots = this.#slotsAt(moment).map((slot, i) => (this.sides[i] < 0 ? undefined : slot));
    const loaded = this.slots.some((slot) => slot !== undefined);
    const waits = this.#awaited;
    this.card.loading(!loaded || waits !== undefined, this.title);
    waits?.use(() => this.#moment && this.draw(this.#moment));
    if (!loaded || waits || width < 120 || height < 60) return;
    this.#tokens = tokens;
    this.#place(moment);
    this.#read(moment);
    // Without its legend nobody could show a series again.
    this.card.element.classList.toggle("has-hidden", this.heard.length < this.slots.length || this.allHidden);
    const drawing = this.#kinds.here?.drawingOf(this, this.#drawing) ?? null;
    if (drawing !== this.#drawing) this.#clear();
    this.#drawing = drawing;
    if (!drawing && !this.plot) {
      this.plot = new Plot(host, () => this.#tokens as Tokens);
      host.append(this.overlay.element);
    }
    const { ring: before, version } = this.#seen;
    const mixed = this.formula !== undefined && !isResult(this.series[0]);
    this.freshMs = ring === before && !mixed ? ring.changedSince(version) * ring.stepMs : -Infinity;
    this.#seen = { ring, version: ring.version };
    this.events.update(this.series, moment, this.bands !== null);
    // Ticks that are differences come once they are loaded.
    if (!this.special && this.traces.some(({ n, lo, hi }) => n > 0 && isOffset(lo, hi)))
      this.#special.use(() => this.#moment && this.draw(this.#moment));
    this.many?.prepare(ring, moment);
    const picture = composePicture(this, moment);
    const stays = this.#eventStrip && this.events.shown && (moment.zoomed || moment.paused);
    picture.eventStrip = this.#eventStrip = stays || picture.events.length > 0;
    this.#drawn = picture;
    const ratio = devicePixelRatio * this.#zoom;
    if (drawing) drawing.draw(picture, width, height, ratio, this, moment);
    else this.plot?.draw(picture, width, height, ratio);
    this.card.events.update(this.plot, this.title);
    this.card.legend.showEvents(this.events.count(this.shown), this.events.shown, this.#width >= STATS_PX);
    this.#updateOverlay();
    // After the plots of the other charts: each change of a text makes the next font of a canvas wait for the styles.
    if (this.#wordsAreDue(moment)) queueMicrotask(() => this.card.failed || this.#guarded(() => this.#words(moment)));
  }

  /** Return a part that is needed and not here yet. */
  get #awaited(): Lazy<unknown> | undefined {
    const { right: _, order: __, ...own } = this.axis;
    const parts = [
      (Object.keys(own).length > 0 || ["bars", "points", "stacked"].includes(this.kind)) && this.#special,
      (this.other || this.sides.includes(-1)) && this.#kinds,
    ];
    return parts.find((part): part is Lazy<never> => part && !part.here);
  }

  printed(i: number, value: number): string {
    const text = printValue(value, this.prints[i]);
    return this.units.length > 1 ? `${text} ${this.prints[i].unit.text}`.trim() : text;
  }

  heightOf(i: number, value: number, timeMs: number): number {
    const drawn = this.#drawn;
    const axis = drawn?.axes[this.sides[i]];
    if (!drawn || !axis) return NaN;
    // Stacked, a value stands on those below it.
    const trace = drawn.traces[i];
    return this.kind === "stacked" ? trace.mean[trace.nearest(timeMs, Infinity)] : axis.scale.at(value);
  }

  scaleBefore(axis: number): Scale | undefined {
    return this.#drawn?.axes[axis]?.scale;
  }

  comparedWith(axis: number, scale: Scale): readonly number[] {
    return this.earlier?.reach(axis, scale) ?? [];
  }

  shareRange(axis: number, lo: number, hi: number): readonly [number, number] {
    if (!this.range) return [lo, hi];
    const own = this.range.get(this) ?? [];
    own[axis] = [lo, hi];
    this.range.set(this, own);
    const all = [...this.range.values()].flatMap((ranges) => (ranges[axis] ? [ranges[axis]] : []));
    return [Math.min(...all.map(([low]) => low)), Math.max(...all.map(([, high]) => high))];
  }

  steadyRange(axis: number, lo: number, hi: number): readonly [number, number] {
    const [wasLo, wasHi] = this.#yRanges[axis] ?? [NaN, NaN];
    const least = (hi - lo) * STEADY;
    const steady = Math.abs(lo - wasLo) <= least && Math.abs(hi - wasHi) <= least;
    // Charts that share an axis have the range of the moment, which is the same for all of them.
    if (!steady || this.range || this.#moment?.paused) this.#yRanges[axis] = [lo, hi];
    return this.#yRanges[axis];
  }

  /** Choose the columns, and which window they show where. */
  #place({ startMs, endMs }: Moment): void {
    const ratio = devicePixelRatio * this.#zoom;
    this.columns = columnsOf(endMs - startMs, this.devicePx, leastPx(this.devicePx, this.formula));
    this.shown = shownBy(this.columns, endMs);
    const a = this.columns.px / ratio / this.columns.stepMs;
    this.x = { a, b: edgesOf(this.#width, ratio, this.units.length).right / ratio - a * this.shown.endMs };
  }

  #read(moment: Moment): void {
    const { zoomed, nowMs, prints } = moment;
    const { startMs, endMs } = this.shown;
    const presentMs = zoomed ? Math.min(endMs, nowMs) : endMs - this.columns.stepMs / 2;
    const { devicePx } = this;
    this.slots.forEach((slot, i) => {
      const trace = this.traces[i];
      if (!slot || this.#hidden.has(slot.index)) {
        trace.clear();
        return;
      }
      const ring = this.#ringOf(moment, slot, devicePx); // a formula's and its neighbours' differ
      trace.read(ring, slot, startMs, endMs, gapLimitMs(slot.expectedMs, ring.stepMs), this.kind);
      trace.hold(slot, zoomed || !isSilent(freshness(slot, nowMs)) ? presentMs : NaN);
    });
    this.bands = this.#bands(presentMs, zoomed, nowMs);
    const off = this.series.map(({ index }) => this.#hidden.has(index));
    const extents = this.slots.map((slot, i) =>
      slot ? extentOr(off[i] ? extentOf(this.#ringOf(moment, slot), slot) : this.traces[i], slot.lastValue) : NOTHING,
    );
    this.units = this.codes.map((code, side) => {
      const sizes = extents.map((extent, i) => (off[i] || this.sides[i] !== side ? 0 : magnitudeOf(extent)));
      const unit = shownUnit(code, Math.max(...sizes));
      if (side === 0) this.#autoUnit = unit;
      return (side === 0 && this.axis.unit && this.special?.unitIn(unit, this.axis.unit)) || unit;
    });
    this.prints = extents.map((extent, i) => printOf(this.units[Math.max(0, this.sides[i])], extent));
    this.series.forEach(({ index }, i) => {
      if (this.slots[i] && (off[i] || this.traces[i].n > 0)) prints.follow(index, this.prints[i]);
    });
  }

  /** Return the states of each series, null where a number is drawn or nobody has a word. */
  #bands(presentMs: number, zoomed: boolean, nowMs: number): readonly (readonly State[])[] | null {
    if (this.traces.some((trace) => trace.n > 0) || !this.slots.some((slot) => slot?.states.length)) return null;
    return this.slots.map((slot) => {
      if (!slot || this.#hidden.has(slot.index)) return [];
      const silent = zoomed
        ? presentMs - slot.lastTimeMs > gapLimitMs(slot.expectedMs, 0)
        : isSilent(freshness(slot, nowMs));
      return bandsOf(slot, this.shown.startMs, this.shown.endMs, silent ? NaN : presentMs);
    });
  }

  /** Return the newest value of a series, or that at the end of a zoomed span; NaN without one. */
  #newest(i: number): number {
    const moment = this.#moment;
    return moment?.zoomed ? this.traces[i].lastWithin(moment.startMs, moment.endMs) : (this.slots[i]?.lastValue ?? NaN);
  }

  /** Return the newest word or value of a series as it is printed, or that at the end of a zoomed span. */
  last(i: number): string {
    const [slot, moment] = [this.slots[i], this.#moment];
    const words = slot && moment?.zoomed ? bandsOf(slot, moment.startMs, moment.endMs, NaN) : null;
    const word = words ? bandAt(words, moment?.endMs ?? NaN)?.[2] : wordOf(slot);
    return word || this.printed(i, this.#newest(i));
  }

  /** Tell whether the texts are drawn as well: of a live chart with every second frame, unless one says something new. */
  #wordsAreDue(moment: Moment): boolean {
    const now = performance.now();
    const { state } = chartFreshness(this.heard, moment.nowMs);
    const before = this.#worded;
    const same =
      before.state === state &&
      before.tokens === moment.tokens &&
      before.paused === moment.paused &&
      before.alarms === moment.alarms;
    const asked = this.#statsAt === -Infinity || moment.zoomed || moment.speak || !Number.isNaN(this.#crossMs);
    if (same && !asked && now - before.at < WORDS_MS) return false;
    this.#worded = { at: now, state, tokens: moment.tokens, paused: moment.paused, alarms: moment.alarms };
    return true;
  }

  #words(moment: Moment): void {
    const { state: own, age } = chartFreshness(this.heard, moment.nowMs);
    const live = own === "live" || own === "unknown";
    // What is not in the window is not live to who looks at it, though readings of another time may come.
    const empty = live && (this.#drawn?.emptyText.length ?? 0) > 0;
    const state = empty ? "unknown" : own;
    let alert: "warn" | "critical" | null = null;
    if (live) {
      for (const { index } of this.series) {
        const own = moment.alarms.get(index);
        if (own && alert !== "critical") alert = own;
      }
    }
    const words = empty ? emptyWords(age) : chartWords(state, age);
    this.card.update(this.title, this.titleUnit, state, words, alert, moment.paused);
    this.#figures(moment);
    const roomy = this.#width >= STATS_PX && !this.card.table?.open;
    this.card.legend.fit(this.#width - LEGEND_PAD, this.#widths, roomy ? this.#statTexts() : []);
    this.#legendValues(moment);
    if (moment.speak || this.card.silent)
      this.card.speak(
        `${this.title} ${this.titleUnit}, ${spoken(state, age)}. ${this.many?.spoken || this.series.map((one, i) => `${one.legend} ${this.last(i)}`).join(", ")}${this.#drawn?.foot ? `. ${this.#drawn.foot}` : ""}${this.words}${spokenEvents(this.events.shown ? this.events.within(this.shown) : [])}`,
      );
  }

  /** Compute last, min, max and mean, and the width of the values, once a second, since nobody reads them faster. */
  #figures(moment: Moment): void {
    const now = performance.now();
    if (now - this.#statsAt < STATS_MS) return;
    this.#statsAt = now;
    if (this.byValue) this.card.legend.sort(this.series.map((_, i) => this.#newest(i)));
    this.#density = [];
    const longest = Math.max(0, ...(this.bands ?? []).flat().map(([, , text]) => text.length));
    this.#widths = this.traces.map((trace, i) => (this.bands ? longest : valueWidthCh(trace, this.prints[i])));
    this.#stats = this.series.map((one, i) => {
      const { min, max, mean, error, readings, columns, more } = figuresOf(
        this.traces[i],
        moment.startMs,
        moment.endMs,
      );
      const print = this.prints[i];
      const [least, most] = [min, max].map((value) => printValue(value, print));
      const each = readings / columns;
      if (each >= MANY_EACH)
        this.#density[i] =
          `${more ? "at least " : ""}${plural(readings, "reading", "readings")} · ${formatNumber(each, 1)} per pixel column`;
      const about = more ? "≈ " : "";
      return [
        one.legend || one.name,
        this.last(i),
        least,
        most,
        about + printMean(mean, print, min, max, error),
      ] as const;
    });
    if (this.card.table?.open) this.card.table.fill(this.title, this.#stats);
  }

  /** Of each series min, max and mean, and more where there is room for it; or the shares of its words. */
  #statTexts(): LegendStats[] {
    if (this.bands)
      return this.bands.map((bands) => [
        sharesOf(bands)
          .map(([word, share]) => `${word} ${Math.round(share * 100)} %`)
          .join(" · "),
        "",
      ]);
    return this.#stats.map(([, , min, max, mean], i) =>
      min === "–" ? ["", ""] : [`min ${min} · max ${max} · mean ${mean}`, this.#density[i] ?? ""],
    );
  }

  #legendValues(moment: Moment): void {
    this.many?.words(moment);
    const colours = this.bands && wordColours(this.bands.flat().map(([, , text]) => text));
    const values = this.series.map((_, i) =>
      this.bands ? this.#wordAt(i) : printValue(this.#valueAt(i), this.prints[i]),
    );
    const { state } = chartFreshness(this.heard, moment.nowMs);
    this.card.legend.update(
      values,
      this.#statTexts(),
      this.series.map((one, i) => {
        if (!colours) return swatch(lineColour(moment.tokens, one.style), this.dashes[i]);
        const colour = colours.get(values[i]) ?? -1;
        return colour < 0 ? moment.tokens.stale : moment.tokens.series[colour];
      }),
      state === "nodata",
      this.#hidden,
    );
  }

  /** Return the word at the crosshair, or at the end of the window. */
  #wordAt(i: number): string {
    const timeMs = this.#crossMs || Infinity;
    const band = bandAt(this.bands?.[i] ?? [], timeMs);
    return band && (timeMs === Infinity || timeMs <= band[1]) ? band[2] : "–";
  }

  /** Return the value at the crosshair, else the newest one; NaN inside a gap. */
  #valueAt(i: number): number {
    if (Number.isNaN(this.#crossMs)) return this.#newest(i);
    return valueAt(this.traces[i], this.slots[i], this.#crossMs)?.value ?? NaN;
  }

  /** The time of the drawn reading nearest a time. */
  snap(timeMs: number): number {
    return snapped(this.traces, timeMs);
  }

  pick(timeMs: number): boolean {
    return this.many?.pick(timeMs) ?? false;
  }

  /** Set the shared crosshair; NaN removes it. */
  crosshair(timeMs: number, hovered: boolean): void {
    this.#crossMs = timeMs;
    this.#hovered = hovered;
    if (!this.#moment || !this.plot || !this.visible || this.card.failed) return;
    const moment = this.#moment;
    this.#guarded(() => {
      this.#legendValues(moment);
      this.#updateOverlay();
    });
  }

  #updateOverlay(): void {
    const plot = this.plot;
    const moment = this.#moment;
    if (!plot || !moment) return;
    if (Number.isNaN(this.#crossMs)) {
      this.overlay.hide();
      return;
    }
    const now = this.many?.rows(this.#crossMs) ?? rowsAt(this, plot, this.#crossMs, moment.tokens);
    const rows = [...now, ...(this.earlier?.rows(this.#crossMs, now, moment.tokens) ?? [])];
    const events = eventsAt(this.events, plot, this.#crossMs);
    const ago = moment.zoomed ? NaN : moment.endMs - this.#crossMs;
    this.overlay.at(plot, this.#crossMs, rows, this.#hovered, ago, events, (...box) =>
      readingsIn(this.#drawn?.traces ?? [], plot, ...box),
    );
  }

  /** Draw once at another pixel ratio, pass each canvas to `copy`, the lowest first, and draw as before; return the span. */
  pictured(ratio: number, copy: (canvas: HTMLCanvasElement) => void): { startMs: number; endMs: number } {
    const drawn = this.#drawn;
    const { plot, earlier } = this;
    const tokens = this.#moment?.tokens;
    if (this.#drawing && drawn) {
      copy(this.#drawing.picture(ratio));
      return drawn;
    }
    if (!plot || !drawn || !tokens) throw new Error("This chart is not visible");
    const draw = (pixels: number): void => {
      plot.draw(drawn, this.#width, this.#height, pixels);
      earlier?.draw(pixels, tokens);
    };
    draw(ratio);
    if (earlier?.canvas.isConnected) copy(earlier.canvas);
    copy(plot.canvas);
    draw(devicePixelRatio * this.#zoom);
    return drawn;
  }

  /** What was drawn last, and of which moment; for browser tests. */
  get inside(): { moment: Moment | null; drawn: Picture | null } {
    return { moment: this.#moment, drawn: this.#drawn };
  }

  destroy(): void {
    this.many?.destroy();
    this.range?.delete(this);
    this.#sizes.disconnect();
    this.#clear();
    this.card.element.remove();
  }
}
