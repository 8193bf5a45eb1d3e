/**
 * "No metrics yet": the snippet that publishes a first reading, and the self-check, above a time axis that already
 * moves.
 */

import { withAlpha } from "../base/colour";
import { h, icon, setAttribute, setText } from "../base/dom";
import { clock, longSpan } from "../base/format";
import { font } from "../base/tokens";
import { dot, fitCanvas, hatch } from "../canvas/draw";
import { linear } from "../canvas/paths";
import { timeStep, timeTicks } from "../canvas/time-scale";
import type { AppContext } from "../panels/app-context";
import { copyButton, lineWords, snippetTabs, snippetText, snippetUrls } from "../panels/snippets";
import css from "./empty.css";

const FOOT = 36;
const RIGHT = 40;
const ROWS = 6;

export class EmptyPage {
  readonly element = h("section", { class: "empty", "data-tw": "empty" });
  readonly #canvas = h("canvas", { "aria-hidden": "true" });
  readonly #tabs = h("div", { class: "tabs", role: "tablist" });
  readonly #code = h("pre", { class: "code", tabindex: "0" });
  readonly #checks: { box: HTMLElement; mark: HTMLElement; name: HTMLElement; text: HTMLElement; side: HTMLElement }[] =
    [];
  #tab = 0;
  #shown = "";
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    const list = h("div", { class: "checks" });
    for (let i = 0; i < 3; i++) {
      const check = {
        mark: h("span", { class: "check-mark" }),
        name: h("b", {}),
        text: h("span", { class: "check-text" }),
        side: h("span", { class: "check-side" }),
      };
      const box = h("div", { class: "check", "data-tw": "check" }, check.mark, check.name, check.text, check.side);
      this.#checks.push({ box, ...check });
      list.append(box);
    }
    const copy = copyButton(() => snippetText(snippetTabs(...snippetUrls(this.#app.session))[this.#tab]));
    const box = h("div", { class: "code-box" }, h("div", { class: "code-head" }, this.#tabs, copy), this.#code);
    const lead = h("p", { class: "lead" }, "Publish one reading and its chart appears here within a second.");
    const other = h(
      "button",
      {
        type: "button",
        class: "link",
        "data-tw": "other-tools",
        onclick: () => void import("../panels/other-ways").then(({ showOtherWays }) => showOtherWays(this.#app)),
      },
      "How to publish from other tools",
    );
    this.element.append(
      h("style", {}, css),
      this.#canvas,
      h("div", { class: "empty-card" }, h("h1", {}, "No metrics yet"), lead, box, list, other),
    );
  }

  draw(): void {
    this.#drawCode();
    this.#drawChecks();
    this.#drawAxis();
  }

  #drawCode(): void {
    const urls = snippetUrls(this.#app.session);
    const key = `${this.#tab} ${urls.join(" ")}`;
    if (key === this.#shown) return;
    this.#shown = key;
    const tabs = snippetTabs(...urls);
    this.#tabs.replaceChildren(
      ...tabs.map((tab, i) => {
        const choose = (): void => {
          this.#tab = i;
          this.#drawCode();
        };
        return h(
          "button",
          { type: "button", role: "tab", "aria-selected": String(i === this.#tab), onclick: choose },
          tab.name,
        );
      }),
    );
    this.#code.replaceChildren(
      ...tabs[this.#tab].lines.map((line, i) =>
        h("div", {}, h("span", { class: "line-number", "aria-hidden": "true" }, String(i + 1)), ...lineWords(line)),
      ),
    );
  }

  #drawChecks(): void {
    const status = this.#app.session.status;
    if (!status) return;
    const since = status.listening_since_ms;
    const rows: [boolean | null, string, string, string][] = [
      [
        status.service_ok ?? null,
        status.service_ok === false ? "Service down" : "Service ok",
        status.service ?? "",
        "",
      ],
      [status.redis_ok ?? null, status.redis_ok === false ? "Redis down" : "Redis ok", status.redis ?? "", ""],
      [
        null,
        "0 metrics",
        since ? `listening to ** since ${clock(since)}` : "listening to **",
        since ? longSpan(this.#app.session.now() - since) : "",
      ],
    ];
    rows.forEach(([ok, name, text, side], i) => {
      const check = this.#checks[i];
      const kind = ok === null ? "wait" : ok ? "ok" : "bad";
      if (check.box.dataset.kind !== kind) {
        check.box.dataset.kind = kind;
        check.mark.replaceChildren(icon(ok === null ? "ring" : ok ? "check" : "critical"));
      }
      setText(check.name, name);
      setText(check.text, text);
      setText(check.side, side);
      setAttribute(check.box, "aria-label", `${name} ${text}`);
    });
  }

  #drawAxis(): void {
    const { tokens } = this.#app;
    const width = this.element.clientWidth;
    const height = this.element.clientHeight;
    if (width === 0 || height === 0) return;
    const ratio = devicePixelRatio;
    fitCanvas(this.#canvas, width, height, ratio);
    const ctx = this.#canvas.getContext("2d") as CanvasRenderingContext2D;
    ctx.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    ctx.save();
    ctx.scale(ratio, ratio);
    const foot = height - FOOT;
    ctx.globalAlpha = 0.35;
    hatch(ctx, tokens, 0, 0, width - RIGHT, foot, 0);
    ctx.globalAlpha = 1;
    ctx.fillStyle = withAlpha(tokens.border, 0.6);
    for (let i = 1; i <= ROWS; i++) ctx.fillRect(0, Math.round((foot * i) / ROWS), width, 1);
    const end = this.#app.session.now();
    const start = end - this.#app.state.windowMs;
    const x = linear(start, end, 0, width - RIGHT);
    ctx.font = font(400, 11);
    ctx.textAlign = "center";
    const step = timeStep(this.#app.state.windowMs, width / 1.8);
    for (const tick of timeTicks(start, end, step)) {
      const at = Math.round(x.a * tick + x.b);
      ctx.fillStyle = tokens.border;
      ctx.fillRect(at, foot, 1, 4);
      if (at > width - RIGHT - 76) continue;
      ctx.fillStyle = tokens.muted;
      ctx.fillText(clock(tick, step < 60_000 ? "s" : "min"), at, foot + 20);
    }
    ctx.fillStyle = tokens.muted;
    ctx.fillText("now", width - RIGHT - 20, foot + 20);
    ctx.fillStyle = withAlpha(tokens.accent, 0.55);
    ctx.fillRect(width - RIGHT, 0, 1, foot);
    dot(ctx, width - RIGHT + 0.5, foot, 6.5, withAlpha(tokens.accent, 0.3));
    dot(ctx, width - RIGHT + 0.5, foot, 3.5, tokens.accent);
    ctx.restore();
  }
}
