/** The shell of kinds that are one canvas below one row of words. */

import { h, icon, setText, show } from "../../base/dom";
import { font, type Tokens } from "../../base/tokens";
import { type Ctx, fitCanvas } from "../../canvas/draw";
import type { Picture } from "../../canvas/picture";
import type { Moment } from "../moment";
import type { ChartKind, Drawing, Shown } from "./kind";
import css from "./kinds.css";
import { Pace } from "./pace";
import { type Fresh, freshOf } from "./readings";

/** Px of the row of words: as high as a legend. */
export const NOTE_PX = 20;

/** What a kind paints with, px of layout. */
export interface Face {
  ctx: Ctx;
  width: number;
  height: number;
  tokens: Tokens;
  chart: Shown;
  moment: Moment;
  picture: Picture;
  fresh: Fresh;
}

/** What the row above the canvas says, and a screen reader. */
export interface Said {
  /** Of which of several series it is, and how fresh: a picture needs no freshness. */
  name?: string;
  fresh?: string;
  note: string;
  /** Of a card without room for it in its head: STALE and the like, or WARN and CRITICAL. */
  pill?: { icon: "clock" | "warn" | "critical"; text: string } | null;
  words: string;
}

class CanvasDrawing implements Drawing {
  readonly kind: ChartKind["name"];
  words = "";
  readonly #canvas = h("canvas", { "aria-hidden": "true" });
  readonly #pill = h("span", { class: "pill" });
  readonly #note = h("span", { class: "kind-words", "data-tw": "kind-note" });
  readonly #element = h(
    "div",
    { class: "kind" },
    h("style", {}, css),
    h("div", { class: "kind-note" }, this.#pill, this.#note),
    this.#canvas,
  );
  #pillShown = "";
  readonly #pace = new Pace();
  /** What was drawn last. */
  #face: Omit<Face, "ctx"> | null = null;
  readonly #paint: (face: Face) => Said;

  constructor(kind: ChartKind["name"], chart: Shown, paint: (face: Face) => Said) {
    this.kind = kind;
    this.#paint = paint;
    chart.card.plotHost.append(this.#element);
  }

  draw(picture: Picture, width: number, height: number, ratio: number, chart: Shown, moment: Moment): void {
    if (!this.#pace.due([width, height, ratio], chart, moment)) return;
    const { tokens } = moment;
    const fresh = freshOf(chart, moment, picture);
    this.#face = { width, height: Math.max(1, height - NOTE_PX), tokens, chart, moment, picture, fresh };
    const { name, fresh: age, note, pill = null, words } = this.#onto(this.#canvas, ratio, this.#face);
    this.words = words;
    const rest = picture.loading?.words[0] ? [picture.loading.words[0]] : [age, note];
    const said = [name, ...rest].filter(Boolean).join(" · ");
    setText(this.#note, said);
    this.#note.title = said;
    const key = `${pill?.icon} ${pill?.text}`;
    if (key === this.#pillShown) return;
    this.#pillShown = key;
    show(this.#pill, pill !== null);
    if (!pill) return;
    this.#pill.className = `pill ${pill.icon === "clock" ? "stale" : pill.icon}`;
    this.#pill.replaceChildren(icon(pill.icon, 12), pill.text);
  }

  picture(ratio: number): HTMLCanvasElement {
    const [canvas, whole] = [document.createElement("canvas"), document.createElement("canvas")];
    const face = this.#face;
    if (!face) return canvas;
    const { name, note } = this.#onto(canvas, ratio, face);
    fitCanvas(whole, face.width, face.height + NOTE_PX, ratio);
    const ctx = whole.getContext("2d") as Ctx;
    ctx.drawImage(canvas, 0, whole.height - canvas.height);
    ctx.scale(ratio, ratio);
    ctx.font = font(400, 11);
    ctx.fillStyle = face.tokens.secondary;
    ctx.fillText([name, note].filter(Boolean).join(" · "), 14, 14, face.width - 28);
    return whole;
  }

  #onto(canvas: HTMLCanvasElement, ratio: number, face: Omit<Face, "ctx">): Said {
    const ctx = canvas.getContext("2d") as Ctx;
    if (!fitCanvas(canvas, face.width, face.height, ratio)) ctx.clearRect(0, 0, canvas.width, canvas.height);
    ctx.save();
    try {
      ctx.scale(ratio, ratio);
      ctx.textBaseline = "alphabetic";
      ctx.globalAlpha = face.picture.alpha;
      return this.#paint({ ...face, ctx });
    } finally {
      ctx.restore();
    }
  }

  destroy(): void {
    this.#element.remove();
  }
}

/** Make a kind of what it is called, what it fits, and what paints it: one for each chart, so that it may remember. */
export function canvasKind(about: Omit<ChartKind, "make">, painter: () => (face: Face) => Said): ChartKind {
  return { ...about, make: (chart) => new CanvasDrawing(about.name, chart, painter()) };
}

/** Write a text, no wider than `most`: in its size, or smaller until it fits, or at last cut. */
export function fitText(
  ctx: Ctx,
  text: string,
  x: number,
  y: number,
  most: number,
  weight: number,
  px: number,
  least: number,
): number {
  let size = px;
  ctx.font = font(weight, size);
  const wide = ctx.measureText(text).width;
  if (wide > most) size = Math.max(least, Math.floor((px * most) / wide));
  ctx.font = font(weight, size);
  ctx.fillText(text, x, y, Math.max(1, most));
  return Math.min(most, ctx.measureText(text).width);
}

/** Words in the middle of a box: why nothing is drawn. The first that fits is written. */
export function middleWords({ ctx, tokens }: Face, words: readonly string[], x: number, y: number, most: number): void {
  ctx.font = font(500, 12);
  ctx.textAlign = "center";
  ctx.fillStyle = tokens.secondary;
  const text = words.find((one) => ctx.measureText(one).width <= most) ?? words[words.length - 1];
  if (text) ctx.fillText(text, x, y, most);
}
