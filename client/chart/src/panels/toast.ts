/** A line at the foot of the page that says what was done to the deck, with a button that undoes it. */

import { h, setText, show } from "../base/dom";
import css from "./toast.css";

/** It stays so long, and while the pointer or the focus is on it. */
const SHOWN_MS = 8_000;

export class Toast {
  readonly element: HTMLElement;
  readonly #words = h("span", { role: "status" });
  #timer = 0;
  /** What undoes what it says, if that is no step of the browser's history. */
  #own: (() => void) | null = null;

  /** `back` undoes a step of the browser's history. */
  constructor(back: () => void) {
    const undo = (): void => {
      if (!this.undo()) back();
    };
    const button = h(
      "button",
      { type: "button", class: "button", "data-tw": "undo", "aria-keyshortcuts": "Control+Z", onclick: undo },
      "Undo",
      h("kbd", {}, "Ctrl Z"),
    );
    this.element = h(
      "div",
      { class: "toast", "data-tw": "toast", hidden: true },
      h("style", {}, css),
      this.#words,
      button,
    );
    for (const held of ["pointerenter", "focusin"])
      this.element.addEventListener(held, () => window.clearTimeout(this.#timer));
    for (const left of ["pointerleave", "focusout"]) this.element.addEventListener(left, () => this.#later());
  }

  /** Say that the deck has so many charts more; 0: others. */
  show(more: number): void {
    const [many, done] = [Math.abs(more), more < 0 ? "removed" : more > 0 ? "added" : "changed"];
    this.#say(many > 1 ? `${many} charts ${done}` : `Chart ${done}`, null);
  }

  /** Say what was done, and offer to undo it. */
  offer(words: string, undo: () => void): void {
    this.#say(words, undo);
  }

  /** Undo what it offers; false if that is a step of the browser's history, or nothing. */
  undo(): boolean {
    const own = this.#own;
    this.hide();
    own?.();
    return own !== null;
  }

  #say(words: string, undo: (() => void) | null): void {
    this.#own = undo;
    setText(this.#words, words);
    show(this.element, true);
    this.#later();
  }

  hide(): void {
    this.#own = null;
    window.clearTimeout(this.#timer);
    show(this.element, false);
  }

  #later(): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.hide(), SHOWN_MS);
  }
}
