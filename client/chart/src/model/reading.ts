/** Formats the readings of a series: freshness, scale of the unit, decimals. */

import { decimalsFor, decimalsOf, formatReading, MOST_DIGITS, withoutZeros } from "../base/format";
import type { ShownUnit } from "../base/units";
import type { Slot } from "./bucket-ring";
import type { Extent, Trace } from "./buckets";
import { type Age, ageOf, type Freshness, freshness, isAhead } from "./freshness";

/** How the values of one series are printed. */
export interface Print {
  unit: ShownUnit;
  decimals: number;
  /** Only whole numbers: what is computed of them has decimals of its own. */
  whole: boolean;
}

/** Return the extent of a window, or that of the newest value where the window holds none. */
export function extentOr({ lo, hi, integers }: Extent, value: number): Extent {
  return Number.isNaN(lo) ? { lo: value, hi: value, integers: Number.isInteger(value) } : { lo, hi, integers };
}

export function magnitudeOf({ lo, hi }: Extent): number {
  return Math.max(Math.abs(lo), Math.abs(hi)) || 0;
}

export function printOf(unit: ShownUnit, extent: Extent): Print {
  const { divisor } = unit;
  const whole = extent.integers && divisor === 1;
  const decimals = decimalsFor(magnitudeOf(extent) / divisor, whole, (extent.hi - extent.lo) / divisor);
  // A value that is the only one needs no other digits than it was given with.
  const given = extent.lo === extent.hi && decimals > 0 ? decimalsOf(extent.hi / divisor) : decimals;
  return { unit, decimals: Math.min(decimals, given), whole };
}

/** Return the print of the same digits in another scale of the unit. */
export function printIn(unit: ShownUnit, print: Print): Print {
  if (unit.divisor === print.unit.divisor) return print;
  const decimals = print.decimals + Math.round(Math.log10(unit.divisor / print.unit.divisor));
  return { unit, decimals: Math.min(MOST_DIGITS, Math.max(0, decimals)), whole: false };
}

export function printValue(value: number, print: Print): string {
  return formatReading(value / print.unit.divisor, print.decimals);
}

/**
 * Print what is computed of readings, such as their mean: with digits that tell it from their smallest and largest, as
 * far as it has them. `error` is how far it may be off.
 */
export function printMean(mean: number, print: Print, min = NaN, max = NaN, error = 0): string {
  // What may as well be nothing has no digits of its own.
  if (Math.abs(mean) <= Math.max(error, (Math.abs(min) + Math.abs(max) || 0) * 1e-12)) mean = 0;
  for (const end of [min, max])
    if (Math.abs(mean - end) <= Math.max(error, Math.abs(end) * 1e-12)) return printValue(end, print);
  const value = mean / print.unit.divisor;
  const least = 2 * (error / print.unit.divisor);
  const ends = [min, max].map((end) => withoutZeros(printValue(end, print)));
  let decimals = print.whole ? decimalsFor(Math.abs(value), false) : print.decimals;
  let text = formatReading(value, decimals);
  for (let i = 0; i < MOST_DIGITS && ends.includes(withoutZeros(text)) && 10 ** -decimals > least; i++) {
    decimals += decimals < 0 ? -1 : 1;
    text = formatReading(value, decimals);
  }
  return print.whole ? withoutZeros(text) : text;
}

/** Width in `ch` that holds every value of a window, so that a legend does not move. */
export function valueWidthCh({ n, lo, hi }: Trace, print: Print): number {
  let widest = 1;
  if (n === 0) return widest;
  for (const end of [lo, hi]) {
    const text = printValue(end, print);
    // A point or comma is about a third of a digit.
    const marks = text.length - text.replace(/[.,]/g, "").length;
    widest = Math.max(widest, text.length - marks * 0.62);
  }
  return Math.round(widest * 100) / 100;
}

/** The state that a chart has of those of its series; a finished one says nothing of others that should go on. */
const RANK: Record<Freshness, number> = { live: 3, unknown: 2, stale: 2, nodata: 2, finished: 1 };

/**
 * Freshness of a chart: that of the series whose newest reading is the newest by its own time, live ones first; one of
 * a clock that is ahead last.
 */
export function chartFreshness(
  slots: readonly (Slot | undefined)[],
  nowMs: number,
): { state: Freshness; age: Age; newest: Slot | null } {
  let newest: Slot | null = null;
  let state: Freshness = "nodata";
  const ahead = (slot: Slot): boolean => isAhead(ageOf(slot, nowMs));
  for (const slot of slots) {
    if (!slot || !Number.isFinite(slot.lastIdMs)) continue;
    const own = freshness(slot, nowMs);
    const order =
      newest === null ||
      RANK[own] - RANK[state] ||
      Number(ahead(newest)) - Number(ahead(slot)) ||
      slot.lastTimeMs - newest.lastTimeMs;
    if (order === true || order > 0) [newest, state] = [slot, own];
  }
  return { state, age: newest ? ageOf(newest, nowMs) : { ms: NaN, wayMs: NaN }, newest };
}
