/** The inputs of a chart: the moment of its page, and its own series. */

import type { Tokens } from "../base/tokens";
import type { ShownUnit } from "../base/units";
import type { Scale } from "../canvas/axis";
import type { Linear } from "../canvas/paths";
import type { TraceInk } from "../canvas/picture";
import type { AxisOptions } from "../model/axis-options";
import type { BucketRing, Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import type { Columns } from "../model/columns";
import type { Directory, Series } from "../model/directory";
import type { ChartEvents, EventSources } from "../model/events";
import type { PlotKind } from "../model/kinds";
import type { Prints } from "../model/prints";
import type { Print } from "../model/reading";
import type { ChartSpec, Span } from "../model/url";
import type { State } from "../wire/frame";
import type { Threshold } from "../wire/messages";
import type { OverlayRow } from "./overlay";

/** Changes the charts of a deck to what `make` returns; `at` is the index of the chart that asks. */
export type ChangeDeck = (
  make: (directory: Directory, charts: readonly ChartSpec[], at: number) => ChartSpec[],
) => void;

/** What all charts of a page draw from at one moment. */
export interface Moment extends EventSources {
  /** Return the ring to draw a plot of so many device pixels from, or one of a formula. */
  ring: (devicePx: number, formula?: string) => BucketRing;
  /** The window asked for; a plot shows it in whole columns, see `shownBy`. */
  startMs: number;
  endMs: number;
  /** The log's clock, or its value at the pause: a paused page shows no ages. */
  nowMs: number;
  paused: boolean;
  zoomed: boolean;
  /** All readings of the span have arrived: where there is none, there was none. */
  settled: boolean;
  /** How long the log keeps readings, null if that is not known. */
  retentionMs: number | null;
  /** Nothing new can arrive: draw paler. */
  offline: boolean;
  /** What a chart says in the place of a past that is slow or cannot come, longest first; else none. */
  pastWords: readonly string[];
  tokens: Tokens;
  thresholds: readonly Threshold[];
  prints: Prints;
  speak: boolean;
}

/** The y axis of a heat map. */
export interface Ground {
  /** Its ends in the unit of the readings; NaN without any. */
  readonly ends: readonly [lo: number, hi: number];
  /** What is said of the values that have no height, empty if all have one. */
  readonly dropped: string;
}

/** What a chart shows in the place of very many series: see `many/`. */
export interface Many {
  /** What summarizes them: `band`, `heat` or `top`; null: they are drawn themselves. */
  readonly summary: string | null;
  /** All series of the chart, and the formula whose result they are. */
  readonly all: readonly Series[];
  readonly formula: string | undefined;
  /** Draws a trace, null: as a line; and whether a line ends in a dot. */
  readonly ink: TraceInk | null;
  readonly edges: boolean;
  /** Return what the y axis is of where the rows are counts, which have no height; null: of the rows. */
  ground(log: boolean): Ground | null;
  /** What a screen reader is told in the place of all values; empty: those. */
  readonly spoken: string;
  /** Give the chart the rows that a ring holds. */
  fit(ring: BucketRing): void;
  /** Read what is drawn besides the traces; before the picture is composed. */
  prepare(ring: BucketRing, moment: Moment): void;
  /** Write the legend. */
  words(moment: Moment): void;
  /** Return the rows of the tooltip at a time, null for those of the traces. */
  rows(timeMs: number): OverlayRow[] | null;
  /** Select the series of what is at a time under the pointer, and tell that there is something. */
  pick(timeMs: number): boolean;
  /** Show the next view, and tell that there is one. */
  step(): boolean;
  debug(): unknown;
  destroy(): void;
}

/** The parts of a chart, in one order: a series, its slot (if it is loaded), its trace. */
export interface Parts {
  series: readonly Series[];
  slots: readonly (Slot | undefined)[];
  /** Those of the series that the legend shows, or of all if it hides all: what the freshness of the chart is of. */
  heard: readonly (Slot | undefined)[];
  traces: readonly Trace[];
  /** The axis of each series: 0, 1, or -1 for one that is not drawn. */
  sides: readonly number[];
  /** The unit of each axis as it is written, as it is published, and how each series is printed in it. */
  units: readonly ShownUnit[];
  codes: readonly string[];
  /** Whether the legend has switched off every series. */
  allHidden: boolean;
  prints: readonly Print[];
  /** The states of each series inside the window, if all that there is are words; else null. */
  bands: readonly (readonly State[])[] | null;
  /** The dash of each series' line, empty for a solid one. */
  dashes: readonly (readonly number[])[];
  events: ChartEvents;
  /** The columns of the plot, the window that they show, and where. */
  columns: Columns;
  /** Up to this time the traces are what they were when they were last drawn. */
  freshMs: number;
  shown: Span;
  x: Linear;
  kind: PlotKind;
  many: Many | null;
  /** How the left axis is set by hand. */
  axis: AxisOptions;
  /** The scale that an axis was drawn with last. */
  scaleBefore(axis: number): Scale | undefined;
  /** What draws it otherwise than as lines over linear axes, if it is needed and loaded. */
  special: typeof import("../canvas/special") | null;
  /** Return the range of an axis that was drawn last where this one hardly differs. */
  steadyRange(axis: number, lo: number, hi: number): readonly [number, number];
  /** Return the heights, on the scale of an axis, of the ends of what is compared with its series. */
  comparedWith(axis: number, scale: Scale): readonly number[];
  /** Return the range of all charts that share this y axis. */
  shareRange(axis: number, lo: number, hi: number): readonly [number, number];
  /** Return a value of a series as it is printed, with its unit where there are two. */
  printed(i: number, value: number): string;
  /** Return the height at which a value of a series, read at a time, is drawn. */
  heightOf(i: number, value: number, timeMs: number): number;
}
