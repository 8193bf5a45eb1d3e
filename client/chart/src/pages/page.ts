/** What the app asks of a page, and what keys and buttons ask of the deck page. */

import type { Chart } from "../chart/chart";
import type { Directory } from "../model/directory";
import type { Cell } from "../model/layout";
import type { ChartSpec } from "../model/url";
import type { Action } from "../panels/action";

/** What a page of the app does. */
export interface Page {
  readonly element: HTMLElement;
  /** Draw; `what` is false for a tick of the clock without new readings. */
  draw(fresh: boolean): void;
  directoryChanged(): void;
  stateChanged(): void;
  /** Keys that step something; false: the event goes on. */
  key(event: KeyboardEvent): boolean;
  /** What its keys do besides those of every page. */
  readonly actions: readonly Action[];
  focusSearch(): void;
  /** Draw at the next frame although no reading is new. */
  refresh(): void;
  destroy(): void;
}

/** One card and its chart. */
export interface DeckCard extends Cell {
  key: string;
  chart: Chart;
}

/** The charts of a deck as keys and buttons change them. */
export interface DeckCharts {
  readonly directory: Directory;
  specs(): ChartSpec[];
  /** Every change of the layout is a step of the browser's history: Back undoes it. */
  setCharts(charts: ChartSpec[]): void;
  /** The card that keys act on: with the focus, or else under the pointer. */
  current(): DeckCard | undefined;
  isAlone(at: number): boolean;
  /** Give one chart the page to itself, or show all again. */
  alone(at: number): void;
  /** Open the drawer of a chart; keeps its place while charts come and go. */
  openDrawer(at: number): void;
  /** The drawer of the chart in hand, or of the first one; closed when it is open. */
  toggleDrawer(): void;
}
