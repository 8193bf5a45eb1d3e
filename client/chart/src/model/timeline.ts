/** Which time a page shows: live, paused, or zoomed into the past, and the rings that belong to it. */
import type { BucketRing } from "./bucket-ring";
import { CHARTS, type Session } from "./session";
import type { Span } from "./url";

export type { Span } from "./url";

/** Shortest window a zoom goes to: twenty of the finest buckets; and the longest, that of the last preset. */
const LEAST_ZOOM_MS = 1_000;
const MOST_ZOOM_MS = 86_400_000;

/** A stretch that can be shown: neither too short nor too long, in whole milliseconds, and not after now. */
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
  /** What the detail was asked for: stretch, series and buckets. */
  #requestKey = "";
  #answered = false;
  readonly #totals = new Map<number, number>();
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** What the zoom shows is as fine as it was asked for; true while there is no zoom. */
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

  /** Freeze and show one stretch of time; the rings' own buckets until `fetch` brings the finer ones. */
  zoomTo(span: Span): void {
    this.pause();
    this.zoom = span;
    this.#requestKey = "";
    this.#answered = false;
  }

  /** While paused: ask for what the frozen rings do not hold of these series, once for each stretch, at this resolution. */
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
    // Until the answer is here, what shows more of the stretch: nothing goes blank on the way.
    return this.#answered || overlap(this.#detail, this.zoom) > overlap(kept, this.zoom) ? this.#detail : kept;
  }

  /** What was frozen when the page was paused, whatever the zoom. */
  overviewRing(): BucketRing {
    return this.#frozen?.[CHARTS].slots.size ? this.#frozen[CHARTS] : this.#session.views[CHARTS];
  }

  /** Now as this page shows it. */
  now(): number {
    return this.paused ? this.pausedAtMs : this.#session.now();
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
      const slot = this.#session.views[0].slots.get(index) ?? this.#session.views[1].slots.get(index);
      const before = this.#totals.get(index);
      if (!slot) continue;
      // Of a series first seen while paused, what comes from now on is new.
      if (before === undefined) this.#totals.set(index, slot.total);
      else count += Math.max(0, slot.total - before);
    }
    return count;
  }
}
