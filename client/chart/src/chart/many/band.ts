/** Quantiles over very many series as two bands and their middle, and the three series that stand out, by name. */

import { withAlpha } from "../../base/colour";
import { h, setText } from "../../base/dom";
import { font, lineColour, type Tokens } from "../../base/tokens";
import type { Box, Ctx } from "../../canvas/draw";
import { strokeLine } from "../../canvas/ink";
import type { Linear } from "../../canvas/paths";
import type { Picture, TraceInk } from "../../canvas/picture";
import type { Trace } from "../../model/buckets";
import type { Series } from "../../model/directory";
import type { Chart } from "../chart";
import type { Moment } from "../moment";
import { type Counts, columnAt, type Face, sharePrint } from "./face";

const QUANTILES = ["p5", "p25", "p50", "p75", "p95"] as const;
/** Of the series that stand out, in the order in which they are drawn. */
const WORDS: ReadonlyMap<string | undefined, string> = new Map([
  ["lowest", "lowest"],
  ["changed", "most changed"],
  ["highest", "highest"],
]);
const ORDER = [...QUANTILES, ...WORDS.keys()];
const OUTER_ALPHA = 0.16;
const INNER_ALPHA = 0.26;
const MIDDLE_PX = 2;
const NAMED_PX = 1.25;
const HALO_PX = 3;
/** Px between a line and its name, between two names, and from the right edge. */
const AWAY = 8;
const LINE = 14;
const EDGE = 12;

export class Band implements Face {
  readonly edges = true;
  readonly #items: readonly (readonly [HTMLElement, HTMLElement])[];
  #chart: Chart | null = null;
  #moment: Moment | null = null;

  constructor() {
    this.#items = ["p50", "p25 – p75", "p5 – p95"].map((words, i) => {
      const value = h("b", { "data-tw": "band-value" });
      const mark = h("i", { class: `band-mark band-${i}` });
      return [h("span", { class: "many-item" }, mark, h("span", {}, words), value), value] as const;
    });
  }

  arrange(rows: readonly Series[]): Series[] {
    const rank = (role: string | undefined): number => ORDER.indexOf(role as (typeof ORDER)[number]);
    return rows
      .filter(({ role }) => rank(role) >= 0)
      .sort((a, b) => rank(a.role) - rank(b.role))
      .map((one) => {
        const words = WORDS.get(one.role);
        return { ...one, legend: words ? `${words} · ${one.legend || one.name}` : `${one.role}` };
      });
  }

  prepare(chart: Chart, moment: Moment): void {
    [this.#chart, this.#moment] = [chart, moment];
    sharePrint(chart);
    for (const [element] of this.#items) element.style.setProperty("--band", lineColour(moment.tokens, 0));
  }

  #at(role: string): number {
    return this.#chart?.series.findIndex((one) => one.role === role) ?? -1;
  }

  /** Return the value of a row at a time as it is printed; a dash where there is none. */
  #value(i: number, timeMs: number): string {
    const chart = this.#chart as Chart;
    const k = columnAt(chart.traces[i], timeMs);
    return chart.printed(i, k < 0 ? NaN : chart.traces[i].last[k]);
  }

  legend(host: HTMLElement, timeMs: number): void {
    if (host.firstChild !== this.#items[0][0]) host.replaceChildren(...this.#items.map(([element]) => element));
    const values = QUANTILES.map((role) => {
      const i = this.#at(role);
      return i < 0 ? "–" : this.#value(i, timeMs);
    });
    setText(this.#items[0][1], values[2]);
    setText(this.#items[1][1], `${values[1]} – ${values[3]}`);
    setText(this.#items[2][1], `${values[0]} – ${values[4]}`);
  }

  rows(): null {
    return null;
  }

  ground(): null {
    return null;
  }

  spoken(_counts: Counts): string {
    const chart = this.#chart;
    return chart ? chart.series.map((one, i) => `${one.legend} ${this.#value(i, NaN)}`).join(", ") : "";
  }

  readonly ink: TraceInk = (ctx, picture, i, y, box) => {
    const role = this.#chart?.series[i]?.role;
    const tokens = this.#moment?.tokens;
    if (!tokens) return;
    const trace = picture.traces[i];
    const line = { colour: picture.colours[i], dash: [], columnPx: 1, pixel: 1, text: "", surface: "" };
    if (role === "p5") {
      for (const [low, high, alpha] of [
        ["p5", "p95", OUTER_ALPHA],
        ["p25", "p75", INNER_ALPHA],
      ] as const) {
        const [one, other] = [this.#at(low), this.#at(high)].map((at) => picture.traces[at]);
        const foot = y.a * picture.axes[picture.axisOf[i]].lo + y.b;
        if (one && other) fillBetween(ctx, one, other, picture.x, y, withAlpha(lineColour(tokens, 0), alpha), foot);
      }
    } else if (role === "p50") strokeLine(ctx, trace, picture.x, y, { ...line, width: MIDDLE_PX });
    else if (WORDS.has(role)) strokeLine(ctx, trace, picture.x, y, { ...line, width: NAMED_PX });
    if (i === picture.traces.length - 1) this.#names(ctx, picture, y, box, tokens);
  };

  /** Write the names over the lines, each at the right end, and where one would lie on another, further up or down. */
  #names(ctx: Ctx, picture: Picture, y: Linear, box: Box, tokens: Tokens): void {
    const chart = this.#chart as Chart;
    ctx.save();
    ctx.globalAlpha = 1;
    ctx.textBaseline = "alphabetic";
    this.#ends(ctx, picture, y, box, tokens);
    const right = box.left + box.width - EDGE;
    const taken: number[] = [];
    const named = chart.series
      .map((one, i) => ({ one, i, trace: picture.traces[i] }))
      .filter(({ one, trace }) => WORDS.has(one.role) && trace.n > 0)
      .sort((a, b) => b.trace.last[b.trace.n - 1] - a.trace.last[a.trace.n - 1]);
    for (const { one, i, trace } of named) {
      const value = this.#value(i, NaN);
      ctx.font = font(600, 11.5);
      const wide = ctx.measureText(` ${value}`).width;
      ctx.font = font(400, 11.5);
      const words = shortened(ctx, one.legend, box.width - 2 * EDGE - wide);
      const left = right - wide - ctx.measureText(words).width;
      // Above all of the line that it would cross.
      let top = Infinity;
      for (let k = trace.n - 1; k >= 0 && picture.x.a * trace.time[k] + picture.x.b > left - AWAY; k--)
        top = Math.min(top, y.a * trace.max[k] + y.b, y.a * trace.min[k] + y.b);
      let line = Math.min(box.top + box.height - 4, Math.max(box.top + LINE - 2, top - AWAY));
      while (taken.some((other) => Math.abs(other - line) < LINE)) line += LINE;
      taken.push(line);
      ctx.lineJoin = "round";
      ctx.lineWidth = HALO_PX;
      ctx.setLineDash([]);
      ctx.strokeStyle = tokens.surface;
      ctx.textAlign = "left";
      for (const [text, weight, colour, at] of [
        [words, 400, tokens.secondary, left],
        [` ${value}`, 600, tokens.text, right - wide],
      ] as const) {
        ctx.font = font(weight, 11.5);
        ctx.strokeText(text, at, line);
        ctx.fillStyle = colour;
        ctx.fillText(text, at, line);
      }
    }
    ctx.restore();
  }

  /** Say at the left which quantiles the outer band ends with. */
  #ends(ctx: Ctx, picture: Picture, y: Linear, box: Box, tokens: Tokens): void {
    ctx.font = font(400, 11);
    ctx.fillStyle = tokens.muted;
    ctx.textAlign = "left";
    for (const [role, away] of [
      ["p95", -4],
      ["p5", LINE - 2],
    ] as const) {
      const trace = picture.traces[this.#at(role)];
      const k = trace?.n ? trace.indexAt((box.left - picture.x.b) / picture.x.a) : 0;
      if (trace && k < trace.n) ctx.fillText(role, box.left + 5, y.a * trace.last[k] + y.b + away);
    }
  }

  debug(): Record<string, unknown> {
    return { named: this.#chart?.series.filter(({ role }) => WORDS.has(role)).map(({ legend }) => legend) };
  }

  destroy(): void {
    // All that it has is in the legend.
  }
}

/** Return a name that fits, its end replaced by an ellipsis if it must be. */
function shortened(ctx: Ctx, text: string, width: number): string {
  if (ctx.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && ctx.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end)}…`;
}

/**
 * Fill what lies between two traces, broken where the higher one is; where the lower one has no height, as one at 0 on a
 * logarithmic axis, down to `foot`.
 */
export function fillBetween(
  ctx: Ctx,
  low: Trace,
  high: Trace,
  x: Linear,
  y: Linear,
  colour: string,
  foot: number,
): void {
  ctx.beginPath();
  for (let from = 0; from < high.n; ) {
    let to = from + 1;
    while (to < high.n && !high.breaks[to]) to++;
    for (let k = from; k < to; k++) {
      const at = x.a * high.time[k] + x.b;
      if (k === from) ctx.moveTo(at, y.a * high.last[k] + y.b);
      else ctx.lineTo(at, y.a * high.last[k] + y.b);
    }
    for (let k = to - 1; k >= from; k--) {
      const own = low.indexAt(high.time[k]);
      const there = own < low.n && low.time[own] === high.time[k];
      ctx.lineTo(x.a * high.time[k] + x.b, there ? y.a * low.last[own] + y.b : foot);
    }
    ctx.closePath();
    from = to;
  }
  ctx.fillStyle = colour;
  ctx.fill();
}
