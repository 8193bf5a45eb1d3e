/** Decides when a page is drawn: at the animation frame after a request, and once a second without one. */

const TICK_MS = 250;
const SOON_MS = 60;
/** Draw this often without requests, so that the axis moves. */
export const IDLE_DRAW_MS = 1_000;

export class DrawLoop {
  #requested = false;
  #drawnAt = 0;
  readonly #draw: () => void;
  readonly #timer: number;
  #soon = 0;

  /** `tick` is called four times a second while the page is visible and not drawn as often. */
  constructor(draw: () => void, tick: () => void) {
    this.#draw = draw;
    this.#timer = window.setInterval(() => {
      const since = performance.now() - this.#drawnAt;
      if (document.hidden || since < TICK_MS) return;
      tick();
      if (since > IDLE_DRAW_MS) this.request();
    }, TICK_MS);
  }

  /** Draw with what is requested next, or else in a moment. */
  requestSoon(): void {
    this.#soon ||= window.setTimeout(() => {
      this.#soon = 0;
      this.request();
    }, SOON_MS);
  }

  /** Draw at the next animation frame, unless the page is hidden. */
  request(): void {
    if (this.#requested || document.hidden) return;
    this.#requested = true;
    requestAnimationFrame(() => {
      this.#requested = false;
      window.clearTimeout(this.#soon);
      this.#soon = 0;
      this.#drawnAt = performance.now();
      this.#draw();
    });
  }

  destroy(): void {
    window.clearInterval(this.#timer);
    window.clearTimeout(this.#soon);
  }
}
