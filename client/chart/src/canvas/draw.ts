/** Canvas primitives shared by charts, tiles and sparklines: hatching, dots, labels with a halo, rounded boxes. */
import { withAlpha } from "../base/colour";
import { font, type Tokens } from "../base/tokens";

export type Ctx = CanvasRenderingContext2D;

/** A part of a canvas, px of layout. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

const HATCH_PITCH = 6;

/** Hatch a box at 45°. The lines are fixed to `originX`, not to the box: a growing silence does not crawl. */
export function hatch(
  ctx: Ctx,
  tokens: Tokens,
  left: number,
  top: number,
  width: number,
  height: number,
  originX: number,
): void {
  if (width <= 0 || height <= 0) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = withAlpha(tokens.stale, 0.04);
  ctx.fillRect(left, top, width, height);
  ctx.strokeStyle = withAlpha(tokens.stale, 0.2);
  ctx.lineWidth = 1;
  ctx.beginPath();
  const first = originX + Math.floor((left - height - originX) / HATCH_PITCH) * HATCH_PITCH;
  for (let x = first; x < left + width; x += HATCH_PITCH) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.restore();
}

/** A name for a canvas: tabular figures widen "-" (`line -1`), and a canvas has one setting for all its text. */
export function canvasName(text: string): string {
  return text.replaceAll("-", "\u2010");
}

export function dot(ctx: Ctx, x: number, y: number, radius: number, colour: string): void {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  ctx.fillStyle = colour;
  ctx.fill();
}

/** The live edge: a dot and its ring. */
export function liveDot(ctx: Ctx, x: number, y: number, colour: string): void {
  dot(ctx, x, y, 5.5, withAlpha(colour, 0.22));
  dot(ctx, x, y, 3, colour);
}

/** The stale edge: a hollow grey dot. */
export function staleDot(ctx: Ctx, x: number, y: number, tokens: Tokens): void {
  ctx.beginPath();
  ctx.arc(x, y, 3, 0, 7);
  ctx.fillStyle = tokens.surface;
  ctx.fill();
  ctx.strokeStyle = tokens.stale;
  ctx.lineWidth = 1.5;
  ctx.stroke();
}

/** The end of a series that has ended: a square of 5 px. */
export function endMark(ctx: Ctx, x: number, y: number, colour: string): void {
  ctx.fillStyle = colour;
  ctx.fillRect(x - 2.5, y - 2.5, 5, 5);
}

export function haloText(ctx: Ctx, text: string, x: number, y: number, colour: string, halo: string): void {
  ctx.lineJoin = "round";
  ctx.lineWidth = 3;
  ctx.strokeStyle = halo;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** Text on a box of the surface colour: the label of a silence. */
export function boxedText(ctx: Ctx, tokens: Tokens, text: string, centreX: number, centreY: number): void {
  ctx.font = font(500, 11);
  const width = ctx.measureText(text).width + 12;
  ctx.beginPath();
  ctx.roundRect(Math.round(centreX - width / 2), Math.round(centreY - 9), Math.round(width), 18, 4);
  ctx.fillStyle = withAlpha(tokens.surface, 0.92);
  ctx.fill();
  ctx.fillStyle = tokens.secondary;
  ctx.textAlign = "center";
  ctx.textBaseline = "alphabetic";
  ctx.fillText(text, Math.round(centreX), Math.round(centreY) + 4);
}

/** Size a canvas for the screen; true when its pixels were reset. */
export function fitCanvas(canvas: HTMLCanvasElement, width: number, height: number, ratio: number): boolean {
  const w = Math.round(width * ratio);
  const h = Math.round(height * ratio);
  if (canvas.width === w && canvas.height === h) return false;
  canvas.width = w;
  canvas.height = h;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  return true;
}

/** How much larger than its own pixels an element is shown: CSS `zoom`, 1 where the browser does not tell. */
export function zoomOf(element: HTMLElement): number {
  return (element as HTMLElement & { currentCSSZoom?: number }).currentCSSZoom ?? 1;
}
