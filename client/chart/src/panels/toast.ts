/** A line at the foot of the page that says what was done to the deck, with a button that undoes it. */

import { h, setText, show } from "../base/dom";
import css from "./toast.css";

/** It stays so long, and while the pointer or the focus is on it. */
const SHOWN_MS = 8_000;

export class Toast {
  readonly element: HTMLElement;
  readonly #words = h("span", { role: "status" });
  #timer = 0;

  constructor(undo: () => void) {
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
    setText(this.#words, many > 1 ? `${many} charts ${done}` : `Chart ${done}`);
    show(this.element, true);
    this.#later();
  }

  hide(): void {
    window.clearTimeout(this.#timer);
    show(this.element, false);
  }

  #later(): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.hide(), SHOWN_MS);
  }
}
