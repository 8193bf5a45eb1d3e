/** The links over the tiles of the overview, for the pointer, the keyboard and screen readers: one per visible tile. */

import { h, onFollow, setAttribute, show } from "../base/dom";
import { changeWords } from "../base/format";
import { fullName } from "../base/naming";
import type { TileMoment } from "../canvas/tile";
import type { TileBox } from "../canvas/tile-layout";
import type { Series } from "../model/directory";
import { FRESH, type PageState } from "../model/url";
import type { AppContext } from "./app-context";
import { describe } from "./catalogue";

/** The page that a tile opens: the deck of its group, with one chart. */
export function pageOf({ group, metric }: Series): Partial<PageState> {
  return { page: "deck", slug: group, ...FRESH, charts: [{ series: [{ metric }], columns: 12 }] };
}

export class TileLinks {
  readonly element = h("div", { class: "tile-layer", "data-tw": "tile-layer", role: "group", "aria-label": "Series" });
  readonly #links: HTMLAnchorElement[] = [];
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  /** Set the size of the area that the links lie in, in px of the layout, and how much larger it is shown. */
  resize(height: number, scale: number): void {
    this.element.style.setProperty("zoom", String(scale));
    this.element.style.height = `${height}px`;
  }

  /** Place a link over each of these tiles. */
  place(tiles: readonly TileBox[], moment: TileMoment): void {
    tiles.forEach(({ series, left, top, width }, i) => {
      const link = this.#links[i] ?? this.#create();
      show(link, true);
      link.style.transform = `translate(${left}px,${top}px)`;
      link.style.width = `${width}px`;
      setAttribute(link, "href", this.#app.addressOf(pageOf(series)));
      link.dataset.series = String(series.index);
      const slot = moment.ring.slots.get(series.index);
      setAttribute(link, "aria-label", describe(series, slot, moment));
      const change = slot && !Number.isNaN(slot.change) ? `\n${changeWords(slot.change, moment.windowMs)}` : "";
      setAttribute(link, "title", fullName(series) + change);
    });
    for (let i = tiles.length; i < this.#links.length; i++) show(this.#links[i], false);
  }

  /** Focus the first link; false if there is none. */
  focus(): boolean {
    const [first] = this.#links;
    if (!first || first.hidden) return false;
    first.focus();
    return true;
  }

  #create(): HTMLAnchorElement {
    const link = h("a", { class: "tile-link", "data-tw": "tile" });
    onFollow(link, () => {
      const series = this.#app.session.directory.byIndex.get(Number(link.dataset.series));
      if (series) this.#app.change(pageOf(series), true);
    });
    this.#links.push(link);
    this.element.append(link);
    return link;
  }
}
