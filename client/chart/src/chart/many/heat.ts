/** How many of very many series have a value in each range, column by column, as a heat map. */

import { h, setText, show } from "../../base/dom";
import { formatNumber, plural, span, stepDecimals, withoutZeros } from "../../base/format";
import { type ShownUnit, shownUnit } from "../../base/units";
import type { Axis } from "../../canvas/axis";
import type { TraceInk } from "../../canvas/picture";
import type { Series } from "../../model/directory";
import type { Chart } from "../chart";
import type { Ground, Moment } from "../moment";
import type { OverlayRow } from "../overlay";
import { type Cell, type Counts, columnAt, type Face, heatColour } from "./face";

/** Shades of the ramp. */
const SHADES = 64;

export class Heat implements Face {
  readonly edges = false;
  readonly #cell = h("div", { class: "heat-cell", "data-tw": "heat-cell" });
  readonly #ramp = h("i", { class: "heat-ramp" });
  readonly #most = h("b", { "data-tw": "heat-most" });
  readonly #size = h("span", { class: "many-size", "data-tw": "heat-size" });
  readonly #parts = [
    h("span", { class: "many-item" }, h("span", {}, "0"), this.#ramp, this.#most),
    this.#size,
  ] as const;
  /** The range of values of each row. */
  #ranges: readonly (readonly [number, number])[] = [];
  #fullest = 0;
  #shades: string[] = [];
  #shadesOf = "";
  #chart: Chart | null = null;
  #moment: Moment | null = null;

  arrange(rows: readonly Series[]): Series[] {
    const cells = rows.filter(({ role }) => role === "cell").map((one) => ({ one, range: rangeOf(one) }));
    cells.sort((a, b) => a.range[0] - b.range[0]);
    this.#ranges = cells.map(({ range }) => range);
    return cells.map(({ one, range }) => ({ ...one, legend: this.#text(range, one.unit) }));
  }

  ground(log: boolean): Ground | null {
    return groundOf(this.#ranges, log);
  }

  #unit(code: string): ShownUnit {
    return shownUnit(code, Math.max(0, ...this.#ranges.flat().map(Math.abs)));
  }

  /** 55 – 57.5 % */
  #text([low, high]: readonly [number, number], code: string): string {
    const unit = this.#unit(code);
    const decimals = Math.max(...[low, high].map((end) => stepDecimals(Math.abs(end) / unit.divisor)));
    const [from, to] = [low, high].map((end) => withoutZeros(formatNumber(end / unit.divisor, Math.min(decimals, 9))));
    return `${from} – ${to} ${unit.text}`.trim();
  }

  prepare(chart: Chart, moment: Moment): void {
    [this.#chart, this.#moment] = [chart, moment];
    this.#fullest = 0;
    for (const trace of chart.traces)
      for (let k = 0; k < trace.n; k++) this.#fullest = Math.max(this.#fullest, trace.last[k]);
    const { surface } = moment.tokens;
    if (surface !== this.#shadesOf) {
      this.#shadesOf = surface;
      this.#shades = Array.from({ length: SHADES + 1 }, (_, i) => heatColour(i / SHADES, moment.tokens));
      this.#ramp.style.background = `linear-gradient(90deg,${this.#shades.filter((_, i) => i % 8 === 0).join()})`;
    }
    if (this.#cell.parentElement !== chart.overlay.element) chart.overlay.element.prepend(this.#cell);
    show(this.#cell, !Number.isNaN(chart.crossTime));
  }

  readonly ink: TraceInk = (ctx, { traces, x, columns, alpha, axes, axisOf }, i, y) => {
    const heights = this.#ranges[i] && heightsOf(this.#ranges[i], axes[axisOf[i]]);
    if (!heights) return;
    const trace = traces[i];
    ctx.globalAlpha = alpha; // a range that is empty now is not stale
    const pixel = 1 / devicePixelRatio;
    const whole = (px: number): number => Math.round(px / pixel) * pixel;
    const [bottom, top] = heights.map((end) => whole(y.a * end + y.b)).sort((a, b) => b - a);
    const wide = x.a * columns.stepMs;
    let shade = "";
    for (let k = 0; k < trace.n; k++) {
      const own = this.#shades[Math.round((SHADES * trace.last[k]) / this.#fullest)];
      if (own !== shade) ctx.fillStyle = shade = own;
      const left = whole(x.a * trace.time[k] + x.b - wide / 2);
      ctx.fillRect(left, top, whole(left + wide) - left, bottom - top);
    }
  };

  legend(host: HTMLElement): void {
    if (host.firstChild !== this.#parts[0]) host.replaceChildren(...this.#parts);
    setText(this.#most, `${formatNumber(this.#fullest, 0)} series per cell`);
    const [first] = this.#ranges;
    const chart = this.#chart;
    if (!chart || !first) return setText(this.#size, "");
    const { text, divisor } = this.#unit(chart.codes[0]);
    const width = (first[1] - first[0]) / divisor;
    const high = formatNumber(Number(width.toPrecision(3)), stepDecimals(Number(width.toPrecision(3))));
    setText(this.#size, `cells ${`${high} ${text}`.trim()} × ${span(chart.columns.stepMs)}`);
  }

  /** The cell under the pointer, or without one the fullest of its column; -1: none. */
  #at(timeMs: number): { i: number; counts: number[]; heights: (readonly [number, number] | null)[] } {
    const chart = this.#chart;
    const axis = chart?.leftAxis;
    if (!chart?.plot || !axis) return { i: -1, counts: [], heights: [] };
    const counts = chart.traces.map((trace) => {
      const k = trace.n ? columnAt(trace, timeMs) : -1;
      return k < 0 || Math.abs(trace.time[k] - timeMs) > trace.stepMs / 2 ? 0 : trace.last[k];
    });
    const { pointerY } = chart.overlay;
    const { a, b } = chart.plot.ys[0];
    const heights = this.#ranges.map((range) => heightsOf(range, axis));
    const height = (pointerY - b) / a;
    const i = Number.isNaN(pointerY)
      ? counts.indexOf(Math.max(...counts))
      : heights.findIndex((own) => own && height >= own[0] && height < own[1]);
    return { i, counts, heights };
  }

  cell(timeMs: number): Cell | null {
    const { i, counts } = this.#at(timeMs);
    const trace = this.#chart?.traces[i];
    if (!trace) return null;
    const [low, high] = this.#ranges[i];
    const { stepMs } = trace;
    return { endMs: trace.time[columnAt(trace, timeMs)] + stepMs / 2, stepMs, low, high, count: counts[i] };
  }

  rows(timeMs: number): OverlayRow[] {
    const [chart, plot] = [this.#chart, this.#chart?.plot];
    if (!chart || !plot || !this.#moment || this.#ranges.length === 0) return [];
    const { a, b } = plot.ys[0];
    const { i, counts, heights } = this.#at(timeMs);
    const own = i < 0 ? null : heights[i];
    if (!own) {
      show(this.#cell, false);
      return [];
    }
    const [low, high] = own.map((end) => a * end + b);
    const [top, bottom] = [Math.min(low, high), Math.max(low, high)];
    const wide = plot.x.a * chart.columns.stepMs;
    const middle = plot.x.a * timeMs + plot.x.b;
    show(this.#cell, true);
    this.#cell.style.transform = `translate(${middle - wide / 2}px,${top}px)`;
    this.#cell.style.width = `${wide}px`;
    this.#cell.style.height = `${bottom - top}px`;
    const colour = heatColour(counts[i] / (this.#fullest || 1), this.#moment.tokens);
    return [
      {
        colour,
        swatch: counts[i] > 0 ? colour : "none",
        label: chart.series[i].legend,
        value: counts[i] > 0 ? `${formatNumber(counts[i], 0)} series` : "no series",
        range: "",
        x: middle,
        y: (top + bottom) / 2,
        pale: true,
      },
    ];
  }

  spoken({ live, of }: Counts): string {
    const chart = this.#chart;
    if (!chart) return "";
    const newest = chart.traces.map((trace) => (trace.n ? trace.last[trace.n - 1] : 0));
    const i = newest.indexOf(Math.max(...newest));
    const words = `heat map of ${plural(Number.isNaN(live) ? of : live, "series", "series")}`;
    return i < 0 ? words : `${words}, most of them (${formatNumber(newest[i], 0)}) ${chart.series[i].legend}`;
  }

  debug(): Record<string, unknown> {
    const chart = this.#chart;
    const at = (timeMs: number, k: number): number => {
      const trace = chart?.traces[k];
      const column = trace?.n ? columnAt(trace, timeMs) : -1;
      return trace && column >= 0 && Math.abs(trace.time[column] - timeMs) < 1 ? trace.last[column] : 0;
    };
    const times = [...new Set(chart?.traces.flatMap(({ n, time }) => [...time.slice(0, n)]))].sort((a, b) => a - b);
    return { ranges: this.#ranges, times, cells: this.#ranges.map((_, k) => times.map((time) => at(time, k))) };
  }

  destroy(): void {
    this.#cell.remove();
  }
}

/** Return the y axis of ranges. A logarithmic one begins at half of the first edge above 0: below is no end. */
export function groundOf(ranges: readonly (readonly [number, number])[], log: boolean): Ground | null {
  if (ranges.length === 0) return null;
  const edges = ranges.flat();
  const [lo, hi] = [Math.min(...edges), Math.max(...edges)];
  if (!log) return { ends: [lo, hi], dropped: "" };
  const least = lo > 0 ? lo : Math.min(...edges.filter((edge) => edge > 0)) / 2;
  const dropped = ranges.some(([, high]) => high <= 0) ? "values ≤ 0 are not on a log axis" : "";
  return { ends: Number.isFinite(least) ? [least, hi] : [NaN, NaN], dropped };
}

/** Return the heights of a range on an axis, null if it has none: of a range from 0 on, that of its end. */
export function heightsOf(
  [low, high]: readonly [number, number],
  { scale, lo }: Pick<Axis, "scale" | "lo">,
): readonly [number, number] | null {
  const [from, to] = [scale.at(low), scale.at(high)];
  return Number.isNaN(to) ? null : [Number.isNaN(from) ? Math.min(lo, to) : from, to];
}

const rangeOf = ({ labels }: Series): [number, number] => [Number(labels.from), Number(labels.to)];
