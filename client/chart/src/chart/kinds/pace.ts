/** How often a kind is drawn: as often as the texts of a plot, but at once where somebody chose to see something else. */

import type { Moment } from "../moment";
import type { Shown } from "./kind";
import { shownOf } from "./readings";

/**
 * With every second frame, as the words of a plot: figures that change more often cannot be read. A page without new frames
 * draws once a second.
 */
const EVERY_MS = 300;

export class Pace {
  #key = "";
  #tokens: Moment["tokens"] | null = null;
  #at = -Infinity;

  /** Tell whether to draw now. */
  due(size: readonly number[], chart: Shown, moment: Moment): boolean {
    const now = performance.now();
    const { axis, series } = chart;
    const { zoomed, paused, startMs, endMs, tokens } = moment;
    const shown = shownOf(chart).map((i) => series[i].index);
    const key = JSON.stringify([size, axis, shown, paused, zoomed, endMs - startMs, zoomed && startMs]);
    if (key === this.#key && tokens === this.#tokens && now - this.#at < EVERY_MS) return false;
    [this.#key, this.#tokens, this.#at] = [key, tokens, now];
    return true;
  }
}
