/**
 * The same span earlier: of each chart's series a pale line under its own, on a canvas of its own; a value in the legend
 * and rows in the tooltip. It has no dot, no alarm and no statistics.
 */
import { swatch, withAlpha } from "../base/colour";
import { h, setText } from "../base/dom";
import { clock, compareText, weekday } from "../base/format";
import { lineColour, type Tokens } from "../base/tokens";
import type { Scale } from "../canvas/axis";
import { type Ctx, fitCanvas, zoomOf } from "../canvas/draw";
import { fillEnvelope, isDense, strokeLine } from "../canvas/ink";
import type { BucketRing } from "../model/bucket-ring";
import { roundingOf, Trace } from "../model/buckets";
import type { ChartViews, ViewPart } from "../model/chart-views";
import { isResult, type Series } from "../model/directory";
import { gapLimitMs } from "../model/freshness";
import { printValue } from "../model/reading";
import { COMPARED, type Session } from "../model/session";
import type { Span } from "../model/url";
import type { Chart } from "./chart";
import { valueAt } from "./crosshair-rows";
import type { Moment } from "./moment";
import type { OverlayRow } from "./overlay";

const ALPHA = 0.42;
const LINE_PX = 1.25;
const MOST_BUCKETS = 2_000;
/** A live span is asked for with so much more that it is asked for again after an eighth of it. */
const AHEAD = 8;
const LEAST_AHEAD_MS = 60_000;
/** An answer that has not come is asked for again. */
const AGAIN_MS = 20_000;
/** Charts of more series have no differences in their tooltips. */
const MOST_DIFFERENCES = 4;

/** "an hour ago", "a day ago", "a week ago", "8 h ago". */
export function agoText(ms: number): string {
  const usual = new Map([
    [3_600_000, "an hour"],
    [86_400_000, "a day"],
    [604_800_000, "a week"],
  ]);
  return `${usual.get(ms) ?? compareText(ms)} ago`;
}

/** Return the span to ask for, in the time of the page: as shown if it rests, else up to some time ahead of it. */
export function askedSpan({ startMs, endMs }: Span, compareMs: number, live: boolean): Span {
  if (!live) return { startMs, endMs };
  const wanted = Math.max(LEAST_AHEAD_MS, (endMs - startMs) / AHEAD);
  // What is asked for must have been read already.
  const ahead = Math.max(1_000, Math.floor(Math.min(wanted, compareMs / 4)));
  const end = Math.ceil(endMs / ahead) * ahead;
  return { startMs: end - ahead - (endMs - startMs), endMs: end };
}

/**
 * What one chart is compared with. Stacked areas and bands of states have no line of their own values: nothing stands
 * under them.
 */
class Earlier {
  readonly canvas = h("canvas", { class: "plot-canvas", "aria-hidden": "true", "data-tw": "compared" });
  readonly legend = h("span", { class: "legend-then", "data-tw": "legend-then" });
  readonly #swatch = h("i", {});
  readonly #ago = h("span", { class: "legend-label" });
  readonly #value = h("b", {});
  /** Of each series, at the times of the page; empty where nothing is compared. */
  traces: Trace[] = [];
  /** Whether what was asked for has come: until then, nothing can be said of it. */
  ready = false;
  /** Whether there are values that can be compared: words and stacked areas have none. */
  comparable = true;
  #dense: boolean[] = [];
  #compareMs = 0;
  readonly #chart: Chart;

  constructor(chart: Chart) {
    this.#chart = chart;
    this.legend.append(this.#swatch, this.#ago, this.#value);
  }

  /** Read the ring of the span earlier, moved to the time of the page. */
  read(ringOf: (one: Series) => BucketRing | null, { startMs, endMs }: Moment, compareMs: number): void {
    const chart = this.#chart;
    const summary = chart.many?.summary ?? null;
    const comparable = chart.kind !== "stacked" && chart.bands === null && (summary === null || summary === "band");
    this.#compareMs = compareMs;
    this.comparable = comparable;
    if (this.traces.length !== chart.series.length) this.traces = chart.series.map(() => new Trace());
    chart.series.forEach((one, i) => {
      const { index, role } = one;
      const trace = this.traces[i];
      const ring = ringOf(one);
      const slot = ring?.slots.get(index);
      // Of a band its middle alone: three quantiles under three others could not be told apart.
      const shown = comparable && (summary === null || role === "p50") && !chart.hides(index);
      if (!ring || !slot || !shown) return trace.clear();
      const gapMs = gapLimitMs(slot.expectedMs, ring.stepMs);
      trace.read(ring, slot, startMs - compareMs, endMs - compareMs, gapMs, chart.traces[i]?.steps ? "steps" : "line");
      trace.shift(compareMs);
    });
  }

  /** How much earlier: "a week ago". */
  get ago(): string {
    return agoText(this.#compareMs);
  }

  /** Return the least and the greatest height of what stands on an axis. */
  reach(axis: number, scale: Scale): readonly number[] {
    return this.traces.flatMap((trace, i) => {
      if (trace.n === 0 || this.#chart.sides[i] !== axis) return [];
      const { lo, hi } = scale.shape(trace);
      return [lo, hi];
    });
  }

  paint({ tokens }: Moment): void {
    const { plot, card, kind, bands } = this.#chart;
    if (!plot || kind === "stacked" || bands) return this.remove();
    if (this.canvas.nextSibling !== plot.canvas) card.plotHost.insertBefore(this.canvas, plot.canvas);
    this.draw(devicePixelRatio * zoomOf(card.plotHost), tokens);
    this.#words(tokens);
  }

  /** Draw as large as the plot, of which each CSS px is `ratio` pixels. */
  draw(ratio: number, tokens: Tokens): void {
    const { plot, series, columns, dashes } = this.#chart;
    if (!plot) return;
    const ctx = this.canvas.getContext("2d") as Ctx;
    const { width, height } = plot.canvas;
    if (!fitCanvas(this.canvas, width / ratio, height / ratio, ratio)) ctx.clearRect(0, 0, width, height);
    ctx.save();
    ctx.scale(ratio, ratio);
    ctx.beginPath();
    ctx.rect(plot.box.left, plot.box.top - 1, plot.box.width, plot.box.height + 2);
    ctx.clip();
    ctx.globalAlpha = ALPHA;
    const style = { columnPx: plot.x.a * columns.stepMs, pixel: 1 / ratio, text: tokens.text, surface: tokens.surface };
    this.traces.forEach((own, i) => {
      const axis = this.#chart.axisOf(i);
      if (own.n === 0 || !axis) return;
      const trace = axis.scale.shape(own);
      const y = plot.ys[i];
      const ink = { ...style, colour: lineColour(tokens, series[i].style), width: LINE_PX, dash: dashes[i] };
      this.#dense[i] = isDense(trace, y, this.#dense[i]);
      (this.#dense[i] ? fillEnvelope : strokeLine)(ctx, trace, plot.x, y, ink);
    });
    ctx.restore();
  }

  /**
   * Return what a legend says: how much earlier it is; of a chart of one series its colour, and the value at the
   * crosshair or at the end.
   */
  words(tokens: Tokens): { ago: string; value: string; colour: string } {
    const { series, shown, crossTime, prints } = this.#chart;
    const ago = agoText(this.#compareMs);
    if (series.length !== 1) return { ago, value: "", colour: tokens.muted };
    const at = Number.isNaN(crossTime) ? shown.endMs : crossTime;
    const colour = withAlpha(lineColour(tokens, series[0].style), ALPHA);
    return { ago, value: printValue(this.#valueAt(0, at), prints[0]), colour };
  }

  #words(tokens: Tokens): void {
    const { card, series, dashes } = this.#chart;
    if (this.legend.parentElement !== card.legend.element) card.legend.element.append(this.legend);
    const { ago, value, colour } = this.words(tokens);
    this.#swatch.style.background = series.length === 1 ? swatch(colour, dashes[0]) : colour;
    setText(this.#ago, ago);
    setText(this.#value, value);
  }

  #valueAt(i: number, timeMs: number): number {
    return valueAt(this.traces[i], this.#chart.slots[i], timeMs)?.value ?? NaN;
  }

  /** The rows of the tooltip, each after that of its own series. */
  rows(timeMs: number, now: readonly OverlayRow[], tokens: Tokens): OverlayRow[] {
    const { series, traces, slots, prints, plot } = this.#chart;
    const then = timeMs - this.#compareMs;
    return series.flatMap((one, i) => {
      const value = this.traces[i] ? this.#valueAt(i, timeMs) : NaN;
      if (Number.isNaN(value) || !plot) return [];
      const name = series.length > 1 ? `${one.legend || one.name} · ` : "";
      const today = valueAt(traces[i], slots[i], timeMs)?.value ?? NaN;
      const own = now.find((row) => row.label === (one.legend || one.name));
      const y = own?.y ?? plot.yAt(i, this.#chart.axisOf(i)?.scale.at(value) ?? NaN);
      const colour = withAlpha(lineColour(tokens, one.style), ALPHA);
      const at = { colour, x: 0, range: "", pale: true };
      const rows = [
        {
          ...at,
          y: y + 0.001,
          swatch: colour,
          label: `${name}${weekday(then)} ${clock(then, "min")}`,
          value: printValue(value, prints[i]),
        },
      ];
      if (series.length > MOST_DIFFERENCES || Number.isNaN(today)) return rows;
      const apart = today - value;
      const unsure = roundingOf(today, traces[i].base) + roundingOf(value, this.traces[i].base);
      const difference = Math.abs(apart) <= unsure ? 0 : apart;
      const text = printValue(Math.abs(difference), prints[i]);
      const signed = `${difference < 0 ? "−" : "+"}${text}`;
      return [...rows, { ...at, y: y + 0.002, swatch: "none", label: "difference", value: signed }];
    });
  }

  remove(): void {
    this.canvas.remove();
    this.legend.remove();
  }
}

/** Of one view: what was asked for, when, and what came, of which span. */
interface Asked {
  key: string;
  asked: number;
  ring: BucketRing | null;
  answered: boolean;
  fromMs: number;
  toMs: number;
}

export class Compared {
  readonly #charts = new Map<Chart, Earlier>();
  readonly #views = new Map<number, Asked>();
  #compareMs = 0;
  readonly #session: Session;
  readonly #redraw: () => void;

  constructor(session: Session, redraw: () => void) {
    this.#session = session;
    this.#redraw = redraw;
  }

  /** Compare with a span so much earlier. */
  set(compareMs: number): void {
    if (compareMs !== this.#compareMs) this.#views.clear();
    this.#compareMs = compareMs;
  }

  /** Ask for what the charts need, and read what is here; before the charts are drawn. */
  prepare(charts: readonly Chart[], views: ChartViews, moment: Moment): void {
    const live = !moment.zoomed;
    this.#fetch(views.parts(moment.endMs - moment.startMs), askedSpan(moment, this.#compareMs, live));
    for (const [chart, earlier] of this.#charts) if (!charts.includes(chart)) this.#forget(chart, earlier);
    for (const chart of charts) {
      const earlier = this.#charts.get(chart) ?? new Earlier(chart);
      this.#charts.set(chart, earlier);
      const askedOf = (one: Series): Asked | undefined =>
        this.#views.get(views.viewOf(chart.devicePx, isResult(one) ? chart.formula : undefined));
      const ringOf = (one: Series): BucketRing | null => askedOf(one)?.ring ?? null;
      const from = moment.startMs - this.#compareMs;
      earlier.ready = chart.series.every((one) => {
        const asked = askedOf(one);
        return asked?.ring && (asked.answered || (asked.fromMs <= from && from < asked.toMs));
      });
      earlier.read(ringOf, moment, this.#compareMs);
      chart.earlier = earlier;
    }
  }

  /** Draw under the charts; after they were drawn. */
  paint(moment: Moment): void {
    for (const [chart, earlier] of this.#charts) if (chart.visible && chart.series.length > 0) earlier.paint(moment);
  }

  /** Compare no more. */
  clear(): void {
    for (const [chart, earlier] of this.#charts) this.#forget(chart, earlier);
    this.#views.clear();
  }

  #forget(chart: Chart, earlier: Earlier): void {
    earlier.remove();
    chart.earlier = null;
    this.#charts.delete(chart);
  }

  #fetch(parts: readonly ViewPart[], { startMs, endMs }: Span): void {
    const now = performance.now();
    const [fromMs, toMs] = [startMs - this.#compareMs, endMs - this.#compareMs];
    for (const { view, series, columns, formula } of parts) {
      if (series.length === 0 && formula === undefined) continue;
      const buckets = Math.min(MOST_BUCKETS, Math.max(2, Math.ceil((toMs - fromMs) / columns.stepMs)));
      const key = `${fromMs} ${toMs} ${buckets} ${formula ?? series.join()}`;
      const own = this.#views.get(view) ?? { key: "", asked: 0, ring: null, answered: false, fromMs: NaN, toMs: NaN };
      if (own.key === key && (own.answered || now - own.asked < AGAIN_MS)) continue;
      this.#views.set(view, own);
      [own.key, own.asked, own.answered] = [key, now, false];
      const answer = (ring: BucketRing): void => {
        if (own.key !== key) return;
        [own.ring, own.answered, own.fromMs, own.toMs] = [ring, true, fromMs, toMs];
        this.#redraw();
      };
      this.#session.requestRange(series, Math.max(0, fromMs), toMs, buckets, answer, { lane: COMPARED, formula });
    }
  }
}
