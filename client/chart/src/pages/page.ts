/** Interfaces of the pages: what the app calls, and what keys and buttons call on the deck page. */

import type { Chart } from "../chart/chart";
import type { Directory } from "../model/directory";
import type { Cell } from "../model/layout";
import type { ChartSpec, PageState } from "../model/url";
import type { Action } from "../panels/action";

/** A page of the app. */
export interface Page {
  readonly element: HTMLElement;
  /** Draw what has changed: new readings, what `refresh` was told of, or after a second the time. */
  draw(): void;
  directoryChanged(): void;
  stateChanged(): void;
  /** Handle a key of the page's own; false if it is not one. */
  key(event: KeyboardEvent): boolean;
  /** Its actions, besides those of every page. */
  readonly actions: readonly Action[];
  focusSearch(): void;
  /** What the page shows, for the link that skips to it. */
  readonly contents: string;
  focusContents(): void;
  /** Draw at the next animation frame, without new readings. */
  refresh(): void;
  /** Return the series whose new readings are counted while paused. */
  watched(): Iterable<number>;
  /** Return its charts and colours written out; absent: it has none. */
  written?(): Pick<PageState, "charts" | "colours">;
  /** Close the drawer, or open that of the current chart; absent: it has none. */
  toggleDrawer?(): void;
  /** Show the list at its left, or hide it. */
  toggleSidebar(): void;
  /** Fetch its parts that nobody has asked for yet. */
  warm?(): void;
  /** Its charts, or what there is to say of them, for browser tests. */
  debug(): readonly (Chart | Record<string, unknown>)[];
  destroy(): void;
}

/** One card and its chart. */
export interface DeckCard extends Cell {
  key: string;
  chart: Chart;
}

/** The charts of a deck, for actions and buttons. */
export interface DeckCharts {
  readonly directory: Directory;
  specs(): ChartSpec[];
  /** Set the charts, as a step of the browser's history: Back undoes it. */
  setCharts(charts: ChartSpec[]): void;
  /** Return the card that keys act on: the focused one, or else the one under the pointer. */
  current(): DeckCard | undefined;
  isAlone(at: number): boolean;
  /** Show one chart alone, or all again. */
  alone(at: number): void;
  /** Open the menu of the current chart's y axis, or close it. */
  openAxis(): void;
  /** Ask what happened at the crosshair of the current chart, or now. */
  addEvent(): void;
  /** Write the formula of the current chart, or of a new one. */
  openFormula(): void;
  /** Open the drawer of the chart at an index. */
  openDrawer(at: number): void;
  /** Close the drawer, or open that of the current chart. */
  toggleDrawer(): void;
}
