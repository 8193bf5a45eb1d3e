/** Tracks the time that a page shows (live, paused or zoomed) and the rings to draw it from. */
import type { BucketRing } from "./bucket-ring";
import { CHARTS, type Session } from "./session";
import type { Span } from "./url";

export type { Span } from "./url";

/** Shortest zoom: twenty of the finest buckets. Longest: the last preset. */
const LEAST_ZOOM_MS = 1_000;
const MOST_ZOOM_MS = 86_400_000;

/** Bound a span to the shortest and longest zoom, in whole milliseconds, ending no later than now. */
export function shownSpan(span: Span, nowMs: number): Span {
  const long = Math.min(MOST_ZOOM_MS, Math.max(LEAST_ZOOM_MS, span.endMs - span.startMs));
  const middle = (span.startMs + span.endMs) / 2;
  const endMs = Math.round(Math.min(middle + long / 2, nowMs));
  return { startMs: Math.round(endMs - long), endMs };
}

function overlap(ring: BucketRing, zoom: Span | null): number {
  return zoom
    ? Math.min(zoom.endMs, (ring.last + 1) * ring.stepMs) - Math.max(zoom.startMs, ring.first * ring.stepMs)
    : 0;
}

export class Timeline {
  /** NaN while live. */
  pausedAtMs = NaN;
  zoom: Span | null = null;
  #frozen: readonly [BucketRing, BucketRing] | null = null;
  #detail: BucketRing | null = null;
  /** Identifies the requested detail: span, series and buckets. */
  #requestKey = "";
  #answered = false;
  readonly #totals = new Map<number, number>();
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** True if the zoomed span has arrived at its own resolution, or if there is no zoom. */
  get settled(): boolean {
    return this.zoom === null || this.#answered;
  }

  get paused(): boolean {
    return this.#frozen !== null;
  }

  pause(): void {
    if (this.#frozen) return;
    this.pausedAtMs = this.#session.now();
    this.#frozen = [this.#session.views[0].freeze(), this.#session.views[1].freeze()];
    this.#totals.clear();
    for (const ring of this.#session.views)
      for (const slot of ring.slots.values()) this.#totals.set(slot.index, slot.total);
  }

  resume(): void {
    this.#frozen = null;
    this.zoom = null;
    this.#detail = null;
    this.#requestKey = "";
    this.pausedAtMs = NaN;
  }

  /** Freeze and show one span, by the rings' own buckets until `fetch` brings finer ones. */
  zoomTo(span: Span): void {
    this.pause();
    this.zoom = span;
    this.#requestKey = "";
    this.#answered = false;
  }

  /** While paused, request what the frozen rings do not hold of these series, once per span. */
  fetch(series: readonly number[], buckets: number, windowMs: number, arrived: () => void): void {
    if (!this.#frozen || series.length === 0 || buckets < 2) return;
    if (!this.zoom && series.every((index) => this.#frozen?.[CHARTS].slots.has(index))) return;
    const { startMs, endMs } = this.window(windowMs);
    const key = `${startMs} ${endMs} ${buckets} ${series.join()}`;
    if (key === this.#requestKey) return;
    this.#requestKey = key;
    this.#answered = false;
    // A little more on both sides, so that lines reach the edges of the plot.
    let pad = 0;
    for (const index of series) pad = Math.max(pad, this.#session.views[CHARTS].slots.get(index)?.expectedMs || 0);
    pad = Math.min(2 * pad, (endMs - startMs) / 4);
    this.#session.requestRange(series, startMs - pad, endMs + pad, buckets, (ring) => {
      if (key !== this.#requestKey) return;
      this.#detail = ring;
      this.#answered = true;
      arrived();
    });
  }

  /** The ring to draw a view from. */
  ring(view: 0 | 1): BucketRing {
    const kept = (this.#frozen ?? this.#session.views)[view];
    if (view !== CHARTS || !this.#detail) return kept;
    // Until the answer arrives, draw whichever ring covers more of the span: nothing goes blank.
    return this.#answered || overlap(this.#detail, this.zoom) > overlap(kept, this.zoom) ? this.#detail : kept;
  }

  /** The ring as it was when the page was paused, whatever the zoom. */
  overviewRing(): BucketRing {
    return this.#frozen?.[CHARTS].slots.size ? this.#frozen[CHARTS] : this.#session.views[CHARTS];
  }

  /** The end of the window: the time of the pause, or now. */
  now(): number {
    return this.paused ? this.pausedAtMs : this.#session.now();
  }

  window(windowMs: number): Span {
    if (this.zoom) return this.zoom;
    const endMs = this.now();
    return { startMs: endMs - windowMs, endMs };
  }

  /** Count the readings of these series that arrived since the pause. */
  newReadings(series: Iterable<number>): number {
    if (!this.paused) return 0;
    let count = 0;
    for (const index of series) {
      const slot = this.#session.views[0].slots.get(index) ?? this.#session.views[1].slots.get(index);
      const before = this.#totals.get(index);
      if (!slot) continue;
      // A series first seen while paused counts from now on.
      if (before === undefined) this.#totals.set(index, slot.total);
      else count += Math.max(0, slot.total - before);
    }
    return count;
  }
}
