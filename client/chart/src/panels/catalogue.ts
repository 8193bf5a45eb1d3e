/** Filters, sorts and describes the series of the overview. */

import { changeWords } from "../base/format";
import { byName } from "../base/naming";
import { type TileMoment, type TileState, tileState } from "../canvas/tile";
import type { Slot } from "../model/bucket-ring";
import type { Series } from "../model/directory";
import { ageOf, spoken } from "../model/freshness";
import { printValue } from "../model/reading";
import type { Filter, Sort } from "../model/url";

/** How old a reading without a known pace may be to count as live. */
const LIVE_MS = 60_000;

/** Return the filters that a tile passes, besides "all": one of live, stale, no data and finished, which add up to it. */
export function filterOf(state: TileState, ageMs: number): Filter[] {
  if (state === "warn" || state === "critical") return ["live", "warn"];
  if (state !== "unknown") return [state];
  return [Number.isFinite(ageMs) ? (ageMs <= LIVE_MS ? "live" : "stale") : "nodata"];
}

/** States in the order in which they need a look. */
const RANKS: Readonly<Record<TileState, number>> = {
  critical: 4,
  warn: 3,
  nodata: 2,
  stale: 2,
  live: 1,
  finished: 1,
  unknown: 1,
};

/** Sort the series of one group; those without a value come last. */
export function sorted(series: Series[], sort: Sort, moment: TileMoment): Series[] {
  if (sort === "name") return series;
  const of = (one: Series): number => {
    const slot = moment.ring.slots.get(one.index);
    if (sort === "state") return RANKS[tileState(slot, one, moment)];
    if (!slot) return -Infinity;
    const key = sort === "value" ? slot.lastValue : sort === "rate" ? slot.rate : moment.nowMs - slot.lastTimeMs;
    return Number.isNaN(key) ? -Infinity : key;
  };
  return [...series].sort((a, b) => of(b) - of(a) || byName(a.metric, b.metric) || byName(a.key, b.key));
}

/** Describe a tile for screen readers. */
export function describe(series: Series, slot: Slot | undefined, moment: TileMoment): string {
  const name = `${series.metric} ${series.short}`.trim();
  if (!slot) return `${name}, no reading yet`;
  const state = tileState(slot, series, moment);
  const print = moment.prints.of(series, moment.ring);
  const alarm = state === "warn" || state === "critical";
  const age = moment.paused ? "as it was when paused" : spoken(alarm ? "live" : state, ageOf(slot, moment.nowMs));
  const change = Number.isNaN(slot.change) ? "" : `, ${changeWords(slot.change, moment.windowMs)}`;
  const fresh = series.bornAt > moment.newSince ? "new, " : "";
  return `${name}, ${fresh}${printValue(slot.lastValue, print)} ${print.unit.text}, ${alarm ? `${state}, ` : ""}${age}${change}`;
}
