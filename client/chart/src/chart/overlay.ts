/** The crosshair of one chart: line, dots, time pill and sorted tooltip, as elements above the canvas. */
import { h, icon, setText, show } from "../base/dom";
import { formatNumber, longSpan, timeText } from "../base/format";
import { GUTTER, type Plot } from "../canvas/plot";

/** One row of the tooltip. */
export interface OverlayRow {
  colour: string;
  /** The CSS background of its swatch. */
  swatch: string;
  label: string;
  value: string;
  /** "945.5 – 946.4", or empty for one reading. */
  range: string;
  x: number;
  y: number;
  /** Of a span earlier: without a dot. */
  pale?: boolean;
}

/** Px between the crosshair and the tooltip, and between the tooltip and the edge of the card. */
const TIP_AWAY = 14;
const CARD_EDGE = 8;

/** More rows than these are shown by those around the pointer, and a count of the others. */
const MOST_ROWS = 10;
const AROUND = 4;

/** Return rows by their height, of many those nearest to a height, px; NaN: the highest. */
export function rowsNear<Row extends { y: number }>(rows: readonly Row[], y: number): readonly Row[] {
  const sorted = [...rows].sort((a, b) => a.y - b.y);
  if (sorted.length <= MOST_ROWS) return sorted;
  const distances = sorted.map((row) => Math.abs(row.y - y));
  const nearest = Math.max(0, distances.indexOf(Math.min(...distances)));
  const first = Math.min(Math.max(0, nearest - AROUND), sorted.length - 2 * AROUND - 1);
  return sorted.slice(first, first + 2 * AROUND + 1);
}

export class Overlay {
  /** The height of the pointer, px; NaN without one. */
  pointerY = NaN;
  /** What it says of an x that is no time, and beside that; null: the time. */
  says: { at(x: number): string; between(x: number, to: number): string; beside: string } | null = null;
  readonly element = h("div", { class: "overlay", "aria-hidden": "true" });
  readonly #line = h("div", { class: "cross" });
  readonly #pill = h("div", { class: "time-pill", "data-tw": "time-pill" });
  readonly #tip = h("div", { class: "tip", "data-tw": "tooltip" });
  readonly #brush = h("div", { class: "brush", "data-tw": "brush" });
  readonly #time = h("span", { class: "tip-time" });
  readonly #ago = h("span", { class: "tip-ago" });
  readonly #rows = h("div", { class: "tip-rows" });
  readonly #more = h("div", { class: "tip-more" });
  readonly #notes = h("div", { class: "tip-notes", "data-tw": "tip-events" });
  readonly #dots: HTMLElement[] = [];
  #side = 0;
  #tipTop = 0;
  #tipRows = -1;
  #notesShown = "";
  #brushing = false;

  constructor() {
    this.#tip.append(h("div", { class: "tip-head" }, this.#time, this.#ago), this.#rows, this.#more, this.#notes);
    this.element.append(this.#line, this.#pill, this.#brush, this.#tip);
    this.hide();
    show(this.#brush, false);
  }

  hide(): void {
    show(this.#line, false);
    show(this.#pill, false);
    show(this.#tip, false);
    for (const dot of this.#dots) show(dot, false);
    this.#side = 0;
  }

  /**
   * Draw the crosshair at a time; pill and tooltip, with the events near it, only on the chart that is hovered.
   * `agoMs` NaN leaves "ago" out.
   */
  at(
    plot: Plot,
    timeMs: number,
    rows: readonly OverlayRow[],
    hovered: boolean,
    agoMs: number,
    events: readonly string[],
    readings: (left: number, top: number, right: number, bottom: number) => number,
  ): void {
    const { left, top, width, height } = plot.box;
    const x = plot.x.a * timeMs + plot.x.b;
    if (x < left - 0.5 || x > left + width + 0.5) {
      this.hide();
      return;
    }
    show(this.#line, true);
    this.#line.style.transform = `translate(${Math.round(x)}px,${top}px)`;
    this.#line.style.height = `${height + 4}px`;
    const near = rowsNear(rows, this.pointerY);
    while (this.#dots.length < near.length) {
      const dot = h("div", { class: "cross-dot" });
      this.#dots.push(dot);
      this.element.append(dot);
    }
    this.#dots.forEach((dot, i) => {
      const row = near[i];
      // Beyond a range that was typed there is nothing to mark.
      show(dot, row !== undefined && !row.pale && plot.holds(row.y));
      if (!row) return;
      dot.style.background = row.colour;
      dot.style.transform = `translate(${row.x.toFixed(1)}px,${row.y.toFixed(1)}px)`;
    });
    if (this.#brushing) return;
    show(this.#pill, hovered);
    show(this.#tip, hovered && rows.length + events.length > 0);
    if (!hovered) return;
    const at = this.says?.at(timeMs) ?? timeText(timeMs, width / plot.x.a);
    setText(this.#pill, at);
    this.#placePill(x, plot);
    setText(this.#time, at);
    setText(this.#ago, this.says?.beside ?? (Number.isNaN(agoMs) ? "" : `${longSpan(agoMs)} ago`));
    this.#fillRows(near);
    setText(this.#more, near.length < rows.length ? `${formatNumber(rows.length - near.length, 0)} more` : "");
    const notes = events.join("\n");
    if (notes !== this.#notesShown)
      this.#notes.replaceChildren(...events.map((text) => h("p", {}, icon("flag", 12), text)));
    this.#notesShown = notes;
    this.#place(x, plot, readings);
  }

  #placePill(x: number, { strip, right, box: { left, top, width, height } }: Plot): void {
    const half = this.#pill.offsetWidth / 2;
    const middle = Math.min(Math.max(x, half), left + width + right - half);
    this.#pill.style.transform = `translate(${Math.round(middle - half)}px,${top + height + strip + 5}px)`;
  }

  #fillRows(sorted: readonly OverlayRow[]): void {
    if (sorted.length !== this.#tipRows) {
      this.#tipRows = sorted.length;
      this.#rows.replaceChildren(
        ...sorted.map(() =>
          h(
            "div",
            { class: "tip-row" },
            h("i", {}),
            h("span", { class: "tip-label" }),
            h("b", {}),
            h("span", { class: "tip-range" }),
          ),
        ),
      );
    }
    sorted.forEach((row, i) => {
      const [swatch, label, value, range] = Array.from(this.#rows.children[i].children) as HTMLElement[];
      swatch.style.background = row.swatch;
      setText(label, row.label);
      setText(value, row.value);
      setText(range, row.range);
    });
  }

  #place(x: number, plot: Plot, readings: (left: number, top: number, right: number, bottom: number) => number): void {
    const cardWidth = plot.box.left + plot.box.width + plot.right;
    const cardHeight = plot.box.top + plot.box.height + plot.strip + GUTTER.bottom;
    const wide = this.#tip.offsetWidth;
    const high = this.#tip.offsetHeight;
    const fits = x + TIP_AWAY + wide <= cardWidth - CARD_EDGE;
    const side = fits ? 1 : -1;
    const left = fits ? x + TIP_AWAY : Math.max(CARD_EDGE, x - TIP_AWAY - wide);
    if (side !== this.#side) {
      this.#side = side;
      let fewest = Infinity;
      const lowest = Math.max(
        plot.box.top,
        Math.min(cardHeight - CARD_EDGE - high, plot.box.top + plot.box.height - high),
      );
      for (let i = 0; i <= 4; i++) {
        const top = plot.box.top + ((lowest - plot.box.top) * i) / 4;
        const count = readings(left, top, left + wide, top + high);
        if (count < fewest) {
          fewest = count;
          this.#tipTop = top;
        }
      }
    }
    this.#tip.style.transform = `translate(${Math.round(left)}px,${Math.round(this.#tipTop)}px)`;
  }

  /** Show the selected span in place of the crosshair's time, without the tooltip. */
  showBrush(from: number, to: number, plot: Plot): void {
    show(this.#brush, true);
    this.#brushing = true;
    show(this.#tip, false);
    const left = Math.max(plot.box.left, Math.min(from, to));
    const right = Math.min(plot.box.left + plot.box.width, Math.max(from, to));
    this.#brush.style.transform = `translate(${left}px,${plot.box.top}px)`;
    this.#brush.style.width = `${Math.max(0, right - left)}px`;
    this.#brush.style.height = `${plot.box.height}px`;
    const [startMs, endMs] = [left, right].map((x) => (x - plot.x.b) / plot.x.a);
    show(this.#pill, true);
    const [first, last] = [startMs, endMs].map((at) => timeText(at, plot.box.width / plot.x.a, "s"));
    setText(this.#pill, this.says?.between(startMs, endMs) ?? `${first} – ${last} · ${longSpan(endMs - startMs)}`);
    this.#placePill((left + right) / 2, plot);
  }

  hideBrush(): void {
    show(this.#brush, false);
    this.#brushing = false;
  }
}
