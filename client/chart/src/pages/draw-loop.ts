/** Decides when a page is drawn: at the animation frame after a request, and once a second without one. */

const TICK_MS = 250;
/** Draw this often without requests, so that the axis moves. */
const IDLE_DRAW_MS = 1_000;

export class DrawLoop {
  #requested = false;
  #drawnAt = 0;
  readonly #draw: () => void;
  readonly #timer: number;

  /** `tick` is called four times a second while the page is visible. */
  constructor(draw: () => void, tick: () => void) {
    this.#draw = draw;
    this.#timer = window.setInterval(() => {
      if (document.hidden) return;
      tick();
      if (performance.now() - this.#drawnAt > IDLE_DRAW_MS) this.request();
    }, TICK_MS);
  }

  /** Draw at the next animation frame, unless the page is hidden. */
  request(): void {
    if (this.#requested || document.hidden) return;
    this.#requested = true;
    requestAnimationFrame(() => {
      this.#requested = false;
      this.#drawnAt = performance.now();
      this.#draw();
    });
  }

  destroy(): void {
    window.clearInterval(this.#timer);
  }
}
