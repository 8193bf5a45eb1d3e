/** Zooming a chart by two fingers, or by the wheel with Ctrl (which is what a trackpad's pinch sends). */

import type { Plot } from "../canvas/plot";
import type { Span } from "../model/url";

/** A zoom by wheel ends after this long without an event. */
const REST_MS = 250;
const WHEEL_SPEED = 0.004;

/** Return the span in which two times lie at two places of a plot. */
export function pinched(
  times: readonly [number, number],
  px: readonly [number, number],
  box: { left: number; width: number },
): Span | null {
  const perPx = (times[1] - times[0]) / (px[1] - px[0]);
  if (!Number.isFinite(perPx) || perPx <= 0) return null;
  const startMs = times[0] - (px[0] - box.left) * perPx;
  return { startMs, endMs: startMs + box.width * perPx };
}

/** A chart, as fingers use it. */
interface Pinched {
  readonly card: { readonly plotHost: HTMLElement };
  readonly plot: Plot | null;
  local(event: MouseEvent): number;
}

export class Pinch {
  readonly #fingers = new Map<number, { timeMs: number; px: number }>();
  #span: Span | null = null;
  #timer = 0;
  readonly #preview: (span: Span) => void;
  readonly #zoom: (span: Span) => void;

  /** `preview` shows a span during the gesture, `zoom` its result. */
  constructor(preview: (span: Span) => void, zoom: (span: Span) => void) {
    this.#preview = preview;
    this.#zoom = zoom;
  }

  get active(): boolean {
    return this.#fingers.size > 1;
  }

  attach(chart: Pinched): void {
    const host = chart.card.plotHost;
    const timeAt = (px: number): number => (chart.plot ? (px - chart.plot.x.b) / chart.plot.x.a : NaN);
    host.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "touch") return;
      const px = chart.local(event);
      this.#fingers.set(event.pointerId, { timeMs: timeAt(px), px });
      // Both fingers hold the times that lie under them now.
      for (const finger of this.#fingers.values()) finger.timeMs = timeAt(finger.px);
    });
    host.addEventListener("pointermove", (event) => {
      const finger = this.#fingers.get(event.pointerId);
      if (!finger || !chart.plot) return;
      finger.px = chart.local(event);
      if (this.#fingers.size !== 2) return;
      const [a, b] = [...this.#fingers.values()].sort((one, other) => one.timeMs - other.timeMs);
      this.#show(pinched([a.timeMs, b.timeMs], [a.px, b.px], chart.plot.box));
    });
    for (const end of ["pointerup", "pointercancel"] as const) {
      host.addEventListener(end, (event) => {
        if (this.#fingers.delete(event.pointerId) && this.#fingers.size < 2) this.#finish();
      });
    }
    host.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey || !chart.plot) return;
        event.preventDefault();
        const { left, width } = chart.plot.box;
        const px = Math.min(left + width, Math.max(left, chart.local(event)));
        const [around, factor] = [timeAt(px), Math.exp(event.deltaY * WHEEL_SPEED)];
        this.#show({
          startMs: around - (around - timeAt(left)) * factor,
          endMs: around + (timeAt(left + width) - around) * factor,
        });
        window.clearTimeout(this.#timer);
        this.#timer = window.setTimeout(() => this.#finish(), REST_MS);
      },
      { passive: false },
    );
  }

  #show(span: Span | null): void {
    if (!span) return;
    this.#span = span;
    this.#preview(span);
  }

  #finish(): void {
    window.clearTimeout(this.#timer);
    if (this.#span) this.#zoom(this.#span);
    this.#span = null;
  }
}
