/**
 * One chart of runs over their steps, the time since they began, or the clock: a line for each, smoothed, with what was
 * read paler beneath it. It draws with the plot, the card and the crosshair of the other charts.
 */

import { swatch } from "../base/colour";
import { decimalsOf, formatNumber, longSpan, stepDecimals, timeText } from "../base/format";
import { lineColour, type Tokens } from "../base/tokens";
import { type ShownUnit, shownUnit, startsAtZero } from "../base/units";
import { LINEAR, type Scale } from "../canvas/axis";
import { zoomOf } from "../canvas/draw";
import { strokeLine } from "../canvas/ink";
import { type Linear, linear } from "../canvas/paths";
import type { Picture } from "../canvas/picture";
import { edgesOf, Plot } from "../canvas/plot";
import { ticksIn, yRange } from "../canvas/scale";
import { LOG, rangeBy } from "../canvas/special";
import { timeLabels, timeStep } from "../canvas/time-scale";
import type { AxisOptions } from "../model/axis-options";
import { tagsOf } from "../model/axis-options";
import type { Trace } from "../model/buckets";
import type { Series } from "../model/directory";
import type { Freshness } from "../model/freshness";
import { type Print, printOf, printValue } from "../model/reading";
import { type Line, pointAt, traceOf } from "../model/runs";
import type { RunAxis, Span } from "../model/url";
import type { RunEntry } from "../wire/messages";
import { ChartFrame } from "./card";
import type { Crossed } from "./crosshair";
import { type CardWords, pngOfCard } from "./image-file";
import type { Press } from "./legend";
import { Overlay, type OverlayRow } from "./overlay";

/** One line of a chart: of a run and a metric. */
export interface RunTrace {
  readonly series: Series;
  readonly run: string;
  readonly label: string;
  readonly state: RunEntry["state"];
  /** Of the run: it has the same in all charts. */
  readonly style: number;
  /** Other metrics of the chart are dashed. */
  readonly dash: readonly number[];
  readonly line: Line;
  /** Where its points stand, and their smoothed values. */
  readonly x: readonly number[];
  readonly smooth: readonly number[];
}

/** The newest value of a line: smoothed, or as it was read. */
const lastOf = ({ line, smooth }: RunTrace, smoothing: number): number =>
  (smoothing > 0 ? smooth : line.last).at(-1) ?? NaN;

/** What all charts of the page are drawn from. */
export interface RunMoment {
  readonly tokens: Tokens;
  readonly axis: RunAxis;
  /** What is shown of x. */
  readonly span: Span;
  readonly raw: boolean;
  readonly smoothing: number;
  /** The length of x that one point stands for. */
  readonly unit: number;
  /** The run that is raised above the others; empty: none. */
  readonly raised: string;
  readonly paused: boolean;
  readonly offline: boolean;
}

const RAW = { alpha: 0.24, px: 1 };
const LINE_PX = 2;
const RAISED_PX = 3;
const LOWERED = 0.4;
/** Px from one tick of x to the next at least. */
const PITCH = 72;
const LEGEND_PAD = 26;
/** Lines that a screen reader is told of. */
const MOST_SPOKEN = 12;
/** Decades of a logarithmic axis up to which 2 and 5 have texts as well. */
const FEW_DECADES = 2.5;
const LOG_125: Scale = {
  ...LOG,
  ticks(axis, fits) {
    const own = LOG.ticks(axis, fits);
    if (axis.hi - axis.lo > FEW_DECADES) return own;
    const more = own.minor.map((at) => {
      const value = Number((10 ** at / axis.unit.divisor).toPrecision(6));
      return { at, text: formatNumber(value, decimalsOf(value)) };
    });
    return { ...own, ticks: [...own.ticks, ...more].sort((a, b) => a.at - b.at), minor: [] };
  },
};
const NONE_HIDDEN: ReadonlySet<number> = new Set();

/** Return the ticks of steps, whole ones where they are. */
export function stepTicks(lo: number, hi: number, px: number): (readonly [number, string])[] {
  const least = Math.max(((hi - lo) * PITCH) / px, hi - lo > 2 ? 1 : 0) || 1;
  const power = 10 ** Math.floor(Math.log10(least) + 1e-9);
  const step = power * ([1, 2, 5].find((times) => times * power >= least * (1 - 1e-9)) ?? 10);
  return ticksIn(lo, hi, step).map((tick) => [tick, stepText(tick, stepDecimals(step))]);
}

/** 5400 → 5,400; from a billion on in powers. */
function stepText(step: number, decimals = Number.isInteger(step) ? 0 : 3): string {
  return Math.abs(step) < 1e9 ? formatNumber(step, decimals) : step.toExponential(2).replace(/\.?0*e\+?/, "e");
}

/** Return an x as people say it. */
export function placeText(x: number, axis: RunAxis, spanX: number): string {
  if (axis === "time") return timeText(x, spanX);
  return axis === "rel"
    ? `after ${x < 10_000 ? `${formatNumber(x / 1_000, 1)} s` : longSpan(x)}`
    : `step ${stepText(x)}`;
}

/** Return the ticks of an x axis of some px. */
export function placeTicks(axis: RunAxis, { startMs, endMs }: Span, px: number): (readonly [number, string])[] {
  if (axis === "step") return stepTicks(startMs, endMs, px);
  const step = timeStep(endMs - startMs, px * 0.8);
  return axis === "time"
    ? timeLabels(startMs, endMs, step)
    : ticksIn(startMs, endMs, step).map((tick) => [tick, tick < 1_000 && tick > 0 ? `${tick} ms` : longSpan(tick)]);
}

export class RunChart implements Crossed {
  readonly card: ChartFrame;
  readonly overlay = new Overlay();
  plot: Plot | null = null;
  columns = { stepMs: 1 };
  title = "";
  traces: readonly RunTrace[] = [];
  axisOptions: AxisOptions = {};
  byValue = false;
  #moment: RunMoment | null = null;
  #picture: Picture | null = null;
  #unit: ShownUnit = shownUnit("", 0);
  #print: Print = { unit: this.#unit, decimals: 0, whole: false };
  #width = 0;
  #height = 0;
  #zoom = 1;
  #built = "";
  #crossX = NaN;
  #hovered = false;
  readonly #sizes: ResizeObserver;

  constructor(press: Press) {
    this.card = new ChartFrame(
      () => {
        this.card.clearError();
        if (this.#moment) this.draw(this.#moment);
      },
      press,
      () => undefined,
      () => undefined,
    );
    this.#sizes = new ResizeObserver(([entry]) => {
      this.#width = entry.contentRect.width;
      this.#height = entry.contentRect.height;
      this.#zoom = zoomOf(this.card.plotHost);
      if (this.#moment) this.draw(this.#moment);
    });
    this.#sizes.observe(this.card.plotHost);
  }

  local(event: MouseEvent): number {
    return (event.clientX - this.card.plotHost.getBoundingClientRect().left) / this.#zoom;
  }

  pointer(event: MouseEvent): void {
    this.overlay.pointerY = (event.clientY - this.card.plotHost.getBoundingClientRect().top) / this.#zoom;
  }

  /** Draw the lines; an error stops this chart and no other. */
  draw(moment: RunMoment): void {
    this.#moment = moment;
    if (this.card.failed || this.#width < 120 || this.#height < 60) return;
    try {
      this.#paint(moment);
    } catch (error) {
      this.plot?.destroy();
      this.plot = null;
      this.overlay.hide();
      this.card.fail(this.title, error as Error);
    }
  }

  /** Draw nothing: something else is said in its place. */
  clear(): void {
    this.#moment = null;
    this.#picture = null;
    this.plot?.destroy();
    this.plot = null;
    this.overlay.hide();
  }

  #paint(moment: RunMoment): void {
    const { axis, span } = moment;
    if (!this.plot) {
      this.plot = new Plot(this.card.plotHost, () => (this.#moment as RunMoment).tokens);
      this.card.plotHost.append(this.overlay.element);
    }
    this.card.loading(false, this.title);
    this.columns = { stepMs: moment.unit };
    this.overlay.says = {
      at: (x) => placeText(x, axis, span.endMs - span.startMs),
      between: (from, to) =>
        `${placeText(from, axis, span.endMs - span.startMs)} – ${placeText(to, axis, span.endMs - span.startMs)}`,
      beside: moment.smoothing > 0 ? `smoothed ${formatNumber(moment.smoothing, 2)}` : "",
    };
    const picture = this.#compose(moment);
    this.#picture = picture;
    this.plot.draw(picture, this.#width, this.#height, devicePixelRatio * this.#zoom);
    this.#words(moment);
    this.#cross();
    this.card.tags(tagsOf("auto", this.axisOptions));
  }

  #compose(moment: RunMoment): Picture {
    const { span, tokens, raised } = moment;
    const scale = this.axisOptions.log ? LOG_125 : LINEAR;
    const smooth = this.traces.map(({ x, line, smooth }) => traceOf(x, line, smooth));
    const raw = moment.raw && moment.smoothing > 0 ? this.traces.map(({ x, line }) => traceOf(x, line, null)) : [];
    const read = moment.smoothing > 0 ? smooth : this.traces.map(({ x, line }) => traceOf(x, line, null));
    const heights = read.map((trace) => scale.shape(trace));
    const pale = raw.map((trace) => scale.shape(trace));
    const [lo, hi] = extent([...heights, ...pale], span);
    this.#unit = shownUnit(
      this.traces[0]?.series.unit ?? "",
      Math.max(...[lo, hi].map((end) => size(end, scale !== LINEAR))),
    );
    this.#print = printOf(this.#unit, ends(read, span));
    const zero = (this.axisOptions.zero ?? startsAtZero(this.traces[0]?.series.unit ?? "")) && scale === LINEAR;
    const auto = yRange(lo, hi, zero);
    const [yLo, yHi] = rangeBy(this.axisOptions, scale, auto);
    if (!Number.isFinite(yHi - yLo)) throw new Error("These values are too far apart for one axis.");
    const ratio = devicePixelRatio * this.#zoom;
    const { left, right } = edgesOf(this.#width, ratio);
    const x: Linear = linear(span.startMs, span.endMs, left / ratio, right / ratio);
    const colours = this.traces.map(({ style }) => lineColour(tokens, style));
    const alphaOf = (i: number): number => (raised === "" || raised === this.traces[i].run ? 1 : LOWERED);
    const first = heights.findIndex(({ n }) => n > 0);
    const plain = { columnPx: 1, pixel: 1, text: "", surface: "" };
    return {
      traces: heights,
      axes: [
        {
          scale,
          lo: yLo,
          hi: yHi,
          inverted: this.axisOptions.inverted ?? false,
          whole: false,
          unit: this.#unit,
          swatches: [],
        },
      ],
      axisOf: heights.map(() => 0),
      ink: (ctx, { x: px }, at, y) => {
        const opacity = ctx.globalAlpha;
        // Beneath all lines, so that none hides another's.
        if (at === first)
          pale.forEach((trace, i) => {
            if (trace.n === 0) return;
            ctx.globalAlpha = opacity * alphaOf(i) * RAW.alpha;
            strokeLine(ctx, trace, px, y, { ...plain, colour: colours[i], width: RAW.px, dash: [] });
          });
        ctx.globalAlpha = opacity * alphaOf(at);
        const width = raised !== "" && raised === this.traces[at].run ? RAISED_PX : LINE_PX;
        strokeLine(ctx, heights[at], px, y, { ...plain, colour: colours[at], width, dash: this.traces[at].dash });
        ctx.globalAlpha = opacity;
      },
      foot: scale.dropped(read),
      colours,
      dashes: this.traces.map(({ dash }) => dash),
      ...span,
      x,
      columns: { stepMs: (span.endMs - span.startMs) / 1_000, count: 1_000, px: 1 },
      freshMs: -Infinity,
      states: null,
      gaps: [],
      tailMs: NaN,
      tailText: [],
      emptyText: this.traces.length > 0 || moment.axis !== "step" ? [] : ["no run has a step of this"],
      alpha: moment.offline ? 0.75 : 1,
      stale: this.traces.map(({ state }) => state === "stale"),
      ended: this.traces.map(({ state }) => state === "finished"),
      broken: this.traces.map(({ state }) => state === "stopped" || state === "failed"),
      edges: true,
      area: false,
      points: false,
      thresholdLines: [],
      loading: null,
      events: [],
      eventStrip: false,
      xTicks: placeTicks(moment.axis, span, (right - left) / ratio),
    };
  }

  #words(moment: RunMoment): void {
    const key = `${this.byValue} ${this.traces.map(({ series, label }) => `${series.index}:${label}`).join()}`;
    if (key !== this.#built) {
      this.#built = key;
      const names = this.traces.map(({ label }) => label);
      this.card.legend.build(
        this.traces.map(({ series }) => series),
        (_, i) => [names[i], ""],
      );
    }
    const [state, word] = standing(this.traces.map((trace) => trace.state));
    this.card.update(this.title, this.#unit.text, state, { word, value: "" }, null, moment.paused);
    const last = this.traces.map((one) => lastOf(one, moment.smoothing));
    const texts = last.map((value) => printValue(value, this.#print));
    if (this.byValue) this.card.legend.sort(last);
    const widest = Math.max(1, ...texts.map(({ length }) => length - 0.6));
    this.card.legend.fit(
      this.#width - LEGEND_PAD,
      texts.map(() => widest),
      [],
    );
    this.#legend(moment);
    const over = moment.axis === "step" ? "step" : moment.axis === "rel" ? "run time" : "time";
    const spoken = this.traces.slice(0, MOST_SPOKEN).map(({ label }, i) => `${label} ${texts[i]}`);
    this.card.speak(`${this.title} ${this.#unit.text} by ${over}. ${spoken.join(", ")}`.replace(/\s+/g, " "));
  }

  /** Write the values at the crosshair, or the newest. */
  #legend({ tokens, smoothing }: RunMoment): void {
    this.card.legend.update(
      this.traces.map((one) => {
        if (Number.isNaN(this.#crossX)) return printValue(lastOf(one, smoothing), this.#print);
        const at = this.#at(one);
        return at < 0 ? "–" : printValue(one.smooth[at], this.#print);
      }),
      [],
      this.traces.map(({ style, dash }) => swatch(lineColour(tokens, style), dash)),
      false,
      NONE_HIDDEN,
    );
  }

  #at({ x }: RunTrace): number {
    const reach = Math.max(this.#moment?.unit ?? 0, x.length > 1 ? (x[x.length - 1] - x[0]) / (x.length - 1) : 0);
    return pointAt(x, x.length, this.#crossX, reach);
  }

  /** The x of the point nearest to one. */
  snap(at: number): number {
    let best = NaN;
    for (const { x } of this.traces) {
      const near = pointAt(x, x.length, at, Infinity);
      for (const one of [x[near], x[near + 1]])
        if (one !== undefined && !(Math.abs(one - at) >= Math.abs(best - at))) best = one;
    }
    const { a } = this.plot?.x ?? { a: 0 };
    return Math.abs(best - at) * a <= 40 ? best : at;
  }

  crosshair(x: number, hovered: boolean): void {
    this.#crossX = x;
    this.#hovered = hovered;
    if (!this.#moment || !this.plot || this.card.failed) return;
    this.#legend(this.#moment);
    this.#cross();
  }

  #cross(): void {
    const { plot } = this;
    const moment = this.#moment;
    if (!plot || !moment) return;
    if (Number.isNaN(this.#crossX)) return this.overlay.hide();
    const rows = this.traces.flatMap((one, i): OverlayRow[] => {
      const at = this.#at(one);
      const trace = this.#picture?.traces[i];
      if (at < 0 || !trace) return [];
      const height = this.#picture?.axes[0].scale.at(one.smooth[at]) ?? NaN;
      const colour = lineColour(moment.tokens, one.style);
      const own = printValue(one.line.mean[at], this.#print);
      return [
        {
          colour,
          swatch: swatch(colour, one.dash),
          label: one.label,
          value: printValue(one.smooth[at], this.#print),
          range: moment.smoothing > 0 ? own : "",
          x: plot.x.a * one.x[at] + plot.x.b,
          y: plot.yAt(i, height),
        },
      ];
    });
    this.overlay.at(plot, this.#crossX, rows, this.#hovered, NaN, [], () => 0);
  }

  /** Draw what is drawn as a PNG that says what its x axis is. */
  async png(): Promise<Blob> {
    const { plot, title } = this;
    const picture = this.#picture;
    const moment = this.#moment;
    if (!plot || !picture || !moment) throw new Error("This chart is not visible");
    const { startMs, endMs } = moment.span;
    const [from, to] = [startMs, endMs].map((x) => placeText(x, moment.axis, endMs - startMs));
    const smoothing = moment.smoothing > 0 ? `smoothed ${formatNumber(moment.smoothing, 2)} · ` : "";
    const words: CardWords = {
      title,
      unit: this.#unit.text,
      when: [`${smoothing}${from} – ${to.replace(/^(step|after) /, "")}`],
      rows: this.traces.map((one) => ({
        label: one.label,
        value: printValue(lastOf(one, moment.smoothing), this.#print),
        colour: lineColour(moment.tokens, one.style),
        dash: one.dash,
      })),
      compared: null,
    };
    return pngOfCard(moment.tokens, (ratio, copy) => {
      plot.draw(picture, this.#width, this.#height, ratio);
      copy(plot.canvas);
      plot.draw(picture, this.#width, this.#height, devicePixelRatio * this.#zoom);
      return words;
    });
  }

  /** For browser tests. */
  debug(): Record<string, unknown> {
    return {
      title: this.title,
      plot: this.plot?.box,
      span: this.#moment?.span,
      unit: this.#moment?.unit,
      xTicks: this.#picture?.xTicks?.map(([, text]) => text) ?? [],
      ticks: this.plot?.ticks[0]?.ticks.map(({ text }) => text) ?? [],
      range: this.#picture ? [this.#picture.axes[0].lo, this.#picture.axes[0].hi] : null,
      lines: this.traces.map(({ run, style, x, line, smooth, state }) => ({
        run,
        style,
        state,
        n: x.length,
        from: x[0],
        to: x[x.length - 1],
        first: [line.mean[0], smooth[0]],
        last: [line.mean[x.length - 1], smooth[x.length - 1]],
      })),
    };
  }

  destroy(): void {
    this.#sizes.disconnect();
    this.plot?.destroy();
    this.plot = null;
    this.card.element.remove();
  }
}

/** How a chart of runs stands: as the freshest of them; of runs that are over as the worst. */
const STANDINGS = [
  ["live", "live", "LIVE"],
  ["stale", "stale", "STALE"],
  ["failed", "nodata", "FAILED"],
  ["stopped", "nodata", "STOPPED"],
  ["finished", "finished", "FINISHED"],
] as const satisfies readonly (readonly [RunEntry["state"], Freshness, string])[];

/** Return the freshness of a chart of runs and its word; no word without runs. */
export function standing(states: readonly RunEntry["state"][]): [state: Freshness, word: string] {
  const found = STANDINGS.find(([state]) => states.includes(state));
  return found ? [found[1], found[2]] : ["unknown", ""];
}

const size = (height: number, log: boolean): number => Math.abs(log ? 10 ** height : height) || 0;

/** Return the least and greatest height of traces between two x. */
function extent(traces: readonly Trace[], { startMs, endMs }: Span): [number, number] {
  let [lo, hi] = [Infinity, -Infinity];
  for (const { n, time, min, max } of traces)
    for (let i = 0; i < n; i++) {
      if (time[i] < startMs || time[i] > endMs) continue;
      if (min[i] < lo) lo = min[i];
      if (max[i] > hi) hi = max[i];
    }
  return [lo, hi];
}

function ends(traces: readonly Trace[], span: Span): { lo: number; hi: number; integers: boolean } {
  const [lo, hi] = extent(traces, span);
  const integers = traces.every(({ n, mean }) => mean.slice(0, n).every(Number.isInteger));
  return Number.isFinite(lo) ? { lo, hi, integers } : { lo: NaN, hi: NaN, integers: false };
}
