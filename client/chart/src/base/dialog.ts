/** A modal dialog, closed by Esc, by its button or by a press outside; the focus returns. */
import { focusedAt, h, iconButton, show } from "./dom";

const FOCUSABLE = "button:not([disabled]), input:not([disabled]), select, a[href], [tabindex='0']";

export class Dialog {
  readonly element: HTMLElement;
  readonly #title = h("h2", { id: "tw-dialog-title" });
  readonly #content = h("div", { class: "dialog-content" });
  readonly #box: HTMLElement;
  #before: HTMLElement | null = null;
  #closed: () => void = () => undefined;

  constructor() {
    const close = iconButton("close", "Close (Esc)", () => this.close(), "dialog-close");
    this.#box = h(
      "div",
      {
        class: "dialog-box",
        role: "dialog",
        "aria-modal": "true",
        "aria-labelledby": "tw-dialog-title",
        "data-tw": "dialog",
        tabindex: "-1",
      },
      h("div", { class: "dialog-head" }, this.#title, close),
      this.#content,
    );
    this.element = h("div", { class: "dialog" }, this.#box);
    this.element.addEventListener("pointerdown", (event) => {
      if (event.target === this.element) this.close();
    });
    // The dialog handles only Esc, and Tab at either end; fields get all other keys.
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
      else if (event.key !== "Tab" || !this.#turn(event.shiftKey)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    show(this.element, false);
  }

  get open(): boolean {
    return !this.element.hidden;
  }

  /** Open it; `closed` is called when it closes. */
  show(title: string, content: HTMLElement, closed: () => void = () => undefined, wide = false): void {
    if (this.open) this.#closed();
    else this.#before = this.#focused();
    this.#title.textContent = title;
    this.#box.classList.toggle("wide", wide);
    this.#content.replaceChildren(content);
    this.#closed = closed;
    show(this.element, true);
    (content.querySelector<HTMLElement>("[autofocus]") ?? this.#box).focus();
  }

  close(): void {
    if (!this.open) return;
    show(this.element, false);
    this.#content.replaceChildren();
    this.#closed();
    this.#before?.focus();
  }

  /** While it is open, keys do nothing on the page behind it. */
  key(event: KeyboardEvent): boolean {
    if (!this.open) return false;
    if (event.key === "Escape") this.close();
    return !["Enter", " ", "Tab", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"].includes(event.key);
  }

  #focused(): HTMLElement | null {
    return focusedAt(this.element);
  }

  /** Keep Tab inside the dialog; true if the focus was moved. */
  #turn(back: boolean): boolean {
    const all = Array.from(this.#box.querySelectorAll<HTMLElement>(FOCUSABLE)).filter((one) => one.checkVisibility());
    const [first, last] = [all[0], all[all.length - 1]];
    const at = this.#focused();
    if (at !== (back ? first : last) && at !== this.#box) return false;
    (back ? last : first)?.focus();
    return true;
  }
}
