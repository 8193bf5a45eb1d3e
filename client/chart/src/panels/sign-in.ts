/** The dialog that asks for a new token when the session has expired. The page stays as it is. */

import { h } from "../base/dom";
import { clock } from "../base/format";
import type { AppContext } from "./app-context";

export class SignIn {
  readonly #token = h("input", {
    class: "field",
    type: "password",
    required: true,
    autocomplete: "off",
    placeholder: "tw_…",
    "aria-label": "Token",
    "data-tw": "sign-in-token",
    autofocus: true,
  });
  readonly #message = h("p", { class: "dialog-message", role: "alert", "data-tw": "sign-in-message" });
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  open(): void {
    const app = this.#app;
    this.#message.textContent = "";
    const since = clock(app.session.link.lostAtMs);
    const buttons = h(
      "div",
      { class: "row" },
      h("button", { type: "submit", class: "button primary", "data-tw": "sign-in" }, "Log in"),
      h(
        "button",
        { type: "button", class: "button", "data-tw": "keep-looking", onclick: () => app.dialog.close() },
        "Stay on this page",
      ),
      h("span", { class: "grow" }),
      h("button", { type: "button", class: "link-button", onclick: () => location.reload() }, "Other ways to log in"),
    );
    const form = h(
      "form",
      { class: "form" },
      h("p", {}, `Your session ended at ${since}. Nothing on this page is lost; the charts resume where they stopped.`),
      this.#token,
      this.#message,
      buttons,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    app.dialog.show("Log in again", form);
  }

  /** Log in and reload: the URL holds all of the page's state. */
  async #submit(): Promise<void> {
    this.#message.textContent = "Logging in…";
    try {
      const answer = await fetch(`${this.#app.options.prefix}/login`, {
        method: "POST",
        body: new URLSearchParams({ token: this.#token.value }),
        redirect: "manual",
      });
      if (answer.type === "opaqueredirect") return location.reload();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      this.#message.textContent = page.querySelector(".bad")?.textContent ?? `The dashboard answered ${answer.status}`;
    } catch {
      this.#message.textContent = "The dashboard cannot be reached";
    }
  }
}
