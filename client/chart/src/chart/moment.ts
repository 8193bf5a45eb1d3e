/** What a chart is drawn from: the moment that its page shows, and its own parts. */

import type { Tokens } from "../base/tokens";
import type { BucketRing, Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import type { Series } from "../model/directory";
import type { Print } from "../model/reading";
import type { Alarms, EventMark, Threshold } from "../model/session";

/** What every chart of a page draws from at one moment. */
export interface Moment {
  ring: BucketRing;
  startMs: number;
  endMs: number;
  /** The log's clock; of a paused page, what it was then: no age is printed of what is live on it. */
  nowMs: number;
  paused: boolean;
  zoomed: boolean;
  /** All readings of the stretch are here: where none is, there was none. */
  settled: boolean;
  /** Nothing new can arrive: the same picture, a little paler. */
  offline: boolean;
  tokens: Tokens;
  events: readonly EventMark[];
  thresholds: readonly Threshold[];
  alarms: Alarms;
  speak: boolean;
}

/** The parts of a chart, in one order: a series, its slot (if it is loaded), its trace. */
export interface Parts {
  series: readonly Series[];
  slots: readonly (Slot | undefined)[];
  traces: readonly Trace[];
  print: Print;
  /** The range that holds the readings of all charts which share their y axis with this one. */
  shareRange(lo: number, hi: number): readonly [number, number];
}
