/** The views of a page's charts: one for each width of their plots, since a bucket is a column of pixels. */
import type { BucketRing } from "./bucket-ring";
import { type Columns, columnsOf, leastPx, mostFps } from "./columns";
import { CHARTS, LIST, MAX_VIEWS, NO_VIEW, type Session } from "./session";

/** The plot of one chart. */
export interface PlotNeeds {
  series: readonly number[];
  /** Width in device pixels; 0 while it is not known. */
  devicePx: number;
  /** What is drawn in the place of series, if it is a formula or summarizes one: see `sourceOf`. */
  formula?: string | undefined;
}

/** The series of one view, and its columns for a window. */
export interface ViewPart {
  view: number;
  series: readonly number[];
  columns: Columns;
  formula?: string | undefined;
}

/** The plots of one width, or those of one width and formula. */
const formulaKey = (devicePx: number, formula: string): string => `${devicePx} ${formula}`;

/** Views for plots of series; the others are for formulas. */
export const MOST_WIDTHS = 15;
const NUMBERS = Array.from({ length: MAX_VIEWS }, (_, view) => view).filter((view) => view !== LIST);

export class ChartViews {
  /** The view of each width, and the series in it. */
  #views = new Map<number, { view: number; series: number[] }>();
  /** The view of each width and formula. */
  #formulas = new Map<string, { view: number; devicePx: number; formula: string }>();
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Set the plots; widths that stay keep their views. */
  set(plots: readonly PlotNeeds[]): void {
    const widths = new Map<number, Set<number>>();
    const formulas = new Map<string, { devicePx: number; formula: string }>();
    for (const { series, devicePx, formula } of plots) {
      if (devicePx >= 2 && formula) formulas.set(formulaKey(devicePx, formula), { devicePx, formula });
      if (devicePx < 2 || series.length === 0 || formula !== undefined) continue;
      const known = widths.get(devicePx) ?? new Set();
      for (const index of series) known.add(index);
      widths.set(devicePx, known);
    }
    const before = this.#views;
    this.#views = new Map();
    // More widths than views: the charts of the last share the view of the nearest width.
    const own = [...widths.keys()].sort((a, b) => a - b).slice(0, MOST_WIDTHS);
    const results = [...formulas].slice(0, NUMBERS.length - MOST_WIDTHS);
    const kept = new Set([
      ...own.map((width) => before.get(width)?.view),
      ...results.map(([key]) => this.#formulas.get(key)?.view),
    ]);
    const free = NUMBERS.filter((view) => !kept.has(view));
    const formulasBefore = this.#formulas;
    this.#formulas = new Map();
    for (const [key, one] of results)
      this.#formulas.set(key, { ...one, view: formulasBefore.get(key)?.view ?? (free.pop() as number) });
    for (const width of own) {
      const view = before.get(width)?.view ?? (free.shift() as number);
      this.#views.set(width, { view, series: [...(widths.get(width) as Set<number>)] });
    }
    for (const [width, series] of widths) {
      if (own.includes(width)) continue;
      const shared = this.#views.get(this.#nearest(width)) as { series: number[] };
      shared.series = [...new Set([...shared.series, ...series])];
    }
  }

  /** Request what the views need for a window, and close those that no chart needs any more. */
  request(windowMs: number, fps: number): void {
    const used = new Set<number>();
    for (const { view, series, columns, formula } of this.parts(windowMs)) {
      used.add(view);
      const request = { series, window_ms: windowMs, buckets: columns.count, fps: Math.min(fps, mostFps(formula)) };
      this.#session.requestView(view, formula === undefined ? request : { ...request, formula });
    }
    for (const view of NUMBERS) if (!used.has(view)) this.#session.requestView(view, null);
  }

  parts(windowMs: number): ViewPart[] {
    return [
      ...[...this.#views].map(([width, { view, series }]) => ({
        view,
        series: [...series].sort((a, b) => a - b),
        columns: columnsOf(windowMs, width),
      })),
      ...[...this.#formulas.values()].map(({ view, devicePx, formula }) => ({
        view,
        series: [],
        columns: columnsOf(windowMs, devicePx, leastPx(devicePx, formula)),
        formula,
      })),
    ];
  }

  /** Return the view of a plot; that of the nearest width if it has none, but a formula has its own. */
  viewOf(devicePx: number, formula?: string): number {
    if (formula !== undefined) return this.#formulas.get(formulaKey(devicePx, formula))?.view ?? NO_VIEW;
    return this.#views.get(this.#views.has(devicePx) ? devicePx : this.#nearest(devicePx))?.view ?? CHARTS;
  }

  /** Tell what was drawn: it changes with every frame of any of the views. */
  version(ring: (view: number) => BucketRing): string {
    return [...this.#views.values(), ...this.#formulas.values()]
      .map(({ view }) => `${view}:${ring(view).version}`)
      .join();
  }

  #nearest(devicePx: number): number {
    let best = NaN;
    for (const width of this.#views.keys())
      if (!(Math.abs(width - devicePx) >= Math.abs(best - devicePx))) best = width;
    return best;
  }
}
