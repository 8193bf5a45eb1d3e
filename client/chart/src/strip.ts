/** The pause strip in the header's centre: a small chart of the window, the brush, the times, and the way back to live. */
import type { App } from "./app";
import { withAlpha } from "./colour";
import { h, setText, show } from "./dom";
import { dot, fitCanvas } from "./draw";
import { clock, formatNumber, longSpan } from "./format";
import { linear, linePath } from "./paths";
import { Trace } from "./buckets";

const WIDTH = 200;
const HEIGHT = 28;
/** Share of the strip that the window takes; the rest is what arrived since. */
const WINDOW_PX = 178;
const MAX_NEW_DOTS = 5;
/** Without keys there is no Esc. */
const COARSE = window.matchMedia("(pointer: coarse)");

export class PauseStrip {
  readonly element = h("div", { class: "strip", "data-tw": "strip" });
  private readonly canvas = h("canvas", { class: "strip-canvas", "aria-hidden": "true" });
  private readonly span = h("span", { class: "strip-span" });
  private readonly long = h("span", { class: "strip-long" });
  private readonly live = h("button", { type: "button", class: "button primary", "data-tw": "back-to-live" });
  private readonly trace = new Trace();
  private drawn = "";

  constructor(private readonly app: App) {
    this.element.append(this.canvas, this.span, this.long, this.live);
    this.live.addEventListener("click", () => app.time.live());
    show(this.element, false);
  }

  draw(): void {
    const { timeline } = this.app;
    show(this.element, timeline.paused);
    if (!timeline.paused) {
      this.drawn = "";
      return;
    }
    const news = timeline.newReadings(this.app.watched());
    setText(this.live, `${formatNumber(news, 0)} new  ·  ${COARSE.matches ? "tap" : "Esc"} for live`);
    const zoom = timeline.zoom;
    show(this.span, zoom !== null);
    show(this.long, zoom !== null);
    if (zoom) {
      setText(this.span, `${clock(zoom.startMs)} – ${clock(zoom.endMs)}`);
      setText(this.long, longSpan(zoom.endMs - zoom.startMs));
    }
    const deck = this.app.state.page === "deck";
    show(this.canvas, deck);
    const key = `${zoom?.startMs} ${zoom?.endMs} ${Math.min(MAX_NEW_DOTS, Math.ceil(news / 50))} ${this.app.theme()}`;
    if (!deck || key === this.drawn) return;
    this.drawn = key;
    this.paint(news);
  }

  private paint(news: number): void {
    const { timeline, tokens } = this.app;
    const ratio = devicePixelRatio;
    fitCanvas(this.canvas, WIDTH, HEIGHT, ratio);
    const ctx = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    ctx.save();
    ctx.scale(ratio, ratio);
    ctx.fillStyle = tokens.surface;
    ctx.beginPath();
    ctx.roundRect(0, 4, WIDTH, 20, 3);
    ctx.fill();
    const end = timeline.pausedAtMs;
    const start = end - this.app.state.windowMs;
    const x = linear(start, end, 0, WINDOW_PX);
    const ring = timeline.overviewRing();
    const first = this.app.watched()[Symbol.iterator]().next().value;
    const slot = first === undefined ? undefined : ring.slots.get(first);
    let endY = 14;
    if (slot) {
      this.trace.read(ring, slot, start, end, Math.max(1, Math.ceil(this.app.state.windowMs / ring.stepMs / WINDOW_PX)), NaN);
      const y = linear(this.trace.lo, this.trace.hi === this.trace.lo ? this.trace.lo + 1 : this.trace.hi, 20, 8);
      ctx.beginPath();
      linePath(this.trace, x, y, ctx);
      ctx.strokeStyle = tokens.muted;
      ctx.lineWidth = 1;
      ctx.stroke();
      if (this.trace.n) endY = y.a * this.trace.line[this.trace.n - 1] + y.b;
    }
    const dots = Math.min(MAX_NEW_DOTS, Math.ceil(news / 50));
    for (let i = 0; i < dots; i++) dot(ctx, WINDOW_PX + 3 + i * 4, endY, 1.2, tokens.accent);
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
