/** The newest value on a dial, with its thresholds outside of it. */

import { withAlpha } from "../../base/colour";
import { font } from "../../base/tokens";
import { canvasName } from "../../canvas/draw";
import { niceStep } from "../../canvas/scale";
import type { AxisOptions } from "../../model/axis-options";
import { printValue } from "../../model/reading";
import { limitText, type ThresholdLine, thresholdLines } from "../../model/thresholds";
import { canvasKind, type Face, fitText, middleWords, type Said } from "./canvas-kind";
import {
  EARLIER_ALPHA,
  earlierOf,
  earlierWords,
  nameOf,
  newestOf,
  oneSeries,
  oneUnit,
  shownOf,
  windowText,
} from "./readings";
import { outward, typedRange } from "./span";

/** Angles of the dial's ends, from the x axis, clockwise. */
const FROM = 0.83 * Math.PI;
const TO = 2.17 * Math.PI;
const RADIUS = 84;
const STROKE = 12;
const MARK = { at: 11, width: 3 };
const TOP = 17;
const FOOT = 26;
/** A lower dial has no room for its thresholds in words, which its arcs show. */
const LOW = 150;
const ENDS = 18;
/** Room beyond the outermost thresholds, as a share of the range up to there. */
const BEYOND = 0.1;
const STALE_ALPHA = 0.45;

type Level = Pick<ThresholdLine, "side" | "value">;

/**
 * Return the range of a dial: as it was typed; or else from zero, or below the lowest threshold, up to beyond the highest
 * one; or else what the values reach, from zero; 0 to 100 of a percentage.
 */
export function gaugeRange(
  axis: AxisOptions,
  levels: readonly Level[],
  { lo, hi }: { lo: number; hi: number },
  unit: string,
): [number, number] {
  const [least, most] = Number.isNaN(lo) ? [0, 1] : [lo, hi];
  return typedRange(axis, levels.length ? byLevels(levels, least, most) : byValues(least, most, unit));
}

function byLevels(levels: readonly Level[], least: number, most: number): [number, number] {
  const [above, below] = (["above", "below"] as const).map((side) =>
    levels.filter((one) => one.side === side).map(({ value }) => value),
  );
  const from = below.length ? Math.min(...below) : Math.min(0, ...above, least);
  const to = above.length ? Math.max(...above) : Math.max(...below, most);
  const beyond = (to - from || Math.abs(to) || 1) * BEYOND;
  const start = below.length ? from - beyond : from;
  return outward(from >= 0 ? Math.max(0, start) : start, to + beyond);
}

function byValues(least: number, most: number, unit: string): [number, number] {
  if (unit === "%" && least >= 0 && most <= 100) return [0, 100];
  const [from, to] = [Math.min(0, least), Math.max(0, most)];
  if (from === to) return [0, 1];
  const step = niceStep(from, to);
  // Not −0.
  return [Math.floor(from / step + 1e-9) * step + 0, Math.ceil(to / step - 1e-9) * step + 0];
}

export const gauge = canvasKind(
  {
    name: "gauge",
    text: "Gauge",
    ranged: true,
    misfit: (chart) => oneUnit(chart, "A gauge") || oneSeries(chart, "A gauge"),
  },
  () => paint,
);

function paint(face: Face): Said {
  const { ctx, width, height, tokens, chart, moment, picture, fresh } = face;
  const i = shownOf(chart)[0] ?? 0;
  const { unit } = chart.prints[i];
  const lines = thresholdLines(moment.thresholds, [chart.series[i]], unit);
  const trace = chart.traces[i];
  const value = newestOf(chart, moment, i);
  const extent = trace.n > 0 ? trace : { lo: value, hi: value };
  const [lo, hi] = gaugeRange(chart.axis, lines, extent, chart.codes[0]);
  const low = height < LOW;
  const top = low ? MARK.at - 2 : TOP;
  const room = height - top - STROKE / 2 - ENDS - (low ? 6 : FOOT);
  const r = Math.max(24, Math.min(RADIUS, width / 2 - MARK.at - 18, room / (1 + Math.sin(TO))));
  const [cx, cy] = [width / 2, top + STROKE / 2 + r];
  const angle = (at: number): number => FROM + (TO - FROM) * Math.min(1, Math.max(0, (at - lo) / (hi - lo)));
  const arc = (radius: number, from: number, to: number, colour: string, wide: number): void => {
    ctx.beginPath();
    ctx.arc(cx, cy, radius, from, to);
    ctx.strokeStyle = colour;
    ctx.lineWidth = wide;
    ctx.stroke();
  };
  arc(r, FROM, TO, withAlpha(tokens.border, 0.9), STROKE);
  const known = !Number.isNaN(value);
  const then = earlierOf(chart, moment, i);
  if (known) {
    const colour = fresh.silent ? withAlpha(tokens.stale, STALE_ALPHA) : picture.colours[i];
    const zero = angle(Math.min(hi, Math.max(lo, 0)));
    const end = angle(value);
    if (end !== zero) arc(r, Math.min(zero, end), Math.max(zero, end), colour, STROKE);
  }
  for (const [from, to, level] of zonesOf(lines, lo, hi))
    arc(r + MARK.at, angle(from), angle(to), level === "warn" ? tokens.warnMark : tokens.critical, MARK.width);
  const pointer = (at: number, colour: string): void => {
    ctx.strokeStyle = colour;
    ctx.lineWidth = 2;
    ctx.beginPath();
    for (const [run, out] of [
      ["moveTo", -STROKE / 2 - 2],
      ["lineTo", STROKE / 2 + 2],
    ] as const)
      ctx[run](cx + (r + out) * Math.cos(angle(at)), cy + (r + out) * Math.sin(angle(at)));
    ctx.stroke();
  };
  if (!Number.isNaN(then)) pointer(then, withAlpha(tokens.text, EARLIER_ALPHA));
  if (known) pointer(value, fresh.silent ? tokens.muted : tokens.text);
  const scale = r / RADIUS;
  ctx.textAlign = "center";
  const words = picture.loading?.bare && !known ? picture.loading.words : known ? [] : picture.emptyText;
  if (words.length > 0) middleWords(face, words, cx, cy + 4, 2 * r - STROKE - 12);
  else {
    ctx.fillStyle = fresh.silent ? tokens.muted : tokens.text;
    fitText(ctx, printValue(value, chart.prints[i]), cx, cy + 8 * scale, 2 * r - STROKE - 20, 600, 36 * scale, 12);
    ctx.fillStyle = tokens.muted;
    fitText(ctx, canvasName(unit.text), cx, cy + 8 * scale + 22, r, 400, 12, 10);
  }
  const foot = cy + r * Math.sin(TO) + STROKE / 2;
  const [least, most] = [lo, hi].map((end) => limitText(end, unit));
  ctx.font = font(400, 11);
  ctx.fillStyle = tokens.muted;
  for (const [text, at] of [
    [least, FROM],
    [most, TO],
  ] as const)
    ctx.fillText(text, cx + r * Math.cos(at), foot + 13);
  const limits = lines.map(({ level, side, value: at }) => `${level} ${side} ${limitText(at, unit)}`).join(" · ");
  ctx.fillStyle = tokens.secondary;
  if (!low) fitText(ctx, limits, cx, Math.min(height - 10, foot + ENDS + FOOT), width - 24, 500, 11, 10);
  const outside = known && (value < lo || value > hi) ? `outside ${least} – ${most}` : "";
  return {
    name: nameOf(chart, i),
    fresh: fresh.silent ? windowText(moment) : fresh.words,
    note: [outside, earlierWords(chart, moment, i)].filter(Boolean).join(" · "),
    words: `. On a dial from ${least} to ${most}${limits && `; ${limits}`}`,
  };
}

/** Return where each threshold holds: from its value to the next one of its side that is further out, or to the end. */
export function zonesOf(
  lines: readonly ThresholdLine[],
  lo: number,
  hi: number,
): [from: number, to: number, level: ThresholdLine["level"]][] {
  return lines.flatMap((line) => {
    const up = line.side === "above";
    const further = lines
      .filter((other) => other.side === line.side && (up ? other.value > line.value : other.value < line.value))
      .map(({ value }) => value);
    const end = up ? Math.min(hi, ...further) : Math.max(lo, ...further);
    const [from, to] = up ? [Math.max(lo, line.value), end] : [end, Math.min(hi, line.value)];
    return from < to ? [[from, to, line.level]] : [];
  });
}
