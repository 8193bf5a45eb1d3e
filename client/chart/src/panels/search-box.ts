/** The search box for series, on the overview and in the sidebar. */

import { h, icon, setText, show } from "../base/dom";
import { formatNumber, plural } from "../base/format";

export class SearchBox {
  readonly element: HTMLElement;
  readonly #input = h("input", {
    type: "search",
    class: "search-input",
    "aria-label": "Search series",
    autocomplete: "off",
    spellcheck: "false",
  });

  readonly #count = h("span", { class: "search-count", "data-tw": "search-count" });
  readonly #key = h("kbd", {}, "/");

  constructor(onQuery: (query: string) => void) {
    this.#input.addEventListener("input", () => onQuery(this.#input.value));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.setQuery("");
      onQuery("");
      this.#input.blur();
    });
    this.element = h(
      "label",
      { class: "search", "data-tw": "search" },
      icon("search"),
      this.#input,
      this.#count,
      this.#key,
    );
  }

  setQuery(query: string): void {
    if (this.#input.value !== query) this.#input.value = query;
  }

  /** Say how many series are found, and how many can be searched. */
  setCount(found: number, all: number): void {
    const narrowed = this.#input.value.trim() !== "";
    this.#input.placeholder = `Search ${plural(all, "series", "series")}`;
    setText(this.#count, narrowed ? `${formatNumber(found, 0)} of ${formatNumber(all, 0)}` : "");
    show(this.#key, !narrowed);
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }
}
