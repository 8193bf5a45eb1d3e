/** The card around a chart: title, freshness, pills, skeleton and error. */
import { h, icon, setAttribute, setText, show } from "../base/dom";
import { type Freshness, isSilent } from "../model/freshness";
import { EventStrip } from "./event-strip";
import type { FigureTable } from "./figure-table";
import { Legend, type Press } from "./legend";

/** Writes to the page only what differs from before. */
export class ChartFrame {
  readonly legend: Legend;
  /** Covers the plot while it is open; null before that. */
  table: FigureTable | null = null;
  readonly events = new EventStrip();
  readonly menu = h("div", { class: "card-menu" });
  readonly plotHost = h("div", { class: "plot", "data-tw": "plot", tabindex: "0", role: "img" });
  readonly head: HTMLElement;
  readonly element: HTMLElement;
  failed = false;
  readonly #name = h("span", { class: "card-title" });
  readonly #unit = h("span", { class: "card-unit" });
  readonly #tags = h("span", { class: "card-tags" });
  readonly #alert = h("span", { class: "pill", "data-tw": "chart-alert" });
  readonly #pill = h("span", { class: "pill stale", "data-tw": "chart-stale" });
  readonly #pillText = h("span", {});
  readonly #fresh = h("span", { class: "fresh", "data-tw": "chart-fresh" });
  readonly #freshDot = h("i", {});
  readonly #freshText = h("span", {});
  readonly #skeleton = h("div", { class: "skeleton", "aria-hidden": "true" });
  readonly #error = h("div", { class: "card-error", "data-tw": "chart-error", role: "status" });
  readonly #fault = h("p", { class: "card-fault", "data-tw": "chart-fault", role: "status" });
  readonly #third = h("div", { class: "card-third", "data-tw": "chart-third" });
  #thirdShown = "";
  #faultShown = "";
  readonly #nothing = h("p", { class: "card-absent", "data-tw": "chart-absent" });
  #alertNow = "";
  #tagsShown = "";
  #copyText = "";
  readonly #reload: () => void;

  constructor(reload: () => void, press: Press | null, others: () => void, switchEvents: () => void) {
    this.#reload = reload;
    this.legend = new Legend(press, others, switchEvents);
    this.#fresh.append(this.#freshDot, this.#freshText);
    this.#pill.append(icon("clock", 12), this.#pillText);
    for (const hidden of [this.#alert, this.#pill, this.#fresh, this.#error, this.#nothing, this.#third, this.#fault])
      show(hidden, false);
    for (const part of ["title", "legend", "y1", "y2", "y3", "y4", "x1", "x2", "x3", "x4"])
      this.#skeleton.append(h("i", { class: `sk-${part}` }));
    this.head = h(
      "header",
      { class: "card-head" },
      this.#name,
      this.#unit,
      this.#tags,
      h("span", { class: "grow" }),
      this.menu,
      this.#alert,
      this.#pill,
      this.#fresh,
    );
    this.element = h(
      "article",
      { class: "card", "data-tw": "chart" },
      this.head,
      this.legend.element,
      this.#third,
      this.plotHost,
      this.#fault,
      this.events.element,
      this.#skeleton,
      this.#nothing,
      this.#error,
    );
  }

  /** Show how the chart is drawn by choice; `notes` are read when the pointer rests there. */
  tags(texts: readonly string[], notes = ""): void {
    this.#tags.title = notes;
    if (texts.join() === this.#tagsShown) return;
    this.#tagsShown = texts.join();
    this.#tags.replaceChildren(...texts.map((text) => h("span", { class: "card-tag", "data-tw": "chart-tag" }, text)));
  }

  /** Say what is wrong with the chart's formula, and what mends it; what it was before stays, paler. Empty: nothing. */
  fault(words: string, more: Node | "" = ""): void {
    if (words !== this.#faultShown) this.#fault.replaceChildren(words, more);
    this.#faultShown = words;
    show(this.#fault, words !== "");
    this.element.classList.toggle("faulty", words !== "");
  }

  /** Say that units have no axis, empty if all have one, and offer them a chart of their own. */
  third(words: string, apart: (() => void) | null): void {
    if (words === this.#thirdShown) return;
    this.#thirdShown = words;
    show(this.#third, words !== "");
    const open = apart && h("button", { type: "button", class: "link-button", onclick: apart }, "Open beside it");
    this.#third.replaceChildren(h("span", {}, words), open ?? "");
    this.#third.title = words;
  }

  loading(yes: boolean, title: string): void {
    show(this.#skeleton, yes);
    setAttribute(this.element, "aria-busy", String(yes));
    setAttribute(this.element, "aria-label", title);
    setAttribute(this.element, "data-metric", title);
    if (this.silent) setAttribute(this.plotHost, "aria-label", `${title || "Chart"}, loading`);
    if (yes) setText(this.#name, "");
  }

  /** What is said of a chart without series; empty: that nothing is published under its name. */
  nothing = "";
  /** Labels that its series lack, in words; empty: there are no series. */
  lacks = "";

  /** Show that nothing has been published under the chart's name, or nothing with the labels that are asked for. */
  absent(yes: boolean, title: string): void {
    show(this.#nothing, yes);
    if (!yes) return;
    this.loading(false, title);
    setText(this.#name, title);
    const words = this.nothing || "Nothing published under this name yet";
    setText(this.#nothing, this.lacks ? `No series has ${this.lacks}` : words);
    setAttribute(
      this.plotHost,
      "aria-label",
      `${title}, ${this.lacks ? "hidden by a label" : this.nothing || "nothing published yet"}`,
    );
  }

  update(
    title: string,
    unit: string,
    state: Freshness,
    words: { word: string; value: string },
    alert: "warn" | "critical" | null,
    paused: boolean,
  ): void {
    setText(this.#name, title);
    setText(this.#unit, unit);
    setAttribute(this.element, "data-state", state);
    const silent = isSilent(state);
    show(this.#pill, silent);
    if (silent) setText(this.#pillText, `${words.word} ${words.value}`.trim());
    show(this.#fresh, !silent);
    this.#fresh.classList.toggle("paused", paused);
    show(this.#freshDot, !paused && state === "live");
    setText(this.#freshText, paused ? "PAUSED" : `${words.word} ${words.value}`.trim());
    const shown = silent ? "" : (alert ?? "");
    if (shown !== this.#alertNow) {
      this.#alertNow = shown;
      show(this.#alert, shown !== "");
      this.#alert.className = `pill ${shown}`;
      if (shown)
        this.#alert.replaceChildren(icon(shown as "warn" | "critical", 12), shown === "warn" ? "WARN" : "CRITICAL");
    }
  }

  /** True until the chart has a label for screen readers. */
  get silent(): boolean {
    return !this.plotHost.hasAttribute("data-spoken");
  }

  speak(text: string): void {
    this.plotHost.dataset.spoken = "";
    setAttribute(this.plotHost, "aria-label", text);
  }

  fail(title: string, error: Error): void {
    this.failed = true;
    this.#copyText = `${title}: ${error.message}\n${error.stack ?? ""}`;
    setText(this.#name, title);
    setText(this.#unit, "");
    this.events.update(null, title);
    for (const part of [this.plotHost, this.legend.element, this.#skeleton, this.#pill, this.#fresh, this.#alert])
      show(part, false);
    const sentence = /\.$/.test(error.message) ? error.message : `${error.message}.`;
    this.#error.replaceChildren(
      icon("critical"),
      h(
        "div",
        {},
        h("strong", {}, "This chart stopped"),
        h("p", {}, `${sentence} The other charts continue.`),
        h(
          "div",
          { class: "row" },
          h(
            "button",
            { type: "button", class: "button", "data-tw": "chart-reload", onclick: () => this.#reload() },
            "Reload chart",
          ),
          h(
            "button",
            {
              type: "button",
              class: "link-button",
              onclick: () => void navigator.clipboard?.writeText(this.#copyText),
            },
            icon("copy", 14),
            "Copy details",
          ),
        ),
      ),
    );
    show(this.#error, true);
  }

  clearError(): void {
    if (!this.failed) return;
    this.failed = false;
    show(this.#error, false);
    show(this.plotHost, true);
    show(this.legend.element, true);
  }
}
