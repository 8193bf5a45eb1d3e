/** The footer of a wall (`?kiosk=1`), and the navigation bar of a phone. */

import { h, type IconName, icon, mark, setText, show } from "../base/dom";
import { clock, formatNumber, longSpan, spanText } from "../base/format";
import { zoneText } from "../base/zone";
import type { AppContext } from "./app-context";

export class Footer {
  /** Of a wall: the page, the counts of alarms, and the time. */
  readonly wall: HTMLElement;
  readonly bar: HTMLElement;
  readonly #name = h("strong", {});
  readonly #span = h("span", { class: "wall-span" });
  readonly #critical = h("span", { class: "wall-critical" });
  readonly #warn = h("span", { class: "wall-warn" });
  readonly #stale = h("span", { class: "wall-stale" });
  readonly #word = h("strong", { class: "wall-word" });
  readonly #age = h("span", { class: "wall-span" });
  readonly #time = h("span", { class: "wall-clock" });
  readonly #zone = h("span", { class: "wall-span", "data-tw": "wall-zone" });
  readonly #buttons = new Map<string, HTMLElement>();
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    const leave = h(
      "button",
      { type: "button", class: "button", "data-tw": "leave-wall", onclick: () => app.change({ kiosk: false }) },
      "Leave",
    );
    this.wall = h(
      "footer",
      { class: "wall", "data-tw": "wall" },
      mark(20),
      this.#name,
      this.#span,
      app.turns,
      h("span", { class: "grow" }),
      leave,
      this.#critical,
      this.#warn,
      this.#stale,
      h("span", { class: "sep" }),
      h("i", { class: "live-dot" }),
      this.#word,
      this.#age,
      h("span", { class: "sep" }),
      this.#time,
      this.#zone,
    );
    const item = (name: IconName, words: string, hook: string, press: () => void): HTMLElement => {
      const button = h(
        "button",
        { type: "button", "data-tw": hook, onclick: press },
        icon(name, 18),
        h("span", {}, words),
      );
      this.#buttons.set(hook, button);
      return button;
    };
    this.bar = h(
      "nav",
      { class: "bar", "aria-label": "Navigation", "data-tw": "bar" },
      item("tiles", "Overview", "bar-overview", () => app.visit("overview", "")),
      item("deck", "Decks", "bar-decks", () => app.header.openDecks()),
      item("search", "Metrics", "bar-metrics", () => app.focusSearch()),
      item("link", "Share", "bar-share", () => void app.header.share()),
    );
    this.pageChanged();
  }

  pageChanged(): void {
    const { page } = this.#app.state;
    this.#buttons.get("bar-overview")?.classList.toggle("on", page === "overview");
    this.#buttons.get("bar-decks")?.classList.toggle("on", page === "deck");
  }

  draw(): void {
    const app = this.#app;
    const shown = app.state.kiosk || app.state.embed;
    show(this.wall, shown);
    if (!shown) return;
    const { alerts, critical, stale } = app.alerts.counts;
    const { startMs, endMs } = app.time.shown();
    setText(this.#name, app.state.page === "deck" ? (app.savedDecks.saved?.name ?? app.state.slug) : "Overview");
    setText(
      this.#span,
      app.timeline.zoom ? spanText(startMs, endMs, app.session.now()) : `last ${longSpan(endMs - startMs)}`,
    );
    this.#count(this.#critical, "critical", critical, "critical", "critical");
    this.#count(this.#warn, "warn", alerts - critical, "warn", "warn");
    this.#count(this.#stale, "clock", stale, "stale", "stale");
    const { word, value, tone } = app.header.badgeState();
    this.wall.dataset.tone = tone;
    setText(this.#word, word);
    setText(this.#age, value);
    setText(this.#time, clock(app.session.now()));
    setText(this.#zone, zoneText(app.session.now()));
  }

  #count(element: HTMLElement, name: IconName, n: number, one: string, many: string): void {
    show(element, n > 0);
    const count = formatNumber(n, 0);
    const words = `${count} ${n === 1 ? one : many}`;
    if (element.title === words) return;
    element.title = words;
    element.replaceChildren(icon(name, 15), count, h("span", { class: "wall-what" }, ` ${n === 1 ? one : many}`));
  }
}
