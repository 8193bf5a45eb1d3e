/** The ten greatest of very many series: rank, name, spark and value. The list covers the plot of their lines. */

import { h, setText } from "../../base/dom";
import { formatNumber, plural } from "../../base/format";
import { lineColour } from "../../base/tokens";
import { fitCanvas } from "../../canvas/draw";
import { strokeLine } from "../../canvas/ink";
import { linear } from "../../canvas/paths";
import type { Series } from "../../model/directory";
import type { Chart } from "../chart";
import type { Moment } from "../moment";
import { type Counts, type Face, sharePrint } from "./face";

const SPARK = { width: 56, height: 14 } as const;
const SPARK_PX = 1.1;
/** The list changes at most this often. */
const RANK_MS = 1_000;

interface Row {
  element: HTMLElement;
  swatch: HTMLElement;
  name: HTMLElement;
  spark: HTMLCanvasElement;
  value: HTMLElement;
}

export class Top implements Face {
  readonly edges = true;
  readonly ink = null;
  readonly #list = h("ol", { class: "top-list", "data-tw": "top-list", tabindex: "0" });
  readonly #words = h("span", { class: "many-item", "data-tw": "top-words", title: "Ranked each second" });
  #rows: Row[] = [];
  #order: number[] = [];
  #rankedAt = -Infinity;
  /** What was ranked. */
  #of = "";
  #chart: Chart | null = null;

  arrange(rows: readonly Series[]): Series[] {
    return rows
      .filter(({ role }) => role === "top")
      .map((one) => ({ ...one, legend: one.legend || one.name || "all" }));
  }

  prepare(chart: Chart, moment: Moment): void {
    this.#chart = chart;
    const { card } = chart;
    if (this.#list.parentElement !== card.element) card.element.append(this.#list);
    this.#list.setAttribute("aria-label", `${chart.title}, the ten greatest`);
    sharePrint(chart);
    const newest = chart.traces.map(({ n, last }) => (n ? last[n - 1] : -Infinity));
    const now = performance.now();
    const shown = newest.map((_, i) => i).filter((i) => newest[i] > -Infinity);
    const of = `${chart.series.map(({ index }) => index).join()} ${shown.length} ${moment.tokens.surface}`;
    if (now - this.#rankedAt < RANK_MS && of === this.#of && !moment.paused) return;
    [this.#rankedAt, this.#of] = [now, of];
    this.#order = shown.sort((a, b) => newest[b] - newest[a]);
    this.#fill(chart, moment);
  }

  #fill(chart: Chart, { tokens }: Moment): void {
    if (this.#rows.length !== this.#order.length) {
      this.#rows = this.#order.map((_, rank) => {
        const [swatch, name] = [h("i", {}), h("span", { class: "top-name" })];
        const spark = h("canvas", { class: "top-spark", "aria-hidden": "true" });
        const value = h("b", { "data-tw": "top-value" });
        const element = h("li", {}, h("span", { class: "top-rank" }, String(rank + 1)), swatch, name, spark, value);
        return { element, swatch, name, spark, value };
      });
      this.#list.replaceChildren(...this.#rows.map(({ element }) => element));
    }
    const colour = lineColour(tokens, 0);
    this.#rows.forEach(({ swatch, name, spark, value, element }, rank) => {
      const i = this.#order[rank];
      const trace = chart.traces[i];
      swatch.style.background = colour;
      setText(name, chart.series[i].legend);
      element.title = chart.series[i].legend;
      setText(value, chart.printed(i, trace.last[trace.n - 1]));
      const ratio = devicePixelRatio;
      const ctx = spark.getContext("2d");
      if (!ctx) return;
      if (!fitCanvas(spark, SPARK.width, SPARK.height, ratio)) ctx.clearRect(0, 0, spark.width, spark.height);
      ctx.save();
      ctx.scale(ratio, ratio);
      const { startMs, endMs } = chart.shown;
      const room = trace.hi - trace.lo || Math.abs(trace.hi) || 1;
      const x = linear(startMs, endMs, 0, SPARK.width);
      const y = linear(trace.lo - room * 0.1, trace.hi + room * 0.1, SPARK.height, 0);
      const ink = { colour, width: SPARK_PX, dash: [], columnPx: 1, pixel: 1 / ratio, text: "", surface: "" };
      strokeLine(ctx, trace, x, y, ink);
      ctx.restore();
    });
  }

  legend(host: HTMLElement, _timeMs: number, { of }: Counts): void {
    if (host.firstChild !== this.#words) host.replaceChildren(this.#words);
    setText(this.#words, `top ${this.#rows.length || 10} by last of ${formatNumber(of, 0)}`);
  }

  rows(): null {
    return null;
  }

  ground(): null {
    return null;
  }

  spoken({ of }: Counts): string {
    const chart = this.#chart;
    if (!chart) return "";
    const rows = this.#order.map((i) => {
      const { n, last } = chart.traces[i];
      return `${chart.series[i].legend} ${chart.printed(i, last[n - 1])}`;
    });
    return `the greatest of ${plural(of, "series", "series")}: ${rows.join(", ")}`;
  }

  debug(): Record<string, unknown> {
    return { ranked: this.#order.map((i) => this.#chart?.series[i]?.legend) };
  }

  destroy(): void {
    this.#list.remove();
  }
}
