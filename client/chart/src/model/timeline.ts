/** Tracks the time that a page shows (live, paused or zoomed) and the rings to draw it from. */
import type { BucketRing } from "./bucket-ring";
import type { ViewPart } from "./chart-views";
import { CHARTS, LIST, type Session } from "./session";
import { MOST_WINDOW_MS, type Span } from "./url";

export type { Span } from "./url";

const LEAST_ZOOM_MS = 1_000;

/** Bound a span to the shortest and longest zoom, in whole milliseconds, ending no later than now. */
export function shownSpan(span: Span, nowMs: number): Span {
  const long = Math.min(MOST_WINDOW_MS, Math.max(LEAST_ZOOM_MS, span.endMs - span.startMs));
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
  #frozen: readonly BucketRing[] | null = null;
  /** Of each view: what was requested for the zoomed span (span, series and columns), and what came. */
  readonly #details = new Map<number, { key: string; ring: BucketRing | null; answered: boolean }>();
  readonly #totals = new Map<number, number>();
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** True if the zoomed span has arrived at its own resolution, or if there is no zoom. */
  get settled(): boolean {
    const details = [...this.#details.values()];
    return this.zoom === null || (details.length > 0 && details.every(({ answered }) => answered));
  }

  get paused(): boolean {
    return this.#frozen !== null;
  }

  pause(): void {
    if (this.#frozen) return;
    this.pausedAtMs = this.#session.now();
    this.#frozen = this.#session.views.map((ring) => ring.freeze());
    this.#totals.clear();
    for (const ring of this.#session.views)
      for (const slot of ring.slots.values()) this.#totals.set(slot.index, slot.total);
  }

  resume(): void {
    this.#frozen = null;
    this.zoom = null;
    this.#details.clear();
    this.pausedAtMs = NaN;
  }

  /** Freeze and show one span, by the rings' own buckets until `fetch` brings finer ones. */
  zoomTo(span: Span): void {
    this.pause();
    this.zoom = span;
    for (const detail of this.#details.values()) [detail.key, detail.answered] = ["", false];
  }

  /** While paused, request what the frozen rings do not hold of these views, once per span. */
  fetch(parts: readonly ViewPart[], windowMs: number, arrived: () => void): void {
    const frozen = this.#frozen;
    if (!frozen) return;
    const { startMs, endMs } = this.window(windowMs);
    for (const view of this.#details.keys()) if (!parts.some((part) => part.view === view)) this.#details.delete(view);
    for (const { view, series, columns, formula } of parts) {
      const { slots, stepMs } = frozen[view];
      if (series.length === 0 && (formula === undefined || (!this.zoom && stepMs === columns.stepMs))) continue;
      if (formula === undefined && !this.zoom && stepMs === columns.stepMs && series.every((index) => slots.has(index)))
        continue;
      const key = `${startMs} ${endMs} ${columns.count} ${formula ?? series.join()}`;
      const detail = this.#details.get(view) ?? { key: "", ring: null, answered: false };
      if (key === detail.key) continue;
      this.#details.set(view, detail);
      [detail.key, detail.answered] = [key, false];
      this.#session.requestRange(
        series,
        startMs,
        endMs,
        columns.count,
        (ring) => {
          if (key !== detail.key) return;
          detail.ring = ring;
          detail.answered = true;
          arrived();
        },
        { formula },
      );
    }
  }

  /** The ring to draw a view from. */
  ring(view: number): BucketRing {
    const kept = (this.#frozen ?? this.#session.views)[view];
    const detail = this.#details.get(view);
    if (view === LIST || !detail?.ring) return kept;
    // Until the answer arrives, draw whichever ring covers more of the span: nothing goes blank.
    return detail.answered || overlap(detail.ring, this.zoom) > overlap(kept, this.zoom) ? detail.ring : kept;
  }

  /** The ring with a series as it was when the page was paused, whatever the zoom. */
  overviewRing(index: number): BucketRing {
    const rings = (this.#frozen ?? this.#session.views).filter((_, view) => view !== LIST);
    return rings.find(({ slots }) => slots.has(index)) ?? this.#session.views[CHARTS];
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
      const slot = this.#session.slot(index);
      const before = this.#totals.get(index);
      if (!slot) continue;
      // A series first seen while paused counts from now on.
      if (before === undefined) this.#totals.set(index, slot.total);
      else count += Math.max(0, slot.total - before);
    }
    return count;
  }
}
