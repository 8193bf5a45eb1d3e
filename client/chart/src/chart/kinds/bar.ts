/** The latest value of each series as a bar; all of one unit. */

import { withAlpha } from "../../base/colour";
import { elided } from "../../base/elision";
import { font, lineColour } from "../../base/tokens";
import { canvasName } from "../../canvas/draw";
import { linear } from "../../canvas/paths";
import { ageOf, isSilent } from "../../model/freshness";
import { printValue } from "../../model/reading";
import { thresholdLines } from "../../model/thresholds";
import { figuresOf } from "../figures";
import { canvasKind, type Face, middleWords, type Said } from "./canvas-kind";
import {
  countText,
  EARLIER_ALPHA,
  earlierOf,
  earlierWords,
  lengthText,
  newestOf,
  oneUnit,
  shownOf,
  stateOf,
} from "./readings";
import { rowNames, sorted } from "./rows";
import { outward, typedRange } from "./span";

const PITCH = 25;
const BAR = 16;
const RADIUS = 3;
const PAD = 14;
const GAP = 10;
const TOP = 4;
const FOOT = 20;
/** Share of the width that names may take. */
const NAMES = 0.4;
/** A threshold beyond the values by up to this share of their range is shown. */
const NEAR = 0.5;
/** Rows change their places at most this often, so that they can be read. */
const SORT_MS = 1_000;
const STALE_ALPHA = 0.4;

/** Return the range of bars: as it was typed, else from zero to what the values and the limits near them reach. */
export function barRange(
  axis: { lo?: number; hi?: number },
  values: readonly number[],
  limits: readonly number[],
): [number, number] {
  const known = values.filter((value) => Number.isFinite(value));
  const [lo, hi] = [Math.min(0, ...known), Math.max(0, ...known)];
  const near = limits.filter((limit) => limit > lo - (hi - lo) * NEAR && limit < hi + (hi - lo) * NEAR);
  const [from, to] = [Math.min(lo, ...near), Math.max(hi, ...near)];
  return typedRange(axis, from === to ? [0, 1] : outward(from * 1.05, to * 1.05));
}

/** Return how many rows are drawn of `count` where `fit` have room: the last place is for how many more there are. */
export const rowsShown = (count: number, fit: number): number => (count <= fit ? count : Math.max(0, fit - 1));

export const bar = canvasKind(
  { name: "bar", text: "Bar", ranged: true, misfit: (chart) => oneUnit(chart, "A bar chart") },
  () => {
    let order: number[] = [];
    let key = "";
    let at = -Infinity;
    return (face) => {
      const { chart, moment } = face;
      const shown = shownOf(chart);
      const now = performance.now();
      const { order: by = "last" } = chart.axis;
      const own = `${by} ${shown.map((i) => chart.series[i].index).join()} ${moment.startMs * Number(moment.zoomed)}`;
      if (own !== key || now - at > SORT_MS) {
        [key, at] = [own, now];
        const { names } = rowNames(chart.series);
        const rows = shown.map((i) => {
          const { mean, max } = figuresOf(chart.traces[i], moment.startMs, moment.endMs);
          const slot = chart.slots[i];
          const age = slot ? ageOf(slot, moment.nowMs).ms : NaN;
          return { name: names[i], last: newestOf(chart, moment, i), mean, max, age };
        });
        order = sorted(rows, by).map((row) => shown[row]);
      }
      return paint(face, order, by);
    };
  },
);

/** Before the name of what is silent, whose colour alone would say it. */
const SILENT_MARK = "○ ";
const SORTED = new Map([
  ["last", "sorted by value"],
  ["-last", "sorted by value, the least first"],
]);

function paint(face: Face, order: readonly number[], by: string): Said {
  const { ctx, width, height, tokens, chart, moment, picture } = face;
  const { per, names } = rowNames(chart.series);
  const values = order.map((i) => newestOf(chart, moment, i));
  const then = order.map((i) => earlierOf(chart, moment, i));
  const unit = chart.units[0];
  const lines = thresholdLines(
    moment.thresholds,
    order.map((i) => chart.series[i]),
    unit,
  );
  const [lo, hi] = barRange(
    chart.axis,
    [...values, ...then],
    lines.map(({ value }) => value),
  );
  const inside = lines.filter(({ value }) => value > lo && value < hi);
  const foot = inside.length > 0 ? FOOT : 6;
  const count = rowsShown(order.length, Math.floor((height - TOP - foot) / PITCH));
  const compared = earlierWords(chart, moment, null);
  const note = `${compared ? `${compared} · ` : ""}latest ${per ? `per ${per}` : moment.zoomed ? `of ${lengthText(moment)}` : "values"} · ${countText(chart)} · ${SORTED.get(by) ?? `sorted by ${by.replace("-", "")}${by.startsWith("-") ? ", reversed" : ""}`}`;
  const known = values.some((value) => !Number.isNaN(value));
  if (!known) {
    const why = picture.loading?.words ?? picture.emptyText;
    const words = why.length > 0 ? why : [chart.allHidden ? "all series are hidden" : "no number"];
    middleWords(face, words, width / 2, height / 2, width - 2 * PAD);
    return { note, words: "" };
  }
  ctx.font = font(600, 12);
  const texts = order.map((i, k) => printValue(values[k], chart.prints[i]));
  const valueWide = Math.max(...texts.map((text) => ctx.measureText(text).width));
  ctx.font = font(400, 12);
  const measure = (text: string): number => ctx.measureText(canvasName(text)).width;
  const silent = order.map((i) => isSilent(stateOf(chart, moment, i)));
  const labels = order
    .slice(0, count)
    .map((i, k) => `${silent[k] ? SILENT_MARK : ""}${elided(names[i], width * NAMES, measure)}`);
  const left = PAD + Math.max(0, ...labels.map(measure)) + GAP;
  const right = width - PAD - valueWide - GAP;
  const x = linear(lo, hi, left, right);
  const at = (value: number): number => Math.min(right, Math.max(left, x.a * value + x.b));
  const zero = at(0);
  const colour = lineColour(tokens, chart.series[0].style);
  labels.forEach((label, k) => {
    const top = TOP + k * PITCH;
    const line = top + BAR / 2 + 4;
    ctx.font = font(400, 12);
    ctx.textAlign = "right";
    ctx.fillStyle = silent[k] ? tokens.muted : tokens.secondary;
    ctx.fillText(canvasName(label), left - GAP, line);
    const fill = (from: number, to: number, style: string): void => {
      ctx.beginPath();
      ctx.roundRect(from, top, Math.max(0, to - from), BAR, Math.min(RADIUS, (to - from) / 2));
      ctx.fillStyle = style;
      ctx.fill();
    };
    fill(left, right, withAlpha(tokens.border, 0.45));
    const end = at(values[k]);
    if (!Number.isNaN(end) && end !== zero)
      fill(Math.min(zero, end), Math.max(zero, end), silent[k] ? withAlpha(tokens.stale, STALE_ALPHA) : colour);
    if (!Number.isNaN(then[k])) {
      // A mark as long as a bar is high: where it ended then.
      ctx.fillStyle = withAlpha(tokens.text, EARLIER_ALPHA);
      ctx.fillRect(Math.round(at(then[k])) - 1, top - 2, 2, BAR + 4);
    }
    ctx.font = font(600, 12);
    ctx.fillStyle = silent[k] ? tokens.muted : tokens.text;
    ctx.fillText(texts[k], width - PAD, line);
  });
  const more = order.length - count;
  const bottom = TOP + count * PITCH - (PITCH - BAR);
  ctx.textAlign = "left";
  if (more > 0) {
    ctx.font = font(500, 11);
    ctx.fillStyle = tokens.muted;
    ctx.fillText(`+${more} more`, left, bottom + PITCH - 4);
  }
  limits(face, inside, at, left, right, more > 0 ? bottom + PITCH : bottom + 6);
  const stale = order.filter((_, k) => silent[k]).map((i) => names[i]);
  const words = [stale.length > 0 ? `silent: ${stale.join(", ")}` : "", more > 0 ? `${more} more have no room` : ""];
  return { note, words: words.map((one) => one && `. ${one}`).join("") };
}

/** Draw limits as dashed lines down to a foot, with their words where those have room. */
function limits(
  { ctx, width, tokens }: Face,
  lines: readonly { value: number; level: "warn" | "critical"; text: string }[],
  at: (value: number) => number,
  left: number,
  right: number,
  foot: number,
): void {
  let taken = -Infinity;
  for (const { value, level, text } of [...lines].sort((a, b) => a.value - b.value)) {
    const px = Math.round(at(value)) + 0.5;
    ctx.strokeStyle = level === "warn" ? tokens.warnMark : tokens.critical;
    ctx.lineWidth = 1;
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(px, 0);
    ctx.lineTo(px, foot);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = font(500, 11);
    const wide = ctx.measureText(text).width;
    const start = Math.min(width - PAD - wide, Math.max(Math.min(left, right - wide), px - wide / 2));
    if (start < Math.max(taken, 4)) continue;
    taken = start + wide + 8;
    ctx.textAlign = "left";
    ctx.fillStyle = level === "warn" ? tokens.warn : tokens.critical;
    ctx.fillText(text, start, foot + 13);
  }
}
