/** How the readings of each series are printed on a page: in one way, whatever shows them. */

import { shownUnit } from "../base/units";
import type { BucketRing } from "./bucket-ring";
import { extentOf, NOTHING } from "./buckets";
import type { Series } from "./directory";
import { extentOr, magnitudeOf, type Print, printOf } from "./reading";

export class Prints {
  readonly #charts = new Map<number, Print>();

  /** Print a series as its chart does. */
  follow(index: number, print: Print): void {
    this.#charts.set(index, print);
  }

  /** The page has other charts. */
  forgetCharts(): void {
    this.#charts.clear();
  }

  /** Return the print of a series: that of its chart, or else by what a ring holds of it. */
  of({ index, unit }: Series, ring: BucketRing): Print {
    const charted = this.#charts.get(index);
    if (charted) return charted;
    const slot = ring.slots.get(index);
    const extent = slot ? extentOr(extentOf(ring, slot), slot.lastValue) : NOTHING;
    return printOf(shownUnit(unit, magnitudeOf(extent)), extent);
  }
}
