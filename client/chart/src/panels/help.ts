/** The help: what the pointer and each key do. */

import { focusedAt, h, show } from "../base/dom";
import type { Action } from "./action";
import css from "./help.css";

const POINTER: readonly (readonly [string, string])[] = [
  ["Drag", "Zoom into a time span; on the title: move the chart; on its corner: resize it"],
  ["Pinch", "Zoom; so does Ctrl with the wheel"],
  ["Shift", "With a click, or Enter, on a series of the list: add it to the current chart"],
  ["← → ↑ ↓", "In the tree: fold, unfold, move; Enter searches a level, with Shift adds its charts; * unfolds all"],
  ["Double click", "Back to live"],
  ["Click", "Lock or release the crosshair; on a legend: hide a series, with Shift: all others"],
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
    this.element = h("div", { class: "help" }, h("style", {}, css), box);
    this.element.addEventListener("pointerdown", (event) => {
      if (event.target === this.element) this.hide();
    });
    show(this.element, false);
  }

  /** `chart` are the actions on the focused chart, or else on the one under the pointer. */
  open(page: readonly Action[], chart: readonly Action[]): void {
    const pointer = POINTER.map(([key, text]) =>
      h("div", { class: "help-row" }, h("kbd", {}, key), h("span", {}, text)),
    );
    const column = (title: string, rows: HTMLElement[]): HTMLElement => h("section", {}, h("h2", {}, title), ...rows);
    const second = chart.length
      ? h("div", {}, column("The current chart", helpRows(chart)), column("Pointer", pointer))
      : null;
    this.#box.replaceChildren(h("div", { class: "help-columns" }, column("Keys", helpRows(page)), second), this.#close);
    this.#before = focusedAt(this.element);
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
