/** A button with a menu, closed by Esc, by a choice or by a press outside. */
import { focusedAt, h, opensElsewhere, setAttribute, show } from "./dom";

export interface MenuItem {
  text: string;
  /** The keyboard shortcut, shown at the right. */
  key?: string;
  /** Absent: a heading. */
  choose?: () => void;
  /** Opens in a new tab as well. */
  href?: string;
  hook?: string;
  chosen?: boolean;
}

export class Menu {
  readonly element: HTMLElement;
  readonly #list = h("div", { class: "menu", role: "menu" });
  readonly #away = (event: Event): void => {
    if (!event.composedPath().includes(this.element)) this.close(false);
  };
  readonly #items: () => readonly MenuItem[];

  constructor(
    readonly button: HTMLButtonElement,
    items: () => readonly MenuItem[],
    hook: string,
  ) {
    this.#items = items;
    setAttribute(button, "aria-haspopup", "menu");
    setAttribute(button, "aria-expanded", "false");
    this.#list.dataset.tw = hook;
    show(this.#list, false);
    this.element = h("span", { class: "anchor" }, button, this.#list);
    button.addEventListener("click", () => (this.#list.hidden ? this.open() : this.close(true)));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", this.#away);
  }

  open(): void {
    this.#list.replaceChildren(...this.#items().map((item) => this.#line(item)));
    show(this.#list, true);
    // A menu that would leave the page at the right is aligned with the button's right edge.
    this.#list.classList.remove("from-right");
    if (this.#list.getBoundingClientRect().right > window.innerWidth - 8) this.#list.classList.add("from-right");
    setAttribute(this.button, "aria-expanded", "true");
    const first =
      this.#list.querySelector<HTMLElement>("[aria-current]") ??
      this.#list.querySelector<HTMLElement>("[role=menuitem]");
    first?.focus();
  }

  close(focus: boolean): void {
    if (this.#list.hidden) return;
    show(this.#list, false);
    setAttribute(this.button, "aria-expanded", "false");
    if (focus) this.button.focus();
  }

  #line(item: MenuItem): HTMLElement {
    const { choose, href } = item;
    if (!choose) return h("div", { class: "menu-note" }, item.text);
    const tag = href === undefined ? "button" : "a";
    const parts = [h("span", {}, item.text), item.key ? h("kbd", {}, item.key) : null] as const;
    const line = h(
      tag,
      {
        role: "menuitem",
        class: "menu-item",
        "data-tw": item.hook,
        href,
        type: href === undefined ? "button" : undefined,
        "aria-current": item.chosen ? "true" : undefined,
      },
      ...parts,
    );
    line.addEventListener("click", (event: Event) => {
      if (href !== undefined && opensElsewhere(event as MouseEvent)) return;
      event.preventDefault();
      this.close(true);
      choose();
    });
    return line;
  }

  #key(event: KeyboardEvent): void {
    if (this.#list.hidden) return;
    if (event.key === "Escape") this.close(true);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const items = Array.from(this.#list.querySelectorAll<HTMLElement>("[role=menuitem]"));
      const at = items.indexOf(focusedAt(this.#list) as HTMLElement);
      items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  destroy(): void {
    document.removeEventListener("pointerdown", this.#away);
  }
}
