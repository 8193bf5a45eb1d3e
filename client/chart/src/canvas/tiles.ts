/** Draws tiles on one canvas: label, state, value, unit, change, state bar, and the foot of the tile's kind. */

import { mix, withAlpha } from "../base/colour";
import { fullName } from "../base/naming";
import { reportOnce } from "../base/report";
import type { Tokens } from "../base/tokens";
import type { Slot } from "../model/bucket-ring";
import { ageOf, isSilent } from "../model/freshness";
import { printValue } from "../model/reading";
import { wordOf } from "../model/states";
import type { Ctx } from "./draw";
import { readSpark } from "./sparkline";
import { type TileKind, type TileMoment, type TileState, tileState } from "./tile";
import { TILE_HEIGHT, type TileBox } from "./tile-layout";
import { sparkTile } from "./tile-spark";
import { fittingWord, label, NARROW_TILE, newWord, stateText, value, valueWidth, when, whenWidth } from "./tile-text";

/** The first that fits a series draws the foot of its tiles. */
const KINDS: readonly TileKind[] = [sparkTile];

const FOOT_LEFT = 4;
const FOOT_RIGHT = 10;
/** Px of a tile that are no sparkline. */
export const FOOT_PADS = FOOT_LEFT + FOOT_RIGHT;
const FOOT_TOP = 66;
const FOOT_HEIGHT = 32;
/** Px of a time of day, with the space before it. */
const WHEN_ROOM = 58;

/** Draw a tile. An error leaves this tile empty but for its frame, and no other. */
export function drawTile(ctx: Ctx, box: TileBox, top: number, slot: Slot | undefined, moment: TileMoment): void {
  try {
    paintTile(ctx, box, top, slot, moment);
  } catch (error) {
    drawEmptyTile(ctx, box.left, top, box.width, moment.tokens);
    reportOnce(fullName(box.series), error);
  }
}

function paintTile(ctx: Ctx, box: TileBox, top: number, slot: Slot | undefined, moment: TileMoment): void {
  const { tokens } = moment;
  const { left, width, series } = box;
  const right = left + width;
  const named = { names: box.names ?? series.names, shorts: series.shorts };
  ctx.beginPath();
  ctx.roundRect(left, top, width, TILE_HEIGHT, 8);
  const isNew = series.bornAt > moment.newSince;
  ctx.fillStyle = isNew ? mix(tokens.surface, tokens.accent, 0.65) : tokens.cardBorder;
  ctx.fill();
  ctx.beginPath();
  ctx.roundRect(left + 1, top + 1, width - 2, TILE_HEIGHT - 2, 7);
  ctx.fillStyle = tokens.surface;
  ctx.fill();
  if (!slot) {
    skeleton(ctx, left, top, width, tokens);
    label(ctx, named, left + 14, top + 22, right - 12, moment.wall, tokens);
    return;
  }
  const state = tileState(slot, series, moment);
  const silent = isSilent(state);
  const age = moment.paused ? null : ageOf(slot, moment.nowMs);
  // In a narrow tile the name needs the room of the age; the time of the last reading stands beside the value.
  const shownAge = state === "stale" && width < NARROW_TILE ? null : age;
  const stateLeft = stateText(ctx, state, shownAge, right - 12, top + 22, moment.wall, tokens);
  label(ctx, named, left + 14, top + 22, stateLeft - 8, moment.wall, tokens);
  const footWidth = width - FOOT_LEFT - FOOT_RIGHT;
  const trace = readSpark(moment.ring, slot, moment.columns, moment.nowMs);
  const print = moment.prints.of(series, moment.ring);
  const word = wordOf(slot);
  const text = word ? fittingWord(ctx, word, width - 26) : printValue(slot.lastValue, print);
  // A unit cut short says less than no change: where both have no room, the unit stays.
  const room = right - 12 - (left + 14) - valueWidth(ctx, text, silent ? "" : print.unit.text, width, moment.wall);
  const end =
    moment.wall || room < (silent || state === "finished" ? WHEN_ROOM : whenWidth(ctx, slot))
      ? right - 12
      : isNew && !silent
        ? newWord(ctx, right - 12, top + 55, tokens)
        : when(ctx, state, slot, moment.nowMs - slot.lastTimeMs, right - 12, top + 55, room, tokens);
  value(ctx, text, print.unit.text, left + 14, top + 55, end, width, silent, moment.wall, tokens);
  ctx.save();
  ctx.beginPath();
  ctx.roundRect(left + 1, top + 1, width - 2, TILE_HEIGHT - 2, 7);
  ctx.clip();
  try {
    const foot = { left: left + FOOT_LEFT, top: top + FOOT_TOP, width: footWidth, height: FOOT_HEIGHT };
    const kind = KINDS.find((one) => one.fits(series));
    kind?.drawFoot({ ctx, box: foot, right, series, slot, state, trace, moment });
    bar(ctx, state, left, top, tokens);
  } finally {
    ctx.restore();
  }
}

function bar(ctx: Ctx, state: TileState, left: number, top: number, tokens: Tokens): void {
  if (state === "live" || state === "unknown" || state === "finished") return;
  ctx.fillStyle = state === "warn" ? tokens.warnMark : state === "critical" ? tokens.critical : tokens.stale;
  if (state !== "nodata") {
    ctx.fillRect(left + 1, top, 3, TILE_HEIGHT);
    return;
  }
  for (let y = 0; y < TILE_HEIGHT; y += 8) ctx.fillRect(left + 1, top + y, 3, 4);
}

function skeleton(ctx: Ctx, left: number, top: number, width: number, tokens: Tokens): void {
  ctx.fillStyle = withAlpha(tokens.border, 0.6);
  ctx.beginPath();
  ctx.roundRect(left + 14, top + 34, Math.min(92, width - 40), 20, 4);
  ctx.fill();
  ctx.fillRect(left + 14, top + 82, width - 28, 1);
}

/** A tile before the directory is known. */
export function drawEmptyTile(ctx: Ctx, left: number, top: number, width: number, tokens: Tokens): void {
  ctx.beginPath();
  ctx.roundRect(left + 0.5, top + 0.5, width - 1, TILE_HEIGHT - 1, 8);
  ctx.fillStyle = tokens.surface;
  ctx.fill();
  ctx.strokeStyle = tokens.cardBorder;
  ctx.lineWidth = 1;
  ctx.stroke();
  ctx.fillStyle = withAlpha(tokens.border, 0.6);
  ctx.beginPath();
  ctx.roundRect(left + 14, top + 13, Math.min(96, width - 40), 8, 4);
  ctx.fill();
  skeleton(ctx, left, top, width, tokens);
}
