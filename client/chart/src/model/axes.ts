/** On which y axis of a chart each series stands: each of one unit, at most two in a plot. */

import { unitKey } from "../base/units";
import type { Series } from "./directory";
import { unitsOfMetrics } from "./layout";

export interface Sides {
  /** Of each series 0 for the left axis, 1 for the right one, -1 if its unit has no axis. */
  of: readonly number[];
  /** The unit of each axis. */
  units: readonly string[];
}

/**
 * Return the axes of series, at most so many; `right` tells which of them are to stand on the right, null: those of a
 * second unit.
 */
export function sidesOf(series: readonly Series[], right: ((one: Series) => boolean) | null, most = 2): Sides {
  const left = right && series.filter((one) => !right(one));
  // One axis has to be the left one.
  if (!right || !left || left.length === 0 || left.length === series.length) {
    const units = unitsOfMetrics(series).slice(0, most);
    return { of: series.map((one) => sideOf(one, units)), units: units.length ? units : [""] };
  }
  const [own] = unitsOfMetrics(left);
  const [other] = unitsOfMetrics(series.filter(right));
  const units = [own, other];
  return {
    of: series.map((one) => {
      const wanted = right(one) ? 1 : 0;
      return unitKey(one.unit) === unitKey(units[wanted]) ? wanted : sideOf(one, units);
    }),
    units,
  };
}

const sideOf = (one: Series, units: readonly string[]): number =>
  units.findIndex((unit) => unitKey(unit) === unitKey(one.unit));
