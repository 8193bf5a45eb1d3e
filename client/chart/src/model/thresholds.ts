/** Matches thresholds with series, and makes the lines that a chart draws. */

import { decimalsOf, formatNumber } from "../base/format";
import { labelOf } from "../base/naming";
import { matches } from "../base/pattern";
import type { ShownUnit } from "../base/units";
import type { Threshold } from "../wire/messages";
import type { Series } from "./directory";

/** One dashed line of a chart and its label. */
export interface ThresholdLine {
  level: "warn" | "critical";
  side: "above" | "below";
  value: number;
  /** "warn above 935 °C" */
  text: string;
}

/** Tell whether a threshold applies to a series. */
export function applies(threshold: Threshold, series: Series): boolean {
  const labels = threshold.labels ?? {};
  return (
    matches(threshold.metric, series.metric) &&
    Object.entries(labels).every(([key, value]) => labelOf(series.labels, key) === value)
  );
}

const KINDS = [
  ["warn_above", "warn", "above"],
  ["critical_above", "critical", "above"],
  ["warn_below", "warn", "below"],
  ["critical_below", "critical", "below"],
] as const;

/** Print a limit as it was given, in the scale of the unit. */
export function limitText(value: number, unit: ShownUnit): string {
  const shown = value / unit.divisor;
  return formatNumber(shown, decimalsOf(shown));
}

/** Return the threshold lines of a chart, each value once. */
export function thresholdLines(
  thresholds: readonly Threshold[],
  series: readonly Series[],
  unit: ShownUnit,
): ThresholdLine[] {
  const lines: ThresholdLine[] = [];
  for (const threshold of thresholds) {
    if (!series.some((one) => applies(threshold, one))) continue;
    for (const [field, level, side] of KINDS) {
      const value = threshold[field];
      if (
        value === null ||
        value === undefined ||
        lines.some((l) => l.value === value && l.side === side && l.level === level)
      )
        continue;
      const text = `${level} ${side} ${limitText(value, unit)} ${unit.text}`.trim();
      lines.push({ level, side, value, text });
    }
  }
  return lines;
}
