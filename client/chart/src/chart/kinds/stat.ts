/** The newest value in large figures, over a sparkline of the window. */

import { withAlpha } from "../../base/colour";
import { changeWords, formatChange } from "../../base/format";
import { font } from "../../base/tokens";
import { canvasName, dot, endMark, hatch } from "../../canvas/draw";
import { fillArea, fillEnvelope, isDense, strokeLine } from "../../canvas/ink";
import { linear } from "../../canvas/paths";
import { fillBands } from "../../canvas/state-bands";
import { printValue } from "../../model/reading";
import { wordColours } from "../../model/states";
import { canvasKind, type Face, fitText, middleWords, type Said } from "./canvas-kind";
import { EARLIER_ALPHA, earlierWords, nameOf, newestOf, oneSeries, shownOf, windowText, wordWithin } from "./readings";

const PAD = 14;
/** Of a line of 48 px for figures of 44; in a low card figures, and what is around them, are smaller. */
const VALUE = { top: 18, px: 44, least: 18, share: 0.36 };
const UNIT_BELOW = 22;
const SPARK_PX = 84;
/** Smallest y span of the sparkline, as a share of the value, so that a flat series stays flat. */
const LEAST_SPAN = 0.004;
const STALE_ALPHA = 0.62;

export const stat = canvasKind(
  { name: "stat", text: "Stat", ranged: false, misfit: (chart) => oneSeries(chart, "A stat") },
  () => paint,
);

function paint(face: Face): Said {
  const { ctx, width, height, tokens, chart, moment, picture, fresh } = face;
  const i = shownOf(chart)[0] ?? 0;
  const slot = chart.slots[i];
  const word = wordWithin(chart, moment, i);
  const value = newestOf(chart, moment, i);
  const print = chart.prints[i];
  const room = width - 2 * PAD;
  ctx.textAlign = "left";
  ctx.fillStyle = fresh.silent ? tokens.muted : tokens.text;
  const text = word ? canvasName(word) : printValue(value, print);
  const px = Math.max(VALUE.least, Math.min(VALUE.px, height * VALUE.share));
  const scale = px / VALUE.px;
  const line = Math.round(Math.min(VALUE.top, height * 0.084) + 41 * scale);
  fitText(ctx, text, PAD, line, room, 600, px, VALUE.least);
  const below = Math.round(line + Math.max(16, UNIT_BELOW * scale));
  ctx.fillStyle = tokens.muted;
  const unit = word ? "" : print.unit.text;
  const change = !moment.zoomed && !fresh.silent && !picture.loading && slot ? slot.change : NaN;
  ctx.font = font(500, 11);
  const changed = Number.isNaN(change) ? "" : formatChange(change);
  const flat = changed.startsWith("±");
  const marked = changed && !flat ? `${change > 0 ? "▲" : "▼"} ${changed}` : changed;
  const wide = marked ? ctx.measureText(marked).width : 0;
  fitText(ctx, canvasName(unit), PAD, below, room - wide - 8, 400, 12, 10);
  if (marked) {
    ctx.font = font(500, 11);
    ctx.fillStyle = tokens.secondary;
    ctx.textAlign = "right";
    ctx.fillText(marked, width - PAD, below);
  }
  spark(face, i, below + Math.round(14 * scale));
  const alarm = fresh.silent || moment.zoomed ? null : (moment.alarms.get(chart.series[i].index) ?? null);
  const compared = Number.isNaN(change) ? "" : `. ${changeWords(change, moment.endMs - moment.startMs)}`;
  return {
    name: nameOf(chart, i),
    fresh: fresh.silent ? fresh.age : fresh.short,
    note: [earlierWords(chart, moment, i), fresh.silent ? "" : windowText(moment)].filter(Boolean).join(" · "),
    pill: fresh.silent
      ? { icon: "clock", text: fresh.word }
      : alarm && { icon: alarm, text: alarm === "warn" ? "WARN" : "CRITICAL" },
    words: compared,
  };
}

/** Draw the window of a series below a height, as far as there is room. */
function spark(face: Face, i: number, top: number): void {
  const { ctx, width, height, tokens, chart, moment, picture, fresh } = face;
  const foot = Math.min(PAD, height * 0.07);
  const high = Math.min(SPARK_PX, height - top - foot);
  if (high < 12) return;
  const box = { left: PAD, top: height - foot - high, width: width - 2 * PAD, height: high };
  const { startMs, endMs } = chart.shown;
  const right = box.left + box.width;
  const x = linear(startMs, endMs, box.left, right);
  const trace = chart.traces[i];
  const words = picture.loading?.bare ? picture.loading.words : picture.emptyText;
  if (words.length > 0) return middleWords(face, words, box.left + box.width / 2, box.top + high / 2 + 4, box.width);
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top - 1, box.width, box.height + 2);
  ctx.clip();
  for (const gap of picture.gaps) {
    const from = Math.max(box.left, x.a * gap.fromMs + x.b);
    hatch(ctx, tokens, from, box.top, x.a * gap.toMs + x.b - from, high, box.left);
  }
  if (!Number.isNaN(picture.tailMs)) {
    const from = Math.max(box.left, x.a * picture.tailMs + x.b);
    hatch(ctx, tokens, from, box.top, right - from, high, box.left);
  }
  ctx.globalAlpha = picture.alpha * (fresh.silent ? STALE_ALPHA : 1);
  const bands = chart.bands?.[i];
  if (bands) {
    const colours = wordColours(bands.map(([, , text]) => text));
    fillBands(ctx, tokens, { bands, colours }, x, { left: box.left, right, top: box.top + high - 16, height: 16 });
  } else if (trace.n > 0) {
    const earlier = chart.earlier?.traces[i];
    const [lo, hi] = earlier?.n
      ? [Math.min(trace.lo, earlier.lo), Math.max(trace.hi, earlier.hi)]
      : [trace.lo, trace.hi];
    const least = Math.max(Math.abs(lo), Math.abs(hi)) * LEAST_SPAN || 1e-9;
    const spare = Math.max(0, least - (hi - lo)) / 2;
    const y = linear(lo - spare, hi + spare, box.top + high - 4, box.top + 4);
    const pixel = 1 / ctx.getTransform().a;
    const colour = picture.colours[i];
    const ink = { colour, width: 1.5, dash: [], columnPx: Math.max(pixel, x.a * trace.stepMs), pixel };
    const style = { ...ink, text: tokens.text, surface: tokens.surface };
    if (earlier?.n) {
      const opacity = ctx.globalAlpha;
      ctx.globalAlpha = opacity * EARLIER_ALPHA;
      strokeLine(ctx, earlier, x, y, { ...style, width: 1.25 });
      ctx.globalAlpha = opacity;
    }
    if (isDense(trace, y)) fillEnvelope(ctx, trace, x, y, style);
    else {
      fillArea(ctx, trace, x, y, box.top, box.top + high, colour);
      strokeLine(ctx, trace, x, y, style);
    }
    ctx.restore();
    ctx.save();
    const at = [Math.min(right, x.a * trace.endMs + x.b), y.a * trace.last[trace.n - 1] + y.b] as const;
    if (moment.zoomed) return ctx.restore();
    if (picture.ended[i]) endMark(ctx, ...at, colour);
    else dot(ctx, ...at, 2, fresh.silent ? tokens.stale : withAlpha(colour, 1));
  }
  ctx.restore();
}
