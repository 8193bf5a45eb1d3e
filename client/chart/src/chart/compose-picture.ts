/** Composes the picture of a chart at one moment: range, silences, colours, marks. */

import { paler } from "../base/colour";
import { lineColour } from "../base/tokens";
import { isAmount, startsAtZero } from "../base/units";
import { type Axis, LINEAR } from "../canvas/axis";
import { slotsOf } from "../canvas/event-marks";
import type { Linear } from "../canvas/paths";
import type { AxisLine, Picture } from "../canvas/picture";
import { SWITCH_RANGE, yRange } from "../canvas/scale";
import type { StateRow } from "../canvas/state-bands";
import type { Slot } from "../model/bucket-ring";
import { sharedGaps, type Trace } from "../model/buckets";
import { type Freshness, freshness, isSilent, silentWords } from "../model/freshness";
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
  const { series, slots, heard, traces } = parts;
  const { nowMs, tokens } = moment;
  const { startMs, endMs } = parts.shown;
  const drawn = traces.map((trace) => trace);
  const lines: AxisLine[] = [];
  const axes = parts.units.map((_, side) => axisOf(parts, moment, side, drawn, lines));
  const isSwitch = axes[0].lo === SWITCH_RANGE[0] && axes[0].hi === SWITCH_RANGE[1];
  const { special } = parts;
  const ink = parts.many?.ink ?? special?.INKS.get(parts.kind) ?? null;
  const stateOf = (slot: Slot | undefined): Freshness => (slot ? freshness(slot, nowMs) : "nodata");
  const states = slots.map(stateOf);
  const stale = states.map(isSilent);
  const told = heard.map(stateOf);
  const { state, age, newest } = chartFreshness(heard, nowMs);
  const silent =
    heard.some((slot, i) => slot && isSilent(told[i])) &&
    told.every((one) => isSilent(one) || one === "finished") &&
    !moment.zoomed;
  const lastMs = Math.max(...slots.map((slot) => slot?.lastTimeMs ?? -Infinity));
  const gaps =
    moment.zoomed && moment.settled
      ? sharedGaps(
          traces.filter(({ n, endedMs }) => n > 0 || endedMs > 0),
          moment.endMs,
        )
      : sharedGaps(traces.filter((trace) => trace.n > 0));
  const tailText =
    silent && state === "nodata" && newest ? silentWords(age.ms, Math.max(newest.expectedMs, newest.blocksMs)) : [];
  const loading = loadingPart(slots, traces, moment);
  const said = tailText.length > 0 || loading !== null;
  return {
    traces: drawn,
    axes,
    axisOf: parts.sides,
    ink,
    foot:
      parts.many?.ground(parts.axis.log ?? false)?.dropped ??
      axes[0].scale.dropped(traces.filter((_, i) => parts.sides[i] === 0)),
    colours: series
      .map(({ style }) => lineColour(tokens, style))
      .map((colour) => (moment.offline ? paler(colour) : colour)),
    dashes: parts.dashes,
    startMs,
    endMs,
    x: parts.x,
    columns: parts.columns,
    freshMs: parts.freshMs,
    states: parts.bands && statesOf(parts, parts.bands, stale),
    gaps,
    tailMs: silent && lastMs < endMs ? lastMs : NaN,
    tailText,
    emptyText: said || parts.allHidden || parts.bands ? [] : emptyWords(slots, traces, moment),
    alpha: moment.offline ? 0.75 : 1,
    stale: moment.zoomed ? stale.map(() => false) : stale,
    ended: states.map((one) => one === "finished"),
    edges: !moment.zoomed && parts.many?.edges !== false,
    area: series.length === 1 && (isSwitch || isAmount(parts.codes[0])) && !ink,
    points: traces.every((trace) => apartPx(trace, parts.x) > POINT_PX),
    thresholdLines: lines,
    loading,
    events: parts.events.shown ? parts.events.groups(parts.shown, ...slotsOf(parts.columns, parts.x)) : [],
    eventStrip: false,
  };
}

/**
 * Return one axis of a chart: its range is that of its series, or as it was set by hand. `drawn` become heights, and
 * `lines` get its thresholds.
 */
function axisOf(parts: Parts, moment: Moment, side: number, drawn: Trace[], lines: AxisLine[]): Axis {
  const { series, slots, sides, special, kind } = parts;
  const options = side === 0 ? parts.axis : {};
  const own = series.map((_, i) => i).filter((i) => sides[i] === side);
  if (special && kind === "stacked") special.stack(drawn, own);
  const scale =
    (special && (options.log ? special.LOG : special.offsetOf(drawn, own, options, parts.scaleBefore(side)))) ?? LINEAR;
  const ground = parts.many?.ground(options.log ?? false) ?? null;
  if (!ground) for (const i of own) drawn[i] = scale.shape(drawn[i]);
  let [lo, hi] = [Infinity, -Infinity];
  const reach = (height: number): void => {
    if (Number.isFinite(height)) [lo, hi] = [Math.min(lo, height), Math.max(hi, height)];
  };
  if (ground) for (const end of ground.ends) reach(scale.at(end));
  else for (const i of own) if (drawn[i].n > 0) for (const end of [drawn[i].lo, drawn[i].hi]) reach(end);
  // A chart that is silent for longer than its window keeps the axis of its last values.
  if (lo > hi && !ground) for (const i of own) reach(scale.at(slots[i]?.lastValue ?? NaN));
  if (!ground) for (const end of parts.comparedWith(side, scale)) reach(end);
  [lo, hi] = parts.shareRange(side, lo, hi);
  // A threshold near the readings pulls the range; one far away would flatten them.
  const range = hi - lo || Math.abs(hi) * 0.01 || 1;
  const [from, to] = [lo - range * NEAR, hi + range * NEAR];
  const mine = own.map((i) => series[i]);
  for (const line of thresholdLines(moment.thresholds, mine, parts.units[side])) {
    const value = scale.at(line.value);
    if (value > from && value < to) reach(value);
    lines.push({ ...line, value, axis: side });
  }
  const steps = own.map((i) => parts.traces[i]).filter((trace) => trace.n > 0);
  const unit = parts.units[side];
  const whole =
    steps.length > 0 && steps.every((trace) => trace.steps && trace.integers) && unit.divisor === 1 && !options.log;
  const amounts = options.zero || kind === "bars" || kind === "stacked";
  const isSwitch = whole && lo >= 0 && hi <= 1 && Object.keys(options).length === 0 && !amounts;
  if (amounts && !options.log) [lo, hi] = [Math.min(0, lo), Math.max(0, hi)];
  const zero = (amounts || startsAtZero(parts.codes[side])) && !options.log;
  const auto = parts.steadyRange(side, ...(isSwitch ? SWITCH_RANGE : yRange(lo, hi, zero)));
  const [yLo, yHi] = special?.rangeBy(options, scale, auto) ?? auto;
  if (!Number.isFinite(yHi - yLo)) throw new Error("These values are too far apart for one axis.");
  const swatches = parts.units.length > 1 ? mine.map(({ style }) => lineColour(moment.tokens, style)) : [];
  return { scale, lo: yLo, hi: yHi, inverted: options.inverted ?? false, whole, unit, swatches };
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
