/** Draws states: a row of bands for each series, each band with its word if that has room. */
import { withAlpha } from "../base/colour";
import { elided } from "../base/elision";
import { font, type Tokens } from "../base/tokens";
import type { State } from "../wire/frame";
import { type Ctx, canvasName } from "./draw";
import type { Linear } from "./paths";

/** One series of a timeline. */
export interface StateRow {
  label: string;
  bands: readonly State[];
  /** Of each word the index of its colour, -1 for grey. */
  colours: ReadonlyMap<string, number>;
  stale: boolean;
}

const ROW = { height: 34, least: 6, gap: 9, first: 12 };
const WORD_PAD = 8;
/** Px that must be free beside a word. */
const WORD_SPARE = 14;
/** Px of a row from which words fit. */
const WORD_HEIGHT = 14;
/** Px between a label and its row, and the edge of the card. */
const LABEL_PAD = 5;
const LABEL_EDGE = 2;
const STALE_ALPHA = 0.62;

/** Return top and height of each row in a plot. */
export function rowsIn(count: number, top: number, height: number): { top: number; height: number }[] {
  const room = (height - 2 * ROW.first + ROW.gap) / count;
  const gap = Math.min(ROW.gap, room / 4);
  const high = Math.max(ROW.least, Math.min(ROW.height, Math.floor(room - gap)));
  return Array.from({ length: count }, (_, i) => ({
    top: Math.round(top + ROW.first + i * (high + gap)),
    height: high,
  }));
}

/** The fill of a band: the colour of its word, grey at rest. */
export function bandFill(tokens: Tokens, colour: number): string {
  return colour < 0 ? withAlpha(tokens.stale, 0.22) : withAlpha(tokens.series[colour], tokens.bandAlpha);
}

/** Fill the bands of one row between two edges, 1 px apart; each is at least a pixel wide. */
export function fillBands(
  ctx: Ctx,
  tokens: Tokens,
  { bands, colours }: Pick<StateRow, "bands" | "colours">,
  x: Linear,
  box: { left: number; right: number; top: number; height: number },
  each: (text: string, left: number, right: number) => void = () => undefined,
): void {
  const at = (ms: number): number => Math.min(box.right, Math.max(box.left, Math.round(x.a * ms + x.b)));
  for (const [fromMs, toMs, text] of bands) {
    const left = at(fromMs);
    const right = Math.max(left + 1, at(toMs) - 1);
    ctx.fillStyle = bandFill(tokens, colours.get(text) ?? -1);
    ctx.beginPath();
    ctx.roundRect(left, box.top, right - left, box.height, Math.min(3, (right - left) / 4));
    ctx.fill();
    each(text, left, right);
  }
}

export function drawStates(
  ctx: Ctx,
  tokens: Tokens,
  rows: readonly StateRow[],
  x: Linear,
  box: { left: number; top: number; width: number; height: number },
): void {
  const places = rowsIn(rows.length, box.top, box.height);
  ctx.save();
  ctx.textBaseline = "alphabetic";
  const wide = (text: string): number => ctx.measureText(text).width;
  rows.forEach((row, i) => {
    const { top, height } = places[i];
    const line = Math.round(top + height / 2) + 4;
    ctx.globalAlpha = 1;
    ctx.font = font(400, 11);
    ctx.textAlign = "right";
    ctx.fillStyle = tokens.secondary;
    ctx.fillText(canvasName(elided(row.label, box.left - LABEL_PAD - LABEL_EDGE, wide)), box.left - LABEL_PAD, line);
    ctx.globalAlpha = row.stale ? STALE_ALPHA : 1;
    ctx.font = font(600, 11);
    ctx.textAlign = "left";
    ctx.letterSpacing = "0.33px";
    fillBands(
      ctx,
      tokens,
      row,
      x,
      { left: box.left, right: box.left + box.width, top, height },
      (text, left, right) => {
        const word = canvasName(text);
        if (height < WORD_HEIGHT || wide(word) + WORD_SPARE > right - left) return;
        ctx.fillStyle = tokens.text;
        ctx.fillText(word, left + Math.min(WORD_PAD, (right - left - wide(word)) / 2), line);
      },
    );
    ctx.letterSpacing = "0px";
  });
  ctx.restore();
}
