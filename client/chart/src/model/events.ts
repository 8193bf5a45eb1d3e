/** The events of a chart: those of its series, and how they are grouped where they lie too near each other. */

import { labelOf } from "../base/naming";
import { matches } from "../base/pattern";
import type { EventMark, Level } from "../wire/messages";
import type { Series } from "./directory";
import { ALL_EVENTS, NO_EVENTS, type Span } from "./url";

export interface ChartEvent {
  timeMs: number;
  text: string;
  /** That of an alarm, null for what was published. */
  level: Level | null;
}

/** Events that are one mark, oldest first; and the stretch of time that the mark has for itself. */
export interface EventGroup extends Span {
  events: readonly ChartEvent[];
  /** The worst of them. */
  level: Level | null;
}

/** Tell whether an event lies on a chart: an annotation by its labels, another event by its metric as well. */
export function liesOn({ metric, labels }: EventMark, series: readonly Series[]): boolean {
  const names = Object.keys(labels);
  const annotation = metric === "annotations";
  if (annotation && names.length === 0) return true;
  return series.some(
    (one) =>
      (annotation || one.metric === metric) &&
      names.every((name) => labelOf(one.labels, name) === labelOf(labels, name)),
  );
}

/** What a chart's events depend on; each is another object when it changes. */
export interface EventSources {
  events: readonly EventMark[];
  eventsShown: string;
  alarms: ReadonlyMap<number, Level>;
  alarmsSince: ReadonlyMap<number, number>;
}

export class ChartEvents {
  /** Oldest first, also while they are not shown. */
  all: readonly ChartEvent[] = [];
  shown = true;
  #sources: readonly unknown[] = [];
  #slotMs = NaN;
  readonly #groups = new Map<number, EventGroup[]>();

  /** Take the events of these series, and their alarms, which are not over; of states, whose bands have the words, only annotations. */
  update(series: readonly Series[], { events, eventsShown, alarms, alarmsSince }: EventSources, states = false): void {
    const sources = [series, events, eventsShown, alarmsSince, states];
    if (sources.every((one, i) => one === this.#sources[i])) return;
    this.#sources = sources;
    this.#groups.clear();
    this.shown = eventsShown !== NO_EVENTS;
    const pattern = eventsShown === ALL_EVENTS || !this.shown ? null : eventsShown;
    const passes = ({ metric }: { metric: string }): boolean => pattern === null || matches(pattern, metric);
    const found = events
      .filter((event) => passes(event) && (!states || event.metric === "annotations") && liesOn(event, series))
      .map((event) => ({ timeMs: event.time_ms, text: whose(event, series) + event.text, level: event.level ?? null }));
    for (const one of series) {
      const [level, timeMs] = [alarms.get(one.index), alarmsSince.get(one.index)];
      if (level && timeMs !== undefined && passes(one))
        found.push({ timeMs, text: `${one.legend || one.name}: ${level}, not over`, level });
    }
    this.all = found.sort((a, b) => a.timeMs - b.timeMs);
  }

  /** Return how many there are in a window, drawn or not. */
  count({ startMs, endMs }: Span): number {
    return firstFrom(this.all, endMs) - firstFrom(this.all, startMs);
  }

  within({ startMs, endMs }: Span): readonly ChartEvent[] {
    return this.all.slice(firstFrom(this.all, startMs), firstFrom(this.all, endMs));
  }

  /**
   * Return the marks of a window. Time is cut into slots that begin at multiples of `slotMs` since the epoch, so that a
   * group stays one while time goes on; events of a slot are one mark unless all are `apartMs` from each other.
   */
  groups({ startMs, endMs }: Span, slotMs: number, apartMs: number): readonly EventGroup[] {
    if (slotMs !== this.#slotMs) this.#groups.clear();
    this.#slotMs = slotMs;
    const found: EventGroup[] = [];
    let at = firstFrom(this.all, Math.floor(startMs / slotMs) * slotMs);
    while (at < this.all.length && this.all[at].timeMs < endMs) {
      const slot = Math.floor(this.all[at].timeMs / slotMs);
      const end = firstFrom(this.all, (slot + 1) * slotMs);
      const own = this.#groups.get(slot) ?? grouped(this.all.slice(at, end), slot * slotMs, slotMs, apartMs);
      this.#groups.set(slot, own);
      found.push(...own);
      at = end;
    }
    return found;
  }
}

/** Return the name of the series that an event is of, where a chart has several. */
function whose(event: EventMark, series: readonly Series[]): string {
  if (series.length < 2 || Object.keys(event.labels).length === 0) return "";
  const own = series.filter((one) => liesOn(event, [one]));
  return own.length === 1 && own[0].legend ? `${own[0].legend}: ` : "";
}

function grouped(events: readonly ChartEvent[], startMs: number, slotMs: number, apartMs: number): EventGroup[] {
  const span = { startMs, endMs: startMs + slotMs };
  const apart = events.every((event, i) => i === 0 || event.timeMs - events[i - 1].timeMs >= apartMs);
  if (apart) return events.map((event) => ({ ...span, events: [event], level: event.level }));
  return [{ ...span, events, level: worst(events) }];
}

/** Return two groups as one. */
export function joined(a: EventGroup, b: EventGroup): EventGroup {
  const events = [...a.events, ...b.events];
  return { startMs: a.startMs, endMs: b.endMs, events, level: worst(events) };
}

function worst(events: readonly ChartEvent[]): Level | null {
  const has = (level: Level): boolean => events.some((event) => event.level === level);
  return has("critical") ? "critical" : has("warn") ? "warn" : null;
}

/** Return the index of the first event at or after a time. */
function firstFrom(events: readonly ChartEvent[], timeMs: number): number {
  let [lo, hi] = [0, events.length];
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (events[middle].timeMs < timeMs) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}
