/** Which time a page shows: live, paused, or zoomed into the past, and the rings that belong to it. */
import { Ring } from "./ring";
import { CHARTS, type Session } from "./session";

/** Shortest window a zoom goes to: twenty of the finest buckets. */
const LEAST_ZOOM_MS = 1_000;

export interface Span {
  startMs: number;
  endMs: number;
}

export class Timeline {
  /** NaN while live. */
  pausedAtMs = NaN;
  zoom: Span | null = null;
  private frozen: readonly [Ring, Ring] | null = null;
  private detail: Ring | null = null;
  private readonly totals = new Map<number, number>();

  constructor(private readonly session: Session) {}

  get paused(): boolean {
    return this.frozen !== null;
  }

  pause(): void {
    if (this.frozen) return;
    this.pausedAtMs = this.session.now();
    this.frozen = [this.session.views[0].freeze(), this.session.views[1].freeze()];
    this.totals.clear();
    for (const ring of this.session.views) for (const slot of ring.slots.values()) this.totals.set(slot.index, slot.total);
  }

  resume(): void {
    this.frozen = null;
    this.zoom = null;
    this.detail = null;
    this.pausedAtMs = NaN;
  }

  /** Freeze and show one stretch of time; the rings' own buckets until the finer ones arrive. */
  zoomTo(span: Span, series: number[], buckets: number, arrived: () => void): void {
    this.pause();
    let { startMs, endMs } = span;
    if (endMs - startMs < LEAST_ZOOM_MS) {
      const middle = (startMs + endMs) / 2;
      startMs = middle - LEAST_ZOOM_MS / 2;
      endMs = middle + LEAST_ZOOM_MS / 2;
    }
    this.zoom = { startMs, endMs };
    this.detail = null;
    // A little more on both sides, so that lines reach the edges of the plot.
    let pad = 0;
    for (const index of series) pad = Math.max(pad, this.session.views[CHARTS].slots.get(index)?.expectedMs || 0);
    pad = Math.min(2 * pad, (endMs - startMs) / 4);
    this.session.range(series, startMs - pad, endMs + pad, buckets, (ring) => {
      this.detail = ring;
      arrived();
    });
  }

  unzoom(): void {
    this.zoom = null;
    this.detail = null;
  }

  /** The ring to draw a view from. */
  ring(view: 0 | 1): Ring {
    if (view === CHARTS && this.zoom && this.detail) return this.detail;
    return (this.frozen ?? this.session.views)[view];
  }

  /** What was frozen when the page was paused, whatever the zoom. */
  overviewRing(): Ring {
    return (this.frozen ?? this.session.views)[CHARTS];
  }

  /** Now as this page shows it. */
  now(): number {
    return this.paused ? this.pausedAtMs : this.session.now();
  }

  window(windowMs: number): Span {
    if (this.zoom) return this.zoom;
    const endMs = this.now();
    return { startMs: endMs - windowMs, endMs };
  }

  /** Readings that arrived since the pause, of these series. */
  newReadings(series: Iterable<number>): number {
    if (!this.paused) return 0;
    let count = 0;
    for (const index of series) {
      const slot = this.session.views[0].slots.get(index) ?? this.session.views[1].slots.get(index);
      const before = this.totals.get(index);
      if (slot && before !== undefined) count += Math.max(0, slot.total - before);
    }
    return count;
  }
}
