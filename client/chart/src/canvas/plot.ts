/** The plot of one chart on its own canvas: axes, silences, lines, and the marks over them. */
import { withAlpha } from "../base/colour";
import { h } from "../base/dom";
import { span } from "../base/format";
import { font, type Tokens } from "../base/tokens";
import { type Axis, apart, type Ticks } from "./axis";
import { boxedText, type Ctx, canvasName, dot, endMark, fitCanvas, hatch, liveDot, staleDot } from "./draw";
import { drawEvents, type PlacedMark, placeMarks, STRIP } from "./event-marks";
import { drawLoading, drawTickBlock } from "./loading";
import { drawThresholds, type Kept, type Placed } from "./marks";
import { type Linear, linear } from "./paths";
import type { Picture } from "./picture";
import { SeriesLayer } from "./series-layer";
import { drawStates } from "./state-bands";
import { timeLabels, timeStep } from "./time-scale";

export const GUTTER = { left: 48, right: 24, top: 8, bottom: 24 } as const;
/** Right of a plot with an axis there, and above one that names its axes. */
const AXIS_RIGHT = 48;
const NAMED_TOP = 26;

/** Left and right edge of a plot in device px: whole ones, so that its columns are. */
export function edgesOf(width: number, ratio: number, axes = 1): { left: number; right: number } {
  const right = axes > 1 ? AXIS_RIGHT : GUTTER.right;
  return { left: Math.round(GUTTER.left * ratio), right: Math.round((width - right) * ratio) };
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
  /** From the heights of each trace to px. */
  ys: readonly Linear[] = [];
  /** Of each axis, as they were drawn last. */
  ticks: readonly Ticks[] = [];
  /** Px right of the plot. */
  right: number = GUTTER.right;
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
    const wide = (text: string): boolean => text.length <= SHORT_TICK || ctx.measureText(text).width <= GUTTER.left - 8;
    ctx.font = font(400, 11);
    const all = picture.states ? [] : picture.axes.map((axis) => axis.scale.ticks(axis, wide));
    const named = all.length > 1 || (all[0]?.base ?? "") !== "";
    const top = named ? NAMED_TOP : GUTTER.top;
    this.right = picture.axes.length > 1 ? AXIS_RIGHT : GUTTER.right;
    this.strip = picture.eventStrip ? STRIP : 0;
    this.box = {
      left: GUTTER.left,
      top,
      width: width - GUTTER.left - this.right,
      height: height - top - GUTTER.bottom - this.strip,
    };
    this.x = picture.x;
    const scales = picture.axes.map(({ lo, hi, inverted }) =>
      inverted ? linear(lo, hi, top, top + this.box.height) : linear(lo, hi, top + this.box.height, top),
    );
    const ticks = all.map((own, i) => apart(own, scales[i]));
    this.ticks = ticks;
    this.ys = picture.axisOf.map((axis) => scales[Math.max(0, axis)]);
    const framed = { box: this.box, x: this.x, ys: this.ys };
    if (!fitCanvas(this.canvas, width, height, ratio)) ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    ctx.save();
    ctx.scale(ratio, ratio);
    for (const line of picture.thresholdLines)
      drawThresholds(ctx, this.#tokens(), line, { ...framed, y: scales[line.axis] }, picture, "band");
    ticks.forEach((own, i) => this.#yAxis(ctx, picture, picture.axes[i], own, scales[i], i, named));
    this.#xAxis(ctx, picture);
    if (picture.loading) drawLoading(ctx, this.#tokens(), picture.loading, this);
    this.#silences(ctx, picture);
    if (picture.states) drawStates(ctx, this.#tokens(), picture.states, this.x, this.box);
    this.#layer.draw(ctx, picture, this.box, this.ys, ratio, this.#tokens());
    const placed: Placed = [];
    const now = performance.now();
    const relocate = now - this.#labelsAt > LABELS_MS;
    if (relocate) this.#labelsAt = now;
    for (const line of picture.thresholdLines)
      drawThresholds(
        ...([ctx, this.#tokens(), line, { ...framed, y: scales[line.axis] }, picture] as const),
        ...(["line", placed, this.#labels, relocate] as const),
      );
    this.#readings(ctx, picture);
    this.#gapLabels(ctx, picture);
    this.#events(ctx, picture);
    ctx.restore();
  }

  /** Return the px of a height of a trace. */
  yAt(trace: number, height: number): number {
    const { a, b } = this.ys[trace];
    return a * height + b;
  }

  /** Tell whether a height is inside the plot, and not beyond a range that was typed. */
  holds(y: number): boolean {
    return y >= this.box.top - 1 && y <= this.box.top + this.box.height + 1;
  }

  destroy(): void {
    this.canvas.remove();
  }

  #events(ctx: Ctx, picture: Picture): void {
    if (picture.events.length === 0) {
      this.marks = [];
      return;
    }
    const { left, top, width, height } = this.box;
    ctx.font = font(600, 11);
    const wide = (text: string): number => {
      const known = this.#countWidths.get(text) ?? ctx.measureText(text).width;
      this.#countWidths.set(text, known);
      return known;
    };
    this.marks = placeMarks(picture.events, this.x, this.box, wide);
    drawEvents(ctx, this.#tokens(), this.marks, top + height + UNDER, left, left + width + this.right - 4);
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

  /** Draw the ticks of one axis, and if axes are named its unit over them; the grid is that of the left one. */
  #yAxis(
    ctx: Ctx,
    picture: Picture,
    { swatches }: Axis,
    { ticks, minor, unit, base }: Ticks,
    y: Linear,
    side: number,
    named: boolean,
  ): void {
    const tokens = this.#tokens();
    const { left, top, width } = this.box;
    const right = left + width;
    const edge = side === 0 ? left - 8 : right + 8;
    ctx.font = font(400, 11);
    ctx.textAlign = side === 0 ? "right" : "left";
    ctx.textBaseline = "alphabetic";
    const at = (height: number): number => Math.round(y.a * height + y.b);
    ctx.fillStyle = withAlpha(tokens.muted, 0.28);
    for (const height of minor) ctx.fillRect(side === 0 ? left : right - 5, at(height), 5, 1);
    for (const tick of ticks) {
      const px = at(tick.at);
      ctx.fillStyle = tick.text === "±0" ? withAlpha(tokens.muted, 0.7) : withAlpha(tokens.border, 0.6);
      if (side === 0) ctx.fillRect(left, px, width, 1);
      else ctx.fillRect(right, px, 4, 1);
      if (picture.loading?.bare) {
        if (side === 0) drawTickBlock(ctx, tokens, edge, px);
        continue;
      }
      ctx.fillStyle = tokens.muted;
      ctx.fillText(tick.text, edge, px + 4);
    }
    if (!named) return;
    const line = top - 10;
    ctx.font = font(500, 11);
    ctx.fillStyle = tokens.secondary;
    const marks = swatches.slice(0, 4);
    const room = marks.length * 8;
    const wide = ctx.measureText(unit).width;
    // Left of the unit at the left, right of it at the right; a long unit begins at the edge of the card.
    const start = side === 0 ? Math.max(4, edge - wide - room - 2) : edge;
    ctx.textAlign = "left";
    ctx.fillText(canvasName(unit), side === 0 ? start + room + (room && 2) : start, line);
    marks.forEach((colour, i) => {
      ctx.fillStyle = colour;
      ctx.fillRect(start + 8 * i + (side === 0 ? 0 : wide + 6), line - 5, 6, 2);
    });
    if (base === "") return;
    const from = side === 0 ? Math.max(left, start + room + wide + 10) : right - ctx.measureText(base).width - 14;
    ctx.fillStyle = withAlpha(tokens.border, 0.6);
    ctx.beginPath();
    ctx.roundRect(from, line - 13, ctx.measureText(base).width + 14, 18, 4);
    ctx.fill();
    ctx.fillStyle = tokens.text;
    ctx.fillText(base, from + 7, line);
  }

  #xAxis(ctx: Ctx, picture: Picture): void {
    const tokens = this.#tokens();
    const { left, top, width, height } = this.box;
    const step = timeStep(picture.endMs - picture.startMs, width);
    ctx.font = font(400, 11);
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    for (const [tick, text] of picture.xTicks ?? timeLabels(picture.startMs, picture.endMs, step)) {
      const x = Math.round(this.x.a * tick + this.x.b);
      ctx.fillStyle = tokens.border;
      ctx.fillRect(x, top + height, 1, 4);
      const half = ctx.measureText(text).width / 2;
      if (x - half < left - GUTTER.left + 4 || x + half > left + width + this.right - 4) continue;
      ctx.fillStyle = tokens.muted;
      ctx.fillText(text, x, top + height + this.strip + GUTTER.bottom - 7);
    }
  }

  #readings(ctx: Ctx, picture: Picture): void {
    picture.traces.forEach((trace, i) => {
      if (trace.n === 0) return;
      if (picture.points && !trace.steps && !picture.ink) {
        for (let k = 0; k < trace.n; k++) {
          const [x, y] = [this.x.a * trace.time[k] + this.x.b, this.yAt(i, trace.last[k])];
          if (x >= this.box.left && x <= this.box.left + this.box.width && this.holds(y))
            dot(ctx, x, y, 2, picture.colours[i]);
        }
      }
      if (!picture.edges) return;
      const x = Math.min(this.box.left + this.box.width, this.x.a * trace.endMs + this.x.b);
      const y = this.yAt(i, trace.last[trace.n - 1]);
      if (x < this.box.left || !this.holds(y)) return;
      if (picture.stale[i] || picture.broken?.[i]) staleDot(ctx, x, y, this.#tokens());
      else if (picture.ended[i]) endMark(ctx, x, y, picture.colours[i]);
      else liveDot(ctx, x, y, picture.colours[i]);
    });
  }

  #gapLabels(ctx: Ctx, picture: Picture): void {
    const { left, top, width, height } = this.box;
    const label = (fromMs: number, toMs: number, words: readonly string[], middle: boolean): void => {
      ctx.font = font(500, 11);
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
    if (picture.foot !== "") label(picture.startMs, picture.endMs, [picture.foot], false);
    if (picture.tailText.length > 0) label(picture.tailMs, picture.endMs, picture.tailText, true);
  }
}
