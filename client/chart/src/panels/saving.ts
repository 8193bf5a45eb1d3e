/** The dialog that saves a deck by name, and asks what to do if another user saved a newer version. */

import { h, messageLine } from "../base/dom";
import { clock } from "../base/format";
import { type SavedDeck, slugOf } from "../model/saved-decks";
import type { AppContext } from "./app-context";

export class Saving {
  readonly #message = messageLine("save-message");
  readonly #name = h("input", {
    class: "field",
    type: "text",
    maxlength: "60",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Name of the deck",
    "data-tw": "save-name",
    autofocus: true,
  });
  readonly #buttons = h("div", { class: "row" });
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  open(): void {
    const app = this.#app;
    this.#name.value = app.savedDecks.saved?.name ?? app.state.slug;
    this.#message.textContent = "";
    this.#showButtons();
    const form = h(
      "form",
      { class: "form" },
      h("label", {}, "Name", this.#name),
      h("p", { class: "muted" }, "Charts, their sizes and the window are saved in the service, for everybody."),
      this.#message,
      this.#buttons,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save(this.#seenVersion());
    });
    app.dialog.show("Save this deck", form);
    this.#name.select();
  }

  /** The etag to save over; empty for a new name, which must be free. */
  #seenVersion(): string {
    const { saved } = this.#app.savedDecks;
    return saved?.slug === slugOf(this.#name.value) ? saved.etag : "";
  }

  #button(text: string, hook: string, press: () => void, primary = false): HTMLElement {
    return h(
      "button",
      {
        type: primary ? "submit" : "button",
        class: primary ? "button primary" : "button",
        "data-tw": hook,
        onclick: primary ? undefined : press,
      },
      text,
    );
  }

  /** Show Save and Cancel, and Delete if the deck is saved. */
  #showButtons(): void {
    const { savedDecks } = this.#app;
    const remove = this.#button("Delete…", "save-delete", () => this.#confirmDelete());
    remove.hidden = savedDecks.saved === null;
    this.#buttons.replaceChildren(
      this.#button("Save", "save", () => undefined, true),
      this.#button("Cancel", "save-cancel", () => this.#app.dialog.close()),
      h("span", { class: "grow" }),
      remove,
    );
  }

  #confirmDelete(): void {
    const { savedDecks, dialog } = this.#app;
    const { saved } = savedDecks;
    if (!saved) return;
    this.#message.textContent = `Delete “${saved.name}” for everybody?`;
    const remove = async (): Promise<void> => {
      try {
        // What is restored is what was deleted, by whomever it was saved last.
        const newest = (await savedDecks.read()) ?? saved;
        await savedDecks.remove(newest.slug);
        dialog.close();
        this.#app.offerUndo(`Deck “${newest.name}” deleted`, () => void this.#restore(newest));
      } catch (error) {
        this.#fail(error as Error);
      }
    };
    const yes = this.#button("Delete", "save-delete-yes", () => void remove());
    this.#buttons.replaceChildren(
      yes,
      this.#button("Keep", "save-delete-no", () => this.#showButtons()),
    );
    yes.focus();
  }

  /** Save a deck that was deleted, unless there is another of its name by now. */
  async #restore({ name, state, slug }: SavedDeck): Promise<void> {
    const failed = (reason: string): void => this.#app.notify(`Not restored: ${reason}`);
    try {
      if ((await this.#app.savedDecks.save(name, state, "", slug)) !== null) failed("another deck has its name");
    } catch (error) {
      failed((error as Error).message);
    }
  }

  #fail(error: Error): void {
    this.#message.textContent = `Not saved: ${error.message}`;
    this.#showButtons();
  }

  async #save(over: string | null): Promise<void> {
    const app = this.#app;
    const name = this.#name.value.trim();
    if (!slugOf(name)) {
      this.#message.textContent = "A name needs a letter or a digit";
      this.#name.focus();
      return;
    }
    this.#message.textContent = "Saving…";
    try {
      const conflicting = await app.savedDecks.save(name, app.exported(), over);
      if (conflicting !== null) return await this.#conflict(name, conflicting);
    } catch (error) {
      return this.#fail(error as Error);
    }
    app.dialog.close();
    app.savedAs(slugOf(name));
    app.notify(`Saved as “${name}”`);
  }

  /** Explain that the saved version is not the one that was read here. */
  async #conflict(name: string, etag: string): Promise<void> {
    const app = this.#app;
    await app.savedDecks.refresh();
    const other = app.savedDecks.decks.find(({ slug }) => slug === slugOf(name));
    this.#message.textContent = !etag
      ? `“${name}” has been deleted.`
      : this.#seenVersion()
        ? `“${name}” was changed by another user at ${clock(other?.updated_ms ?? NaN)}.`
        : `A deck “${other?.name ?? name}” exists already, saved at ${clock(other?.updated_ms ?? NaN)}.`;
    const over = this.#button("Overwrite", "save-over", () => void this.#save(etag));
    const open = this.#button(
      this.#seenVersion() ? "Open the newer version" : "Open the existing deck",
      "save-open",
      () => {
        app.dialog.close();
        app.reopen(slugOf(name));
      },
    );
    this.#buttons.replaceChildren(
      over,
      ...(etag ? [open] : []),
      this.#button("Cancel", "save-cancel", () => app.dialog.close()),
    );
    over.focus();
  }
}
