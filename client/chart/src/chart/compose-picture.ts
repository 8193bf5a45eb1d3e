/** Composes the picture of a chart at one moment: range, silences, colours, marks. */

import { paler } from "../base/colour";
import { lineColour } from "../base/tokens";
import { isAmount, startsAtZero } from "../base/units";
import { slotsOf } from "../canvas/event-marks";
import type { Linear } from "../canvas/paths";
import type { Picture } from "../canvas/picture";
import { SWITCH_RANGE, yRange } from "../canvas/scale";
import type { StateRow } from "../canvas/state-bands";
import { sharedGaps, type Trace } from "../model/buckets";
import { freshness, isSilent, silentWords } from "../model/freshness";
import { chartFreshness } from "../model/reading";
import { wordColours } from "../model/states";
import { thresholdLines } from "../model/thresholds";
import { emptyWords } from "./empty-part";
import { loadingPart } from "./loading-part";
import type { Moment, Parts } from "./moment";

/** Px between two readings above which they are shown as points. */
const POINT_PX = 5;
/** A threshold within this share of the readings' range is near. */
const NEAR = 0.5;

export function composePicture(parts: Parts, moment: Moment): Picture {
  const { series, slots, traces } = parts;
  const { nowMs, tokens } = moment;
  const { startMs, endMs } = parts.shown;
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
  const lines = thresholdLines(moment.thresholds, series, parts.unit);
  // A threshold near the readings pulls the range; one far away would flatten them.
  const range = hi - lo || Math.abs(hi) * 0.01 || 1;
  for (const { value } of lines)
    if (value > lo - range * NEAR && value < hi + range * NEAR) [lo, hi] = [Math.min(lo, value), Math.max(hi, value)];
  const { unit } = series[slots.findIndex((slot) => slot !== undefined)] ?? series[0];
  const steps = traces.filter((trace) => trace.n > 0);
  const whole = steps.length > 0 && steps.every((trace) => trace.steps && trace.integers) && parts.unit.divisor === 1;
  const isSwitch = whole && lo >= 0 && hi <= 1;
  const [yLo, yHi] = parts.steadyRange(...(isSwitch ? SWITCH_RANGE : yRange(lo, hi, startsAtZero(unit))));
  if (!Number.isFinite(yHi - yLo)) throw new Error("These values are too far apart for one axis.");
  const states = slots.map((slot) => (slot ? freshness(slot, nowMs) : "nodata"));
  const stale = states.map(isSilent);
  const silent =
    slots.some((slot, i) => slot && stale[i]) &&
    states.every((one, i) => stale[i] || one === "finished") &&
    !moment.zoomed;
  const lastMs = Math.max(...slots.map((slot) => slot?.lastTimeMs ?? -Infinity));
  const { state, age, newest } = chartFreshness(slots, nowMs);
  const gaps =
    moment.zoomed && moment.settled
      ? sharedGaps(
          traces.filter(({ n, endedMs }) => n > 0 || endedMs > 0),
          moment.endMs,
        )
      : sharedGaps(traces.filter((trace) => trace.n > 0));
  const tailText = silent && state === "nodata" && newest ? silentWords(age.ms, newest.expectedMs) : [];
  const loading = loadingPart(slots, traces, moment);
  const said = tailText.length > 0 || loading !== null;
  return {
    traces,
    colours: series
      .map(({ style }) => lineColour(tokens, style))
      .map((colour) => (moment.offline ? paler(colour) : colour)),
    dashes: parts.dashes,
    startMs,
    endMs,
    x: parts.x,
    columns: parts.columns,
    freshMs: parts.freshMs,
    yLo,
    yHi,
    states: parts.bands && statesOf(parts, parts.bands, stale),
    divisor: parts.unit.divisor,
    whole,
    gaps,
    tailMs: silent && lastMs < endMs ? lastMs : NaN,
    tailText,
    emptyText: said || parts.allHidden || parts.bands ? [] : emptyWords(slots, traces, moment),
    alpha: moment.offline ? 0.75 : 1,
    stale: moment.zoomed ? stale.map(() => false) : stale,
    ended: states.map((one) => one === "finished"),
    edges: !moment.zoomed,
    area: series.length === 1 && (isSwitch || isAmount(unit)),
    points: traces.every((trace) => apartPx(trace, parts.x) > POINT_PX),
    thresholdLines: lines,
    loading,
    events: parts.events.shown ? parts.events.groups(parts.shown, ...slotsOf(parts.columns, parts.x)) : [],
    eventStrip: false,
  };
}

/** Return a row of bands for each series; a chart of one series needs no label. */
function statesOf({ series }: Parts, bands: NonNullable<Parts["bands"]>, stale: readonly boolean[]): StateRow[] {
  const colours = wordColours(bands.flat().map(([, , text]) => text));
  return series.map((one, i) => {
    const label = series.length > 1 ? one.legend || one.name : "";
    return { label, bands: bands[i], colours, stale: stale[i] };
  });
}

/** Return how far apart the readings of a trace lie on average, 0 if some columns hold several. */
function apartPx(trace: Trace, x: Linear): number {
  if (trace.n < 2) return Infinity;
  for (let i = 0; i < trace.n; i++) if (trace.count[i] > 1) return 0;
  return ((trace.time[trace.n - 1] - trace.time[0]) / (trace.n - 1)) * x.a;
}
