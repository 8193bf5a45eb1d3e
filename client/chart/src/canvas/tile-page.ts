/** Draws what is visible of the overview: headings and tiles of the groups, or placeholders before any series is known. */

import { formatNumber } from "../base/format";
import { font, type Tokens } from "../base/tokens";
import { type Ctx, canvasName } from "./draw";
import type { TileMoment } from "./tile";
import { GAP, LEAST_WIDTH, PAD, TILE_HEIGHT, type TileLayout, visibleTiles } from "./tile-layout";
import { drawEmptyTile, drawTile } from "./tiles";

const PLACEHOLDERS = 35;
const PLACEHOLDERS_TOP = 30;

/** Draw a layout that is scrolled down to `scroll`. */
export function drawTilePage(ctx: Ctx, layout: TileLayout, scroll: number, height: number, moment: TileMoment): void {
  const { tokens } = moment;
  for (const head of layout.heads) {
    if (head.top - scroll > height || head.top + head.height < scroll) continue;
    const y = head.top - scroll + head.height - 9;
    ctx.textAlign = "left";
    ctx.font = font(600, 13);
    ctx.fillStyle = tokens.text;
    const name = canvasName(head.name);
    ctx.fillText(name, PAD, y);
    const after = PAD + ctx.measureText(name).width + 8;
    ctx.font = font(400, 12);
    ctx.fillStyle = tokens.muted;
    ctx.fillText(`${formatNumber(head.count, 0)} series`, after, y);
  }
  for (const box of visibleTiles(layout, scroll, height))
    drawTile(ctx, box, box.top - scroll, moment.ring.slots.get(box.series.index), moment);
}

export function drawPlaceholders(ctx: Ctx, width: number, tokens: Tokens): void {
  const columns = Math.max(1, Math.floor((width - 2 * PAD + GAP) / (LEAST_WIDTH + GAP)));
  const wide = (width - 2 * PAD - (columns - 1) * GAP) / columns;
  for (let i = 0; i < PLACEHOLDERS; i++)
    drawEmptyTile(
      ctx,
      Math.round(PAD + (i % columns) * (wide + GAP)),
      PLACEHOLDERS_TOP + Math.floor(i / columns) * (TILE_HEIGHT + GAP),
      Math.round(wide),
      tokens,
    );
}
