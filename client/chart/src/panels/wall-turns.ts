/** Turns the pages of a wall whose charts do not fit the screen: nobody scrolls a wall. */

import { h, show } from "../base/dom";

/** Whoever touches a wall is left alone for so long. */
const HOLD_MS = 60_000;

/** One part of the tall page that a screen shows: the px where its first row begins, and where its last one ends. */
export interface Turn {
  top: number;
  bottom: number;
}

/** Divide rows, each [top, bottom] and in order, into turns of at most this height; a row that is higher has its own. */
export function turnsOf(rows: readonly (readonly [top: number, bottom: number])[], height: number): Turn[] {
  const turns: Turn[] = [];
  for (const [top, bottom] of rows) {
    const last = turns.at(-1);
    if (last && bottom - last.top <= height) last.bottom = Math.max(last.bottom, bottom);
    else turns.push({ top, bottom });
  }
  return turns;
}

export class WallTurns {
  readonly #dots: HTMLElement;
  #turn = 0;
  #turnedAt = performance.now();
  #heldUntil = -Infinity;
  readonly #hold = (): void => {
    this.#heldUntil = performance.now() + HOLD_MS;
  };

  /** `dots` is at the foot of the wall: it gets one for each turn. */
  constructor(dots: HTMLElement) {
    this.#dots = dots;
    for (const name of ["pointerdown", "keydown", "wheel"])
      window.addEventListener(name, this.#hold, { passive: true });
  }

  /** Show the turn that is due, each for `turnMs`; `rows` are what the scroller holds, from the top of its content. */
  draw(scroller: HTMLElement, rows: readonly (readonly [top: number, bottom: number])[], turnMs: number): void {
    const turns = turnsOf(rows, scroller.clientHeight);
    const now = performance.now();
    show(this.#dots, turns.length > 1);
    scroller.classList.toggle("turning", turns.length > 1);
    if (turns.length < 2 || now < this.#heldUntil) {
      scroller.style.clipPath = "";
      return;
    }
    if (now - this.#turnedAt >= turnMs) [this.#turn, this.#turnedAt] = [this.#turn + 1, now];
    this.#turn %= turns.length;
    const { top, bottom } = turns[this.#turn];
    scroller.scrollTop = top;
    // A chart of which only a part would be seen is not seen.
    scroller.style.clipPath = `inset(0 0 ${Math.max(0, scroller.clientHeight - (bottom - scroller.scrollTop))}px 0)`;
    if (this.#dots.childElementCount !== turns.length) this.#dots.replaceChildren(...turns.map(() => h("i", {})));
    Array.from(this.#dots.children).forEach((dot, i) => dot.classList.toggle("on", i === this.#turn));
  }

  /** The page is no wall any more. */
  leave(scroller: HTMLElement): void {
    show(this.#dots, false);
    scroller.classList.remove("turning");
    scroller.style.clipPath = "";
  }

  destroy(scroller: HTMLElement): void {
    this.leave(scroller);
    for (const name of ["pointerdown", "keydown", "wheel"]) window.removeEventListener(name, this.#hold);
  }
}
