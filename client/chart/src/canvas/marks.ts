/** Draws thresholds as dashed lines with a label. */
import { withAlpha } from "../base/colour";
import { font, type Tokens } from "../base/tokens";
import type { ThresholdLine } from "../model/thresholds";
import { type Ctx, haloText } from "./draw";
import type { Linear } from "./paths";
import type { Picture } from "./picture";

/** The box of a plot and its two scales. */
export interface Frame2d {
  box: { left: number; top: number; width: number; height: number };
  x: Linear;
  y: Linear;
  /** The scale of each trace, where they have several. */
  ys?: readonly Linear[];
}

/** Height of a label's box, px. */
const LABEL_HEIGHT = 16;
/** Padding left and right of a label's text, px. */
const LABEL_PAD = 4;
/** Distance between the places that are tried for a label, px. */
const LABEL_STEP = 24;
/** Cost of a place: a reading behind the text; the wrong side; not at an end; another label. */
const COST = { reading: 10, side: 6, inside: 4, label: 1e6 };
/** A label moves only if another place is better by this: text that jumps is worse than a touched line. */
const STAYS = 15;

/** The place of a label. */
export interface Place {
  left: number;
  above: boolean;
}

/** Boxes of the labels placed so far in one drawing, so that two thresholds close together stay readable. */
export type Placed = { left: number; right: number; top: number }[];

/** The place of each label in the previous drawing, by its text. */
export type Kept = Map<string, Place>;

const boxTopOf = (y: number, above: boolean): number => (above ? y - LABEL_HEIGHT : y + 2);

/** Find the cheapest place for a label of `wide` px on a line at `y`. */
export function labelPlace(
  frame: Frame2d,
  picture: Pick<Picture, "traces">,
  y: number,
  wide: number,
  beyond: boolean,
  placed: Placed = [],
  kept?: Place,
): Place {
  const { left, top, width, height } = frame.box;
  const last = left + width - wide;
  const ends = [last, left];
  const fits = (above: boolean): boolean => (above ? y - top : top + height - y) >= LABEL_HEIGHT;
  const cost = ({ left: from, above }: Place): number => {
    const boxTop = boxTopOf(y, above);
    const other = placed.some(
      (box) => box.left < from + wide && box.right > from && Math.abs(box.top - boxTop) < LABEL_HEIGHT,
    );
    return (
      COST.reading * covered(frame, picture, from, from + wide, boxTop) +
      (other ? COST.label : 0) +
      (above === beyond ? 0 : COST.side) +
      (ends.includes(from) ? 0 : COST.inside)
    );
  };
  const stays = kept && kept.left >= left && kept.left <= last && fits(kept.above) ? cost(kept) : Infinity;
  if (kept && stays < COST.reading) return kept;
  let best: Place = { left, above: fits(beyond) ? beyond : !beyond };
  let least = Infinity;
  for (const above of [beyond, !beyond].filter(fits)) {
    for (let from = -2; from * LABEL_STEP + left <= last; from++) {
      const place = { left: from < 0 ? ends[from + 2] : left + from * LABEL_STEP, above };
      const costs = cost(place);
      if (costs < least) [best, least] = [place, costs];
    }
  }
  return kept && stays <= least + STAYS ? kept : best;
}

export function drawThresholds(
  ctx: Ctx,
  tokens: Tokens,
  line: ThresholdLine,
  frame: Frame2d,
  picture: Picture,
  part: "band" | "line",
  placed: Placed = [],
  kept: Kept = new Map(),
  relocate = true,
): void {
  const { left, top, width, height } = frame.box;
  const y = Math.round(frame.y.a * line.value + frame.y.b);
  // Upside down, what is above a limit is drawn below it.
  const upper = (line.side === "above") === frame.y.a < 0;
  if (!(y >= top && y <= top + height)) return;
  const colour = line.level === "warn" ? tokens.warnMark : tokens.critical;
  if (part === "band") {
    ctx.fillStyle = withAlpha(colour, 0.06);
    if (upper) ctx.fillRect(left, top, width, y - top);
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
  const wide = ctx.measureText(line.text).width + 2 * LABEL_PAD;
  if (wide > width) return;
  const before = kept.get(line.text);
  const room =
    before && before.left + wide <= left + width && (before.above ? y - top : top + height - y) >= LABEL_HEIGHT;
  const place = room && !relocate ? before : labelPlace(frame, picture, y, wide, upper, placed, before);
  kept.set(line.text, place);
  placed.push({ left: place.left, right: place.left + wide, top: boxTopOf(y, place.above) });
  ctx.textAlign = "left";
  haloText(
    ctx,
    line.text,
    place.left + LABEL_PAD,
    place.above ? y - 6 : y + 13,
    line.level === "warn" ? tokens.warn : tokens.critical,
    tokens.surface,
  );
}

/** Count the columns whose line, from the end of the one before, passes through a label's box. */
function covered(frame: Frame2d, picture: Pick<Picture, "traces">, fromX: number, toX: number, boxTop: number): number {
  let count = 0;
  for (const [index, trace] of picture.traces.entries()) {
    const scale = frame.ys?.[index] ?? frame.y;
    let x = NaN;
    for (let i = 0; i < trace.n; i++) {
      const beforeX = x;
      x = frame.x.a * trace.time[i] + frame.x.b;
      if (x < fromX) continue;
      const start = i > 0 && !trace.breaks[i] ? trace.last[i - 1] : trace.min[i];
      const [high, low] = [Math.max(trace.max[i], start), Math.min(trace.min[i], start)];
      if (
        Math.min(scale.a * low, scale.a * high) + scale.b < boxTop + LABEL_HEIGHT + 3 &&
        Math.max(scale.a * low, scale.a * high) + scale.b > boxTop - 3 &&
        (x <= toX || beforeX < toX)
      )
        count++;
      if (x > toX) break;
    }
    const heldY = scale.a * trace.last[trace.n - 1] + scale.b;
    const [heldFrom, heldTo] = [frame.x.a * trace.time[trace.n - 1] + frame.x.b, frame.x.a * trace.heldMs + frame.x.b];
    if (heldTo > fromX && heldFrom < toX && heldY > boxTop - 3 && heldY < boxTop + LABEL_HEIGHT + 3) count++;
  }
  return count;
}
