/** How a chart of very many series is drawn, by the rows that stand in their place; one face for each way. */

import type { Tokens } from "../../base/tokens";
import type { TraceInk } from "../../canvas/picture";
import type { BucketRing } from "../../model/bucket-ring";
import { Trace } from "../../model/buckets";
import type { Series } from "../../model/directory";
import { printOf } from "../../model/reading";
import type { Chart } from "../chart";
import type { Ground, Moment } from "../moment";
import type { OverlayRow } from "../overlay";

/** How many series there are, and how many of them have a value at a time; NaN if that is not known. */
export interface Counts {
  of: number;
  live: number;
}

/** A cell of a heat map: a column by its end, a range of values, and how many series are in it. */
export interface Cell {
  endMs: number;
  stepMs: number;
  low: number;
  high: number;
  count: number;
}

/** Draws the rows of one summary, and says what they are. */
export interface Face {
  /** Draws a row, null: as a line. */
  readonly ink: TraceInk | null;
  readonly edges: boolean;
  /** The rows in the order in which they are drawn, and named. */
  arrange(rows: readonly Series[]): Series[];
  /** Return what the y axis is of where the rows are counts, which have no height; null: of the rows. */
  ground(log: boolean): Ground | null;
  prepare(chart: Chart, moment: Moment): void;
  /** Write the parts of the legend, for a time; NaN: the end of the window. */
  legend(host: HTMLElement, timeMs: number, counts: Counts): void;
  rows(timeMs: number): OverlayRow[] | null;
  /** Return the cell that a tooltip at a time is of, null if it is of none. */
  cell?(timeMs: number): Cell | null;
  spoken(counts: Counts): string;
  debug(): Record<string, unknown>;
  destroy(): void;
}

/** How many of the series have a value at each column. */
export class CountTrace {
  readonly #trace = new Trace();
  #live = true;

  read(ring: BucketRing, row: Series | undefined, { shown }: Chart, moment: Moment): void {
    const slot = row && ring.slots.get(row.index);
    this.#live = !moment.zoomed;
    if (slot) this.#trace.read(ring, slot, shown.startMs, shown.endMs, Infinity);
    else this.#trace.clear();
  }

  /** Return the count at a time, NaN: at the end; NaN where it is not known. */
  at(timeMs: number): number {
    const { n, last, stepMs } = this.#trace;
    const k = Number.isNaN(timeMs) ? n - 1 : this.#trace.nearest(timeMs, stepMs);
    return k >= 0 && k < n ? Math.round(last[k]) : NaN;
  }

  /** Whether its end is the present. */
  get live(): boolean {
    return this.#live;
  }
}

/** Print all rows with the same digits: those that the range of all of them needs, and none that would only flicker. */
export function sharePrint(chart: Chart): void {
  const there = chart.traces.filter(({ n }) => n > 0);
  if (there.length === 0) return;
  const [lo, hi] = [Math.min(...there.map((one) => one.lo)), Math.max(...there.map((one) => one.hi))];
  const print = printOf(chart.unit, { lo, hi, integers: there.every(({ integers }) => integers) });
  const decimals = print.decimals > 1 ? print.decimals - 1 : print.decimals;
  chart.prints = chart.prints.map(() => ({ ...print, decimals }));
}

/** Return the index of the column at a time, NaN: of the last one; -1 if there is none. */
export function columnAt(trace: Trace, timeMs: number): number {
  return Number.isNaN(timeMs) ? trace.n - 1 : trace.nearest(timeMs, trace.stepMs);
}

/** Heat of cells, from none to the fullest: lightness alone tells them apart. */
const RAMPS = {
  dark: ["#161B22", "#17305A", "#2B63B8", "#63A6F2", "#EAF3FF"],
  light: ["#FFFFFF", "#D3E2F7", "#86AFE6", "#3B6DBD", "#122C5E"],
} as const;
/** The part of the ramp that is used: the ends are too near to the card and to the text. */
const PART = [0.12, 0.98] as const;
const POWER = 0.8;

/** Return the colour of a cell with such a share of the fullest one's series, 0 … 1. */
export function heatColour(share: number, tokens: Tokens): string {
  const ramp = RAMPS[tokens.surface === RAMPS.light[0] ? "light" : "dark"];
  const at = (PART[0] + (PART[1] - PART[0]) * share ** POWER) * (ramp.length - 1);
  const below = Math.min(Math.floor(at), ramp.length - 2);
  const [from, to] = [ramp[below], ramp[below + 1]].map((text) => parseInt(text.slice(1), 16));
  const channels = [16, 8, 0].map((shift) => {
    const [low, high] = [(from >> shift) & 255, (to >> shift) & 255];
    return Math.round(low + (high - low) * (at - below));
  });
  return `rgb(${channels.join()})`;
}
