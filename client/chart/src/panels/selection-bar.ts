/** Says which label sets the charts of a deck show, if not all, and shows all again. */

import { h, setAttribute, show } from "../base/dom";
import { formatNumber } from "../base/format";
import type { AppContext } from "./app-context";
import css from "./selection-bar.css";

/** Values that are named; more are counted. */
const MOST_NAMED = 3;

const plain = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Return what each term of a selection says: `az is az1 or az2`, `host is not web-1`, `host is one of 41`. */
export function termWords(selection: string): string[] {
  return selection.split(",").flatMap((term) => {
    const [, name, not, values] = /^([^=!]+)(!?)=(.*)$/.exec(term) ?? [];
    if (name === undefined) return [];
    const all = values.split("|").map((value) => plain(value) || "(none)");
    const is = not ? "is not" : "is";
    if (all.length > MOST_NAMED) return [`${plain(name)} ${is} one of ${formatNumber(all.length, 0)}`];
    return [`${plain(name)} ${is} ${all.join(" or ")}`];
  });
}

export class SelectionBar {
  readonly #terms = h("span", { class: "selection-bar-terms" });
  readonly element: HTMLElement;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    const all = h(
      "button",
      {
        type: "button",
        class: "link-button",
        "data-tw": "select-all",
        onclick: () => app.change({ select: "" }, true),
      },
      "Show all",
    );
    this.element = h(
      "div",
      { class: "selection-bar", role: "group", "aria-label": "Selection", "data-tw": "selection" },
      h("style", {}, css),
      "Only series whose",
      this.#terms,
      all,
    );
  }

  update(): void {
    const { select } = this.#app.state;
    show(this.element, select !== "");
    setAttribute(this.element, "title", termWords(select).join("\n"));
    this.#terms.replaceChildren(...termWords(select).map((words) => h("span", { class: "selection-term" }, words)));
  }
}
