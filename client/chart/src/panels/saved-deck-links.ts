/** The row of links to the saved decks on the overview, newest first. */

import { h, icon, onFollow, show } from "../base/dom";
import { clock, day } from "../base/format";
import { zoneName } from "../base/zone";
import { FRESH } from "../model/url";
import type { AppContext } from "./app-context";

export class SavedDeckLinks {
  readonly element = h("nav", { class: "saved-decks", "aria-label": "Saved decks", "data-tw": "saved-decks" });
  #drawn = "";
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    show(this.element, false);
  }

  draw(): void {
    const { decks } = this.#app.savedDecks;
    const key = zoneName() + JSON.stringify(decks);
    if (key === this.#drawn) return;
    this.#drawn = key;
    const links = decks.map(({ slug, name, updated_ms: savedMs }) => {
      const link = h(
        "a",
        {
          class: "saved-deck",
          href: this.#app.addressOf({ page: "deck", slug, ...FRESH }),
          title: `Saved ${day(savedMs)} ${clock(savedMs, "min")}`,
          "data-tw": "saved-deck",
        },
        icon("deck", 14),
        name,
      );
      onFollow(link, () => this.#app.visit("deck", slug));
      return link;
    });
    this.element.replaceChildren(h("span", { class: "saved-word" }, "Decks"), ...links);
    show(this.element, links.length > 0);
  }
}
