/** The bar over the charts of runs: what x is, smoothing, and what of the runs is shown. */

import { h, icon, Segments, setAttribute, setText } from "../base/dom";
import { formatNumber } from "../base/format";
import { parseSmoothing, type RunAxis } from "../model/url";

/** What the bar shows and changes. */
export interface RunBarOwner {
  setAxis(axis: RunAxis): void;
  /** `done`: the slider rests. */
  setSmoothing(weight: number, done: boolean): void;
  setRaw(raw: boolean): void;
  setDiffering(differing: boolean): void;
  /** Show the deck as it is live. */
  leave(): void;
}

const AXES = [
  ["step", "Step"],
  ["rel", "Run time"],
  ["time", "Clock"],
] as const;

export class RunBar {
  readonly element: HTMLElement;
  readonly #axes: Segments<string>;
  readonly #slider: HTMLInputElement;
  readonly #field: HTMLInputElement;
  readonly #raw: HTMLButtonElement;
  readonly #count = h("span", { class: "run-count", role: "status", "data-tw": "run-count" });
  readonly #differing: HTMLButtonElement;

  /** `chips` choose the labels that runs must have. */
  constructor(owner: RunBarOwner, chips: HTMLElement) {
    this.#axes = new Segments("x axis", "run-axis", AXES, (axis) => owner.setAxis(axis as RunAxis));
    this.#slider = h("input", {
      type: "range",
      class: "run-slider",
      min: 0,
      max: 0.99,
      step: 0.01,
      "aria-label": "Smoothing",
      "data-tw": "run-slider",
    });
    this.#slider.addEventListener("input", () => owner.setSmoothing(Number(this.#slider.value), false));
    this.#slider.addEventListener("change", () => owner.setSmoothing(Number(this.#slider.value), true));
    this.#field = h("input", {
      class: "run-field",
      inputmode: "decimal",
      "aria-label": "Smoothing, 0 to 0.99",
      "data-tw": "run-smoothing",
    });
    this.#field.addEventListener("change", () => {
      const weight = parseSmoothing(this.#field.value.trim().replace(",", "."));
      setAttribute(this.#field, "aria-invalid", String(weight === null));
      this.#field.title = weight === null ? "Smoothing is a number from 0 to 0.99" : "";
      if (weight !== null) owner.setSmoothing(weight, true);
    });
    this.#raw = h(
      "button",
      { type: "button", class: "run-switch", role: "switch", "data-tw": "run-raw" },
      h("i", {}),
      h("span", {}, "raw lines"),
    );
    this.#raw.addEventListener("click", () => owner.setRaw(this.#raw.getAttribute("aria-checked") !== "true"));
    this.#differing = h(
      "button",
      { type: "button", class: "button", "data-tw": "run-differing" },
      icon("table", 14),
      "Settings that differ",
    );
    this.#differing.addEventListener("click", () =>
      owner.setDiffering(this.#differing.getAttribute("aria-pressed") !== "true"),
    );
    this.element = h(
      "div",
      { class: "run-bar", role: "toolbar", "aria-label": "Runs", "data-tw": "run-bar" },
      h("span", { class: "run-words" }, "x axis"),
      this.#axes.element,
      h("i", { class: "sep" }),
      h("span", { class: "run-words" }, "Smoothing"),
      this.#slider,
      this.#field,
      this.#raw,
      chips,
      h("span", { class: "grow" }),
      this.#count,
      this.#differing,
      h(
        "button",
        {
          type: "button",
          class: "button",
          "data-tw": "run-leave",
          title: "Back to the live deck (X)",
          onclick: () => owner.leave(),
        },
        "Live deck",
      ),
    );
  }

  update(axis: RunAxis, smoothing: number, raw: boolean, differing: boolean, count: string): void {
    this.#axes.select(axis);
    const focused = this.element.getRootNode() as Document | ShadowRoot;
    if (Number(this.#slider.value) !== smoothing) this.#slider.value = String(smoothing);
    this.#slider.style.setProperty("--done", `${(smoothing / 0.99) * 100}%`);
    if (focused.activeElement !== this.#field) this.#field.value = formatNumber(smoothing, 2);
    setAttribute(this.#raw, "aria-checked", String(raw));
    setAttribute(this.#differing, "aria-pressed", String(differing));
    setText(this.#count, count);
  }
}
