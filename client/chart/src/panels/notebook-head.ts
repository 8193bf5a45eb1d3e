/** The head of a notebook frame: pattern, number of series, connection badge, windows, pause, link to the dashboard. */

import { h, icon, iconButton, Segments, setAttribute, setText, show } from "../base/dom";
import { plural } from "../base/format";
import { groupOf } from "../base/naming";
import {
  type ChartSpec,
  DEFAULT_WINDOW_MS,
  formatState,
  type KeptColour,
  parseState,
  type RunAxis,
  WINDOWS,
  windowName,
} from "../model/url";

export class NotebookHead {
  readonly element: HTMLElement;
  readonly #count = h("span", { class: "nb-count" });
  readonly #windows: Segments<string>;
  readonly #pause: HTMLButtonElement;
  readonly #link = h(
    "a",
    {
      class: "icon-button",
      target: "_blank",
      rel: "noopener",
      "aria-label": "Open in the dashboard",
      title: "Open in the dashboard",
      "data-tw": "open",
    },
    icon("open"),
  );

  constructor(pattern: string, badge: HTMLElement, onWindow: (windowMs: number) => void, onPause: () => void) {
    const presets = WINDOWS.slice(0, 4).map(([name]) => [name, name] as const);
    this.#windows = new Segments("Window", "windows", presets, (name) =>
      onWindow(WINDOWS.find(([own]) => own === name)?.[1] ?? DEFAULT_WINDOW_MS),
    );
    this.#pause = iconButton("pause", "Pause", onPause, "pause");
    this.element = h(
      "div",
      { class: "nb-head" },
      h("strong", { "data-tw": "pattern" }, pattern),
      this.#count,
      badge,
      h("span", { class: "grow" }),
      this.#windows.element,
      this.#pause,
      this.#link,
    );
  }

  /** Say how many series, or runs, are drawn; null: nobody knows yet. */
  setCount(count: number | null, one = "series", many = "series"): void {
    setText(this.#count, count === null ? "" : plural(count, one, many));
  }

  /** Offer no windows: what is drawn has none. */
  withoutWindows(): void {
    show(this.#windows.element, false);
  }

  setWindow(windowMs: number): void {
    this.#windows.select(windowName(windowMs));
  }

  setPaused(paused: boolean): void {
    this.#pause.replaceChildren(icon(paused ? "play" : "pause"));
    setAttribute(this.#pause, "aria-label", paused ? "Back to live" : "Pause");
  }

  /** Link to the same charts, in these colours, on the dashboard; show no link if its address is unknown. */
  linkTo(
    dashboard: string,
    specs: readonly ChartSpec[],
    windowMs: number,
    colours: readonly KeptColour[],
    x: RunAxis | null,
  ): void {
    const base = dashboard.replace(/\/$/, "");
    const known = /^https?:\/\//.test(base) && specs.length > 0;
    show(this.#link, known);
    if (!known) return;
    const charts = specs.map((spec) => ({ ...spec, columns: specs.length > 1 ? 6 : 12 }));
    const slug = groupOf(specs[0].series[0]?.metric ?? "formulas");
    this.#link.href = base + formatState({ ...parseState("/d/x", "", ""), slug, windowMs, charts, colours, x }, "");
  }
}
