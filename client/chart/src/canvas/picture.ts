/** The picture of a plot, as data. */
import type { Silence, Trace } from "../model/buckets";
import type { Columns } from "../model/columns";
import type { EventGroup } from "../model/events";
import type { ThresholdLine } from "../model/thresholds";
import type { LoadingPart } from "./loading";
import type { Linear } from "./paths";
import type { StateRow } from "./state-bands";

/** Everything that a plot draws. Traces and colours have the same order. */
export interface Picture {
  traces: readonly Trace[];
  colours: readonly string[];
  /** Px on and off in turn, empty for a solid line. */
  dashes: readonly (readonly number[])[];
  startMs: number;
  endMs: number;
  /** From time to CSS px: each column covers whole device pixels. */
  x: Linear;
  columns: Columns;
  /** Up to this time the traces are what they were in the last picture; -Infinity if nothing is known of that. */
  freshMs: number;
  yLo: number;
  yHi: number;
  /** Of words: a row for each series, in place of lines and the axis of y. */
  states: readonly StateRow[] | null;
  /** Values are divided by this before they are printed on the axis. */
  divisor: number;
  /** All values are whole, and so are the ticks. */
  whole: boolean;
  gaps: readonly Silence[];
  /** Start of the silence up to the right edge, NaN if the chart is live; and its label, longest first. */
  tailMs: number;
  tailText: readonly string[];
  /** Why nothing is drawn, longest first; empty if something is. */
  emptyText: readonly string[];
  /** Opacity of all readings: less than 1 while nothing new can arrive. */
  alpha: number;
  /** For each trace: whether it is stale, and whether it has ended. */
  stale: readonly boolean[];
  ended: readonly boolean[];
  /** The newest reading of each trace is inside the window and ends the line. */
  edges: boolean;
  area: boolean;
  points: boolean;
  thresholdLines: readonly ThresholdLine[];
  /** What is still to come, null if all is here. */
  loading: LoadingPart | null;
  events: readonly EventGroup[];
  /** Room for them below the plot. */
  eventStrip: boolean;
}
