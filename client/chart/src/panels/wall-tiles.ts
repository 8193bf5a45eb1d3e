/** The tiles above the charts of a wall, and the height of the charts below. */

import { h } from "../base/dom";
import { fitCanvas } from "../canvas/draw";
import { isNarrowWall, type TileMoment, WALL_CHART, WALL_TILE } from "../canvas/tile";
import { GAP, layoutTiles, TILE_HEIGHT, tileColumns } from "../canvas/tile-layout";
import { drawTile, FOOT_PADS } from "../canvas/tiles";
import type { Series } from "../model/directory";
import { WallTurns } from "./wall-turns";

const ROW_GAP = 12;
const NARROW_GAP = 10;

/** Rows of the grid are never lower or higher than this on a wall, px before it is enlarged. */
const LEAST_ROW = 24;
const MOST_ROW = 110;
/** The same for the charts of a phone, which has one in a row. */
const LEAST_CARD = 168;

/** Set the height of the grid's rows so that the charts fill the screen below tiles of this height. */
function fillWall(scroller: HTMLElement, grid: HTMLElement, tilesPx: number): void {
  const style = getComputedStyle(scroller);
  const inner = scroller.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom) - tilesPx;
  if (isNarrowWall(scroller.clientWidth)) {
    const count = Math.max(1, Math.floor(inner / (LEAST_CARD + NARROW_GAP)));
    const high = Math.min(MOST_ROW * 5, inner / count - NARROW_GAP);
    grid.style.setProperty("--wall-card", `${Math.max(LEAST_CARD, Math.floor(high))}px`);
    return;
  }
  const rows = getComputedStyle(grid).gridTemplateRows.split(" ").length;
  const spans = Array.from(grid.children, (card) => parseInt((card as HTMLElement).style.gridRow.slice(5), 10) || 1);
  const row = wallRow((inner - ROW_GAP) / WALL_CHART, ROW_GAP / WALL_CHART, rows, Math.max(1, ...spans));
  grid.style.setProperty("--wall-row", `${row}px`);
}

/**
 * Return the height of a row of the grid, px before a wall is enlarged. Rows share the height that is free; if they would
 * be too low, those of one turn do: as many charts of the highest one's rows as fit.
 */
export function wallRow(free: number, gap: number, rows: number, span: number): number {
  const shared = (count: number): number => (free - (count - 1) * gap) / count;
  if (shared(rows) >= LEAST_ROW) return Math.min(MOST_ROW, shared(rows));
  const charts = Math.max(1, Math.floor((free + gap) / (span * (LEAST_ROW + gap))));
  return Math.min(MOST_ROW, Math.max(LEAST_ROW, shared(charts * span)));
}

/** Six at 1440 px. */
const LEAST_TILE = 158;

/** Choose the series that get a tile: all, or one of each chart in turn until the row is full. */
export function wallSeries(charts: readonly (readonly Series[])[], most: number): Series[] {
  const all = new Set(charts.flat());
  if (all.size <= most) return [...all];
  const chosen = new Set<Series>();
  for (let round = 0; chosen.size < most; round++) {
    for (const { [round]: one } of charts) if (one && chosen.size < most) chosen.add(one);
  }
  return [...all].filter((one) => chosen.has(one));
}

/** How the tiles of a wall lie: one row of enlarged ones, or two by two on a phone. */
interface Form {
  scale: number;
  /** Layout px from side to side. */
  inner: number;
  most: number;
  columns: (count: number) => number;
  gap: number;
}

function formOf(width: number): Form {
  if (isNarrowWall(width)) return { scale: 1, inner: width, most: 4, columns: () => 2, gap: NARROW_GAP };
  const inner = width / WALL_TILE;
  const most = Math.max(1, Math.floor((inner + GAP) / (LEAST_TILE + GAP)));
  return { scale: WALL_TILE, inner, most, columns: (count) => count, gap: GAP / WALL_TILE };
}

export class WallTiles {
  readonly element = h("canvas", { class: "wall-tiles", "aria-hidden": "true", "data-tw": "wall-tiles" });
  readonly turns: WallTurns;

  /** `dots` is at the foot of the wall. */
  constructor(dots: HTMLElement) {
    this.turns = new WallTurns(dots);
  }

  /** Return the device pixels of a sparkline in tiles across this width. */
  sparkPx(charts: readonly (readonly Series[])[], width: number): number {
    const { scale, inner, most, columns, gap } = formOf(width);
    const { exact } = tileColumns(inner, 0, columns(wallSeries(charts, most).length), gap);
    return Math.floor((exact - FOOT_PADS) * scale * devicePixelRatio);
  }

  /** Return the px that the tiles take from top to bottom. */
  height(charts: readonly (readonly Series[])[], width: number): number {
    const { scale, most, columns, gap } = formOf(width);
    const { length } = wallSeries(charts, most);
    const rows = Math.max(1, Math.ceil(length / Math.max(1, columns(length))));
    return (rows * (TILE_HEIGHT + gap) - gap) * scale;
  }

  /** Let the charts of a grid fill the screen below the tiles. */
  fill(scroller: HTMLElement, grid: HTMLElement, charts: readonly (readonly Series[])[], width: number): void {
    fillWall(scroller, grid, this.height(charts, width));
  }

  draw(charts: readonly (readonly Series[])[], moment: TileMoment, width: number): void {
    const ratio = devicePixelRatio;
    const { scale, inner, most, columns, gap } = formOf(width);
    if (!fitCanvas(this.element, width, this.height(charts, width), ratio))
      this.element.getContext("2d")?.clearRect(0, 0, this.element.width, this.element.height);
    const ctx = this.element.getContext("2d") as CanvasRenderingContext2D;
    ctx.save();
    ctx.scale(ratio * scale, ratio * scale);
    // As on the overview, without its padding and its heading; what does not fit is in the charts below.
    const series = wallSeries(charts, most);
    const { tiles, heads } = layoutTiles([{ name: "", series }], inner, 0, columns(series.length), gap);
    for (const box of tiles)
      drawTile(ctx, box, box.top - heads[0].height, moment.ring.slots.get(box.series.index), moment);
    ctx.restore();
  }
}
