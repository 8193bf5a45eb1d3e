/** The help: what the pointer and each key do. */

import { h, show } from "../base/dom";
import type { Action } from "./action";

const POINTER: readonly (readonly [string, string])[] = [
  ["Drag", "Zoom into a stretch of time; by the title: move the chart; by its corner: resize it"],
  ["Pinch", "Zoom; Ctrl and wheel do the same"],
  ["Shift", "With a click, or Enter, on a series of the list: add it to the current chart"],
  ["Double click", "Live"],
  ["Click", "Lock the crosshair, or free it; on a legend: switch a series off, with Shift: all others"],
];

/** One row per action: its keys and what they do. */
function helpRows(actions: readonly Action[]): HTMLElement[] {
  return actions.map((action) =>
    h("div", { class: "help-row" }, h("kbd", {}, action.shown ?? action.keys.join(" ")), h("span", {}, action.words)),
  );
}

export class HelpOverlay {
  readonly element: HTMLElement;
  readonly #close = h("button", { type: "button", class: "button", onclick: () => this.hide() }, "Close");
  #before: HTMLElement | null = null;

  readonly #box = h("div", {
    class: "help-box",
    role: "dialog",
    "aria-modal": "true",
    "aria-label": "Keys",
    "data-tw": "help",
    tabindex: "-1",
  });

  constructor() {
    const box = this.#box;
    this.element = h("div", { class: "help" }, box);
    this.element.addEventListener("pointerdown", (event) => {
      if (event.target === this.element) this.hide();
    });
    show(this.element, false);
  }

  /** `chart` acts on the chart under the pointer, or with the focus. */
  open(page: readonly Action[], chart: readonly Action[]): void {
    const pointer = POINTER.map(([key, text]) =>
      h("div", { class: "help-row" }, h("kbd", {}, key), h("span", {}, text)),
    );
    const column = (title: string, rows: HTMLElement[]): HTMLElement => h("section", {}, h("h2", {}, title), ...rows);
    const second = chart.length
      ? h("div", {}, column("The current chart", helpRows(chart)), column("Pointer", pointer))
      : null;
    this.#box.replaceChildren(h("div", { class: "help-columns" }, column("Keys", helpRows(page)), second), this.#close);
    this.#before = (this.element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
    show(this.element, true);
    this.#close.focus();
  }

  hide(): void {
    show(this.element, false);
    this.#before?.focus();
  }

  /** An open overlay takes all keys; Tab stays on its one button. */
  key(event: KeyboardEvent): boolean {
    if (this.element.hidden) return false;
    if (event.key === "Escape" || event.key === "?") this.hide();
    return event.key !== "Enter" && event.key !== " ";
  }
}
