/** Last, min, max and mean of a chart's series: computed for the legend and the data table. */

import type { Trace } from "../model/buckets";
import { FRACTIONS, MOST_COUNTED } from "../wire/frame";

/** Of the columns inside a span; NaN if none holds a reading. */
export interface Figures {
  min: number;
  max: number;
  mean: number;
  /** How far the mean may be off: a frame has that of a column in 65,535 parts of its range. */
  error: number;
  readings: number;
  columns: number;
  /** A column has more readings than a frame can count: it weighs less in the mean than it should. */
  more: boolean;
}

export function figuresOf(trace: Trace, startMs: number, endMs: number): Figures {
  let [min, max, sum, ranges, count, columns] = [Infinity, -Infinity, 0, 0, 0, 0];
  let more = false;
  for (let i = 0; i < trace.n; i++) {
    if (trace.time[i] < startMs || trace.time[i] > endMs) continue;
    min = Math.min(min, trace.min[i]);
    max = Math.max(max, trace.max[i]);
    sum += trace.mean[i] * trace.count[i];
    ranges += (trace.max[i] - trace.min[i]) * trace.count[i];
    count += trace.count[i];
    columns++;
    more ||= trace.count[i] >= MOST_COUNTED;
  }
  if (count === 0) return { min: NaN, max: NaN, mean: NaN, error: 0, readings: 0, columns, more };
  return { min, max, mean: sum / count, error: ranges / count / (2 * FRACTIONS), readings: count, columns, more };
}

/** Label, last, min, max and mean of one series as they are printed. */
export type FigureRow = readonly [string, string, string, string, string];
