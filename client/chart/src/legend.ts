/** The legend row of a chart: swatch, label and value of each series; what does not fit becomes "+n". */
import type { Series } from "./directory";
import { h, setText, show } from "./dom";

interface Item {
  element: HTMLElement;
  swatch: HTMLElement;
  value: HTMLElement;
}

const ROOMY_GAP = 14;
const TIGHT_GAP = 8;

export class Legend {
  readonly element = h("div", { class: "legend", "data-tw": "legend" });
  private readonly more = h("span", { class: "legend-more", "data-tw": "legend-more" });
  private items: Item[] = [];
  private layoutKey = "";
  /** One decimal fewer is printed when the values would not fit otherwise. */
  fewerDecimals = 0;

  build(series: readonly Series[], label: (series: Series) => string): void {
    this.items = series.map((one) => {
      const swatch = h("i", {});
      const value = h("b", { "data-tw": "legend-value" });
      const text = label(one);
      const element = h("span", { class: "legend-item" }, swatch, text ? h("span", { class: "legend-label" }, text) : null, value);
      element.dataset.series = String(one.index);
      element.title = `${one.metric}${one.key ? ` {${one.key}}` : ""}`;
      return { element, swatch, value };
    });
    this.element.replaceChildren(...this.items.map((item) => item.element), this.more);
    this.layoutKey = "";
  }

  update(values: readonly string[], colours: readonly string[], silent: boolean): void {
    this.element.classList.toggle("silent", silent);
    this.items.forEach((item, i) => {
      setText(item.value, values[i] ?? "–");
      if (item.swatch.style.background !== colours[i]) item.swatch.style.background = colours[i];
    });
  }

  /** Fit the row into a width; `widthsCh` is the width of a value with all decimals and with one fewer. */
  fit(width: number, widthsCh: readonly [number, number], decimals: number): void {
    const key = `${width}|${widthsCh[0]}|${this.items.length}`;
    if (key === this.layoutKey) return;
    this.layoutKey = key;
    const attempt = (gap: number, ch: number): boolean => {
      this.element.style.columnGap = `${gap}px`;
      let sum = -gap;
      for (const item of this.items) {
        item.value.style.minWidth = `${ch}ch`;
        show(item.element, true);
        sum += item.element.offsetWidth + gap;
      }
      return sum <= width;
    };
    show(this.more, false);
    this.fewerDecimals = 0;
    if (attempt(ROOMY_GAP, widthsCh[0]) || attempt(TIGHT_GAP, widthsCh[0])) return;
    if (decimals > 1) {
      this.fewerDecimals = 1;
      if (attempt(TIGHT_GAP, widthsCh[1])) return;
    }
    show(this.more, true);
    setText(this.more, `+${this.items.length}`);
    let room = width - this.more.offsetWidth;
    let shown = 0;
    for (const item of this.items) {
      room -= item.element.offsetWidth + TIGHT_GAP;
      if (room < 0 && shown > 0) break;
      shown++;
    }
    this.items.forEach((item, i) => show(item.element, i < shown));
    setText(this.more, `+${this.items.length - shown}`);
    show(this.more, shown < this.items.length);
  }
}
