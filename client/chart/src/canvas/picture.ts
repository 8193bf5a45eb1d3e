/** The picture of a plot, as data. */
import type { Silence, Trace } from "../model/buckets";
import type { Columns } from "../model/columns";
import type { EventGroup } from "../model/events";
import type { ThresholdLine } from "../model/thresholds";
import type { Axis } from "./axis";
import type { Box, Ctx } from "./draw";
import type { LoadingPart } from "./loading";
import type { Linear } from "./paths";
import type { StateRow } from "./state-bands";

/** Draws the columns of a trace from one on; `y` maps its heights to px. */
export type TraceInk = (ctx: Ctx, picture: Picture, at: number, y: Linear, box: Box, from: number) => void;

/** A threshold, and its axis. */
export type AxisLine = ThresholdLine & { axis: number };

/** Everything that a plot draws. Traces and colours have the same order. */
export interface Picture {
  /** Their values are heights: see `Scale`. */
  traces: readonly Trace[];
  /** One axis, or one at each side; and the axis of each trace. */
  axes: readonly Axis[];
  axisOf: readonly number[];
  /** Draws traces in place of a line; null: lines and envelopes. */
  ink: TraceInk | null;
  /** What the plot says of its axis at its foot, empty if nothing. */
  foot: string;
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
  /** Of words: a row for each series, in place of lines and the axis of y. */
  states: readonly StateRow[] | null;
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
  /** For each trace: whether nothing more is waited for, though it did not say that it ended. */
  broken?: readonly boolean[];
  /** The newest reading of each trace is inside the window and ends the line. */
  edges: boolean;
  area: boolean;
  points: boolean;
  thresholdLines: readonly AxisLine[];
  /** What is still to come, null if all is here. */
  loading: LoadingPart | null;
  events: readonly EventGroup[];
  /** Room for them below the plot. */
  eventStrip: boolean;
  /** Ticks of x and their texts, where it is no time; absent: times. */
  xTicks?: readonly (readonly [at: number, text: string])[];
}
