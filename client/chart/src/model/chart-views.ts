/** The views of a page's charts: one for each width of their plots, since a bucket is a column of pixels. */
import type { BucketRing } from "./bucket-ring";
import { type Columns, columnsOf } from "./columns";
import { CHARTS, LIST, MAX_VIEWS, type Session } from "./session";

/** The plot of one chart. */
export interface PlotNeeds {
  series: readonly number[];
  /** Width in device pixels; 0 while it is not known. */
  devicePx: number;
}

/** The series of one view, and its columns for a window. */
export interface ViewPart {
  view: number;
  series: readonly number[];
  columns: Columns;
}

const NUMBERS = Array.from({ length: MAX_VIEWS }, (_, view) => view).filter((view) => view !== LIST);

export class ChartViews {
  /** The view of each width, and the series in it. */
  #views = new Map<number, { view: number; series: number[] }>();
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Set the plots; widths that stay keep their views. */
  set(plots: readonly PlotNeeds[]): void {
    const widths = new Map<number, Set<number>>();
    for (const { series, devicePx } of plots) {
      if (devicePx < 2 || series.length === 0) continue;
      const known = widths.get(devicePx) ?? new Set();
      for (const index of series) known.add(index);
      widths.set(devicePx, known);
    }
    const before = this.#views;
    this.#views = new Map();
    // More widths than views: the charts of the last share the view of the nearest width.
    const own = [...widths.keys()].sort((a, b) => a - b).slice(0, NUMBERS.length);
    const free = NUMBERS.filter((view) => !own.some((width) => before.get(width)?.view === view));
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
    for (const { view, series, columns } of this.parts(windowMs)) {
      used.add(view);
      this.#session.requestView(view, { series, window_ms: windowMs, buckets: columns.count, fps });
    }
    for (const view of NUMBERS) if (!used.has(view)) this.#session.requestView(view, null);
  }

  parts(windowMs: number): ViewPart[] {
    return [...this.#views].map(([width, { view, series }]) => ({
      view,
      series: [...series].sort((a, b) => a - b),
      columns: columnsOf(windowMs, width),
    }));
  }

  /** Return the view of a plot; that of the nearest width if it has none. */
  viewOf(devicePx: number): number {
    return this.#views.get(this.#views.has(devicePx) ? devicePx : this.#nearest(devicePx))?.view ?? CHARTS;
  }

  /** Tell what was drawn: it changes with every frame of any of the views. */
  version(ring: (view: number) => BucketRing): string {
    return [...this.#views.values()].map(({ view }) => `${view}:${ring(view).version}`).join();
  }

  #nearest(devicePx: number): number {
    let best = NaN;
    for (const width of this.#views.keys())
      if (!(Math.abs(width - devicePx) >= Math.abs(best - devicePx))) best = width;
    return best;
  }
}
