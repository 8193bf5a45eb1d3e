/** Draws a chart as a PNG: title, legend, plot and time, sharp enough to be printed. */
import { withAlpha } from "../base/colour";
import { elided } from "../base/elision";
import { clock, spanText } from "../base/format";
import { font, lineColour, type Tokens } from "../base/tokens";
import { canvasName } from "../canvas/draw";
import type { Chart } from "./chart";

/** Px of title and legend; what is no plot has no legend. */
const HEAD = 53;
const TITLE = 33;

/** Least pixels per CSS px: reports show pictures larger than here. */
const LEAST_RATIO = 2;

/** What stands over the plot of a picture. */
export interface CardWords {
  title: string;
  unit: string;
  /** What its x axis shows, longest first: as much as there is room for. */
  when: readonly string[];
  rows: readonly { label: string; value: string; colour: string; dash: readonly number[] }[];
  /** What it is compared with; null: nothing. */
  compared: { ago: string; value: string; colour: string } | null;
}

/** Draw the chart as it stands; throws an Error when it draws nothing now. */
export async function pngOf(chart: Chart, tokens: Tokens): Promise<Blob> {
  const words = (span: { startMs: number; endMs: number }): CardWords => ({
    title: chart.title,
    unit: chart.titleUnit,
    when: [spanText(span.startMs, span.endMs, NaN), `${clock(span.startMs)} – ${clock(span.endMs)}`],
    rows: (chart.plot ? chart.series : []).map((one, i) => ({
      label: one.legend || one.name,
      value: chart.last(i),
      colour: lineColour(tokens, one.style),
      dash: chart.dashes[i],
    })),
    compared: (chart.plot && chart.earlier?.canvas.isConnected && chart.earlier.words(tokens)) || null,
  });
  return pngOfCard(tokens, (ratio, copy) => words(chart.pictured(ratio, copy)), chart.plot ? HEAD : TITLE);
}

/** Draw a card: `draw` draws at a pixel ratio, passes each canvas to `copy`, the lowest first, and returns the words. */
export async function pngOfCard(
  tokens: Tokens,
  draw: (ratio: number, copy: (layer: HTMLCanvasElement) => void) => CardWords,
  head = HEAD,
): Promise<Blob> {
  const ratio = Math.max(LEAST_RATIO, devicePixelRatio);
  const canvas = document.createElement("canvas");
  const ctx = canvas.getContext("2d") as CanvasRenderingContext2D;
  let started = false;
  const { title, unit, when, rows, compared } = draw(ratio, (layer) => {
    if (!started) {
      canvas.width = layer.width;
      canvas.height = layer.height + Math.round(head * ratio);
      ctx.fillStyle = tokens.surface;
      ctx.fillRect(0, 0, canvas.width, canvas.height);
    }
    started = true;
    ctx.drawImage(layer, 0, canvas.height - layer.height);
  });
  const width = canvas.width / ratio;
  ctx.scale(ratio, ratio);
  const text = (words: string, x: number, y: number, weight: number, size: number, colour: string): number => {
    ctx.font = font(weight, size);
    ctx.fillStyle = colour;
    ctx.fillText(canvasName(words), x, y);
    return x + ctx.measureText(words).width;
  };
  const wide = (one: string): number => ctx.measureText(canvasName(one)).width;
  ctx.font = font(600, 13);
  let after = text(elided(title, width - 28, wide), 14, 22, 600, 13, tokens.text);
  if (after + 20 + unit.length * 8 < width) after = text(unit, after + 6, 22, 400, 12, tokens.muted);
  ctx.font = font(400, 11);
  const times = when.find((one) => after + 12 + wide(one) <= width - 14) ?? "";
  text(times, width - 14 - wide(times), 22, 400, 11, tokens.muted);
  let x = 14;
  const line = (colour: string): void => {
    ctx.strokeStyle = colour;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(x, 43);
    ctx.lineTo(x + 8, 43);
    ctx.stroke();
  };
  for (const [i, { label, value, colour, dash }] of rows.entries()) {
    ctx.font = font(600, 12);
    if (i > 0 && x + ctx.measureText(`${label} ${value}`).width > width - 48) {
      text(`+${rows.length - i}`, x, 47, 500, 11, tokens.muted);
      break;
    }
    ctx.setLineDash(dash.map((px) => px / 2));
    line(colour);
    x = text(label, x + 14, 47, 400, 12, tokens.secondary);
    x = text(value, x + 6, 47, 600, 12, tokens.text) + 14;
  }
  ctx.setLineDash([]);
  if (compared) {
    ctx.font = font(600, 12);
    if (x + 14 + ctx.measureText(`${compared.ago} ${compared.value}`).width < width - 14) {
      line(compared.colour);
      x = text(compared.ago, x + 14, 47, 400, 12, tokens.secondary);
      text(compared.value, x + 6, 47, 600, 12, tokens.secondary);
    }
  }
  ctx.lineWidth = 1;
  ctx.strokeStyle = withAlpha(tokens.border, 0.7);
  ctx.strokeRect(0.5, 0.5, width - 1, canvas.height / ratio - 1);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This browser could not make the image")))),
  );
}
