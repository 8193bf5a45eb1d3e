/** Draws that the past of a chart is not here yet: a flat fill and words, never the hatching of a silence. */
import { withAlpha } from "../base/colour";
import { font, type Tokens } from "../base/tokens";
import type { Ctx } from "./draw";
import type { Linear } from "./paths";

/** The part of a window that is still to come. */
export interface LoadingPart {
  /** Until when; what comes after it is drawn as ever. */
  untilMs: number;
  /** Next to nothing is here: no scale, and no fill. */
  bare: boolean;
  /** Longest first; the first that fits is drawn. */
  words: readonly string[];
}

const BLOCK = { width: 24, height: 8 };

export function drawLoading(
  ctx: Ctx,
  tokens: Tokens,
  { untilMs, bare, words }: LoadingPart,
  { x, box }: { x: Linear; box: { left: number; top: number; width: number; height: number } },
): void {
  const { left, top, width, height } = box;
  const edge = Math.round(Math.max(left, Math.min(left + width, x.a * untilMs + x.b)));
  if (!bare) {
    ctx.fillStyle = withAlpha(tokens.border, 0.22);
    ctx.fillRect(left, top, edge - left, height);
    ctx.fillStyle = tokens.accent;
    ctx.fillRect(edge, top, 1, height);
  }
  const room = (bare ? width : edge - left) - 12;
  ctx.font = font(500, 12);
  const text = words.find((one) => ctx.measureText(one).width <= room);
  if (!text) return;
  ctx.textAlign = "center";
  ctx.textBaseline = "alphabetic";
  ctx.fillStyle = tokens.secondary;
  ctx.fillText(text, bare ? left + width / 2 : (left + edge) / 2, Math.round(top + height / 2) + 4);
}

/** A block in the place of a tick's text, whose right edge and middle are given. */
export function drawTickBlock(ctx: Ctx, tokens: Tokens, right: number, middle: number): void {
  ctx.fillStyle = withAlpha(tokens.border, 0.6);
  ctx.fillRect(right - BLOCK.width, middle - BLOCK.height / 2, BLOCK.width, BLOCK.height);
}
