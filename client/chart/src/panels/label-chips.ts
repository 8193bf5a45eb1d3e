/** Chips of labels, `line: A ▾`: each chooses the value that series must have to be shown. */

import { h, icon, show } from "../base/dom";
import { formatNumber } from "../base/format";
import { Menu } from "../base/menu";
import { type Labels, labelOf } from "../base/naming";
import { chipsOf, type LabelChoice, labelChoices, withLabel } from "../model/labels";
import type { AppContext } from "./app-context";

/** Values that a menu lists; a label of more is searched for by `label=value`. */
const MOST_VALUES = 200;

export class LabelChips {
  readonly element = h("div", { class: "chips", role: "group", "aria-label": "Labels", "data-tw": "chips" });
  #menus: Menu[] = [];
  #choices: readonly LabelChoice[] = [];
  #version = -1;
  #drawn = "";
  #added: string[] = [];
  readonly #app: AppContext;
  readonly #labelled: () => readonly { readonly labels: Labels }[];

  /** `labelled` returns what has the labels; by default all series. */
  constructor(
    app: AppContext,
    labelled = (): readonly { readonly labels: Labels }[] => app.session.directory.measured,
  ) {
    this.#app = app;
    this.#labelled = labelled;
    show(this.element, false);
  }

  /** Show the chips of the directory and the state; nothing is done while both are as before. */
  update(): void {
    const { directory } = this.#app.session;
    const { labels } = this.#app.state;
    if (directory.version !== this.#version) {
      this.#version = directory.version;
      this.#choices = labelChoices(this.#labelled());
    }
    const names = chipsOf(this.#choices, labels, this.#added);
    const key = JSON.stringify([names, labels, this.#choices.map(({ name, values }) => [name, values.length])]);
    show(this.element, names.length > 0);
    if (key === this.#drawn) return;
    this.#drawn = key;
    for (const menu of this.#menus) menu.destroy();
    this.#menus = names.map((name) => this.#chip(name, labelOf(labels, name) ?? null));
    const others = this.#choices.filter(({ name }) => !names.includes(name));
    if (others.length) this.#menus.push(this.#more(others));
    this.element.replaceChildren(...this.#menus.map((menu) => menu.element));
  }

  /** Have the labels read anew by the next update: they are of other series. */
  forget(): void {
    this.#version = -1;
  }

  #chip(name: string, chosen: string | null): Menu {
    const values = this.#choices.find((one) => one.name === name)?.values ?? [];
    const choose = (value: string | null): void => {
      this.#app.change({ labels: withLabel(this.#app.state.labels, name, value) }, true);
      const again = [...this.element.querySelectorAll<HTMLElement>(".chip")].find((one) => one.dataset.label === name);
      again?.focus();
    };
    const button = h(
      "button",
      { type: "button", class: chosen === null ? "chip" : "chip set", "data-label": name, "data-tw": "chip" },
      h("span", { class: "chip-name" }, `${name}: `),
      h("b", {}, chosen ?? `all ${formatNumber(values.length, 0)}`),
      icon("chevron", 12),
    );
    const items = [
      { text: "all", choose: () => choose(null), chosen: chosen === null, hook: "chip-all" },
      ...values.slice(0, MOST_VALUES).map(([value, count]) => ({
        text: value === "" ? "(empty)" : value,
        key: formatNumber(count, 0),
        choose: () => choose(value),
        chosen: value === chosen,
        hook: "chip-value",
      })),
      ...(values.length > MOST_VALUES
        ? [{ text: `${formatNumber(values.length - MOST_VALUES, 0)} more: search for ${name}=…` }]
        : []),
    ];
    return new Menu(button, () => items, "chip-menu");
  }

  #more(others: readonly LabelChoice[]): Menu {
    const button = h(
      "button",
      { type: "button", class: "chip more", "data-tw": "chip-more" },
      icon("plus", 12),
      h("span", {}, "label"),
    );
    return new Menu(
      button,
      () =>
        others.map(({ name }) => ({
          text: name,
          hook: "chip-add",
          choose: () => {
            this.#added.push(name);
            this.update();
            const chip = [...this.element.querySelectorAll<HTMLElement>(".chip")].find(
              (one) => one.dataset.label === name,
            );
            chip?.focus();
          },
        })),
      "chip-more-menu",
    );
  }

  destroy(): void {
    for (const menu of this.#menus) menu.destroy();
  }
}
