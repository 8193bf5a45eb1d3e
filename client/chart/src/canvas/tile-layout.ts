/** Lays out the tiles of the overview in groups, columns and rows; pure. */
import type { Series } from "../model/directory";

export const PAD = 16;
export const GAP = 12;
/** Between tiles on a phone. */
const NARROW_GAP = 10;
const NARROW = 768;
export const TILE_HEIGHT = 104;
export const LEAST_WIDTH = 168;
const HEAD_FIRST = 30;
const HEAD_NEXT = 32;
const MORE = 36;

export interface TileBox {
  series: Series;
  left: number;
  top: number;
  width: number;
  /** Shorter texts of its name below the heading, longest first; absent: those of the series. */
  names?: readonly string[] | undefined;
}

/** Series under one heading. */
export interface TileGroup {
  name: string;
  series: readonly Series[];
  /** Key of its fold in the address; absent: it cannot be folded. */
  fold?: string;
  /** Whether it was folded: then only its heading is shown. */
  folded?: boolean;
  /** Series that are left out below its tiles, and what is said of them. */
  more?: number;
  moreWords?: string;
  /** Series of it that need a look. */
  critical?: number;
  warn?: number;
  silent?: number;
  namesOf?: (series: Series) => readonly string[] | undefined;
}

/** The heading of a group, or the line below its tiles that unfolds the others. */
export interface GroupHead {
  name: string;
  /** The whole group; null: a line that unfolds. */
  group: TileGroup | null;
  top: number;
  height: number;
  fold: string;
  open: boolean;
  /** What a screen reader says. */
  spoken: string;
}

export interface TileLayout {
  tiles: TileBox[];
  heads: GroupHead[];
  height: number;
  columns: number;
}

/** Return how many tiles lie side by side, and how wide each is before it is rounded to whole px. */
export function tileColumns(
  width: number,
  pad: number = PAD,
  given = 0,
  gap = gapOf(width),
): { columns: number; exact: number } {
  const inner = Math.max(LEAST_WIDTH, width - 2 * pad);
  const columns = given || Math.max(1, Math.floor((inner + gap) / (LEAST_WIDTH + gap)));
  return { columns, exact: (inner - (columns - 1) * gap) / columns };
}

const gapOf = (width: number): number => (width < NARROW ? NARROW_GAP : GAP);

/** Lay out groups of series (each in its order) across a width, in as many columns as fit. */
export function layoutTiles(
  groups: readonly TileGroup[],
  width: number,
  pad: number = PAD,
  given = 0,
  gap = gapOf(width),
): TileLayout {
  const { columns, exact } = tileColumns(width, pad, given, gap);
  const tiles: TileBox[] = [];
  const heads: GroupHead[] = [];
  let top = 0;
  groups.forEach((group, g) => {
    const height = g === 0 ? HEAD_FIRST : HEAD_NEXT;
    const { name, fold = "", folded = false, more = 0, moreWords = "" } = group;
    const count = group.series.length + more;
    heads.push({ name, group, top, height, fold, open: !folded, spoken: `${name}, ${count} series` });
    top += height;
    if (folded) return;
    group.series.forEach((series, i) => {
      const column = i % columns;
      const left = Math.round(pad + column * (exact + gap));
      const right = Math.round(pad + column * (exact + gap) + exact);
      tiles.push({
        series,
        left,
        top: top + Math.floor(i / columns) * (TILE_HEIGHT + gap),
        width: right - left,
        names: group.namesOf?.(series),
      });
    });
    const rows = Math.ceil(group.series.length / columns);
    top += rows * TILE_HEIGHT + Math.max(0, rows - 1) * gap;
    if (more === 0) return;
    heads.push({ name: moreWords, group: null, top, height: MORE, fold, open: false, spoken: moreWords });
    top += MORE;
  });
  return { tiles, heads, height: top + pad, columns };
}

/** Return the headings that a view of this height shows, scrolled down to `top`. */
export const visibleHeads = ({ heads }: TileLayout, top: number, height: number): GroupHead[] =>
  heads.filter((head) => head.fold !== "" && head.top <= top + height && head.top + head.height >= top);

/** Return the tiles that a view of this height shows, scrolled down to `top`; tiles are in order of their rows. */
export function visibleTiles({ tiles }: TileLayout, top: number, height: number): TileBox[] {
  let lo = 0;
  let hi = tiles.length;
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (tiles[middle].top + TILE_HEIGHT < top) lo = middle + 1;
    else hi = middle;
  }
  let end = lo;
  while (end < tiles.length && tiles[end].top <= top + height) end++;
  return tiles.slice(lo, end);
}
