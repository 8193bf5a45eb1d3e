/** The crosshair that all charts of a page share: hover, click to lock, arrow keys, and the drag that zooms. */

import type { Plot } from "../canvas/plot";
import { MOST_OVER } from "../model/columns";
import type { Span } from "../model/timeline";
import type { Overlay } from "./overlay";
import { Pinch } from "./pinch";

/** A press that moves less than this is a click. */
const DRAG_PX = 5;
/** A tap this near the crosshair removes it. */
const TAP_PX = 24;

/** A chart, as a crosshair and fingers use it. */
export interface Crossed {
  readonly card: { readonly plotHost: HTMLElement };
  readonly plot: Plot | null;
  readonly overlay: Overlay;
  /** How far an arrow key moves at least. */
  readonly columns: { readonly stepMs: number };
  local(event: MouseEvent): number;
  pointer(event: MouseEvent): void;
  snap(timeMs: number): number;
  crosshair(timeMs: number, hovered: boolean): void;
  /** Take a click at a time for what it lies on, and tell whether there is such a thing. */
  pick?(timeMs: number): boolean;
}

export class Crosshair {
  /** NaN: no crosshair. */
  #timeMs = NaN;
  #locked = false;
  #hovered: Crossed | null = null;
  #drag: { chart: Crossed; startX: number; x: number } | null = null;
  #moment: Span | null = null;

  readonly pinch: Pinch;
  readonly #charts: () => readonly Crossed[];
  readonly #zoom: (span: Span) => void;
  readonly #leaveZoom: () => void;

  constructor(
    charts: () => readonly Crossed[],
    zoom: (span: Span) => void,
    leaveZoom: () => void,
    preview: (span: Span) => void,
  ) {
    this.#charts = charts;
    this.#zoom = zoom;
    this.#leaveZoom = leaveZoom;
    this.pinch = new Pinch(preview, zoom);
  }

  attach(chart: Crossed): void {
    const host = chart.card.plotHost;
    this.pinch.attach(chart);
    const local = (event: PointerEvent): number => chart.local(event);
    host.addEventListener("pointermove", (event) => {
      chart.pointer(event);
      this.#moved(chart, local(event));
    });
    host.addEventListener("pointerleave", () => this.#left(chart));
    host.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !chart.plot) return;
      host.setPointerCapture(event.pointerId);
      if (this.pinch.active) this.#endDrag();
      else this.#drag = { chart, startX: local(event), x: local(event) };
    });
    host.addEventListener("pointerup", (event) => this.#released(chart, local(event), event.pointerType === "touch"));
    host.addEventListener("pointercancel", () => this.#endDrag());
    host.addEventListener("dblclick", () => this.#leaveZoom());
    host.addEventListener("focus", () => {
      this.#hovered = chart;
    });
    host.addEventListener("blur", () => {
      if (!host.matches(":hover")) this.#left(chart);
    });
  }

  #timeAt(chart: Crossed, x: number): number {
    const plot = chart.plot;
    if (!plot) return NaN;
    const { left, width } = plot.box;
    if (x < left - 6 || x > left + width + 6) return NaN;
    return (Math.min(Math.max(x, left), left + width) - plot.x.b) / plot.x.a;
  }

  #moved(chart: Crossed, x: number): void {
    this.#hovered = chart;
    if (this.#drag && chart === this.#drag.chart && chart.plot) {
      this.#drag.x = x;
      if (Math.abs(x - this.#drag.startX) >= DRAG_PX) chart.overlay.showBrush(this.#drag.startX, x, chart.plot);
    }
    if (this.#locked) return;
    this.#timeMs = chart.snap(this.#timeAt(chart, x));
    this.#show();
  }

  #left(chart: Crossed): void {
    if (this.#drag) return;
    if (this.#hovered === chart && !this.#locked) this.#hovered = null;
    if (!this.#locked) this.#timeMs = NaN;
    this.#show();
  }

  #released(chart: Crossed, x: number, touch: boolean): void {
    const drag = this.#drag;
    this.#endDrag();
    if (!drag || !chart.plot) return;
    if (Math.abs(x - drag.startX) < DRAG_PX) {
      // A finger cannot hover: a tap places the crosshair, a tap on it removes it.
      const at = chart.snap(this.#timeAt(chart, x));
      if (!touch && chart.pick?.(at)) return;
      const again = !touch || Math.abs((at - this.#timeMs) * chart.plot.x.a) < TAP_PX;
      this.#locked = !(this.#locked && again);
      this.#hovered = chart;
      if (touch) this.#timeMs = this.#locked ? at : NaN;
      this.#show();
      if (!this.#locked && !touch) this.#moved(chart, x);
      return;
    }
    const { left, width } = chart.plot.box;
    const clamp = (px: number): number =>
      (Math.min(Math.max(px, left), left + width) - (chart.plot?.x.b ?? 0)) / (chart.plot?.x.a ?? 1);
    const [a, b] = [clamp(drag.startX), clamp(x)];
    this.#locked = false;
    this.#zoom({ startMs: Math.min(a, b), endMs: Math.max(a, b) });
  }

  #endDrag(): void {
    this.#drag?.chart.overlay.hideBrush();
    this.#drag = null;
  }

  /** Prepare to draw a moment: remove a crosshair that slid out of the window. */
  frame(moment: Span): void {
    this.#moment = moment;
    // Plots show a little more than the window, in whole columns.
    const over = (moment.endMs - moment.startMs) * MOST_OVER;
    if (!Number.isNaN(this.#timeMs) && (this.#timeMs < moment.startMs - over || this.#timeMs > moment.endMs + over)) {
      this.#timeMs = NaN;
      this.#locked = false;
      this.#show();
    }
  }

  #show(): void {
    for (const chart of this.#charts()) chart.crosshair(this.#timeMs, chart === this.#hovered);
  }

  clear(): boolean {
    const had = !Number.isNaN(this.#timeMs);
    this.#timeMs = NaN;
    this.#locked = false;
    this.#show();
    return had;
  }

  key(event: KeyboardEvent): boolean {
    const { key } = event;
    if (key === "Escape") {
      this.clear();
      return false; // Esc also means live, which the header knows.
    }
    if (key === "Enter" && this.#hovered?.card.plotHost.matches(":focus") && this.#hovered.pick?.(this.#timeMs))
      return true;
    if ((key !== "ArrowLeft" && key !== "ArrowRight") || !this.#moment) return false;
    const { startMs, endMs } = this.#moment;
    const from = Number.isNaN(this.#timeMs) ? endMs : this.#timeMs;
    const columns = (this.#hovered ?? this.#charts()[0])?.columns.stepMs ?? 0;
    const step = Math.max(columns, (endMs - startMs) / 700) * (event.shiftKey ? 10 : 1);
    this.#timeMs = Math.min(endMs, Math.max(startMs, from + (key === "ArrowLeft" ? -step : step)));
    this.#locked = true;
    this.#hovered ??= this.#charts()[0] ?? null;
    this.#show();
    return true;
  }
}
