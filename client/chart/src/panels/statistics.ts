/** The drawer's table of statistics: one column per series. The numbers come from the dashboard. */

import { dashesOf, swatch } from "../base/colour";
import { h, setText } from "../base/dom";
import { formatReading, longSpan } from "../base/format";
import { lineColour, type Tokens } from "../base/tokens";
import type { Series } from "../model/directory";
import { type Print, printMean, printValue } from "../model/reading";
import type { StatisticsRow } from "../wire/messages";

const VALUES = ["last", "mean", "p50", "p95", "p99", "min", "max", "std"] as const;

export class StatisticsTable {
  readonly element = h("div", { class: "stat-scroll", tabindex: "0", role: "region", "aria-label": "Statistics" });
  readonly #table = h("table", { class: "stats", "data-tw": "statistics" });
  #key = "";
  #cells: HTMLElement[][] = [];

  constructor() {
    this.element.append(this.#table);
  }

  /** Set the columns and the name of the rate, empty until `fill`; true if they changed. */
  shape(series: readonly Series[], tokens: Tokens, rate = "readings/s"): boolean {
    const key = rate + series.map((one) => `${one.index} ${one.short} ${one.style} ${tokens.surface}`).join();
    if (key === this.#key) return false;
    this.#key = key;
    const dashes = dashesOf(series.map(({ style }) => style));
    const heads = series.map((one, i) => {
      const mark = h("i", {});
      mark.style.background = swatch(lineColour(tokens, one.style), dashes[i]);
      return h("th", { scope: "col", title: `${one.metric} ${one.key}`.trim() }, mark, one.short || one.name);
    });
    this.#cells = [];
    const rows = [...VALUES, rate, "gaps"].map((name) => {
      const cells = series.map(() => h("td", {}, "–"));
      this.#cells.push(cells);
      return h("tr", {}, h("th", { scope: "row" }, name), ...cells);
    });
    this.#table.replaceChildren(
      h("caption", { class: "spoken" }, "Statistics of each series"),
      h("thead", {}, h("tr", {}, h("td", {}), ...heads)),
      h("tbody", {}, ...rows),
    );
    return true;
  }

  /** `printOf` returns how a series is printed. */
  fill(series: readonly Series[], figures: readonly StatisticsRow[], printOf: (one: Series) => Print): void {
    const found = new Map(figures.map((row) => [row.i, row]));
    series.forEach((one, column) => {
      const row = found.get(one.index);
      const print = printOf(one);
      const [min, max] = [row?.min ?? NaN, row?.max ?? NaN];
      const value = (name: (typeof VALUES)[number]): string =>
        name === "last" ? printValue(row?.last ?? NaN, print) : printMean(row?.[name] ?? NaN, print, min, max);
      const texts = [...VALUES.map(value), formatReading(row?.rate ?? NaN, 2), row ? String(row.gaps) : "–"];
      texts.forEach((text, line) => {
        const cell = this.#cells[line]?.[column];
        if (cell) setText(cell, text);
      });
      const gaps = this.#cells[texts.length - 1]?.[column];
      if (gaps) gaps.title = row && row.gaps > 0 ? `no data for ${longSpan(row.gap_ms)} in all` : "";
    });
  }
}
