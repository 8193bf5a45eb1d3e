/** Draws what is visible of the overview: headings and tiles of the groups, or placeholders before any series is known. */

import { formatNumber } from "../base/format";
import { font, type Tokens } from "../base/tokens";
import { type Ctx, canvasName } from "./draw";
import type { TileMoment } from "./tile";
import { GAP, type GroupHead, LEAST_WIDTH, PAD, TILE_HEIGHT, type TileLayout, visibleTiles } from "./tile-layout";
import { stateIcon } from "./tile-text";
import { drawEmptyTile, drawTile } from "./tiles";

/** Px of the chevron of a heading. */
const CHEVRON = 16;
const PLACEHOLDERS = 35;
const PLACEHOLDERS_TOP = 30;

/** Draw a layout that is scrolled down to `scroll`. */
export function drawTilePage(ctx: Ctx, layout: TileLayout, scroll: number, height: number, moment: TileMoment): void {
  const { tokens } = moment;
  for (const head of layout.heads)
    if (head.top - scroll <= height && head.top + head.height >= scroll) drawHead(ctx, head, head.top - scroll, tokens);
  for (const box of visibleTiles(layout, scroll, height))
    drawTile(ctx, box, box.top - scroll, moment.ring.slots.get(box.series.index), moment);
}

/** Draw a heading: its last level is the group's name, those before it say where that lies. */
function drawHead(ctx: Ctx, head: GroupHead, top: number, tokens: Tokens): void {
  const y = top + head.height - 9;
  let x = PAD;
  const write = (text: string, weight: number, size: number, colour: string): void => {
    ctx.font = font(weight, size);
    ctx.fillStyle = colour;
    ctx.fillText(text, x, y);
    x += ctx.measureText(text).width;
  };
  ctx.textAlign = "left";
  if (head.fold) {
    chevron(ctx, x + 1, y - 4, head.open, tokens.muted);
    x += CHEVRON;
  }
  if (!head.group) return write(head.name, 400, 12, tokens.secondary);
  const { critical = 0, warn = 0, silent = 0, series, more = 0 } = head.group;
  const name = canvasName(head.name);
  const last = name.lastIndexOf("/") + 1;
  if (last) write(name.slice(0, last), 400, 13, tokens.secondary);
  write(name.slice(last), 600, 13, tokens.text);
  x += 8;
  write(`${formatNumber(series.length + more, 0)} series`, 400, 12, tokens.muted);
  for (const [state, count, colour] of [
    ["critical", critical, tokens.critical],
    ["warn", warn, tokens.warn],
    ["stale", silent, tokens.secondary],
  ] as const) {
    if (count === 0) continue;
    stateIcon(ctx, state, x + 12, y - 10, colour);
    x += 28;
    write(formatNumber(count, 0), 500, 12, colour);
  }
}

function chevron(ctx: Ctx, x: number, y: number, open: boolean, colour: string): void {
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  for (const [dx, dy] of open
    ? [
        [0, -1.5],
        [3.5, 2],
        [7, -1.5],
      ]
    : [
        [2, -3.5],
        [5.5, 0],
        [2, 3.5],
      ])
    ctx.lineTo(x + dx, y + dy);
  ctx.stroke();
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
