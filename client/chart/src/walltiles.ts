/** A wall: the row of tiles above its charts, one for each of the deck's first series, and charts that fill the rest. */
import type { Series } from "./directory";
import { h } from "./dom";
import { fitCanvas } from "./draw";
import { layoutTiles } from "./tilelayout";
import { drawTile, WALL_CHART, WALL_TILE, type TileMoment } from "./tiles";

const ROW_PX = 144;
const ROW_GAP = 12;

/** Rows of the grid are never lower or higher than this on a wall, px before it is enlarged. */
const LEAST_ROW = 28;
const MOST_ROW = 110;

/** Nobody scrolls a wall: give the rows of the grid the height that fills it. */
export function fillWall(scroller: HTMLElement, grid: HTMLElement): void {
  const rows = getComputedStyle(grid).gridTemplateRows.split(" ").length;
  const style = getComputedStyle(scroller);
  const free = (scroller.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom) - ROW_PX - ROW_GAP) / WALL_CHART;
  const row = (free - (rows - 1) * (ROW_GAP / WALL_CHART)) / rows;
  grid.style.setProperty("--wall-row", `${Math.min(MOST_ROW, Math.max(LEAST_ROW, row))}px`);
}

export class WallTiles {
  readonly element = h("canvas", { class: "wall-tiles", "aria-hidden": "true", "data-tw": "wall-tiles" });

  draw(series: readonly Series[], moment: TileMoment, width: number): void {
    const ratio = devicePixelRatio;
    if (!fitCanvas(this.element, width, ROW_PX, ratio)) this.element.getContext("2d")?.clearRect(0, 0, this.element.width, this.element.height);
    const ctx = this.element.getContext("2d") as CanvasRenderingContext2D;
    ctx.save();
    ctx.scale(ratio * WALL_TILE, ratio * WALL_TILE);
    // As on the overview, without its padding and its heading; what does not fit into the row is in the charts below.
    const { tiles, columns } = layoutTiles([{ name: "", series }], width / WALL_TILE, 0);
    const fitted = tiles.length < columns ? layoutTiles([{ name: "", series }], width / WALL_TILE, 0, tiles.length).tiles : tiles.slice(0, columns);
    for (const box of fitted) drawTile(ctx, box, 0, moment.ring.slots.get(box.series.index), moment);
    ctx.restore();
  }
}
