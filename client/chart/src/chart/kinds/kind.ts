/**
 * What a kind of chart is that is no plot: data in, pixels out.
 *
 * To add one: write a file beside this one that exports a `ChartKind`, add its name to `OTHER_KINDS` in `model/kinds.ts` and
 * the kind to the table in `kinds.ts`. Address, menu, loading, freshness, PNG and saved decks follow from these. A kind whose
 * pixels are one canvas has only to paint it: see `canvasKind` in `canvas-kind.ts`, and `stat.ts`. Nothing here is part of
 * what a page starts with, so a kind brings its own code and style; of the page it sees no more than a `Shown`.
 */

import type { Picture } from "../../canvas/picture";
import type { Trace } from "../../model/buckets";
import type { OtherKind } from "../../model/kinds";
import type { ChartFrame } from "../card";
import type { ChangeDeck, Moment, Parts } from "../moment";

/** A chart, as a kind sees it. Traces are of the window that is shown, and empty where the legend hid the series. */
export interface Shown extends Parts {
  readonly other: OtherKind | null;
  readonly title: string;
  readonly card: ChartFrame;
  /** What it is compared with, at the times of the page, how much earlier it is, and whether it has come; null: nothing. */
  readonly earlier: {
    readonly traces: readonly Trace[];
    readonly ago: string;
    readonly ready: boolean;
    readonly comparable: boolean;
  } | null;
  readonly changeDeck: ChangeDeck | null;
  hides(index: number): boolean;
}

/** What stands in the place of a plot, as long as the chart is of its kind. */
export interface Drawing {
  readonly kind: OtherKind;
  /** What a screen reader is told besides title, freshness and last values: sentences that begin with a point, or nothing. */
  readonly words: string;
  /**
   * Draw a moment, `width` × `height` px of layout, each `ratio` pixels of the screen. Called with every frame: `Pace` tells
   * whether to draw. The picture is that of the plot: colours, thresholds, range, what is loading, why it is empty, how
   * pale it is.
   */
  draw(picture: Picture, width: number, height: number, ratio: number, chart: Shown, moment: Moment): void;
  /** Return what was drawn last, `ratio` pixels for each px, for a PNG. */
  picture(ratio: number): HTMLCanvasElement;
  destroy(): void;
}

export interface ChartKind {
  readonly name: OtherKind;
  /** Its name in the menu. */
  readonly text: string;
  /** Whether it obeys the range of the y axis. */
  readonly ranged: boolean;
  /** Return why it cannot show a chart as it is now, empty if it can. */
  misfit(chart: Shown): string;
  /** Make it inside the card of a chart. */
  make(chart: Shown): Drawing;
}
