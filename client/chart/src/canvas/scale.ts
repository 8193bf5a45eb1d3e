/** Ranges and ticks of the two axes. */
import { compact, formatNumber, stepDecimals } from "../base/format";

/** 2.5 last: on a tie 50 reads better than 25. */
const MANTISSAS = [1, 2, 5, 2.5];

/** Step m·10ⁿ, m ∈ {1, 2, 2.5, 5}, whose number of ticks inside [lo, hi] is nearest 4. */
export function niceStep(lo: number, hi: number): number {
  const span = hi - lo;
  if (!(span > 0) || !Number.isFinite(span)) return 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  let best = power;
  let bestMiss = Infinity;
  for (const scale of [power / 10, power, power * 10]) {
    for (const m of MANTISSAS) {
      const step = m * scale;
      const count = Math.floor(hi / step + 1e-9) - Math.ceil(lo / step - 1e-9) + 1;
      const miss = Math.abs(count - 4);
      if (miss < bestMiss) {
        bestMiss = miss;
        best = step;
      }
    }
  }
  return best;
}

/** As `niceStep`, for values that are whole: no tick between two of them. */
export function wholeStep(lo: number, hi: number): number {
  const step = Math.max(1, niceStep(lo, hi));
  return step === 2.5 ? 2 : step;
}

export function ticksIn(lo: number, hi: number, step: number): number[] {
  const ticks: number[] = [];
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  for (let i = first; i <= last && ticks.length < 64; i++) ticks.push(i * step);
  return ticks;
}

/** Return the texts of ticks: in full if they fit, else short, else the first in full and the others relative to it. */
export function tickTexts(ticks: readonly number[], step: number, fits: (text: string) => boolean): string[] {
  // Very small and very large steps are never written in full.
  const plain = step >= 1e-5 && step < 1e12;
  const full = ticks.map((tick) => (plain ? formatNumber(tick, stepDecimals(step)) : compact(tick, step)));
  if (full.every(fits)) return full;
  const short = ticks.map((tick) => compact(tick, step));
  if (short.every(fits)) return short;
  const [first] = ticks;
  let [base, coarse] = [compact(first, step), step];
  while (coarse < Math.abs(first) && !fits(base)) {
    coarse *= 10;
    base = `≈${compact(first, coarse)}`;
  }
  return ticks.map((tick, i) => (i === 0 ? base : `+${compact(tick - first, step)}`));
}

/** The y range of a chart: 9 % of padding each side, from zero where the unit is an amount. */
export function yRange(min: number, max: number, fromZero: boolean): [number, number] {
  if (!Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  if (fromZero && min >= 0) {
    if (max === 0) return [0, 1];
    return [0, max * 1.09];
  }
  let lo = min;
  let hi = max;
  // A flat line stays flat: the span is at least 0.4 % of the value.
  const least = Math.max(Math.abs(max), Math.abs(min)) * 0.004 || 1;
  if (hi - lo < least) {
    const middle = (hi + lo) / 2;
    lo = middle - least / 2;
    hi = middle + least / 2;
  }
  const pad = (hi - lo) * 0.09;
  return [lo - pad, hi + pad];
}

/** The y range of steps between 0 and 1, which leaves room for an event above and the axis below. */
export const SWITCH_RANGE: readonly [number, number] = [-0.18, 1.28];

const S = 1_000;
const MIN = 60 * S;
const H = 60 * MIN;
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
  24 * H,
];

/** Px that labels need from centre to centre: HH:MM, and HH:MM:SS when the step is under a minute. */
const PITCH_MIN = 52;
const PITCH_S = 76;

/** The finest time step whose labels do not touch. */
export function timeStep(spanMs: number, px: number): number {
  for (const step of TIME_STEPS) {
    if ((step / spanMs) * px >= (step < MIN ? PITCH_S : PITCH_MIN)) return step;
  }
  return TIME_STEPS[TIME_STEPS.length - 1];
}

/** Ticks at multiples of the step in local time, so that 6 h steps fall on local midnight. */
export function timeTicks(startMs: number, endMs: number, stepMs: number): number[] {
  const zone = new Date(startMs).getTimezoneOffset() * MIN;
  const ticks: number[] = [];
  for (let at = Math.ceil((startMs - zone) / stepMs) * stepMs + zone; at <= endMs && ticks.length < 64; at += stepMs)
    ticks.push(at);
  return ticks;
}
