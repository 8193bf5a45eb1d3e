/** The search box for series, on the overview and in the sidebar. */

import { h, icon } from "../base/dom";
import { plural } from "../base/format";

export class SearchBox {
  readonly element: HTMLElement;
  readonly #input = h("input", {
    type: "search",
    class: "search-input",
    "aria-label": "Search series",
    autocomplete: "off",
    spellcheck: "false",
  });

  constructor(onQuery: (query: string) => void) {
    this.#input.addEventListener("input", () => onQuery(this.#input.value));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.setQuery("");
      onQuery("");
      this.#input.blur();
    });
    this.element = h("label", { class: "search", "data-tw": "search" }, icon("search"), this.#input, h("kbd", {}, "/"));
  }

  setQuery(query: string): void {
    if (this.#input.value !== query) this.#input.value = query;
  }

  /** Say how many series can be searched. */
  setCount(series: number): void {
    this.#input.placeholder = `Search ${plural(series, "series", "series")}`;
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }
}
