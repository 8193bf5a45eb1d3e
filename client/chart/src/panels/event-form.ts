/** The form that publishes an event: a mark below all charts, or below those of its labels. */

import { h, messageLine } from "../base/dom";
import { clock, day } from "../base/format";
import { type Labels, labelOf, legendLabel } from "../base/naming";
import type { Series } from "../model/directory";
import type { AppContext } from "./app-context";

export class EventForm {
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
  }

  /** Ask what happened at a time; `series` are those of the chart on which it was pointed at. */
  open(timeMs: number, series: readonly Series[]): void {
    const { dialog, session } = this.#app;
    const message = messageLine("event-message");
    const text = h("input", {
      class: "field",
      type: "text",
      maxlength: "200",
      required: true,
      autocomplete: "off",
      "data-tw": "event-text",
      autofocus: true,
    });
    const shared = sharedLabels(series);
    const own = h("option", { value: "own" }, `Below charts of ${legendLabel(shared)}`);
    const where = h(
      "select",
      { class: "field", "data-tw": "event-where" },
      h("option", { value: "" }, "Below all charts"),
      own,
    );
    const button = h("button", { type: "submit", class: "button primary", "data-tw": "event-add" }, "Add");
    const form = h(
      "form",
      { class: "form" },
      h("label", {}, "What happened", text),
      Object.keys(shared).length > 0 ? h("label", {}, "Where", where) : null,
      h("p", { class: "muted" }, `${day(timeMs)} ${clock(timeMs)}, for everybody; an event cannot be removed.`),
      message,
      h("div", { class: "row" }, button),
    );
    const add = async (): Promise<void> => {
      message.textContent = "Adding…";
      button.disabled = true;
      const labels = where.value === "own" ? shared : {};
      try {
        await session.requests.send({ t: "add_event", time_ms: timeMs, text: text.value.trim(), labels });
        if (form.isConnected) dialog.close();
      } catch (error) {
        button.disabled = false;
        message.textContent = `Not added: ${(error as Error).message}`;
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (text.value.trim() && !button.disabled) void add();
    });
    dialog.show("Add an event", form);
  }
}

/** The labels that all series have. */
function sharedLabels(series: readonly Series[]): Labels {
  const [first, ...others] = series.map(({ labels }) => labels);
  const shared = Object.entries(first ?? {}).filter(([name, value]) =>
    others.every((labels) => labelOf(labels, name) === value),
  );
  return Object.fromEntries(shared);
}
