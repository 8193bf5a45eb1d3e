/** The row of tiles above the charts of a wall, and the height of the charts below. */

import { h } from "../base/dom";
import { fitCanvas } from "../canvas/draw";
import { type TileMoment, WALL_CHART, WALL_TILE } from "../canvas/tile";
import { GAP, layoutTiles, tileColumns } from "../canvas/tile-layout";
import { drawTile, FOOT_PADS } from "../canvas/tiles";
import type { Series } from "../model/directory";

const ROW_PX = 144;
const ROW_GAP = 12;

/** Rows of the grid are never lower or higher than this on a wall, px before it is enlarged. */
const LEAST_ROW = 28;
const MOST_ROW = 110;

/** Set the height of the grid's rows so that the charts fill the screen: nobody scrolls a wall. */
export function fillWall(scroller: HTMLElement, grid: HTMLElement): void {
  const rows = getComputedStyle(grid).gridTemplateRows.split(" ").length;
  const style = getComputedStyle(scroller);
  const free =
    (scroller.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom) - ROW_PX - ROW_GAP) /
    WALL_CHART;
  const row = (free - (rows - 1) * (ROW_GAP / WALL_CHART)) / rows;
  grid.style.setProperty("--wall-row", `${Math.min(MOST_ROW, Math.max(LEAST_ROW, row))}px`);
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

const mostTiles = (inner: number): number => Math.max(1, Math.floor((inner + GAP) / (LEAST_TILE + GAP)));

export class WallTiles {
  readonly element = h("canvas", { class: "wall-tiles", "aria-hidden": "true", "data-tw": "wall-tiles" });

  /** Return the device pixels of a sparkline in a row of this width. */
  static sparkPx(charts: readonly (readonly Series[])[], width: number): number {
    const inner = width / WALL_TILE;
    const { length } = wallSeries(charts, mostTiles(inner));
    const { exact } = tileColumns(inner, 0, length, GAP / WALL_TILE);
    return Math.floor((exact - FOOT_PADS) * WALL_TILE * devicePixelRatio);
  }

  draw(charts: readonly (readonly Series[])[], moment: TileMoment, width: number): void {
    const ratio = devicePixelRatio;
    if (!fitCanvas(this.element, width, ROW_PX, ratio))
      this.element.getContext("2d")?.clearRect(0, 0, this.element.width, this.element.height);
    const ctx = this.element.getContext("2d") as CanvasRenderingContext2D;
    ctx.save();
    ctx.scale(ratio * WALL_TILE, ratio * WALL_TILE);
    // As on the overview, without its padding and its heading; what does not fit into the row is in the charts below.
    const inner = width / WALL_TILE;
    const series = wallSeries(charts, mostTiles(inner));
    const { tiles } = layoutTiles([{ name: "", series }], inner, 0, series.length, GAP / WALL_TILE);
    for (const box of tiles) drawTile(ctx, box, 0, moment.ring.slots.get(box.series.index), moment);
    ctx.restore();
  }
}
