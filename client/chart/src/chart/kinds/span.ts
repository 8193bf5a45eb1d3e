/** Ranges that hold still while values move: rounded outward. */

/** Round a range outward to two digits of its length: 0 … 6.05 → 0 … 6.1. */
export function outward(lo: number, hi: number): [number, number] {
  const size = hi - lo;
  if (!(size > 0) || !Number.isFinite(size)) return [lo, hi];
  const step = 10 ** (Math.floor(Math.log10(size)) - 1);
  // Division of decimals leaves a rest: 6.1 / 0.1 is not 61.
  return [Math.floor(lo / step + 1e-9) * step, Math.ceil(hi / step - 1e-9) * step].map((end) =>
    Number(end.toPrecision(12)),
  ) as [number, number];
}

/** Replace what was typed in a range; where that leaves nothing between its ends, the free one moves. */
export function typedRange(
  { lo, hi }: { lo?: number; hi?: number },
  [autoLo, autoHi]: readonly [number, number],
): [number, number] {
  const [from, to] = [lo ?? autoLo, hi ?? autoHi];
  if (from < to) return [from, to];
  const size = autoHi - autoLo || 1;
  return lo === undefined ? [to - size, to] : [from, from + size];
}
