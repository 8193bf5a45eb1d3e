/** A y axis of a plot: what is drawn where, and its ticks. What draws by y asks it; only its scale knows of its kind. */
import type { ShownUnit } from "../base/units";
import type { Trace } from "../model/buckets";
import type { Linear } from "./paths";
import { niceStep, ticksIn, tickTexts, wholeStep } from "./scale";

/** A line of the grid and its text, at a height: see `Scale.at`. */
export interface Tick {
  at: number;
  text: string;
}

export interface Ticks {
  ticks: readonly Tick[];
  /** Heights of short marks without a text. */
  minor: readonly number[];
  /** What stands over the ticks: their unit; and the value of the tick `±0`, empty if they are values themselves. */
  unit: string;
  base: string;
}

/** The kind of an axis. Heights are values on a linear axis, and powers of ten on a logarithmic one. */
export interface Scale {
  /** Return the height of a value; NaN if it has none. */
  at(value: number): number;
  /** Return a trace whose values are heights. */
  shape(trace: Trace): Trace;
  /** Return the ticks between two heights; `fits` tells whether a text has room beside the plot. */
  ticks(axis: Axis, fits: (text: string) => boolean): Ticks;
  /** What a chart says of readings that have no height, empty if all have one. */
  dropped(traces: readonly Trace[]): string;
}

export interface Axis {
  scale: Scale;
  /** Heights at its two ends; `lo` < `hi`, also upside down. */
  lo: number;
  hi: number;
  inverted: boolean;
  /** Its ticks are whole numbers. */
  whole: boolean;
  unit: ShownUnit;
  /** Colours of its series, if another axis stands beside it. */
  swatches: readonly string[];
}

/** Texts of ticks nearer than this would touch. */
const TICK_PX = 14;

/** Leave out ticks that would touch: each second or third stays, counted from the one at zero. */
export function apart(all: Ticks, y: Linear): Ticks {
  const { ticks } = all;
  const nearest = Math.min(...ticks.slice(1).map(({ at }, i) => Math.abs((at - ticks[i].at) * y.a)));
  const each = Math.ceil(TICK_PX / nearest);
  if (!(each > 1)) return all;
  const zero = Math.max(
    0,
    ticks.findIndex(({ text }) => /^±?0$/.test(text)),
  );
  return { ...all, ticks: ticks.filter((_, i) => (i - zero) % each === 0) };
}

export const LINEAR: Scale = {
  at: (value) => value,
  shape: (trace) => trace,
  dropped: () => "",
  ticks({ lo, hi, unit, whole }, fits) {
    const { divisor } = unit;
    const step = whole ? wholeStep(lo / divisor, hi / divisor) : niceStep(lo / divisor, hi / divisor);
    const values = ticksIn(lo / divisor, hi / divisor, step);
    const texts = tickTexts(values, step, fits);
    const ticks = values.map((value, i) => ({ at: value * divisor, text: texts[i] }));
    return { ticks, minor: [], unit: unit.text, base: "" };
  },
};
