/** Composes the picture of a chart at one moment: range, silences, colours, marks. */

import { paler } from "../base/colour";
import { isAmount, startsAtZero } from "../base/units";
import type { Flag, Picture } from "../canvas/picture";
import { yRange } from "../canvas/scale";
import { sharedGaps } from "../model/buckets";
import type { Series } from "../model/directory";
import { freshness, isSilent, silentWords } from "../model/freshness";
import { chartFreshness } from "../model/reading";
import { thresholdLines } from "../model/thresholds";
import { loadingPart } from "./loading-part";
import type { Moment, Parts } from "./moment";

/** Px per reading above which a zoomed view shows its readings as points. */
const POINT_PX = 5;
/** A threshold within this share of the readings' range is near. */
const NEAR = 0.5;

export function composePicture(parts: Parts, moment: Moment, plotWidth: number): Picture {
  const { series, slots, traces, print } = parts;
  const { startMs, endMs, nowMs, tokens } = moment;
  let lo = Infinity;
  let hi = -Infinity;
  for (const trace of traces) {
    if (trace.n === 0) continue;
    lo = Math.min(lo, trace.lo);
    hi = Math.max(hi, trace.hi);
  }
  // A chart that is silent for longer than its window keeps the axis of its last values.
  if (lo > hi)
    for (const { lastValue } of slots.filter((slot) => slot !== undefined))
      if (Number.isFinite(lastValue)) [lo, hi] = [Math.min(lo, lastValue), Math.max(hi, lastValue)];
  [lo, hi] = parts.shareRange(lo, hi);
  const lines = thresholdLines(moment.thresholds, series, print);
  // A threshold near the readings pulls the range; one far away would flatten them.
  const range = hi - lo || Math.abs(hi) * 0.01 || 1;
  for (const { value } of lines)
    if (value > lo - range * NEAR && value < hi + range * NEAR) [lo, hi] = [Math.min(lo, value), Math.max(hi, value)];
  const { unit } = series[slots.findIndex((slot) => slot !== undefined)] ?? series[0];
  const [yLo, yHi] = yRange(lo, hi, startsAtZero(unit));
  const stale = slots.map((slot) => !slot || isSilent(freshness(slot, nowMs)));
  const silent = stale.every(Boolean) && !moment.zoomed;
  const lastMs = Math.max(...slots.map((slot) => slot?.lastTimeMs ?? -Infinity));
  const { state, ageMs, newest } = chartFreshness(slots, nowMs);
  const readingPx = plotWidth / Math.max(1, ...traces.map((trace) => trace.n));
  return {
    traces,
    colours: series.map((one) => (moment.offline ? paler(tokens.series[one.colour]) : tokens.series[one.colour])),
    dashed: dashes(series),
    startMs,
    endMs,
    yLo,
    yHi,
    divisor: print.unit.divisor,
    gaps:
      moment.zoomed && moment.settled
        ? sharedGaps(
            traces.filter(({ n, endedMs }) => n > 0 || endedMs > 0),
            endMs,
          )
        : sharedGaps(traces.filter((trace) => trace.n > 0)),
    tailMs: silent && lastMs < endMs ? lastMs : NaN,
    tailText: silent && state === "nodata" && newest ? silentWords(ageMs, newest.expectedMs) : [],
    alpha: moment.offline ? 0.75 : 1,
    stale: moment.zoomed ? stale.map(() => false) : stale,
    edges: !moment.zoomed,
    area: series.length === 1 && isAmount(unit),
    points: moment.zoomed && readingPx > POINT_PX,
    thresholdLines: lines,
    loading: loadingPart(slots, traces, moment),
    flags: flagsOf(series, moment),
    flagRow: false,
  };
}

/** A second series of the same colour gets a dash, never a new hue. */
function dashes(series: readonly Series[]): boolean[] {
  const used = new Set<number>();
  return series.map(({ colour }) => {
    const again = used.has(colour);
    used.add(colour);
    return again;
  });
}

/** Return the events of this window: annotations, and those of the chart's metrics. */
function flagsOf(series: readonly Series[], moment: Moment): Flag[] {
  const flags: Flag[] = [];
  for (const { time_ms: timeMs, text, metric } of moment.events) {
    if (timeMs < moment.startMs || timeMs > moment.endMs) continue;
    if (metric === "annotations" || series.some((one) => one.metric === metric)) flags.push({ timeMs, text });
  }
  return flags;
}
