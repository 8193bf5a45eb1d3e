/** Last, min, max and mean of a chart's series: computed for the legend, and shown as a table. */

import { h, setText, show } from "../base/dom";
import type { Trace } from "../model/buckets";
import { FRACTIONS } from "../wire/frame";

/** Of the columns inside a span; NaN if none holds a reading. */
export interface Figures {
  min: number;
  max: number;
  mean: number;
  /** How far the mean may be off: a frame has that of a column in 65,535 parts of its range. */
  error: number;
  readings: number;
  columns: number;
}

export function figuresOf(trace: Trace, startMs: number, endMs: number): Figures {
  let [min, max, sum, ranges, count, columns] = [Infinity, -Infinity, 0, 0, 0, 0];
  for (let i = 0; i < trace.n; i++) {
    if (trace.time[i] < startMs || trace.time[i] > endMs) continue;
    min = Math.min(min, trace.min[i]);
    max = Math.max(max, trace.max[i]);
    sum += trace.mean[i] * trace.count[i];
    ranges += (trace.max[i] - trace.min[i]) * trace.count[i];
    count += trace.count[i];
    columns++;
  }
  if (count === 0) return { min: NaN, max: NaN, mean: NaN, error: 0, readings: 0, columns };
  return { min, max, mean: sum / count, error: ranges / count / (2 * FRACTIONS), readings: count, columns };
}

/** Label, last, min, max and mean of one series as they are printed. */
export type FigureRow = readonly [string, string, string, string, string];

const HEADS = ["Series", "Last", "Min", "Max", "Mean"];

/** The table that covers a chart's plot while it is open. */
export class FigureTable {
  readonly element = h("div", { class: "figures", "data-tw": "chart-table", tabindex: "0", role: "region" });
  readonly #caption = h("caption", { class: "spoken" });
  readonly #body = h("tbody", {});
  #cells: HTMLElement[][] = [];

  constructor() {
    const heads = HEADS.map((text) => h("th", { scope: "col" }, text));
    this.element.append(h("table", {}, this.#caption, h("thead", {}, h("tr", {}, ...heads)), this.#body));
    show(this.element, false);
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
