/** A chart as a PNG: its title, its legend and its plot, at the sharpness of the screen. */
import { withAlpha } from "./colour";
import type { Chart } from "./chart";
import { canvasName } from "./draw";
import { printValue } from "./reading";
import { font, type Tokens } from "./tokens";

const HEAD = 53;

/** Draw the chart as it stands; throws an Error when it draws nothing now. */
export async function pngOf(chart: Chart, tokens: Tokens): Promise<Blob> {
  const plot = chart.plot?.canvas;
  if (!plot || plot.width === 0) throw new Error("This chart is not drawn now");
  const ratio = plot.width / plot.clientWidth;
  const canvas = document.createElement("canvas");
  canvas.width = plot.width;
  canvas.height = plot.height + Math.round(HEAD * ratio);
  const ctx = canvas.getContext("2d") as CanvasRenderingContext2D;
  ctx.fillStyle = tokens.surface;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.drawImage(plot, 0, canvas.height - plot.height);
  ctx.scale(ratio, ratio);
  const text = (words: string, x: number, y: number, weight: number, size: number, colour: string): number => {
    ctx.font = font(weight, size);
    ctx.fillStyle = colour;
    ctx.fillText(canvasName(words), x, y);
    return x + ctx.measureText(words).width;
  };
  const after = text(chart.title, 14, 22, 600, 13, tokens.text);
  text(chart.print.unit.text, after + 6, 22, 400, 12, tokens.muted);
  let x = 14;
  chart.series.forEach((one, i) => {
    ctx.fillStyle = tokens.series[one.colour];
    ctx.fillRect(x, 42, 8, 2);
    x = text(one.legend || one.name, x + 14, 47, 400, 12, tokens.secondary);
    x = text(printValue(chart.slots[i]?.lastValue ?? NaN, chart.print), x + 6, 47, 600, 12, tokens.text) + 14;
  });
  ctx.strokeStyle = withAlpha(tokens.border, 0.7);
  ctx.strokeRect(0.5, 0.5, canvas.width / ratio - 1, canvas.height / ratio - 1);
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This browser made no picture")))));
}
