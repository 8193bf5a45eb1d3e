/** Ranges and ticks of the two axes. */
import { compact, formatNumber, stepDecimals } from "../base/format";

/** 2.5 last: on a tie 50 reads better than 25. */
const MANTISSAS = [1, 2, 5, 2.5];
/** Values that differ by less than this share of them differ by rounding. */
const ROUNDING = 1e-12;

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

/** The range of a flat line, as a share of its value: neighbours that nobody read have round numbers. */
const FLAT_SHARE = 0.1;

/** The y range of a chart: 9 % of padding each side, from zero where the unit is an amount. */
export function yRange(min: number, max: number, fromZero: boolean): [number, number] {
  if (!Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  if (fromZero && min >= 0) {
    if (max === 0) return [0, 1];
    return [0, max * 1.09];
  }
  let lo = min;
  let hi = max;
  // A flat line stays flat, and so does what differs by rounding.
  const size = Math.max(Math.abs(max), Math.abs(min));
  const least = size * FLAT_SHARE || 1;
  if (hi - lo <= size * ROUNDING) {
    const middle = (hi + lo) / 2;
    lo = middle - least / 2;
    hi = middle + least / 2;
  }
  const pad = (hi - lo) * 0.09;
  return [lo - pad, hi + pad];
}

/** The y range of steps between 0 and 1, which leaves room for an event above and the axis below. */
export const SWITCH_RANGE: readonly [number, number] = [-0.18, 1.28];

/** Spans below the first share of the values have ticks that are differences, and until they are above the second. */
const OFFSET_SHARES = [1e-3, 1.5e-3];

/** Tell whether an axis between two values is read by differences; `was`: whether it was in the last drawing. */
export function isOffset(lo: number, hi: number, was = false): boolean {
  const size = Math.max(Math.abs(lo), Math.abs(hi));
  return hi - lo > size * ROUNDING && hi - lo < size * OFFSET_SHARES[was ? 1 : 0] && lo * hi > 0;
}
