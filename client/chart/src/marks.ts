/** What is drawn over the readings of a chart: thresholds as dashed lines with their words inside, events as flags. */
import { withAlpha } from "./colour";
import { canvasName, haloText, type Ctx } from "./draw";
import type { Linear } from "./paths";
import type { Picture } from "./plot";
import { font, type Tokens } from "./tokens";

export interface Limit {
  level: "warn" | "critical";
  side: "above" | "below";
  value: number;
  /** "warn above 935 °C" */
  text: string;
}

export interface Flag {
  timeMs: number;
  text: string;
}

/** Where the plot is and how it maps. */
export interface Frame2d {
  box: { left: number; top: number; width: number; height: number };
  x: Linear;
  y: Linear;
}

/** Px over which the ends of a line are searched for readings that the label would cover. */
const LABEL_HEIGHT = 16;

/** Boxes of the labels placed so far in one drawing, so that two thresholds close together stay readable. */
export type Placed = { left: number; right: number; top: number }[];

export function drawThresholds(ctx: Ctx, tokens: Tokens, limit: Limit, frame: Frame2d, picture: Picture, part: "band" | "line", placed: Placed = []): void {
  const { left, top, width, height } = frame.box;
  const y = Math.round(frame.y.a * limit.value + frame.y.b);
  if (y < top || y > top + height) return;
  const colour = limit.level === "warn" ? tokens.warnMark : tokens.critical;
  if (part === "band") {
    ctx.fillStyle = withAlpha(colour, 0.06);
    if (limit.side === "above") ctx.fillRect(left, top, width, y - top);
    else ctx.fillRect(left, y, width, top + height - y);
    return;
  }
  ctx.save();
  ctx.strokeStyle = withAlpha(colour, 0.9);
  ctx.lineWidth = 1;
  ctx.setLineDash([4, 3]);
  ctx.beginPath();
  ctx.moveTo(left, y + 0.5);
  ctx.lineTo(left + width, y + 0.5);
  ctx.stroke();
  ctx.restore();
  ctx.font = font(500, 11);
  ctx.textBaseline = "alphabetic";
  const wide = ctx.measureText(limit.text).width;
  // Beyond the line when there is room, else on its quiet side; at the end that has fewer readings near.
  let above = limit.side === "above";
  if (above && y - top < LABEL_HEIGHT) above = false;
  if (!above && top + height - y < LABEL_HEIGHT) above = true;
  const boxTop = above ? y - LABEL_HEIGHT : y + 2;
  const weight = (from: number, to: number): number =>
    covered(frame, picture, from, to, boxTop) + (placed.some((box) => box.left < to && box.right > from && Math.abs(box.top - boxTop) < LABEL_HEIGHT) ? 1e6 : 0);
  const atLeft = weight(left, left + wide + 8) <= weight(left + width - wide - 8, left + width);
  placed.push(atLeft ? { left, right: left + wide + 8, top: boxTop } : { left: left + width - wide - 8, right: left + width, top: boxTop });
  ctx.textAlign = atLeft ? "left" : "right";
  haloText(ctx, limit.text, atLeft ? left + 4 : left + width - 4, above ? y - 6 : y + 13, limit.level === "warn" ? tokens.warn : tokens.critical, tokens.surface);
}

/** How many buckets of the chart pass through a label's box. */
function covered(frame: Frame2d, picture: Picture, fromX: number, toX: number, boxTop: number): number {
  let count = 0;
  for (const trace of picture.traces) {
    for (let i = 0; i < trace.n; i++) {
      const x = frame.x.a * trace.time[i] + frame.x.b;
      if (x < fromX || x > toX) continue;
      const y = frame.y.a * trace.line[i] + frame.y.b;
      if (y > boxTop - 3 && y < boxTop + LABEL_HEIGHT + 3) count++;
    }
  }
  return count;
}

const FLAG_HEIGHT = 17;

export function drawEvents(ctx: Ctx, tokens: Tokens, flags: readonly Flag[], frame: Frame2d, picture: Picture): void {
  if (flags.length === 0) return;
  const { left, top, width, height } = frame.box;
  const right = left + width;
  ctx.font = font(500, 11);
  ctx.textBaseline = "alphabetic";
  ctx.textAlign = "left";
  let free = -Infinity;
  for (const flag of flags) {
    if (flag.timeMs < picture.startMs || flag.timeMs > picture.endMs) continue;
    const x = Math.round(frame.x.a * flag.timeMs + frame.x.b);
    ctx.fillStyle = withAlpha(tokens.secondary, 0.55);
    ctx.fillRect(x, top - 20, 1, height + 20);
    const text = canvasName(flag.text);
    const wide = Math.ceil(ctx.measureText(text).width) + 23;
    const mirrored = x + wide > right + 20;
    const from = mirrored ? x - wide + 1 : x;
    // A flag that would cover the one before keeps its line; the words come with the crosshair.
    if (from < free) continue;
    free = from + wide + 2;
    ctx.fillStyle = tokens.flag;
    ctx.beginPath();
    ctx.roundRect(from, top - 20, wide, FLAG_HEIGHT, mirrored ? [4, 0, 0, 4] : [0, 4, 4, 0]);
    ctx.fill();
    ctx.fillStyle = tokens.secondary;
    pennant(ctx, from + 7, top - 16);
    ctx.fillStyle = tokens.text;
    ctx.fillText(text, from + 17, top - 8);
  }
}

function pennant(ctx: Ctx, x: number, y: number): void {
  ctx.fillRect(x - 1, y, 1, 9);
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x + 6, y);
  ctx.lineTo(x + 4.4, y + 2.4);
  ctx.lineTo(x + 6, y + 4.8);
  ctx.lineTo(x, y + 4.8);
  ctx.fill();
}
