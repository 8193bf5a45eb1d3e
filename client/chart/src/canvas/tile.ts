/** What a tile is drawn from: the moment of its page, its state, and its kind. */
import type { Tokens } from "../base/tokens";
import type { BucketRing, Slot } from "../model/bucket-ring";
import type { Trace } from "../model/buckets";
import type { Columns } from "../model/columns";
import type { Series } from "../model/directory";
import { type Freshness, freshness } from "../model/freshness";
import type { Prints } from "../model/prints";
import type { Alarms } from "../model/session";
import type { Ctx } from "./draw";

/** A wall's tiles are this much larger, as are its charts. */
export const WALL_TILE = 144 / 104;
export const WALL_CHART = 1.3;
/** A narrower wall is a phone, where nothing is larger than it is. */
const NARROW_WALL = 600;

/** Tell whether a wall of this width is a phone. */
export const isNarrowWall = (width: number): boolean => width < NARROW_WALL;

export interface TileMoment {
  ring: BucketRing;
  nowMs: number;
  /** The window that values are compared over. */
  windowMs: number;
  /** Of the sparklines; their window ends now. */
  columns: Columns;
  tokens: Tokens;
  alarms: Alarms;
  prints: Prints;
  /** On a wall: the value in larger type, and no change beside it. */
  wall: boolean;
  /** Series that were announced after this, by `performance.now()`, are new. */
  newSince: number;
  /** Whether the page is paused: no ages are shown, since they would grow unseen. */
  paused: boolean;
}

export type TileState = Freshness | "warn" | "critical";

export function tileState(
  slot: Slot | undefined,
  series: Series,
  moment: Pick<TileMoment, "nowMs" | "alarms">,
): TileState {
  if (!slot) return "unknown";
  const state = freshness(slot, moment.nowMs);
  return state === "live" || state === "unknown" ? (moment.alarms.get(series.index) ?? state) : state;
}

/** The lower part of a tile, below its value. Drawing is clipped to the tile. */
export interface TileFoot {
  ctx: Ctx;
  box: { left: number; top: number; width: number; height: number };
  /** Right edge of the tile, which lies beyond the box. */
  right: number;
  series: Series;
  slot: Slot;
  state: TileState;
  /** The window of the series; valid until the next tile is drawn. */
  trace: Trace;
  moment: TileMoment;
}

/** A way to draw the foot of a tile. */
export interface TileKind {
  /** Whether tiles of this series are of this kind. */
  fits(series: Series): boolean;
  drawFoot(foot: TileFoot): void;
}
