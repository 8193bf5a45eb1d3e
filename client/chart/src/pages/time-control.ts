/** Pauses, resumes, zooms and moves the time of a page, and keeps timeline and URL in step. */

import { type Span, shownSpan } from "../model/timeline";
import type { AppContext, TimeControls } from "../panels/app-context";

export class TimeControl implements TimeControls {
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  /** Apply the state's span to the timeline. */
  sync(): void {
    const { state, timeline } = this.#app;
    if (!state.zoom) timeline.resume();
    else if (state.page === "deck") timeline.zoomTo(state.zoom);
  }

  /** The span that the page shows. */
  shown(): Span {
    return this.#app.timeline.window(this.#app.state.windowMs);
  }

  /** Freeze the page and put its span into the URL. */
  pause(): void {
    const app = this.#app;
    if (app.timeline.paused) return;
    app.timeline.pause();
    if (app.state.page === "deck") app.timeChanged(this.#bounded(this.shown()));
    else app.requestDraw();
  }

  live(): void {
    this.#app.timeline.resume();
    this.#app.timeChanged(null);
  }

  toggle(): void {
    if (this.#app.timeline.paused) this.live();
    else this.pause();
  }

  /** Show a span; `step` adds it to the browser's history, so that Back undoes it. */
  zoomTo(span: Span, step = true): void {
    if (this.#app.state.page === "deck") this.#app.change({ zoom: this.#bounded(span) }, step);
  }

  /** Show a span while a gesture goes on: request nothing, and leave the URL. */
  preview(span: Span): void {
    this.#app.timeline.zoomTo(this.#bounded(span));
    this.#app.redraw();
  }

  /** Move by a share of the span; go live if that ends after now. */
  pan(share: number): void {
    const { startMs, endMs } = this.shown();
    const by = share * (endMs - startMs);
    if (endMs + by >= this.#app.session.now()) this.live();
    else this.zoomTo({ startMs: startMs + by, endMs: endMs + by }, false);
  }

  /** Make the span `factor` times as long around its middle. */
  scale(factor: number): void {
    const { startMs, endMs } = this.shown();
    const [middle, half] = [(startMs + endMs) / 2, ((endMs - startMs) / 2) * factor];
    this.zoomTo({ startMs: middle - half, endMs: middle + half }, false);
  }

  #bounded(span: Span): Span {
    return shownSpan(span, this.#app.session.now());
  }
}
