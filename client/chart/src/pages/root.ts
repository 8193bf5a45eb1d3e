/** The element that holds all of a page or a notebook chart, with the style sheet. */

import { h } from "../base/dom";
import deckCss from "../deck.css";

/** Make the element; `more` are style sheets after the deck's own. */
export const deckRoot = (...more: string[]): HTMLElement =>
  h("div", { class: "tw-deck", "data-tw": "deck" }, h("style", {}, deckCss, ...more));
