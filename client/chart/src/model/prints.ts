/** How the readings of each series are printed on a page: in one way, whatever shows them. */

import { shownUnit } from "../base/units";
import type { BucketRing } from "./bucket-ring";
import { extentOf, NOTHING } from "./buckets";
import type { Series } from "./directory";
import { extentOr, magnitudeOf, type Print, printOf } from "./reading";

/** A chart that drew so long ago is out of sight: what it knew then is old. */
const IN_SIGHT_MS = 3_000;

export class Prints {
  readonly #charts = new Map<number, { print: Print; drawnAt: number }>();

  /** Print a series as its chart does, which draws it now, ms of the page. */
  follow(index: number, print: Print, drawnAt = performance.now()): void {
    this.#charts.set(index, { print, drawnAt });
  }

  /** The page has other charts. */
  forgetCharts(): void {
    this.#charts.clear();
  }

  /** Return the print of a series: that of its chart if it is in sight, or else by what a ring holds of it. */
  of({ index, unit }: Series, ring: BucketRing, now = performance.now()): Print {
    const charted = this.#charts.get(index);
    if (charted && now - charted.drawnAt < IN_SIGHT_MS) return charted.print;
    const slot = ring.slots.get(index);
    const extent = slot ? extentOr(extentOf(ring, slot), slot.lastValue) : NOTHING;
    return printOf(shownUnit(unit, magnitudeOf(extent)), extent);
  }
}
