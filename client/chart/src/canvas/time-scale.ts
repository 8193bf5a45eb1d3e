/** Ticks of the time axis, and their texts, in the zone of the page. */
import { clock, day, weekday } from "../base/format";
import { fromWall, offsetMs, wallMs } from "../base/zone";

const S = 1_000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;
const TIME_STEPS = [
  100,
  200,
  500,
  S,
  2 * S,
  5 * S,
  10 * S,
  15 * S,
  30 * S,
  MIN,
  2 * MIN,
  5 * MIN,
  10 * MIN,
  15 * MIN,
  30 * MIN,
  H,
  2 * H,
  3 * H,
  6 * H,
  12 * H,
  D,
  2 * D,
  7 * D,
  14 * D,
  28 * D,
];

/** Px that labels need from centre to centre: HH:MM, or HH:MM:SS and days when the step is under a minute, or days. */
const PITCH_MIN = 52;
const PITCH_WIDE = 76;
const MOST_TICKS = 64;
/** Days since the epoch of its first Monday, on which steps of weeks begin. */
const MONDAY = 4 * D;

/** The finest time step whose labels do not touch. */
export function timeStep(spanMs: number, px: number): number {
  for (const step of TIME_STEPS)
    if ((step / spanMs) * px >= (step < MIN || step >= D ? PITCH_WIDE : PITCH_MIN)) return step;
  return TIME_STEPS[TIME_STEPS.length - 1];
}

/**
 * Return ticks at multiples of the step in wall time, so that steps of hours fall on midnight. Steps of up to an hour are
 * even in time also where the clock is put forward or back; longer ones go on at their next multiple.
 */
export function timeTicks(startMs: number, endMs: number, stepMs: number): number[] {
  const origin = stepMs % (7 * D) === 0 ? MONDAY : 0;
  const ticks: number[] = [];
  let wall = Math.ceil((wallMs(startMs) - origin) / stepMs) * stepMs + origin;
  let at = stepMs > H ? fromWall(wall) : startMs + wall - wallMs(startMs);
  while (at <= endMs && ticks.length < MOST_TICKS) {
    if (at >= startMs) ticks.push(at);
    if (stepMs > H) {
      wall += stepMs;
      at = fromWall(wall);
    } else {
      // A zone whose offset changes by half an hour leaves the ticks of full hours between two of them.
      const next = at + stepMs;
      const astray = offsetMs(next) - offsetMs(at);
      at = next + (((-astray % stepMs) + stepMs) % stepMs || 0);
    }
  }
  return ticks;
}

/** Return ticks with their texts: the time, and the day at midnight and where it changes. */
export function timeLabels(startMs: number, endMs: number, stepMs: number): [timeMs: number, text: string][] {
  const form = stepMs < S ? "tenth" : stepMs < MIN ? "s" : "min";
  let before = "";
  return timeTicks(startMs, endMs, stepMs).map((tick) => {
    const today = day(tick);
    const turns = stepMs >= D || wallMs(tick) % D === 0 || (before !== "" && today !== before);
    before = today;
    return [tick, turns ? (stepMs > 2 * D ? today : weekday(tick)) : clock(tick, form)];
  });
}
