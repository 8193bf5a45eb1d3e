/** The data table of a chart, loaded for those that show it. */

import { h, setText, show } from "../base/dom";
import css from "./figure-table.css";
import type { FigureRow } from "./figures";

const HEADS = ["Series", "Last", "Min", "Max", "Mean"];

/** The table that covers a chart's plot while it is open. */
export class FigureTable {
  readonly element = h("div", { class: "figures", "data-tw": "chart-table", tabindex: "0", role: "region" });
  readonly #caption = h("caption", { class: "spoken" });
  readonly #body = h("tbody", {});
  #cells: HTMLElement[][] = [];

  constructor(card: HTMLElement) {
    const heads = HEADS.map((text) => h("th", { scope: "col" }, text));
    this.element.append(
      h("style", {}, css),
      h("table", {}, this.#caption, h("thead", {}, h("tr", {}, ...heads)), this.#body),
    );
    show(this.element, false);
    card.append(this.element);
  }

  get open(): boolean {
    return !this.element.hidden;
  }

  toggle(): void {
    show(this.element, !this.open);
  }

  fill(title: string, rows: readonly FigureRow[]): void {
    setText(this.#caption, `${title}: last, min, max and mean of each series`);
    this.element.setAttribute("aria-label", `${title}, figures`);
    if (this.#cells.length !== rows.length) {
      this.#cells = rows.map((row) => row.map((_, i) => (i === 0 ? h("th", { scope: "row" }) : h("td", {}))));
      this.#body.replaceChildren(...this.#cells.map((row) => h("tr", {}, ...row)));
    }
    rows.forEach((row, i) => row.forEach((text, k) => setText(this.#cells[i][k], text)));
  }
}
