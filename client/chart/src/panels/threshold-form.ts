/** The thresholds of a chart's series in the drawer: a list, and a form to add one. They apply to all users. */

import { h, icon, iconButton, messageLine, show } from "../base/dom";
import { longSpan } from "../base/format";
import { labelKey, legendLabel } from "../base/naming";
import { type ShownUnit, shownUnit } from "../base/units";
import type { Series } from "../model/directory";
import { applies, limitText } from "../model/thresholds";
import type { Level, Threshold } from "../wire/messages";

type Side = "above" | "below";
type Field = `${Level}_${Side}`;

const FIELDS: readonly (readonly [Field, Level, string])[] = [
  ["critical_above", "critical", "Critical above"],
  ["warn_above", "warn", "Warn above"],
  ["warn_below", "warn", "Warn below"],
  ["critical_below", "critical", "Critical below"],
];

const given = (value: number | null | undefined): value is number => typeof value === "number";

/** Add a limit: to the threshold with the same series, `for_s` and `hysteresis`, or as a new one. */
export function withLimit(all: readonly Threshold[], field: Field, limit: Threshold): Threshold[] {
  const same = (one: Threshold): boolean =>
    one.metric === limit.metric &&
    labelKey(one.labels ?? {}) === labelKey(limit.labels ?? {}) &&
    (one.for_s ?? 0) === (limit.for_s ?? 0) &&
    (one.hysteresis ?? 0) === (limit.hysteresis ?? 0);
  const at = all.findIndex(same);
  if (at < 0) return [...all, limit];
  return all.map((one, i) => (i === at ? { ...one, [field]: limit[field] } : one));
}

/** Remove a limit, and the threshold if it was its last. */
export function withoutLimit(all: readonly Threshold[], threshold: Threshold, field: Field): Threshold[] {
  const left = { ...threshold, [field]: null };
  const empty = FIELDS.every(([name]) => !given(left[name]));
  return all.flatMap((one) => (one !== threshold ? [one] : empty ? [] : [left]));
}

export class ThresholdForm {
  readonly element = h("section", { class: "drawer-section", "data-tw": "drawer-thresholds" });
  readonly #rows = h("div", {});
  readonly #form = h("form", { class: "form", "data-tw": "threshold-form" });
  readonly #message = messageLine("threshold-message");
  readonly #add = iconButton("plus", "Add a threshold", () => this.#toggle(), "threshold-add");
  #all: readonly Threshold[] = [];
  #series: readonly Series[] = [];
  #unit: ShownUnit = shownUnit("", 0);
  #drawn = "";
  readonly #save: (all: readonly Threshold[]) => Promise<boolean>;

  /** `save` stores all thresholds; it resolves with false if another user changed them meanwhile. */
  constructor(save: (all: readonly Threshold[]) => Promise<boolean>) {
    this.#save = save;
    this.element.append(
      h("div", { class: "drawer-head" }, h("h3", {}, "Thresholds"), this.#add),
      this.#rows,
      this.#form,
      this.#message,
    );
    show(this.#form, false);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#toggle();
    });
  }

  update(all: readonly Threshold[], series: readonly Series[], unit: ShownUnit): void {
    this.#all = all;
    this.#unit = unit;
    const key = JSON.stringify([all, series.map(({ index }) => index), unit]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    if (this.#series.map(({ index }) => index).join() !== series.map(({ index }) => index).join())
      show(this.#form, false);
    this.#series = series;
    const rows = all
      .filter((one) => series.some((own) => applies(one, own)))
      .flatMap((one) =>
        FIELDS.filter(([field]) => given(one[field])).map(([field, level, words]) =>
          this.#row(one, field, level, words),
        ),
      );
    this.#rows.replaceChildren(...(rows.length ? rows : [h("p", { class: "muted" }, "None")]));
  }

  #shown(value: number): string {
    return limitText(value, this.#unit);
  }

  #row(threshold: Threshold, field: Field, level: Level, words: string): HTMLElement {
    const labels = legendLabel(threshold.labels ?? {});
    const others = threshold.metric.includes("*") ? `all of ${threshold.metric}` : "";
    const manners = [
      labels,
      others,
      threshold.for_s ? `for ${longSpan(threshold.for_s * 1e3)}` : "",
      threshold.hysteresis ? `back by ${this.#shown(threshold.hysteresis)}` : "",
    ]
      .filter(Boolean)
      .join(" · ");
    const remove = iconButton(
      "close",
      `Remove: ${words} ${this.#shown(threshold[field] as number)}`,
      () => void this.#put(withoutLimit(this.#all, threshold, field)),
      "threshold-remove",
      12,
    );
    const value = h(
      "span",
      { class: "limit-value" },
      h("b", {}, this.#shown(threshold[field] as number)),
      ` ${this.#unit.text}`,
    );
    return h(
      "div",
      { class: `drawer-row ${level}` },
      icon(level, 14),
      h("span", { class: "limit-words" }, words, manners ? h("small", {}, manners) : null),
      value,
      remove,
    );
  }

  #toggle(): void {
    const open = Boolean(this.#form.hidden);
    if (open) this.#build();
    show(this.#form, open);
    this.#message.textContent = "";
    if (open) this.#form.querySelector<HTMLElement>("input")?.focus();
    else this.#add.focus();
  }

  #build(): void {
    const unit = this.#unit;
    const metrics = [...new Set(this.#series.map(({ metric }) => metric))];
    const option = (value: string, text: string): HTMLElement => h("option", { value }, text);
    const whole = metrics.map((metric, i) =>
      option(`m${i}`, metrics.length > 1 || this.#series.length > 1 ? `all of ${metric}` : metric),
    );
    const single =
      this.#series.length > 1
        ? this.#series
            .filter(({ key }) => key)
            .map((one) => option(`s${one.index}`, metrics.length > 1 ? `${one.metric} ${one.legend}` : one.legend))
        : [];
    const number = (name: string, label: string, required: boolean): HTMLElement =>
      h(
        "label",
        {},
        label,
        h("input", {
          class: "field",
          name,
          type: "number",
          step: "any",
          min: required ? undefined : "0",
          required,
          placeholder: required ? undefined : "0",
        }),
      );
    this.#form.replaceChildren(
      h(
        "div",
        { class: "form-row" },
        h(
          "label",
          {},
          "When",
          h("select", { class: "field", name: "field" }, ...FIELDS.map(([field, , words]) => option(field, words))),
        ),
        number("value", `Value${unit.text ? `, ${unit.text}` : ""}`, true),
      ),
      h("label", {}, "Series", h("select", { class: "field", name: "scope" }, ...whole, ...single)),
      h(
        "div",
        { class: "form-row" },
        number("for_s", "For, seconds", false),
        number("hysteresis", "Clears when back by", false),
      ),
      h(
        "div",
        { class: "row" },
        h("button", { type: "submit", class: "button primary", "data-tw": "threshold-save" }, "Add"),
        h("button", { type: "button", class: "button", onclick: () => this.#toggle() }, "Cancel"),
      ),
    );
    const select = this.#form.elements.namedItem("field") as HTMLSelectElement;
    select.value = "warn_above";
  }

  async #submit(): Promise<void> {
    const { divisor } = this.#unit;
    const data = new FormData(this.#form);
    const field = String(data.get("field")) as Field;
    const scope = String(data.get("scope"));
    const number = (name: string, scale = 1): number => Number(data.get(name) || 0) * scale;
    const metrics = [...new Set(this.#series.map(({ metric }) => metric))];
    const single = this.#series.find(({ index }) => `s${index}` === scope);
    const limit: Threshold = {
      metric: single?.metric ?? metrics[Number(scope.slice(1))],
      labels: { ...single?.labels },
      [field]: number("value", divisor),
      for_s: number("for_s"),
      hysteresis: number("hysteresis", divisor),
    };
    if (await this.#put(withLimit(this.#all, field, limit))) this.#toggle();
  }

  async #put(all: readonly Threshold[]): Promise<boolean> {
    this.#message.textContent = "Saving…";
    try {
      const saved = await this.#save(all);
      this.#message.textContent = saved
        ? ""
        : "Another user has just changed the thresholds; the list is up to date now. Try again.";
      return saved;
    } catch (error) {
      this.#message.textContent = `Not saved: ${(error as Error).message}`;
      return false;
    }
  }
}
