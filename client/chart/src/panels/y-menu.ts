/** The menu of a chart: range, scale, sides and unit of its y axis, and its kind. Each choice is one change of the deck. */

import { swatch } from "../base/colour";
import { focusedAt, h, iconButton, Segments, setAttribute, setText, show } from "../base/dom";
import { lineColour, type Tokens } from "../base/tokens";
import type { Chart } from "../chart/chart";
import { CHART_KINDS } from "../chart/kinds/kinds";
import { type AxisOptions, changedAxis, rangeFault } from "../model/axis-options";
import { defaultColumns, type Kind, otherKind } from "../model/kinds";
import { named } from "../model/layout";
import { nextKind } from "../model/next-kind";
import type { ChartSpec } from "../model/url";
import css from "./y-menu.css";

/** The chart whose axis is set; null once it is gone. */
export interface AxisOwner {
  spec(): ChartSpec | null;
  chart(): Chart | null;
  /** The button that the menu opens under. */
  button(): HTMLElement | null;
  change(part: Partial<Pick<ChartSpec, "axis" | "kind" | "columns">>): void;
}

const PLOT_WORDS: readonly (readonly [Kind, string])[] = [
  ["line", "Line"],
  ["steps", "Steps"],
  ["bars", "Bars"],
  ["points", "Points"],
  ["stacked", "Stacked"],
];
const OTHER_WORDS = [...CHART_KINDS.values()].map(({ name, text }) => [name, text] as const);
const EDGE = 8;

export class YMenu {
  readonly element = h("div", { class: "y-menu", role: "dialog", "aria-label": "y axis", "data-tw": "y-menu" });
  #owner: AxisOwner | null = null;
  readonly #about = h("span", { class: "y-about" });
  readonly #ends = (["lo", "hi"] as const).map((end) => this.#field(end));
  readonly #fault = h("p", { class: "y-fault", role: "status", "data-tw": "y-fault" });
  readonly #zero = this.#switch("From zero", "y-zero", () => this.#set({ zero: this.#axis.zero ? undefined : true }));
  readonly #scale = new Segments<"linear" | "log">(
    "Scale",
    "y-scale",
    [
      ["linear", "Linear"],
      ["log", "Log"],
    ],
    (value) => this.#set({ log: value === "log" ? true : undefined }),
  );
  readonly #inverted = this.#switch("Upside down", "y-inverted", () =>
    this.#set({ inverted: this.#axis.inverted ? undefined : true }),
  );
  readonly #kinds = this.#choices("Drawn as", "y-kinds", PLOT_WORDS);
  readonly #others = this.#choices("Shown as", "y-others", OTHER_WORDS);
  readonly #order = new Segments<"last" | "name">(
    "Order",
    "y-order",
    [
      ["last", "By value"],
      ["name", "By name"],
    ],
    (value) => this.#set({ order: value === "name" ? value : undefined }),
  );
  readonly #orderRow = h("div", { class: "y-row" }, h("span", {}, "Order"), this.#order.element);
  readonly #sides = h("div", { class: "y-group", "data-tw": "y-sides" });
  readonly #unit = h("select", { class: "y-unit", "aria-label": "Unit shown", "data-tw": "y-unit" });
  readonly #unitRow = h("div", { class: "y-row y-group" }, h("span", {}, "Unit shown"), this.#unit);
  readonly #back = h("button", { type: "button", class: "y-back", "data-tw": "y-back" }, "Back to automatic");
  readonly #tokens: () => Tokens;
  readonly #away = (event: Event): void => {
    const path = event.composedPath();
    const button = this.#owner?.button();
    if (!path.includes(this.element) && !(button && path.includes(button))) this.close(false);
  };

  constructor(tokens: () => Tokens) {
    this.#tokens = tokens;
    const key = (text: string): HTMLElement => h("kbd", { "aria-hidden": "true" }, text);
    this.element.append(
      h("style", {}, css),
      h(
        "div",
        { class: "y-row" },
        h("h2", {}, "y axis"),
        this.#about,
        iconButton("close", "Close (Esc)", () => this.close(true), "y-close", 14),
      ),
      h(
        "div",
        { class: "y-row" },
        h("span", {}, "Range"),
        this.#ends[0],
        h("span", { class: "y-to" }, "to"),
        this.#ends[1],
      ),
      this.#fault,
      h("div", { class: "y-row" }, h("span", {}, "From zero"), this.#zero, key("0")),
      h("div", { class: "y-row" }, h("span", {}, "Scale"), this.#scale.element, key("g")),
      h("div", { class: "y-row" }, h("span", {}, "Upside down"), this.#inverted, key("i")),
      h("div", { class: "y-row y-group y-drawn" }, h("span", {}, "Drawn as"), this.#kinds, key("k")),
      h("div", { class: "y-row y-drawn" }, h("span", {}, "Shown as"), this.#others),
      this.#orderRow,
      this.#sides,
      this.#unitRow,
      this.#back,
    );
    this.#unit.addEventListener("change", () => this.#set({ unit: this.#unit.value || undefined }));
    this.#back.addEventListener("click", () => this.#owner?.change({ ...this.#asKind("auto"), axis: undefined }));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", this.#away);
    show(this.element, false);
  }

  get open(): boolean {
    return !this.element.hidden;
  }

  /** Open it for a chart, or close it if it is open for that one. */
  toggle(owner: AxisOwner): void {
    const again = this.open && owner.chart() === this.#owner?.chart();
    if (again) return this.close(true);
    this.#owner = owner;
    show(this.element, true);
    this.refresh();
    this.#focusFirst();
    this.#ends[0].select();
  }

  close(focus: boolean): void {
    if (!this.open) return;
    // A number that was typed is a change, also if the menu closes over it.
    (focusedAt(this.element) as HTMLElement | null)?.blur();
    show(this.element, false);
    if (focus) (this.#owner?.button() ?? this.#owner?.chart()?.card.plotHost)?.focus();
    this.#owner = null;
  }

  /** Show how the chart is set now; close if it is gone. */
  refresh(): void {
    if (!this.open) return;
    const [spec, chart] = [this.#owner?.spec(), this.#owner?.chart()];
    if (!spec || !chart) return this.close(false);
    const { axis = {}, kind = "auto" } = spec;
    const first = chart.series.find((_, i) => chart.sides[i] === 0);
    setText(this.#about, `${first?.metric ?? chart.title}${chart.units.length > 1 ? " · left" : ""}`);
    const drawn = chart.leftAxis;
    (["lo", "hi"] as const).forEach((end, i) => {
      const field = this.#ends[i];
      const value = axis[end];
      const height = drawn?.[end] ?? NaN;
      const auto = axis.log ? 10 ** height : height;
      if (focusedAt(this.element) !== field || value !== undefined || field.value === "")
        field.value = value === undefined ? "" : shortest(value / chart.unit.divisor);
      field.placeholder =
        Number.isFinite(auto) && value === undefined ? `auto ${rounded(auto / chart.unit.divisor)}` : "auto";
    });
    this.#say(this.#warning(axis, chart));
    for (const [button, on] of [
      [this.#zero, axis.zero],
      [this.#inverted, axis.inverted],
    ] as const)
      setAttribute(button, "aria-checked", String(on ?? false));
    this.#scale.select(axis.log ? "log" : "linear");
    this.#showKinds(kind, chart);
    this.#grey(kind);
    show(this.#orderRow, kind === "bar");
    const order = axis.order ?? "last";
    this.#order.select(order === "name" || order === "last" ? order : null);
    this.#showSides(spec, chart);
    this.#showUnits(axis, chart);
    const leaves = focusedAt(this.element) === this.#back;
    this.#back.disabled = kind === "auto" && Object.keys(axis).length === 0;
    if (leaves && this.#back.disabled) this.#focusFirst();
    this.#place();
  }

  get #axis(): AxisOptions {
    return this.#owner?.spec()?.axis ?? {};
  }

  #set(part: Parameters<typeof changedAxis>[1]): void {
    const axis = changedAxis(this.#axis, part);
    this.#owner?.change({ axis: Object.keys(axis).length ? axis : undefined });
  }

  #field(end: "lo" | "hi"): HTMLInputElement {
    const name = end === "lo" ? "Least value" : "Greatest value";
    const field = h("input", { class: "y-field", inputmode: "decimal", "aria-label": name, "data-tw": `y-${end}` });
    field.addEventListener("change", () => this.#typed(end, field.value));
    return field;
  }

  #typed(end: "lo" | "hi", text: string): void {
    const chart = this.#owner?.chart();
    if (!chart) return;
    const plain = text.trim().replaceAll(",", "").replace("−", "-");
    const value = plain === "" ? undefined : Number(plain) * chart.unit.divisor;
    const { lo, hi } = this.#axis;
    const fault = rangeFault({ lo, hi, [end]: value });
    if (fault) return this.#say(fault);
    if (value !== this.#axis[end]) this.#set({ [end]: value });
    else this.#say(this.#warning(this.#axis, chart));
  }

  /** Return why a chart cannot be of a kind now, empty if it can. */
  #misfit(kind: Kind): string {
    const chart = this.#owner?.chart();
    const other = otherKind(kind);
    return (chart && other && CHART_KINDS.get(other)?.misfit(chart)) || "";
  }

  /** Return what changes with a kind: also the width, unless somebody chose that. */
  #asKind(kind: Kind): Pick<ChartSpec, "kind" | "columns" | "axis"> {
    const { kind: before, columns = defaultColumns(kind) } = this.#owner?.spec() ?? {};
    // Only what has rows keeps their order.
    const axis = changedAxis(this.#axis, kind === "bar" || kind === "table" ? {} : { order: undefined });
    return {
      axis: Object.keys(axis).length ? axis : undefined,
      kind: kind === "auto" ? undefined : kind,
      columns: columns === defaultColumns(before) ? defaultColumns(kind) : columns,
    };
  }

  /** Switch off what a kind does not obey. */
  #grey(kind: Kind): void {
    const other = CHART_KINDS.get(otherKind(kind) as never);
    const why = other ? `${other.text}: not used` : "";
    const grey = (parts: Iterable<Element>, off: boolean): void => {
      for (const part of parts) {
        (part as HTMLButtonElement).disabled = off;
        (part as HTMLElement).title = off ? why : "";
      }
    };
    const focused = focusedAt(this.element);
    grey(this.#ends, other !== undefined && !other.ranged);
    grey([this.#zero, this.#inverted, ...this.#scale.element.children], other !== undefined);
    if (focused && (focused as HTMLButtonElement).disabled) this.#focusFirst();
  }

  /** Focus the range, or of a kind that has none the kind. */
  #focusFirst(): void {
    const pressed = this.#others.querySelector<HTMLElement>('[aria-pressed="true"]');
    ((this.#ends[0].disabled && pressed) || this.#ends[0]).focus();
  }

  /** Return what is odd about how the axis is set, though it can be drawn. */
  #warning({ lo, hi, log }: AxisOptions, chart: Chart): string {
    const other = CHART_KINDS.get(this.#owner?.spec()?.kind as never);
    if (other) {
      const used = other.ranged ? "of the y axis only the range is used" : "the y axis is not used";
      this.#fault.classList.toggle("y-note", this.#misfit(other.name) === "");
      return this.#misfit(other.name) || `${other.text}: ${used}`;
    }
    this.#fault.classList.remove("y-note");
    if (log && ((lo ?? 1) <= 0 || (hi ?? 1) <= 0)) return "A log axis begins above 0: this end is automatic";
    const own = chart.traces.filter((trace, i) => chart.sides[i] === 0 && trace.n > 0);
    const outside = own.length > 0 && own.every((trace) => trace.hi < (lo ?? -Infinity) || trace.lo > (hi ?? Infinity));
    return outside ? "No reading in this window is inside this range" : "";
  }

  #say(words: string): void {
    setText(this.#fault, words);
    show(this.#fault, words !== "");
  }

  #switch(label: string, hook: string, press: () => void): HTMLButtonElement {
    return h(
      "button",
      {
        type: "button",
        class: "y-switch",
        role: "switch",
        "aria-label": label,
        "aria-checked": "false",
        "data-tw": hook,
        onclick: press,
      },
      h("i", {}),
    );
  }

  #showKinds(kind: Kind, chart: Chart): void {
    const drawn = kind === "auto" ? (chart.traces.some((trace) => trace.steps) ? "steps" : "line") : kind;
    for (const button of [...this.#kinds.children, ...this.#others.children] as HTMLElement[]) {
      const value = button.dataset.value as Kind;
      const why = value === kind ? "" : this.#misfit(value);
      setAttribute(button, "aria-pressed", String(value === drawn));
      setAttribute(button, "aria-disabled", String(why !== ""));
      button.title = why;
    }
  }

  /** Make a button for each of some kinds; one that does not fit says why when it is focused or pressed. */
  #choices(label: string, hook: string, kinds: readonly (readonly [Kind, string])[]): HTMLElement {
    const choose = (kind: Kind, pressed: boolean) => (): void => {
      const why = kind === this.#owner?.spec()?.kind ? "" : this.#misfit(kind);
      if (why) this.#say(why);
      else if (pressed) this.#owner?.change(this.#asKind(kind));
    };
    const buttons = kinds.map(([kind, text]) =>
      h(
        "button",
        { type: "button", "data-value": kind, onclick: choose(kind, true), onfocus: choose(kind, false) },
        text,
      ),
    );
    return h("div", { class: "y-kinds", role: "group", "aria-label": label, "data-tw": hook }, ...buttons);
  }

  /** A row for each reference of the chart, if there are several. */
  #showSides(spec: ChartSpec, chart: Chart): void {
    show(this.#sides, spec.series.length > 1 && otherKind(spec.kind) === null);
    const rows = spec.series.map((ref, i) => {
      const series = chart.series.filter((one) => named([ref], one));
      const at = chart.series.indexOf(series[0]);
      return { number: i + 1, series, side: at < 0 ? -1 : chart.sides[at], at };
    });
    const rightNow = rows.filter(({ side }) => side === 1).map(({ number }) => number);
    const choose = (number: number, side: number): void => {
      // One axis has to be the left one: what goes right as the last one changes places with the others.
      const both = [...rightNow, number].sort((a, b) => a - b);
      const swapped = both.length === rows.length ? [number] : both;
      const right = side === 1 ? swapped : rightNow.filter((one) => one !== number);
      this.#set({ right: right.length ? right : undefined });
    };
    const focused = (focusedAt(this.element) as HTMLElement | null)?.dataset.side;
    this.#sides.replaceChildren(
      h(
        "div",
        { class: "y-row" },
        h("span", { class: "y-wide" }, "Axis of each series"),
        h("span", { class: "y-ends" }, "left"),
        h("span", { class: "y-ends" }, "right"),
      ),
      ...rows.map(({ number, series, side, at }) => {
        const [one] = series;
        const mark = h("i", { class: "y-mark" });
        if (one) mark.style.background = swatch(lineColour(this.#tokens(), one.style), chart.dashes[at] ?? []);
        const name = one
          ? `${one.name} ${series.length > 1 ? `(${series.length})` : one.legend}`.trim()
          : spec.series[number - 1].metric;
        const unit = one && at >= 0 ? (side < 0 ? "not drawn" : chart.units[side].text) : "";
        const radio = (which: number): HTMLInputElement => {
          const input = h("input", {
            type: "radio",
            name: `y-side-${number}`,
            "aria-label": `${name}, ${which === 0 ? "left" : "right"} axis`,
            "data-side": `${number}-${which}`,
            onchange: () => choose(number, which),
          });
          input.checked = side === which;
          return input;
        };
        return h(
          "div",
          { class: "y-row" },
          h("span", { class: "y-wide" }, mark, h("span", { class: "y-name" }, name), h("small", {}, unit)),
          radio(0),
          radio(1),
        );
      }),
    );
    if (focused) this.#sides.querySelector<HTMLElement>(`[data-side="${focused}"]`)?.focus();
  }

  #showUnits({ unit: chosen }: AxisOptions, chart: Chart): void {
    const { special } = chart;
    if (!special) chart.useSpecial(() => this.refresh());
    const own = chart.autoUnit.text;
    const units = special?.unitsLike(own) ?? [own];
    show(this.#unitRow, units.length > 1);
    const known = chosen !== undefined && units.includes(chosen);
    this.#unit.replaceChildren(...units.map((unit, i) => h("option", { value: i === 0 ? "" : unit }, unit)));
    this.#unit.value = known && chosen !== own ? chosen : "";
  }

  /** Place it under its button, inside the page. */
  #place(): void {
    const page = this.element.offsetParent?.getBoundingClientRect();
    const button = this.#owner?.button() ?? this.#owner?.chart()?.card.head;
    if (!page || !button) return;
    const { right, bottom } = button.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.element;
    const left = Math.min(right - page.left, page.width - EDGE - offsetWidth);
    const top = Math.min(bottom - page.top + 4, page.height - EDGE - offsetHeight);
    this.element.style.left = `${Math.max(EDGE, Math.round(left))}px`;
    this.element.style.top = `${Math.max(EDGE, Math.round(top))}px`;
  }

  #key(event: KeyboardEvent): void {
    // Keys of the page do nothing while the menu is open.
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0] as HTMLElement;
    const typing = target instanceof HTMLInputElement && target.type !== "radio";
    const kind = this.#owner?.spec()?.kind;
    const actions: Record<string, () => void> = {
      Escape: () => this.close(true),
      g: () => otherKind(kind) ?? this.#set({ log: this.#axis.log ? undefined : true }),
      i: () => this.#inverted.click(),
      k: () => this.#owner?.change(this.#asKind(nextKind(kind, (one) => this.#misfit(one) === ""))),
      ArrowDown: () => this.#step(1),
      ArrowUp: () => this.#step(-1),
    };
    if (!typing) actions["0"] = () => this.#zero.click();
    if (typing) actions.Enter = () => target.dispatchEvent(new Event("change"));
    if (target instanceof HTMLSelectElement) for (const name of ["ArrowDown", "ArrowUp"]) delete actions[name];
    const run = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
    if (!run) return;
    event.preventDefault();
    run();
  }

  #step(by: number): void {
    const all = Array.from(this.element.querySelectorAll<HTMLElement>("input, button, select")).filter(
      (one) => one.checkVisibility() && !(one as HTMLButtonElement).disabled,
    );
    const at = all.indexOf(focusedAt(this.element) as HTMLElement);
    all[(at + by + all.length) % all.length]?.focus();
  }

  destroy(): void {
    document.removeEventListener("pointerdown", this.#away);
    this.element.remove();
  }
}

/** 0.1 + 0.2 → "0.3". */
const shortest = (value: number): string => String(Number(value.toPrecision(12)));

/** An end of an automatic range, as exact as a placeholder has room for. */
const rounded = (value: number): string => String(Number(value.toPrecision(4)));
