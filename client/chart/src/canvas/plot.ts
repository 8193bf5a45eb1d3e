/** The plot of one chart on its own canvas: axes, silences, lines, and the marks over them. */
import { withAlpha } from "../base/colour";
import { h } from "../base/dom";
import { span } from "../base/format";
import { font, type Tokens } from "../base/tokens";
import { boxedText, type Ctx, dot, endMark, fitCanvas, hatch, liveDot, staleDot } from "./draw";
import { drawEvents, type PlacedMark, placeMarks, STRIP } from "./event-marks";
import { drawLoading, drawTickBlock } from "./loading";
import { drawThresholds, type Kept, type Placed } from "./marks";
import { type Linear, linear } from "./paths";
import type { Picture } from "./picture";
import { niceStep, ticksIn, tickTexts, wholeStep } from "./scale";
import { SeriesLayer } from "./series-layer";
import { drawStates } from "./state-bands";
import { timeLabels, timeStep } from "./time-scale";

export const GUTTER = { left: 48, right: 24, top: 8, bottom: 24 } as const;

/** Left and right edge of a plot in device px: whole ones, so that its columns are. */
export function edgesOf(width: number, ratio: number): { left: number; right: number } {
  return { left: Math.round(GUTTER.left * ratio), right: Math.round((width - GUTTER.right) * ratio) };
}

/** Px between the plot and the strip of events, which the ticks of the axis end in. */
const UNDER = 3;
/** Any text this short fits beside the plot: measuring each of 80 ticks took a fifth of a draw. */
const SHORT_TICK = 5;
/** Labels may move this often. */
const LABELS_MS = 1_000;

export class Plot {
  readonly canvas = h("canvas", { class: "plot-canvas" });
  /** Plot box in CSS px inside the card's canvas area. */
  box = { left: GUTTER.left as number, top: GUTTER.top as number, width: 0, height: 0 };
  x: Linear = { a: 1, b: 0 };
  y: Linear = { a: 1, b: 0 };
  /** Height of the strip of events below the plot, 0 without one; and the marks in it. */
  strip = 0;
  marks: readonly PlacedMark[] = [];
  /** Of the counts of events, by their text. */
  readonly #countWidths = new Map<string, number>();
  readonly #labels: Kept = new Map();
  #labelsAt = -Infinity;
  readonly #ctx = this.canvas.getContext("2d") as Ctx;
  readonly #layer = new SeriesLayer();
  readonly #tokens: () => Tokens;

  constructor(host: HTMLElement, tokens: () => Tokens) {
    this.#tokens = tokens;
    // Digits are tabular only on a canvas that is attached: see the rule for `canvas` in deck.css.
    host.append(this.canvas);
  }

  /** Draw a picture at a size in CSS px, of which each is `ratio` pixels of the screen. */
  draw(picture: Picture, width: number, height: number, ratio: number): void {
    const ctx = this.#ctx;
    const { top } = GUTTER;
    this.strip = picture.eventStrip ? STRIP : 0;
    this.box = {
      left: GUTTER.left,
      top,
      width: width - GUTTER.left - GUTTER.right,
      height: height - top - GUTTER.bottom - this.strip,
    };
    this.x = picture.x;
    this.y = linear(picture.yLo, picture.yHi, top + this.box.height, top);
    if (!fitCanvas(this.canvas, width, height, ratio)) ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    ctx.save();
    ctx.scale(ratio, ratio);
    for (const line of picture.thresholdLines) drawThresholds(ctx, this.#tokens(), line, this, picture, "band");
    if (!picture.states) this.#yAxis(ctx, picture);
    this.#xAxis(ctx, picture);
    if (picture.loading) drawLoading(ctx, this.#tokens(), picture.loading, this);
    this.#silences(ctx, picture);
    if (picture.states) drawStates(ctx, this.#tokens(), picture.states, this.x, this.box);
    this.#layer.draw(ctx, picture, this.box, this.y, ratio, this.#tokens());
    const placed: Placed = [];
    const now = performance.now();
    const relocate = now - this.#labelsAt > LABELS_MS;
    if (relocate) this.#labelsAt = now;
    for (const line of picture.thresholdLines)
      drawThresholds(ctx, this.#tokens(), line, this, picture, "line", placed, this.#labels, relocate);
    this.#readings(ctx, picture);
    this.#gapLabels(ctx, picture);
    this.#events(ctx, picture);
    ctx.restore();
  }

  destroy(): void {
    this.canvas.remove();
  }

  #events(ctx: Ctx, picture: Picture): void {
    const { left, top, width, height } = this.box;
    ctx.font = font(600, 11);
    const wide = (text: string): number => {
      const known = this.#countWidths.get(text) ?? ctx.measureText(text).width;
      this.#countWidths.set(text, known);
      return known;
    };
    this.marks = placeMarks(picture.events, this.x, this.box, wide);
    drawEvents(ctx, this.#tokens(), this.marks, top + height + UNDER, left, left + width + GUTTER.right - 4);
  }

  #silences(ctx: Ctx, picture: Picture): void {
    const { left, top, width, height } = this.box;
    for (const gap of picture.gaps) {
      const from = Math.max(left, this.x.a * gap.fromMs + this.x.b);
      const to = Math.min(left + width, this.x.a * gap.toMs + this.x.b);
      hatch(ctx, this.#tokens(), from, top, to - from, height, left);
    }
    if (!Number.isNaN(picture.tailMs)) {
      const from = Math.max(left, this.x.a * picture.tailMs + this.x.b);
      hatch(ctx, this.#tokens(), from, top, left + width - from, height, left);
    }
  }

  #yAxis(ctx: Ctx, picture: Picture): void {
    const tokens = this.#tokens();
    const { left, width } = this.box;
    const lo = picture.yLo / picture.divisor;
    const hi = picture.yHi / picture.divisor;
    const step = picture.whole ? wholeStep(lo, hi) : niceStep(lo, hi);
    ctx.font = font(400, 11);
    ctx.textAlign = "right";
    ctx.textBaseline = "alphabetic";
    const ticks = ticksIn(lo, hi, step);
    const texts = tickTexts(
      ticks,
      step,
      (text) => text.length <= SHORT_TICK || ctx.measureText(text).width <= left - 8,
    );
    ticks.forEach((tick, i) => {
      const y = Math.round(this.y.a * tick * picture.divisor + this.y.b);
      ctx.fillStyle = withAlpha(tokens.border, 0.6);
      ctx.fillRect(left, y, width, 1);
      if (picture.loading?.bare) return drawTickBlock(ctx, tokens, left - 8, y);
      ctx.fillStyle = tokens.muted;
      ctx.fillText(texts[i], left - 8, y + 4);
    });
  }

  #xAxis(ctx: Ctx, picture: Picture): void {
    const tokens = this.#tokens();
    const { left, top, width, height } = this.box;
    const step = timeStep(picture.endMs - picture.startMs, width);
    ctx.font = font(400, 11);
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    for (const [tick, text] of timeLabels(picture.startMs, picture.endMs, step)) {
      const x = Math.round(this.x.a * tick + this.x.b);
      ctx.fillStyle = tokens.border;
      ctx.fillRect(x, top + height, 1, 4);
      const half = ctx.measureText(text).width / 2;
      if (x - half < left - GUTTER.left + 4 || x + half > left + width + GUTTER.right - 4) continue;
      ctx.fillStyle = tokens.muted;
      ctx.fillText(text, x, top + height + this.strip + GUTTER.bottom - 7);
    }
  }

  #readings(ctx: Ctx, picture: Picture): void {
    picture.traces.forEach((trace, i) => {
      if (trace.n === 0) return;
      if (picture.points && !trace.steps) {
        for (let k = 0; k < trace.n; k++) {
          const x = this.x.a * trace.time[k] + this.x.b;
          if (x >= this.box.left && x <= this.box.left + this.box.width)
            dot(ctx, x, this.y.a * trace.last[k] + this.y.b, 2, picture.colours[i]);
        }
      }
      if (!picture.edges) return;
      const x = Math.min(this.box.left + this.box.width, this.x.a * trace.endMs + this.x.b);
      const y = this.y.a * trace.last[trace.n - 1] + this.y.b;
      if (x < this.box.left) return;
      if (picture.stale[i]) staleDot(ctx, x, y, this.#tokens());
      else if (picture.ended[i]) endMark(ctx, x, y, picture.colours[i]);
      else liveDot(ctx, x, y, picture.colours[i]);
    });
  }

  #gapLabels(ctx: Ctx, picture: Picture): void {
    const { left, top, width, height } = this.box;
    ctx.font = font(500, 11);
    const label = (fromMs: number, toMs: number, words: readonly string[], middle: boolean): void => {
      const from = Math.max(left, this.x.a * fromMs + this.x.b);
      const to = Math.min(left + width, this.x.a * toMs + this.x.b);
      const text = words.find((one) => ctx.measureText(one).width + 12 <= to - from - 2);
      if (text) boxedText(ctx, this.#tokens(), text, (from + to) / 2, middle ? top + height / 2 : top + height - 14);
    };
    if (picture.emptyText.length > 0) return label(picture.startMs, picture.endMs, picture.emptyText, true);
    for (const gap of picture.gaps) {
      const long = span(gap.longMs);
      label(gap.fromMs, gap.toMs, [`no data ${long}`, long], false);
    }
    if (picture.tailText.length > 0) label(picture.tailMs, picture.endMs, picture.tailText, true);
  }
}
