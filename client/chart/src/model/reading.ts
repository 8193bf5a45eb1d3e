/** Formats the readings of a chart: freshness, scale of the unit, decimals. */

import { decimalsFor, formatNumber } from "../base/format";
import { type ShownUnit, shownUnit } from "../base/units";
import type { BucketRing, Slot } from "./bucket-ring";
import type { Trace } from "./buckets";
import type { Series } from "./directory";
import { type Freshness, freshness } from "./freshness";

/** How the values of one chart or tile are printed. */
export interface Print {
  unit: ShownUnit;
  decimals: number;
}

export function printOf(unit: string, magnitude: number, integers: boolean): Print {
  const shown = shownUnit(unit, magnitude);
  return { unit: shown, decimals: decimalsFor(magnitude / shown.divisor, integers && shown.divisor === 1) };
}

export function printValue(value: number, print: Print): string {
  return formatNumber(value / print.unit.divisor, print.decimals);
}

/** Width in `ch` that holds every value of a window, so that a legend does not move. */
export function valueWidthCh(traces: readonly Trace[], print: Print, decimals = print.decimals): number {
  let widest = 1;
  for (const trace of traces) {
    if (trace.n === 0) continue;
    for (const end of [trace.lo, trace.hi]) {
      const text = formatNumber(end / print.unit.divisor, decimals);
      // A point or comma is about a third of a digit.
      const marks = text.length - text.replace(/[.,]/g, "").length;
      widest = Math.max(widest, text.length - marks * 0.62);
    }
  }
  return Math.round(widest * 100) / 100;
}

/** Freshness of a chart: that of its newest series. */
export function chartFreshness(
  slots: readonly (Slot | undefined)[],
  nowMs: number,
): { state: Freshness; ageMs: number; newest: Slot | null } {
  let newest: Slot | null = null;
  let live = false;
  for (const slot of slots) {
    if (!slot || !Number.isFinite(slot.lastIdMs)) continue;
    if (freshness(slot, nowMs) === "live") live = true;
    if (!newest || slot.lastIdMs > newest.lastIdMs) newest = slot;
  }
  if (!newest) return { state: "nodata", ageMs: NaN, newest: null };
  return { state: live ? "live" : freshness(newest, nowMs), ageMs: nowMs - newest.lastIdMs, newest };
}

/** Return the slot of each series; undefined for one without, so that indices stay aligned. */
export function slotsOf(ring: BucketRing, series: readonly Series[]): (Slot | undefined)[] {
  return series.map((one) => ring.slots.get(one.index));
}
