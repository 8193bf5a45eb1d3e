/**
 * The pause bar in the header's centre: a small chart of the window, the brush, the times, and the way back to live.
 */

import { withAlpha } from "../base/colour";
import { h, setText, show } from "../base/dom";
import { formatNumber, longSpan, spanText } from "../base/format";
import { dot, fitCanvas } from "../canvas/draw";
import { linear, linePath } from "../canvas/paths";
import { Trace } from "../model/buckets";
import type { AppContext } from "./app-context";
import css from "./pause-bar.css";

/** Widths of the small chart; below the least it is hidden. */
const MOST_WIDTH = 200;
const LEAST_WIDTH = 64;
const HEIGHT = 28;
/** Room at its right for what arrived since the pause. */
const NEW_PX = 22;
/** As in deck.css. */
const GAP = 12;
const MAX_NEW_DOTS = 5;
/** A touch screen has no Esc key. */
const COARSE = window.matchMedia("(pointer: coarse)");

export class PauseBar {
  readonly element = h("div", { class: "pause-bar", "data-tw": "pause-bar" });
  readonly #canvas = h("canvas", { class: "pause-bar-canvas", "aria-hidden": "true" });
  readonly #span = h("span", { class: "pause-bar-span" });
  readonly #long = h("span", { class: "pause-bar-long" });
  readonly #live = h("button", { type: "button", class: "button primary", "data-tw": "back-to-live" });
  readonly #trace = new Trace();
  #drawn = "";
  #width = MOST_WIDTH;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.element.append(h("style", {}, css), this.#canvas, this.#span, this.#long, this.#live);
    this.#live.addEventListener("click", () => app.time.live());
    show(this.element, false);
  }

  draw(): void {
    const { timeline } = this.#app;
    show(this.element, timeline.paused);
    if (!timeline.paused) {
      this.#drawn = "";
      return;
    }
    const news = timeline.newReadings(this.#app.watched());
    setText(this.#live, `${formatNumber(news, 0)} new  ·  ${COARSE.matches ? "tap" : "Esc"} for live`);
    const zoom = timeline.zoom;
    show(this.#span, zoom !== null);
    show(this.#long, zoom !== null);
    if (zoom) {
      setText(this.#span, spanText(zoom.startMs, zoom.endMs, this.#app.session.now()));
      setText(this.#long, longSpan(zoom.endMs - zoom.startMs));
    }
    const deck = this.#app.state.page === "deck";
    this.#fit();
    show(this.#canvas, deck && this.#width >= LEAST_WIDTH);
    const key = `${this.#width} ${zoom?.startMs} ${zoom?.endMs} ${Math.min(MAX_NEW_DOTS, Math.ceil(news / 50))} ${this.#app.theme()}`;
    if (!deck || key === this.#drawn) return;
    this.#drawn = key;
    this.#paint(news);
  }

  /** Fit into the header: the small chart gives way first, then the length, then the times. */
  #fit(): void {
    const wide = (element: HTMLElement): number => (element.hidden ? 0 : element.offsetWidth + GAP);
    let room = (this.element.parentElement?.clientWidth ?? 0) - this.#live.offsetWidth;
    this.#width = 0;
    // On a phone it lies outside the header.
    if (room < 0) return;
    for (const part of [this.#span, this.#long]) {
      show(part, !part.hidden && room >= wide(part));
      room -= wide(part);
    }
    this.#width = Math.min(MOST_WIDTH, Math.floor(room - GAP));
  }

  #paint(news: number): void {
    const { timeline, tokens } = this.#app;
    const ratio = devicePixelRatio;
    fitCanvas(this.#canvas, this.#width, HEIGHT, ratio);
    const ctx = this.#canvas.getContext("2d") as CanvasRenderingContext2D;
    ctx.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    ctx.save();
    ctx.scale(ratio, ratio);
    ctx.fillStyle = tokens.surface;
    ctx.beginPath();
    ctx.roundRect(0, 4, this.#width, 20, 3);
    ctx.fill();
    const end = timeline.pausedAtMs;
    const start = end - this.#app.state.windowMs;
    const windowPx = this.#width - NEW_PX;
    const x = linear(start, end, 0, windowPx);
    const first = this.#app.watched()[Symbol.iterator]().next().value ?? -1;
    const ring = timeline.overviewRing(first);
    const slot = ring.slots.get(first);
    let endY = 14;
    if (slot) {
      this.#trace.read(ring, slot, start, end, NaN);
      const y = linear(this.#trace.lo, this.#trace.hi === this.#trace.lo ? this.#trace.lo + 1 : this.#trace.hi, 20, 8);
      ctx.beginPath();
      linePath(this.#trace, x, y, ctx);
      ctx.strokeStyle = tokens.muted;
      ctx.lineWidth = 1;
      ctx.stroke();
      if (this.#trace.n) endY = y.a * this.#trace.last[this.#trace.n - 1] + y.b;
    }
    const dots = Math.min(MAX_NEW_DOTS, Math.ceil(news / 50));
    for (let i = 0; i < dots; i++) dot(ctx, windowPx + 3 + i * 4, endY, 1.2, tokens.accent);
    const shown = timeline.zoom;
    if (shown) {
      const left = Math.max(0.75, x.a * shown.startMs + x.b);
      const width = Math.max(4, x.a * (shown.endMs - shown.startMs));
      ctx.fillStyle = withAlpha(tokens.accent, 0.22);
      ctx.fillRect(left, 2, width, 24);
      ctx.strokeStyle = tokens.accent;
      ctx.lineWidth = 1.5;
      ctx.strokeRect(left, 2, width, 24);
    }
    ctx.restore();
  }
}
