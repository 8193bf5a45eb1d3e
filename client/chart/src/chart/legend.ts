/** The legend row of a chart: swatch, label and value of each series; what does not fit becomes "+n". */

import { h, icon, setAttribute, setText, show } from "../base/dom";
import { formatNumber, plural } from "../base/format";
import { fullName } from "../base/naming";
import type { Series } from "../model/directory";

interface Item {
  series: Series;
  element: HTMLElement;
  swatch: HTMLElement;
  /** Its background: what a browser gives back is written otherwise. */
  shown: string;
  value: HTMLElement;
  stats: HTMLElement;
}

/** Min, max and mean; and how many readings they are of, where that says something. */
export type LegendStats = readonly [figures: string, density: string];

/** Called when a legend item is pressed; `alone` if a modifier was held. */
export type Press = (series: Series, alone: boolean) => void;

const ROOMY_GAP = 14;
const TIGHT_GAP = 8;
/** Px to spare: the texts of statistics change their width. */
const STATS_SPARE = 24;

const joined = (stats: LegendStats | undefined, most = 2): string =>
  (stats ?? []).slice(0, most).filter(Boolean).join(" · ");

export class Legend {
  readonly element = h("div", { class: "legend", "data-tw": "legend" });
  readonly #more: HTMLElement;
  #items: Item[] = [];
  /** Indices of the items in the order in which they stand. */
  #order: number[] = [];
  #layoutKey = "";
  /** How many of the statistics have room beside the values. */
  #roomFor = 0;
  readonly #press: Press | null;
  readonly #events: HTMLButtonElement;
  readonly #eventCount = h("span", {});

  /** `others` is called when "+n" is pressed, `switchEvents` when the number of events is. */
  constructor(press: Press | null, others: () => void, switchEvents: () => void) {
    this.#press = press;
    const title = "All series with last, min, max and mean (d)";
    this.#more = press
      ? h("button", { type: "button", class: "legend-more", "data-tw": "legend-more", title, onclick: others })
      : h("span", { class: "legend-more", "data-tw": "legend-more" });
    const events = {
      type: "button",
      class: "legend-more legend-events",
      "data-tw": "events-switch",
      onclick: switchEvents,
    } as const;
    this.#events = h("button", events, icon("flag", 12), this.#eventCount);
    show(this.#events, false);
  }

  /** `label` returns what stands before the value of a series, and after it. */
  build(series: readonly Series[], label: (series: Series, i: number) => readonly [string, string]): void {
    this.#items = series.map((one, i) => {
      const swatch = h("i", {});
      const value = h("b", { "data-tw": "legend-value" });
      const [text, unit] = label(one, i);
      const stats = h("span", { class: "legend-stats", "data-tw": "legend-stats" });
      const parts = [
        swatch,
        text ? h("span", { class: "legend-label" }, text) : null,
        value,
        unit ? h("span", { class: "legend-stats" }, unit) : null,
        stats,
      ] as const;
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
      return { series: one, element, swatch, shown: "", value, stats };
    });
    this.#place(this.#items.map((_, i) => i));
  }

  #place(order: number[]): void {
    this.#order = order;
    this.element.replaceChildren(...order.map((i) => this.#items[i].element), this.#more, this.#events);
    this.#layoutKey = "";
  }

  /** Begin with the greatest of the items' numbers; those that somebody points at stay where they are. */
  sort(numbers: readonly number[]): void {
    if (this.element.matches(":hover, :focus-within")) return;
    const rank = (i: number): number => (Number.isNaN(numbers[i]) ? Infinity : -numbers[i]);
    const order = this.#items.map((_, i) => i).sort((a, b) => rank(a) - rank(b) || a - b);
    if (order.join() !== this.#order.join()) this.#place(order);
  }

  /** `stats` has one text per item, or none where there is no room. */
  update(
    values: readonly string[],
    stats: readonly LegendStats[],
    swatches: readonly string[],
    silent: boolean,
    hidden: ReadonlySet<number>,
  ): void {
    this.element.classList.toggle("silent", silent);
    this.#items.forEach((item, i) => {
      const off = hidden.has(item.series.index);
      item.element.classList.toggle("off", off);
      if (this.#press) setAttribute(item.element, "aria-pressed", String(!off));
      setText(item.stats, joined(stats[i], this.#roomFor));
      // Without room in the row, min, max and mean are in the tooltip.
      if (stats[i] !== undefined)
        setAttribute(item.element, "title", [fullName(item.series), joined(stats[i])].filter(Boolean).join("\n"));
      setText(item.value, values[i] ?? "–");
      if (item.shown !== swatches[i]) item.swatch.style.background = item.shown = swatches[i];
    });
  }

  /** Show how many events there are, whether they are drawn or not. */
  showEvents(count: number, drawn: boolean, roomy: boolean): void {
    show(this.#events, count > 0);
    setText(this.#eventCount, roomy ? plural(count, "event", "events") : formatNumber(count, 0));
    setAttribute(this.#events, "aria-pressed", String(drawn));
    setAttribute(this.#events, "aria-label", `${plural(count, "event", "events")}, ${drawn ? "shown" : "hidden"} (n)`);
    setAttribute(this.#events, "title", drawn ? "Hide events (n)" : "Show events (n)");
  }

  /** Fit the row into a width; `widthsCh` is the width of each item's value. */
  fit(width: number, widthsCh: readonly number[], stats: readonly LegendStats[]): void {
    // The number of events, and what a comparison says at its end.
    const others = this.element.querySelectorAll<HTMLElement>(".legend-events:not([hidden]),.legend-then");
    const key = `${width}|${[...others].map(({ textContent }) => textContent.length)}|${widthsCh.join()}|${stats.map(([, density]) => density !== "").join()}`;
    if (key === this.#layoutKey) return;
    this.#layoutKey = key;
    this.element.classList.remove("tight");
    for (const other of others) width -= other.offsetWidth + ROOMY_GAP;
    const attempt = (gap: number, spare = 0): boolean => {
      this.element.style.columnGap = `${gap}px`;
      let sum = -gap;
      this.#items.forEach((item, i) => {
        item.value.style.minWidth = `${widthsCh[i]}ch`;
        setText(item.stats, joined(stats[i], this.#roomFor));
        show(item.element, true);
        sum += item.element.offsetWidth + gap;
      });
      return sum + spare <= width;
    };
    show(this.#more, false);
    for (this.#roomFor = stats.length ? 2 : 0; this.#roomFor > 0; this.#roomFor--)
      if (attempt(ROOMY_GAP, STATS_SPARE)) return;
    if (attempt(ROOMY_GAP) || attempt(TIGHT_GAP)) return;
    show(this.#more, true);
    setText(this.#more, `+${this.#items.length}`);
    let room = width - this.#more.offsetWidth;
    let shown = 0;
    for (const i of this.#order) {
      room -= this.#items[i].element.offsetWidth + TIGHT_GAP;
      if (room < 0 && shown > 0) break;
      shown++;
    }
    this.#order.forEach((i, at) => show(this.#items[i].element, at < shown));
    this.element.classList.toggle("tight", room < 0);
    setText(this.#more, `+${this.#items.length - shown}`);
    show(this.#more, shown < this.#items.length);
  }
}
