/** What a plot shows at one moment, as data. */
import type { Silence, Trace } from "../model/buckets";
import type { ThresholdLine } from "../model/thresholds";

export interface Flag {
  timeMs: number;
  text: string;
}

/** Everything a plot shows at one moment; traces and colours have the same order. */
export interface Picture {
  traces: readonly Trace[];
  colours: readonly string[];
  dashed: readonly boolean[];
  startMs: number;
  endMs: number;
  yLo: number;
  yHi: number;
  /** Values are divided by this before they are printed on the axis. */
  divisor: number;
  gaps: readonly Silence[];
  /** Start of the silence up to the right edge, and what is said of it; NaN when the chart is live. */
  tailMs: number;
  tailText: readonly string[];
  /** Of all readings: 1, or less when nothing new can arrive. */
  alpha: number;
  /** For each trace: its newest reading is too old. */
  stale: readonly boolean[];
  /** The newest reading of each trace is inside the window and ends the line. */
  edges: boolean;
  area: boolean;
  points: boolean;
  thresholdLines: readonly ThresholdLine[];
  flags: readonly Flag[];
  /** Room above the plot for flags. */
  flagRow: boolean;
}
