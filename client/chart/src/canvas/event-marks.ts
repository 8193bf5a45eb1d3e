/** Draws events below the plot: a tick for one, a sign for an alarm, a count for many; words where there is room. */
import { font, type Tokens } from "../base/tokens";
import type { Columns } from "../model/columns";
import { type EventGroup, joined } from "../model/events";
import { type Ctx, canvasName } from "./draw";
import type { Linear } from "./paths";

/** Height of the strip below the axis, px; a count fits into a slot. */
export const STRIP = 18;
const SLOT = 36;
/** Events nearer than this are counted together. */
const APART = 12;
const TICK = { width: 2, height: 11 };
const SIGN = 10;
const COUNT = { height: 14, pad: 5 };
/** A count at the live edge may stand so far right of the plot, px. */
const BESIDE = 20;
/** Px between a mark and its words, and around both; words that are cut to less than this are left out. */
const GAP = 5;
const LEAST_WORDS = 96;
/** Px between words left of the last mark and what they are not of. */
const APART_WORDS = 24;
/** Of a long text no more than this is measured. */
const MOST_CHARACTERS = 200;

/** The stretch of time of a slot, in whole columns, and what apart means, ms. */
export function slotsOf({ stepMs }: Columns, x: Linear): [slotMs: number, apartMs: number] {
  return [Math.ceil(SLOT / (x.a * stepMs)) * stepMs, APART / x.a];
}

/** 7, 250, 2.5k, 20k: never wider than a slot. */
export function countText(count: number): string {
  if (count < 1_000) return String(count);
  return `${count < 9_950 ? (count / 1_000).toFixed(1) : Math.round(count / 1_000)}k`;
}

export interface PlacedMark {
  group: EventGroup;
  /** Its middle and its width, px. */
  x: number;
  width: number;
}

/** Place the marks of a plot; `wide` measures the text of a count. Marks that would touch are counted together. */
export function placeMarks(
  groups: readonly EventGroup[],
  x: Linear,
  box: { left: number; width: number },
  wide: (text: string) => number,
): PlacedMark[] {
  const at = (ms: number): number => x.a * ms + x.b;
  const right = box.left + box.width;
  const place = (group: EventGroup): PlacedMark => {
    const { events, startMs, endMs, level } = group;
    const middle = (at(events[0].timeMs) + at(events[events.length - 1].timeMs)) / 2;
    if (events.length === 1) return { group, x: Math.round(middle), width: level ? SIGN : TICK.width };
    const width = wide(countText(events.length)) + 2 * COUNT.pad;
    // A count stays in its slot, so that it stands still among its neighbours.
    const inSlot = Math.max(at(startMs) + width / 2, Math.min(at(endMs) - 2 - width / 2, middle));
    const inPlot = Math.max(box.left + width / 2, Math.min(right + BESIDE - width / 2, inSlot));
    return { group, x: Math.round(inPlot), width };
  };
  const placed: PlacedMark[] = [];
  for (const group of groups) {
    if (at(group.events[group.events.length - 1].timeMs) < box.left) continue;
    let mark = place(group);
    for (let before = placed.at(-1); before && touch(before, mark); before = placed.at(-1)) {
      placed.pop();
      mark = place(joined(before.group, mark.group));
    }
    placed.push(mark);
  }
  return placed;
}

function touch(a: PlacedMark, b: PlacedMark): boolean {
  const alone = a.group.events.length === 1 && b.group.events.length === 1;
  return alone ? b.x - a.x < APART : b.x - b.width / 2 < a.x + a.width / 2;
}

/** Draw the marks in a strip whose top is given. */
export function drawEvents(
  ctx: Ctx,
  tokens: Tokens,
  marks: readonly PlacedMark[],
  top: number,
  left: number,
  right: number,
): void {
  const middle = top + STRIP / 2;
  ctx.textBaseline = "alphabetic";
  for (const { group, x, width } of marks) {
    if (group.events.length === 1) {
      drawOne(ctx, tokens, group.level, x, middle);
      continue;
    }
    ctx.beginPath();
    ctx.roundRect(x - width / 2, middle - COUNT.height / 2, width, COUNT.height, COUNT.height / 2);
    ctx.fillStyle = tokens.flag;
    ctx.fill();
    if (group.level) {
      ctx.strokeStyle = group.level === "warn" ? tokens.warnMark : tokens.critical;
      ctx.lineWidth = 1;
      ctx.stroke();
    }
    ctx.font = font(600, 11);
    ctx.textAlign = "center";
    ctx.fillStyle = tokens.text;
    ctx.fillText(countText(group.events.length), x, middle + 4);
  }
  drawWords(ctx, tokens, marks, middle, left, right);
}

function drawOne(ctx: Ctx, tokens: Tokens, level: EventGroup["level"], x: number, y: number): void {
  if (level === null) {
    ctx.fillStyle = tokens.secondary;
    ctx.fillRect(x - TICK.width / 2, y - TICK.height / 2, TICK.width, TICK.height);
    return;
  }
  const warn = level === "warn";
  const corners = warn ? 3 : 8;
  ctx.beginPath();
  for (let i = 0; i < corners; i++) {
    const angle = (i * 2 * Math.PI) / corners + (warn ? -Math.PI / 2 : Math.PI / 8);
    ctx.lineTo(x + (SIGN / 1.85) * Math.cos(angle), y + (warn ? 1 : 0) + (SIGN / 1.85) * Math.sin(angle));
  }
  ctx.fillStyle = warn ? tokens.warnMark : tokens.critical;
  ctx.fill();
}

/** Write right of marks of one event what it says, of the last mark else left of it, as far as there is room. */
function drawWords(
  ctx: Ctx,
  tokens: Tokens,
  marks: readonly PlacedMark[],
  middle: number,
  left: number,
  right: number,
): void {
  ctx.font = font(400, 11);
  ctx.fillStyle = tokens.secondary;
  const wide = (text: string): number => ctx.measureText(text).width;
  let taken = left;
  marks.forEach(({ group, x, width }, i) => {
    const [before, after] = [x - width / 2 - GAP, x + width / 2 + GAP];
    const next = marks[i + 1];
    const onRight = (next ? next.x - next.width / 2 - GAP : right) - after;
    const room = Math.max(onRight, next ? 0 : before - taken - APART_WORDS);
    const { words, long } = wordsOf(group, room, wide);
    if (words) {
      ctx.textAlign = long <= onRight ? "left" : "right";
      ctx.fillText(words, long <= onRight ? after : before, middle + 4);
      taken = after + (long <= onRight ? long : 0);
    } else taken = Math.max(taken, after);
  });
}

/** What was found last for a group: measuring texts takes more than drawing them. */
const written = new WeakMap<EventGroup, { room: number; words: string; long: number }>();

/** Return what a mark of one event says in so much room, empty for nothing, and how long that is. */
function wordsOf(group: EventGroup, room: number, wide: (text: string) => number): { words: string; long: number } {
  const before = written.get(group);
  if (before?.room === room) return before;
  const text = group.events.length === 1 ? canvasName(group.events[0].text) : "";
  const cutText = text && room > 0 ? cut(text, room, wide) : "";
  const words = cutText === text || room >= LEAST_WORDS ? cutText : "";
  const found = { room, words, long: wide(words) };
  written.set(group, found);
  return found;
}

/** Return as much of a text's beginning as there is room for. */
function cut(text: string, room: number, wide: (text: string) => number): string {
  const characters = [...text].slice(0, MOST_CHARACTERS);
  if (characters.length === [...text].length && wide(text) <= room) return text;
  let count = Math.min(characters.length, Math.ceil((characters.length * room) / wide(characters.join(""))));
  const cutTo = (n: number): string => `${characters.slice(0, n).join("").trimEnd()}…`;
  while (count > 0 && wide(cutTo(count)) > room) count--;
  return cutTo(count);
}
