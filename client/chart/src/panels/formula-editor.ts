/** The field in which the formula of a chart is written, with what may stand at the cursor and what is wrong where. */

import { h, setAttribute, setText, show } from "../base/dom";
import type { Chart } from "../chart/chart";
import type { ChartSpec, SeriesRef } from "../model/url";
import type { FormulaCompletion, FormulaFault, FormulaHelp } from "../wire/messages";
import type { AppContext } from "./app-context";
import { faultParts } from "./formula-card";
import css from "./formula-editor.css";

/** The chart whose formula is written. */
export interface Written {
  at: number;
  chart: Chart;
  spec: ChartSpec;
}

/** The charts of its deck. */
export interface WrittenDeck {
  /** The chart now; undefined if it is gone. */
  card(): Written | undefined;
  specs(): readonly ChartSpec[];
  set(charts: ChartSpec[]): void;
  /** Set the charts, of which one is new and has its formula now. */
  added(charts: ChartSpec[]): void;
}

/** The formula that was written, and whether it is drawn beside the series of the chart; null: the old one stays. */
export type Done = (formula: string | null, beside?: boolean) => void;

const ASK_MS = 120;
/** A word of so many letters opens the list. */
const LETTERS = 2;
const PAIRS: ReadonlyMap<string, string> = new Map([
  ["(", ")"],
  ["{", "}"],
  ["[", "]"],
  ['"', '"'],
]);
const BADGES = { metric: "M", label: "L", value: "V", function: "F" } as const;
const WORDS =
  /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[\p{L}_][\p{L}\p{M}\p{N}_]*(?:[/:.*-]+[\p{L}\p{M}\p{N}_*]+)*|[(){}[\],]|\s+|./gsu;
/** Names that stand as they are; others are quoted in braces. */
const BARE = /^[\p{L}_][\p{L}\p{M}\p{N}_]*(?:[/:.-][\p{L}\p{M}\p{N}_]+)*$/u;
const RESERVED = new Set("by without on ignoring group_left group_right bool offset and or unless inf nan".split(" "));

/** Return the formula that draws what references name: `a{site="A"} or b`. */
export function formulaOf(refs: readonly SeriesRef[]): string {
  return refs
    .map(({ metric, labels = {} }) => {
      const bare = BARE.test(metric) && !RESERVED.has(metric.toLowerCase());
      const matchers = Object.entries(labels)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
      if (!bare) return `{${[JSON.stringify(metric), ...matchers].join(", ")}}`;
      return matchers.length ? `${metric}{${matchers.join(", ")}}` : metric;
    })
    .join(" or ");
}

/** Return the words of a formula with the class of each: functions, labels, brackets. */
export function coloured(text: string): { text: string; kind: "" | "f" | "l" | "b" }[] {
  let braces = 0;
  const words = [...text.matchAll(WORDS)];
  return words.map(([word], i) => {
    if (word === "{") braces++;
    if (word === "}") braces = Math.max(0, braces - 1);
    if (/^[(){}[\],]$/.test(word)) return { text: word, kind: "b" };
    const next = words.slice(i + 1).find(([other]) => other.trim() !== "")?.[0] ?? "";
    if (/^[\p{L}_]/u.test(word)) {
      if (braces > 0) return { text: word, kind: "l" };
      if (next === "(") return { text: word, kind: "f" };
    }
    return { text: word, kind: "" };
  });
}

export class FormulaEditor {
  readonly element = h("div", { class: "formula-edit", "data-tw": "formula-edit" });
  readonly #input = h("input", {
    type: "text",
    role: "combobox",
    "aria-label": "Formula",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": "tw-formula-list",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: "rate(http/requests_total)",
    "data-tw": "formula-input",
  });
  readonly #shown = h("div", { class: "formula-shown", "aria-hidden": "true" });
  readonly #fault = h("p", { class: "formula-fault", role: "status", "data-tw": "formula-fault" });
  readonly #list = h("div", { class: "formula-list", "data-tw": "formula-list" });
  readonly #keys = h("p", { class: "formula-keys" });
  readonly #items = h("div", { role: "listbox", id: "tw-formula-list", "aria-label": "What may stand here" });
  #help: FormulaHelp | null = null;
  #chosen = 0;
  #asking = 0;
  #done: Done | null = null;
  /** Whether the chart has series, and whether its formula stands beside them. */
  #series = false;
  #mixed = false;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#list.append(this.#items, this.#keys);
    this.element.append(
      h("style", {}, css),
      h("div", { class: "formula-field" }, this.#shown, this.#input),
      this.#fault,
      this.#list,
    );
    this.#input.addEventListener("input", () => this.#changed());
    this.#input.addEventListener("scroll", () => this.#scrolled());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("click", () => this.#changed());
    this.element.addEventListener("focusout", (event) => {
      // Whoever looks something up in another window comes back to what they wrote.
      if (document.hasFocus() && !this.element.contains(event.relatedTarget as Node | null)) this.#end(null);
    });
  }

  /** Write the formula of a chart; one that is new and gets none is removed. */
  write(deck: WrittenDeck): void {
    const own = deck.card();
    if (!own) return;
    this.#open(own, (formula, beside) => {
      const at = deck.card()?.at;
      if (at === undefined) return;
      const specs = deck.specs();
      const { axis, ...spec } = specs[at];
      const isNew = spec.formula === "";
      const kept = beside ? { axis } : { series: [] };
      if (formula !== null)
        deck[isNew ? "added" : "set"](
          specs.map((one, i) => (i === at ? { ...spec, ...kept, formula: formula || undefined } : one)),
        );
      else if (isNew) history.back(); // to the deck without it
    });
  }

  #open({ chart, spec }: Written, done: Done): void {
    this.#end(null);
    this.#done = done;
    this.#series = spec.series.length > 0;
    this.#mixed = this.#series && spec.formula !== undefined;
    const enter = this.#series && !this.#mixed ? "Enter draws · Shift Enter draws beside the series" : "Enter draws";
    setText(this.#keys, `Tab takes · ↑ ↓ choose · ${enter} · Esc leaves the old one`);
    this.#input.value = spec.formula ?? formulaOf(spec.series);
    chart.card.element.append(this.element);
    this.#help = null;
    this.#changed(true);
    this.#input.focus();
    if (spec.formula === undefined) this.#input.select();
  }

  #end(formula: string | null, beside = false): void {
    const done = this.#done;
    if (!done) return; // What is removed loses the focus, and would end again.
    this.#done = null;
    window.clearTimeout(this.#asking);
    this.element.remove();
    done(formula, beside);
  }

  /** Draw what is written, and ask about it once the keys rest. */
  #changed(quiet = false): void {
    this.#draw(null);
    window.clearTimeout(this.#asking);
    this.#asking = window.setTimeout(() => void this.#ask(quiet), ASK_MS);
  }

  async #ask(quiet: boolean): Promise<FormulaHelp | null> {
    const formula = this.#input.value;
    const position = this.#input.selectionStart ?? formula.length;
    try {
      const help = await this.#app.session.requests.send({ t: "formula_help", formula, position }, true);
      if (!this.#done || formula !== this.#input.value) return null;
      this.#help = help;
      this.#chosen = 0;
      this.#draw(help.error ?? help.hint ?? null, quiet);
      return help;
    } catch (error) {
      if (this.#done) this.#say((error as Error).message);
      return null;
    }
  }

  #draw(fault: FormulaFault | null, quiet = false): void {
    const text = this.#input.value;
    const writing = fault !== null && fault.position >= text.trimEnd().length;
    // What only lacks its end is not wrong yet.
    const wrong = fault !== null && !writing ? fault : null;
    const [from, to] = wrong ? [wrong.position, Math.max(wrong.end, wrong.position + 1)] : [-1, -1];
    let at = 0;
    const parts: HTMLElement[] = [];
    for (const { text: word, kind } of coloured(text)) {
      for (const [begin, end] of cut(at, at + word.length, from, to))
        parts.push(
          h("span", { class: `${kind} ${begin >= from && end <= to ? "wavy" : ""}`.trim() }, text.slice(begin, end)),
        );
      at += word.length;
    }
    this.#shown.replaceChildren(...parts);
    this.#scrolled();
    this.element.classList.toggle("wrong", wrong !== null);
    setAttribute(this.#input, "aria-invalid", String(wrong !== null));
    show(this.#fault, wrong !== null);
    if (wrong) this.#sayFault(wrong);
    this.#drawList(quiet);
  }

  #sayFault(fault: FormulaFault): void {
    const { position, end } = fault;
    const where = `Character ${[...this.#input.value.slice(0, position)].length + 1}: `;
    const mend = (instead: string): void => {
      this.#input.setRangeText(instead, position, end, "end");
      this.#input.focus();
      this.#changed();
    };
    this.#fault.replaceChildren(h("b", {}, where), ...faultParts(fault, mend));
  }

  #say(words: string): void {
    show(this.#fault, true);
    setText(this.#fault, words);
  }

  #drawList(quiet: boolean): void {
    const help = this.#help;
    const position = this.#input.selectionStart ?? 0;
    const items = help && !quiet && this.#fresh(help, position) ? help.items : [];
    show(this.#list, items.length > 0);
    setAttribute(this.#input, "aria-expanded", String(items.length > 0));
    this.#items.replaceChildren(...items.map((item, i) => this.#row(item, i)));
    if (items.length) setAttribute(this.#input, "aria-activedescendant", `tw-formula-${this.#chosen}`);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  /** Whether what may stand there is still about the word at the cursor, which is long enough. */
  #fresh({ start, items }: FormulaHelp, position: number): boolean {
    const named = items.some(({ kind }) => kind === "label" || kind === "value");
    const word = this.#input.value.slice(start, position);
    return position >= start && (named || word.length >= LETTERS) && !items.some(({ text }) => text === word);
  }

  #row(item: FormulaCompletion, i: number): HTMLElement {
    const row = h(
      "div",
      { class: "formula-item", role: "option", id: `tw-formula-${i}`, "data-tw": "formula-item" },
      h("i", { title: item.kind }, BADGES[item.kind]),
      h("span", {}, item.shown),
      h("small", {}, item.meaning),
    );
    setAttribute(row, "aria-selected", String(i === this.#chosen));
    row.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.#take(i);
    });
    return row;
  }

  /** Put what was chosen in the place of the word. */
  #take(i: number): void {
    const help = this.#help;
    const item = help?.items[i];
    if (!help || !item) return;
    const end = this.#input.selectionStart ?? this.#input.value.length;
    const after = this.#input.value.slice(end);
    // A bracket that is there already is not written again.
    const doubled = item.kind === "function" && after.startsWith("(");
    const text = doubled ? item.text.slice(0, -2) : item.text;
    this.#input.setRangeText(text, help.start, end, "end");
    const cursor = help.start + text.length + (doubled ? 1 : -item.back);
    this.#input.setSelectionRange(cursor, cursor);
    this.#help = null;
    this.#changed();
  }

  #key(event: KeyboardEvent): void {
    event.stopPropagation();
    const open = !this.#list.hidden;
    const count = this.#items.childElementCount;
    if (event.key === "Escape") return this.#end(null);
    if (event.key === "Enter") return void this.#enter(event.shiftKey);
    if (event.key === "Tab" && open) {
      event.preventDefault();
      return this.#take(this.#chosen);
    }
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.#chosen = (this.#chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count;
      return this.#drawList(false);
    }
    this.#pair(event);
  }

  /** Close what is opened, and step over what closes. */
  #pair(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const input = this.#input;
    const [from, to] = [input.selectionStart ?? 0, input.selectionEnd ?? 0];
    const next = input.value[to] ?? "";
    if (from === to && next === event.key && [...PAIRS.values()].includes(event.key)) {
      event.preventDefault();
      input.setSelectionRange(to + 1, to + 1);
      return this.#changed();
    }
    const closing = PAIRS.get(event.key);
    if (closing === undefined || (from === to && /[\w"]/.test(next))) return;
    event.preventDefault();
    input.setRangeText(event.key + input.value.slice(from, to) + closing, from, to, "end");
    input.setSelectionRange(from + 1, to + 1);
    this.#changed();
  }

  /** Draw the formula if there is nothing wrong with it; an empty one beside series goes. */
  async #enter(shift: boolean): Promise<void> {
    window.clearTimeout(this.#asking);
    const formula = this.#input.value.trim();
    const beside = this.#mixed || (shift && this.#series);
    if (formula === "") return this.#mixed ? this.#end("", true) : this.#end(null);
    const help = await this.#ask(true);
    if (!help || !this.#done) return;
    if (!help.error) return this.#end(formula, beside);
    this.element.classList.add("wrong");
    show(this.#fault, true);
    this.#sayFault(help.error);
  }

  #scrolled(): void {
    this.#shown.scrollLeft = this.#input.scrollLeft;
  }
}

/** Cut a stretch where another one begins and ends. */
function cut(begin: number, end: number, from: number, to: number): [number, number][] {
  const places = [begin, ...[from, to].filter((place) => place > begin && place < end), end];
  return places.slice(1).map((place, i) => [places[i], place]);
}
