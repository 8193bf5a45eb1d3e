/** Writes the texts of a tile: label, state, value with its unit, change or time of the last reading. */
import { BETWEEN, elided, fitted } from "../base/elision";
import { formatChange, span } from "../base/format";
import { font, type Tokens } from "../base/tokens";
import type { Slot } from "../model/bucket-ring";
import type { Series } from "../model/directory";
import { type Age, shortAgeWords, tileWhen } from "../model/freshness";
import { type Ctx, canvasName } from "./draw";
import { type TileState, WALL_TILE } from "./tile";

/** Below this width the value is 24 px, so that unit and change still fit beside it. */
export const NARROW_TILE = 182;
/** Px below which a unit would be no more than an ellipsis, and up to which one is never cut. */
const UNIT_ROOM = 14;
const SHORT_UNIT = 32;
/** What a change is of. */
const OF_MEAN = "mean";
/** 44 px on the wall. */
const WALL_VALUE = 44 / WALL_TILE;
/** A value that would leave its tile is written smaller, but never smaller than this. */
const LEAST_VALUE = 14;
/** 14.5 px and 13 px there. */
const WALL_LABEL = 10.5;
const WALL_STATE = 9.4;

export function label(
  ctx: Ctx,
  named: Pick<Series, "names" | "shorts">,
  x: number,
  y: number,
  right: number,
  wall: boolean,
  tokens: Tokens,
): void {
  ctx.font = font(400, wall ? WALL_LABEL : 12);
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  const wide = (text: string): number => ctx.measureText(canvasName(text)).width;
  const [name, short] = fitted(named.names, named.shorts, right - x, wide);
  ctx.fillStyle = tokens.secondary;
  ctx.fillText(canvasName(name), x, y);
  if (!short) return;
  ctx.fillStyle = tokens.muted;
  ctx.fillText(canvasName(short), x + wide(name) + BETWEEN, y);
}

/** The state at the right of the label, and the age unless the page is paused; the x where it begins. */
export function stateText(
  ctx: Ctx,
  state: TileState,
  age: Age | null,
  right: number,
  y: number,
  wall: boolean,
  tokens: Tokens,
): number {
  const size = wall ? WALL_STATE : 11;
  ctx.textAlign = "right";
  if (state === "live" || state === "unknown") {
    ctx.font = font(500, size);
    ctx.fillStyle = tokens.muted;
    const text = age && Number.isFinite(age.ms) ? shortAgeWords(age) : "";
    ctx.fillText(text, right, y);
    return right - ctx.measureText(text).width;
  }
  const colour = {
    warn: tokens.warn,
    critical: tokens.critical,
    stale: tokens.stale,
    nodata: tokens.stale,
    finished: tokens.secondary,
  }[state];
  const text = {
    warn: "WARN",
    critical: "CRITICAL",
    stale: age && age.ms >= 0 ? `STALE ${span(age.ms)}` : "STALE",
    nodata: "NO DATA",
    finished: "FINISHED",
  }[state];
  ctx.font = font(600, size);
  ctx.fillStyle = colour;
  ctx.fillText(text, right, y);
  const width = ctx.measureText(text).width;
  stateIcon(ctx, state, right - width - 16, y - 10, colour);
  return right - width - 16;
}

/** Icons of 12 px, so that colour is never the only sign. */
export function stateIcon(
  ctx: Ctx,
  state: Exclude<TileState, "live" | "unknown">,
  x: number,
  y: number,
  colour: string,
): void {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(12 / 16, 12 / 16);
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.7;
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  ctx.beginPath();
  if (state === "warn") {
    ctx.moveTo(8, 2.4);
    ctx.lineTo(14.4, 13.4);
    ctx.lineTo(1.6, 13.4);
    ctx.closePath();
  } else if (state === "critical") {
    ctx.moveTo(5.4, 2);
    for (const [px, py] of [
      [10.6, 2],
      [14, 5.4],
      [14, 10.6],
      [10.6, 14],
      [5.4, 14],
      [2, 10.6],
      [2, 5.4],
    ])
      ctx.lineTo(px, py);
    ctx.closePath();
  } else {
    ctx.arc(8, 8, 5.8, 0, 7);
  }
  if (state === "nodata") {
    ctx.moveTo(4, 12);
    ctx.lineTo(12, 4);
  } else if (state === "finished") {
    ctx.moveTo(5.2, 8.2);
    ctx.lineTo(7.2, 10.2);
    ctx.lineTo(10.8, 6);
  } else if (state === "stale") {
    ctx.moveTo(8, 4.8);
    ctx.lineTo(8, 8);
    ctx.lineTo(10, 9.4);
  } else {
    ctx.moveTo(8, 6);
    ctx.lineTo(8, 9);
    ctx.moveTo(8, 11.3);
    ctx.lineTo(8, 11.4);
  }
  ctx.stroke();
  ctx.restore();
}

const valueSize = (width: number, wall: boolean): number => (wall ? WALL_VALUE : width < NARROW_TILE ? 24 : 26);

/** Width of a value and its unit. */
export function valueWidth(ctx: Ctx, text: string, unit: string, width: number, wall: boolean): number {
  const size = valueSize(width, wall);
  ctx.font = font(600, size);
  ctx.letterSpacing = `${-0.022 * size}px`;
  const wide = ctx.measureText(text).width;
  ctx.letterSpacing = "0px";
  ctx.font = font(400, 12);
  return wide + (unit ? 4 + ctx.measureText(unit).width : 0);
}

/** A word in the smallest type of a value, its middle cut if it has no room even then; a number never is. */
export function fittingWord(ctx: Ctx, word: string, room: number): string {
  ctx.font = font(600, LEAST_VALUE);
  return elided(word, room, (text) => ctx.measureText(text).width);
}

/** Width of the change and its triangle, with the space before them. */
export function whenWidth(ctx: Ctx, slot: Slot): number {
  if (Number.isNaN(slot.change)) return 0;
  ctx.font = font(500, 11);
  const text = formatChange(slot.change);
  return 6 + ctx.measureText(text).width + (text.startsWith("±") ? 0 : 11);
}

/** The value whole, smaller if a short unit has no room beside it; a long unit as far as there is room before `end`. */
export function value(
  ctx: Ctx,
  text: string,
  unit: string,
  x: number,
  y: number,
  end: number,
  width: number,
  silent: boolean,
  wall: boolean,
  tokens: Tokens,
): void {
  let size = valueSize(width, wall);
  ctx.textAlign = "left";
  ctx.font = font(400, 12);
  const unitWide = ctx.measureText(unit).width;
  const free = end - x - (unitWide > 0 && unitWide <= SHORT_UNIT ? unitWide + 11 : 0);
  ctx.font = font(600, size);
  ctx.letterSpacing = `${-0.022 * size}px`;
  let wide = ctx.measureText(text).width;
  if (wide > free) {
    size = Math.max(LEAST_VALUE, Math.floor((size * free) / wide));
    ctx.font = font(600, size);
    wide = ctx.measureText(text).width;
  }
  ctx.fillStyle = silent ? tokens.muted : tokens.text;
  ctx.fillText(text, x, y);
  ctx.letterSpacing = "0px";
  ctx.font = font(400, 12);
  ctx.fillStyle = tokens.muted;
  const room = end - 6 - (x + wide + 4);
  if (unit && room > UNIT_ROOM)
    ctx.fillText(
      elided(unit, room, (each) => ctx.measureText(each).width),
      x + wide + 4,
      y,
    );
}

/**
 * The change against the window before, said to be of the mean where there is room for the word, or when it was last
 * heard; the x where that begins.
 */
export function when(
  ctx: Ctx,
  state: TileState,
  slot: Slot,
  ageMs: number,
  right: number,
  y: number,
  room: number,
  tokens: Tokens,
): number {
  ctx.font = font(500, 11);
  ctx.textAlign = "right";
  ctx.fillStyle = tokens.secondary;
  if (state === "stale" || state === "nodata" || state === "finished") {
    const text = tileWhen(state, ageMs, slot.lastTimeMs);
    ctx.fillText(text, right, y);
    return right - ctx.measureText(text).width;
  }
  if (Number.isNaN(slot.change)) return right;
  const text = formatChange(slot.change);
  ctx.fillText(text, right, y);
  const width = ctx.measureText(text).width;
  let x = right - width;
  ctx.fillStyle = tokens.muted;
  if (!text.startsWith("±")) {
    x -= 11;
    triangle(ctx, x, y, slot.change > 0);
  }
  const word = ctx.measureText(OF_MEAN).width;
  if (room < right - x + word + 10) return x;
  ctx.fillText(OF_MEAN, x - 4, y);
  return x - 4 - word;
}

/** Say beside the value that a series was not there before; return where that begins. */
export function newWord(ctx: Ctx, right: number, y: number, tokens: Tokens): number {
  ctx.font = font(500, 11);
  ctx.textAlign = "right";
  ctx.fillStyle = tokens.text;
  ctx.fillText("new", right, y);
  return right - ctx.measureText("new").width;
}

function triangle(ctx: Ctx, x: number, y: number, up: boolean): void {
  ctx.beginPath();
  // A triangle, not a glyph: ▲ drops below the baseline.
  if (up) {
    ctx.moveTo(x, y - 1);
    ctx.lineTo(x + 7, y - 1);
    ctx.lineTo(x + 3.5, y - 7);
  } else {
    ctx.moveTo(x, y - 7);
    ctx.lineTo(x + 7, y - 7);
    ctx.lineTo(x + 3.5, y - 1);
  }
  ctx.fill();
}
