/** The legend row of a chart: swatch, label and value of each series; what does not fit becomes "+n". */

import { h, setAttribute, setText, show } from "../base/dom";
import { fullName } from "../base/naming";
import type { Series } from "../model/directory";

interface Item {
  series: Series;
  element: HTMLElement;
  swatch: HTMLElement;
  value: HTMLElement;
  stats: HTMLElement;
}

/** Called when a legend item is pressed; `alone` if a modifier was held. */
export type Press = (series: Series, alone: boolean) => void;

const ROOMY_GAP = 14;
const TIGHT_GAP = 8;

export class Legend {
  readonly element = h("div", { class: "legend", "data-tw": "legend" });
  readonly #more: HTMLElement;
  #items: Item[] = [];
  #layoutKey = "";
  /** Whether min, max and mean have room beside the values. */
  withStats = false;
  /** One decimal fewer is printed when the values would not fit otherwise. */
  fewerDecimals = 0;
  readonly #press: Press | null;

  /** `others` is called when "+n" is pressed. */
  constructor(press: Press | null = null, others: () => void = () => undefined) {
    this.#press = press;
    const title = "All series with last, min, max and mean (d)";
    this.#more = press
      ? h("button", { type: "button", class: "legend-more", "data-tw": "legend-more", title, onclick: others })
      : h("span", { class: "legend-more", "data-tw": "legend-more" });
  }

  build(series: readonly Series[], label: (series: Series) => string): void {
    this.#items = series.map((one) => {
      const swatch = h("i", {});
      const value = h("b", { "data-tw": "legend-value" });
      const text = label(one);
      const stats = h("span", { class: "legend-stats", "data-tw": "legend-stats" });
      const parts = [swatch, text ? h("span", { class: "legend-label" }, text) : null, value, stats] as const;
      const press = this.#press;
      const element = press
        ? h(
            "button",
            {
              type: "button",
              class: "legend-item",
              "data-tw": "legend-item",
              "aria-pressed": "true",
              onclick: (event: MouseEvent) => press(one, event.shiftKey || event.altKey || event.metaKey),
            },
            ...parts,
          )
        : h("span", { class: "legend-item" }, ...parts);
      element.dataset.series = String(one.index);
      element.title = fullName(one);
      return { series: one, element, swatch, value, stats };
    });
    this.element.replaceChildren(...this.#items.map((item) => item.element), this.#more);
    this.#layoutKey = "";
  }

  /** `stats` has one text per item, or none where there is no room. */
  update(
    values: readonly string[],
    stats: readonly string[],
    colours: readonly string[],
    silent: boolean,
    hidden: ReadonlySet<number>,
  ): void {
    this.element.classList.toggle("silent", silent);
    this.#items.forEach((item, i) => {
      const off = hidden.has(item.series.index);
      item.element.classList.toggle("off", off);
      if (this.#press) setAttribute(item.element, "aria-pressed", String(!off));
      setText(item.stats, (this.withStats && stats[i]) || "");
      // Without room in the row, min, max and mean are in the tooltip.
      if (stats[i] !== undefined)
        setAttribute(item.element, "title", fullName(item.series) + (stats[i] ? `\n${stats[i]}` : ""));
      setText(item.value, values[i] ?? "–");
      if (item.swatch.style.background !== colours[i]) item.swatch.style.background = colours[i];
    });
  }

  /** Fit the row into a width; `widthsCh` is the width of a value with all decimals and with one fewer. */
  fit(width: number, widthsCh: readonly [number, number], decimals: number, stats: readonly string[]): void {
    const key = `${width}|${widthsCh[0]}|${this.#items.length}|${stats.length}`;
    if (key === this.#layoutKey) return;
    this.#layoutKey = key;
    const attempt = (gap: number, ch: number, spare = 0): boolean => {
      this.element.style.columnGap = `${gap}px`;
      let sum = -gap;
      for (const item of this.#items) {
        item.value.style.minWidth = `${ch}ch`;
        show(item.element, true);
        sum += item.element.offsetWidth + gap;
      }
      return sum + spare <= width;
    };
    show(this.#more, false);
    this.fewerDecimals = 0;
    this.withStats = stats.length > 0;
    this.#items.forEach((item, i) => setText(item.stats, stats[i] ?? ""));
    // Leave 24 px to spare: these texts change their width.
    if (this.withStats && attempt(ROOMY_GAP, widthsCh[0], 24)) return;
    this.withStats = false;
    for (const item of this.#items) setText(item.stats, "");
    if (attempt(ROOMY_GAP, widthsCh[0]) || attempt(TIGHT_GAP, widthsCh[0])) return;
    if (decimals > 1) {
      this.fewerDecimals = 1;
      if (attempt(TIGHT_GAP, widthsCh[1])) return;
    }
    show(this.#more, true);
    setText(this.#more, `+${this.#items.length}`);
    let room = width - this.#more.offsetWidth;
    let shown = 0;
    for (const item of this.#items) {
      room -= item.element.offsetWidth + TIGHT_GAP;
      if (room < 0 && shown > 0) break;
      shown++;
    }
    this.#items.forEach((item, i) => show(item.element, i < shown));
    setText(this.#more, `+${this.#items.length - shown}`);
    show(this.#more, shown < this.#items.length);
  }
}
