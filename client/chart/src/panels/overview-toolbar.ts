/** The toolbar of the overview: search, filters with their counts, readings per second, and the order of the tiles. */

import { h, icon, Segments, setAttribute, setText, show } from "../base/dom";
import { formatNumber, formatRate } from "../base/format";
import { type Filter, SORTS, type Sort } from "../model/url";
import type { AppContext } from "./app-context";
import { SearchBox } from "./search-box";

const FILTER_WORDS: readonly (readonly [Filter, string])[] = [
  ["all", "All"],
  ["live", "Live"],
  ["stale", "Stale"],
  ["nodata", "No data"],
  ["finished", "Finished"],
  ["warn", "Warn"],
];
const SORT_WORDS: Record<Sort, string> = { state: "State", name: "Name", value: "Value", rate: "Rate", age: "Age" };

export class OverviewToolbar {
  readonly element: HTMLElement;
  readonly search: SearchBox;
  readonly #filterCounts = new Map<Filter, HTMLElement>();
  readonly #rate = h("span", { class: "rate", "data-tw": "rate" });
  readonly #sort: Segments<Sort>;

  constructor(app: AppContext) {
    this.search = new SearchBox((query) => app.change({ query }));
    const filters = h("div", { class: "filters", role: "group", "aria-label": "Filter", "data-tw": "filters" });
    for (const [value, text] of FILTER_WORDS) {
      const count = h("span", { class: "count" });
      const button = h(
        "button",
        { type: "button", class: "filter", "data-value": value, onclick: () => app.change({ filter: value }) },
        value === "warn" ? icon("warn", 14) : null,
        text,
        count,
      );
      if (value === "warn") filters.append(h("span", { class: "sep", "data-for": "warn" }));
      filters.append(button);
      this.#filterCounts.set(value, count);
    }
    this.#sort = new Segments(
      "Sort",
      "sort",
      SORTS.map((name) => [name, SORT_WORDS[name]] as const),
      (sort) => app.change({ sort }),
    );

    const right = h(
      "div",
      { class: "toolbar-right" },
      this.#rate,
      h("span", { class: "sep" }),
      h("span", { class: "sort-label" }, "Sort"),
      this.#sort.element,
    );
    this.element = h("div", { class: "toolbar" }, this.search.element, filters, right);
  }

  setQuery(query: string): void {
    this.search.setQuery(query);
  }

  setSort(sort: Sort): void {
    this.#sort.select(sort);
  }

  setRate(readingsPerS: number): void {
    setText(this.#rate, `${formatRate(readingsPerS)} readings/s`);
  }

  /** Show the number of series that pass each filter, and which filter is chosen. */
  setCounts(counts: Record<Filter, number>, filter: Filter): void {
    for (const [value, count] of this.#filterCounts) {
      setText(count, formatNumber(counts[value], 0));
      const button = count.parentElement as HTMLElement;
      setAttribute(button, "aria-pressed", String(value === filter));
      if (value === "finished" || value === "warn") show(button, counts[value] > 0 || filter === value);
      if (value === "warn") show(button.previousElementSibling as HTMLElement, !button.hidden);
    }
  }
}
