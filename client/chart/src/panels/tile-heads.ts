/** The buttons over the headings of the overview's groups: they fold a group, and unfold what its rows leave out. */

import { h, setAttribute, show } from "../base/dom";
import type { GroupHead } from "../canvas/tile-layout";
import type { AppContext } from "./app-context";

/** Px that a thumb hits; what goes beyond a heading lies under its first tiles. */
const LEAST_HEIGHT = 32;

export class TileHeads {
  readonly element = h("div", { role: "group", "aria-label": "Groups" });
  readonly #buttons: HTMLButtonElement[] = [];
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  /** Place a button over each of these headings. */
  place(heads: readonly GroupHead[]): void {
    heads.forEach((head, i) => {
      const button = this.#buttons[i] ?? this.#create();
      show(button, true);
      button.style.transform = `translateY(${head.top}px)`;
      button.style.height = `${Math.max(LEAST_HEIGHT, head.height)}px`;
      button.dataset.fold = head.fold;
      button.dataset.open = head.open ? "0" : "1";
      setAttribute(button, "aria-label", head.spoken);
      setAttribute(button, "aria-expanded", String(head.open));
    });
    for (let i = heads.length; i < this.#buttons.length; i++) show(this.#buttons[i], false);
  }

  #create(): HTMLButtonElement {
    const button = h("button", { type: "button", class: "tile-head", "data-tw": "tile-head" });
    button.addEventListener("click", () => {
      const folds = new Map(this.#app.state.folds);
      const fold = button.dataset.fold ?? "";
      folds.delete(fold);
      folds.set(fold, button.dataset.open === "1");
      this.#app.change({ folds });
    });
    this.#buttons.push(button);
    this.element.append(button);
    return button;
  }
}
