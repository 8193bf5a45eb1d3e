/** "Add data": three ways to publish a first reading, each of which says when it has come. */

import { h, icon, setText, show } from "../base/dom";
import { formatNumber, longSpan } from "../base/format";
import { fullName } from "../base/naming";
import { lineColour } from "../base/tokens";
import { fitCanvas } from "../canvas/draw";
import { drawSpark, readSpark } from "../canvas/sparkline";
import { columnsOf } from "../model/columns";
import { isOwn, type Series } from "../model/directory";
import { ageOf, freshness, shortAgeWords } from "../model/freshness";
import { printValue } from "../model/reading";
import { LIST } from "../model/session";
import { wordOf } from "../model/states";
import css from "./add-data.css";
import type { AppContext } from "./app-context";
import { copyButton, lineWords, snippetTabs, snippetText, snippetUrls } from "./snippets";
import { pageOf } from "./tile-links";

/** What each way publishes, and what is said of it beside its name. */
const WAYS = [
  ["my/temperature", "script or notebook"],
  ["my/heat", "any language that speaks HTTP"],
  ["my/pressure", "any Redis client"],
] as const;
const WAITING = "Waiting for the first reading…";
const SPARK_WIDTH = 84;
const SPARK_HEIGHT = 28;
interface Way {
  readonly metric: string;
  readonly tab: HTMLElement;
  readonly box: HTMLElement;
  readonly code: HTMLElement;
  readonly mark: HTMLElement;
  readonly words: HTMLElement;
  readonly more: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly open: HTMLButtonElement;
  /** What came, once something has. */
  series: Series | null;
}

export class AddData {
  readonly element: HTMLElement;
  readonly #ways: readonly Way[];
  #since = NaN;
  /** The series that were there before, and how many readings each had. */
  #before: ReadonlyMap<number, number> = new Map();
  #copied: Way | undefined;
  #urls = "";
  readonly #app: AppContext;

  /** `hide` is called to hide it. */
  constructor(app: AppContext, hide: () => void) {
    this.#app = app;
    this.#ways = WAYS.map(([metric, about], i) => this.#way(i, metric, about));
    const others = (): void => void import("./other-ways").then(({ showOtherWays }) => showOtherWays(app));
    this.element = h(
      "section",
      { class: "add-data", "aria-label": "Add data", "data-tw": "add-data" },
      h("style", {}, css),
      h(
        "div",
        { class: "add-head" },
        h("h2", {}, "Add data"),
        h("p", {}, "Run one of these. Its chart appears here within a second of the first reading."),
        h("button", { type: "button", class: "button", "data-tw": "hide-add-data", onclick: hide }, "Hide until I ask"),
      ),
      h(
        "div",
        { class: "add-tabs", role: "group", "aria-label": "Ways to publish" },
        ...this.#ways.map(({ tab }) => tab),
      ),
      h("div", { class: "add-ways" }, ...this.#ways.map(({ box }) => box)),
      h(
        "button",
        { type: "button", class: "add-other", "data-tw": "other-tools", onclick: others },
        "Other ways to publish",
      ),
    );
    this.#choose(0);
  }

  /** Wait for what comes from now on. */
  begin(): void {
    const { session } = this.#app;
    this.#since = session.now();
    this.#before = new Map([...session.directory.byIndex.keys()].map((i) => [i, session.slot(i)?.total ?? Infinity]));
    this.#copied = undefined;
    for (const way of this.#ways) {
      way.series = null;
      way.box.classList.remove("found");
      way.mark.replaceChildren(icon("ring"));
      setText(way.words, WAITING);
      show(way.open, false);
      show(way.canvas, false);
    }
  }

  #way(i: number, metric: string, about: string): Way {
    const { name } = snippetTabs("", "")[i];
    const choose = (): void => this.#choose(i);
    const way: Way = {
      metric,
      tab: h("button", { type: "button", onclick: choose }, name),
      box: h("div", { class: "add-way", "data-tw": "add-way" }),
      code: h("pre", { class: "code", tabindex: "0", "aria-label": `${name} snippet` }),
      mark: h("span", { class: "add-mark" }),
      words: h("b", { role: "status" }, WAITING),
      more: h("span", {}),
      canvas: h("canvas", { "aria-hidden": "true" }),
      open: h("button", { type: "button", class: "button", "data-tw": "open-chart" }, "Open chart"),
      series: null,
    };
    const copy = copyButton(
      () => snippetText(this.#tabs()[i]),
      () => {
        this.#copied = way;
      },
    );
    way.open.addEventListener("click", () => way.series && this.#app.change(pageOf(way.series), true));
    way.box.append(
      h("div", { class: "add-way-head" }, h("b", {}, name), h("span", {}, about), copy),
      way.code,
      h("div", { class: "add-status" }, way.mark, h("p", {}, way.words, way.more), way.canvas, way.open),
    );
    return way;
  }

  #tabs(): ReturnType<typeof snippetTabs> {
    return snippetTabs(
      ...snippetUrls(this.#app.session),
      WAYS.map(([metric]) => metric),
    );
  }

  /** Choose the way that is shown where there is room for one. */
  #choose(chosen: number): void {
    this.#ways.forEach(({ tab, box }, i) => {
      tab.setAttribute("aria-pressed", String(i === chosen));
      box.classList.toggle("chosen", i === chosen);
    });
  }

  draw(): void {
    this.#drawCode();
    this.#assign(this.#app.session.directory.measured);
    for (const way of this.#ways) {
      if (way.series) this.#drawFound(way, way.series);
      else {
        const waited = this.#app.session.now() - this.#since;
        setText(way.more, `listening for ${way.metric} for ${longSpan(waited)}`);
      }
    }
  }

  #drawCode(): void {
    const urls = snippetUrls(this.#app.session).join(" ");
    if (urls === this.#urls) return;
    this.#urls = urls;
    this.#tabs().forEach(({ lines }, i) =>
      this.#ways[i].code.replaceChildren(...lines.map((line) => h("div", {}, ...lineWords(line)))),
    );
  }

  /** Give what came to the way that names it; what has another name to the way that was copied last, or once to the first. */
  #assign(measured: readonly Series[]): void {
    if (this.#ways.every(({ series }) => series)) return;
    const given = new Set(this.#ways.map(({ series }) => series?.index));
    for (const series of measured) {
      if (given.has(series.index) || isOwn(series)) continue;
      const before = this.#before.get(series.index);
      const named = this.#ways.find(({ metric }) => metric === series.metric);
      if (before !== undefined && !(named && (this.#app.session.slot(series.index)?.total ?? 0) > before)) continue;
      const first = this.#ways.some((way) => way.series) ? undefined : this.#ways[0];
      const way = named ?? (this.#copied?.series === null ? this.#copied : first);
      if (way && !way.series) this.#found(way, series);
    }
  }

  #found(way: Way, series: Series): void {
    // One button of the page is filled.
    for (const other of this.#ways) other.open.classList.toggle("primary", other === way);
    way.series = series;
    way.box.classList.add("found");
    way.mark.replaceChildren(icon("check"));
    setText(way.words, `Here it is: ${fullName(series)}`);
    setText(way.more, "");
    show(way.open, true);
    show(way.canvas, true);
  }

  #drawFound(way: Way, series: Series): void {
    const { session, tokens } = this.#app;
    const ring = session.views[LIST];
    const slot = ring.slots.get(series.index);
    if (!slot) return;
    const now = session.now();
    const print = session.prints.of(series, ring);
    const value = wordOf(slot) || `${printValue(slot.lastValue, print)} ${print.unit.text}`.trim();
    const count = `${formatNumber(slot.total, 0)} ${slot.total === 1 ? "reading" : "readings"}`;
    setText(way.more, `${count} · ${value} · ${shortAgeWords(ageOf(slot, now))}`);
    const ratio = devicePixelRatio;
    const ctx = way.canvas.getContext("2d") as CanvasRenderingContext2D;
    if (!fitCanvas(way.canvas, SPARK_WIDTH, SPARK_HEIGHT, ratio))
      ctx.clearRect(0, 0, way.canvas.width, way.canvas.height);
    const columns = columnsOf(this.#app.state.windowMs, Math.round(SPARK_WIDTH * ratio));
    const box = { left: 0, top: 0, width: SPARK_WIDTH, height: SPARK_HEIGHT, hatchRight: SPARK_WIDTH };
    ctx.save();
    ctx.scale(ratio, ratio);
    drawSpark(ctx, tokens, readSpark(ring, slot, columns, now), slot, box, columns, now, freshness(slot, now), {
      colour: lineColour(tokens, series.style),
      width: 1.25,
      dot: 2,
      alpha: 1,
    });
    ctx.restore();
  }
}
