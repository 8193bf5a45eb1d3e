/** The table of runs: which are drawn, how they stand, their newest and best values, and their settings. */

import { swatch } from "../base/colour";
import { h, type IconName, icon, setAttribute, setText, show } from "../base/dom";
import { clock, day, dayOfYear, decimalsOf, formatNumber, liveAge, longSpan } from "../base/format";
import { lineColour, type Tokens } from "../base/tokens";
import { shownUnit } from "../base/units";
import { leastIsBest, type Run, type RunMetricUnit, type RunOrder, sortedRuns } from "../model/runs";
import type { RunEntry } from "../wire/messages";

/** What the table shows. */
export interface RunTableState {
  readonly runs: readonly Run[];
  readonly drawn: ReadonlySet<string>;
  /** The metrics of the charts in their order, each in one unit. */
  readonly metrics: readonly (RunMetricUnit & { of(run: Run): RunEntry["metrics"][number] | undefined })[];
  readonly settings: readonly string[];
  readonly styles: ReadonlyMap<string, number>;
  readonly order: RunOrder | null;
  readonly tokens: Tokens;
  readonly nowMs: number;
  readonly raised: string;
}

/** What a press on the table does. */
export interface RunTableOwner {
  /** Draw these runs and no others. */
  drawOnly(keys: readonly string[]): void;
  sort(order: RunOrder | null): void;
  /** Raise the line of a run; empty: of none. */
  raise(key: string): void;
}

const STATES: Record<RunEntry["state"], [word: string, icon: IconName | null]> = {
  live: ["LIVE", null],
  stale: ["STALE", "clock"],
  finished: ["FINISHED", "done"],
  stopped: ["STOPPED", "pause"],
  failed: ["FAILED", "critical"],
};

interface Column {
  id: string;
  words: string;
  title?: string;
  /** Its cells are numbers. */
  number?: boolean;
  /** On a phone it is not shown. */
  wide?: boolean;
  value(run: Run): number | string | null;
  text(run: Run): string;
}

/** A number with as many digits as tell it from its neighbours. */
function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4))
    return value
      .toExponential(2)
      .replace(/\.?0*e\+?/, "e")
      .replace("-", "−");
  return formatNumber(value, Number.isInteger(value) ? 0 : Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(size)))));
}

function valueText(value: number | null | undefined, unit: string, count: number): string {
  if (value === undefined || count === 0) return "–";
  if (value === null) return "not a number";
  const shown = shownUnit(unit, Math.abs(value));
  return `${shortNumber(value / shown.divisor)} ${shown.text}`.trim();
}

function settingText(value: number | string | undefined): string {
  if (value === undefined) return "–";
  return typeof value === "number" ? formatNumber(value, Math.min(12, decimalsOf(value))) : value;
}

export class RunTable {
  readonly element: HTMLElement;
  readonly #head = h("tr", {});
  readonly #body = h("tbody", {});
  readonly #all = h("input", { type: "checkbox", "aria-label": "Draw all runs", "data-tw": "run-all" });
  readonly #left = h("p", { class: "run-left", "data-tw": "run-left" });
  #state: RunTableState | null = null;
  #columns: readonly Column[] = [];
  #built = "";
  /** The run that was pressed last, from which Shift takes a range. */
  #anchor = "";
  readonly #owner: RunTableOwner;

  constructor(owner: RunTableOwner) {
    this.#owner = owner;
    this.#all.addEventListener("change", () => {
      const runs = this.#shown();
      owner.drawOnly(this.#all.checked ? runs.map(({ key }) => key) : []);
    });
    const table = h(
      "table",
      { class: "run-table", "data-tw": "run-table", "aria-label": "Runs" },
      h("thead", {}, this.#head),
      this.#body,
    );
    this.element = h("section", { class: "run-list card", "aria-label": "Runs", tabindex: "0" }, table, this.#left);
    this.#body.addEventListener("pointerleave", () => owner.raise(""));
  }

  #shown(): readonly Run[] {
    const state = this.#state;
    if (!state) return [];
    return sortedRuns(
      state.runs,
      state.order,
      (run, column) => this.#columns.find(({ id }) => id === column)?.value(run) ?? null,
    );
  }

  update(state: RunTableState, left: string): void {
    this.#state = state;
    this.#columns = columnsOf(state);
    const runs = this.#shown();
    const built = [
      ...this.#columns.map(({ id, words }) => `${id} ${words}`),
      "",
      ...runs.map(({ key, name }) => `${key} ${name}`),
    ].join("\n");
    if (built !== this.#built) {
      this.#built = built;
      this.#build(runs);
    }
    setText(this.#left, left);
    show(this.#left, left !== "");
    const { drawn, order } = state;
    this.#all.checked = runs.length > 0 && runs.every(({ key }) => drawn.has(key));
    this.#all.indeterminate = !this.#all.checked && runs.some(({ key }) => drawn.has(key));
    this.#columns.forEach((column, i) => {
      const head = this.#head.children[i + 1];
      const sorted = order?.column === column.id ? (order.down ? "descending" : "ascending") : "none";
      setAttribute(head, "aria-sort", sorted);
    });
    runs.forEach((run, i) => this.#fill(this.#body.children[i] as HTMLElement, run, state));
  }

  #build(runs: readonly Run[]): void {
    this.#head.replaceChildren(
      h("th", { class: "run-tick", scope: "col" }, this.#all),
      ...this.#columns.map((column) =>
        h(
          "th",
          { scope: "col", class: classOf(column), title: column.title },
          h(
            "button",
            { type: "button", "data-tw": "run-sort", "data-column": column.id, onclick: () => this.#sort(column) },
            column.words,
            icon("chevron", 12),
          ),
        ),
      ),
    );
    this.#body.replaceChildren(...runs.map((run) => this.#row(run)));
  }

  #row(run: Run): HTMLElement {
    const tick = h("input", { type: "checkbox", "aria-label": `Draw ${run.name}`, "data-tw": "run-tick" });
    tick.addEventListener("change", () => {
      const { drawn } = this.#state as RunTableState;
      const keys = this.#shown().map(({ key }) => key);
      this.#anchor = run.key;
      this.#owner.drawOnly(keys.filter((key) => (key === run.key ? tick.checked : drawn.has(key))));
    });
    const name = h(
      "button",
      {
        type: "button",
        class: "run-name",
        "data-tw": "run-name",
        title: `${run.name}: only this; with Shift up to the last one`,
      },
      h("i", {}),
      h("span", {}, run.name),
    );
    name.addEventListener("click", (event: MouseEvent) => this.#press(run.key, event.shiftKey));
    const row = h(
      "tr",
      { "data-tw": "run-row" },
      h("td", { class: "run-tick" }, tick),
      ...this.#columns.map((column, i) =>
        i === 0 ? h("th", { scope: "row", class: "run-first" }, name) : h("td", { class: classOf(column) }),
      ),
    );
    row.dataset.run = run.name;
    row.addEventListener("pointerenter", () => this.#owner.raise(run.key));
    name.addEventListener("focus", () => this.#owner.raise(run.key));
    name.addEventListener("blur", () => this.#owner.raise(""));
    return row;
  }

  #fill(row: HTMLElement, run: Run, { drawn, styles, tokens, raised }: RunTableState): void {
    const on = drawn.has(run.key);
    row.classList.toggle("off", !on);
    row.classList.toggle("raised", raised === run.key);
    const tick = row.querySelector("input") as HTMLInputElement;
    if (tick.checked !== on) tick.checked = on;
    const mark = row.querySelector(".run-name i") as HTMLElement;
    const style = styles.get(run.key) ?? 0;
    const colour = swatch(lineColour(tokens, style), []);
    if (mark.dataset.colour !== colour) mark.style.background = mark.dataset.colour = colour;
    this.#columns.forEach((column, i) => {
      if (i === 0) return;
      const cell = row.children[i + 1] as HTMLElement;
      if (column.id === "state") {
        if (cell.dataset.state === run.entry.state) return;
        const [word, shape] = STATES[run.entry.state];
        cell.dataset.state = run.entry.state;
        cell.replaceChildren(shape ? icon(shape, 13) : h("i", { class: "run-live" }), h("span", {}, word));
      } else setText(cell, column.text(run));
    });
  }

  #sort(column: Column): void {
    const { order } = this.#state as RunTableState;
    const first = column.number === true && !(column.id.startsWith("best") && column.words.includes("least"));
    if (order?.column !== column.id) this.#owner.sort({ column: column.id, down: first });
    else this.#owner.sort(order.down === first ? { column: column.id, down: !first } : null);
  }

  #press(key: string, range: boolean): void {
    const keys = this.#shown().map((run) => run.key);
    const [from, to] = [keys.indexOf(this.#anchor), keys.indexOf(key)];
    if (range && from >= 0) return this.#owner.drawOnly(keys.slice(Math.min(from, to), Math.max(from, to) + 1));
    this.#anchor = key;
    const { drawn } = this.#state as RunTableState;
    // A second press on the only one brings all back.
    this.#owner.drawOnly(drawn.size === 1 && drawn.has(key) ? keys : [key]);
  }
}

const classOf = ({ id, number, wide }: Column): string =>
  [id === "state" ? "run-state" : "", number ? "run-number" : "", wide ? "run-wide" : ""].filter(Boolean).join(" ");

function columnsOf({ runs, metrics, settings, nowMs }: RunTableState): Column[] {
  const started = (ms: number): string =>
    day(ms) === day(nowMs) ? clock(ms, "min") : `${dayOfYear(ms, nowMs)} ${clock(ms, "min")}`;
  const of = metrics.flatMap(({ metric, unit, key, of }, i): Column[] => {
    const name = `${metric} ${key}`.trim();
    const last: Column = {
      id: `last ${name}`,
      words: i === 0 ? `${name} last` : name,
      title: `The newest value of ${name}`,
      number: true,
      wide: i > 0,
      value: (run) => of(run)?.last ?? null,
      text: (run) => valueText(of(run)?.last, unit, of(run)?.count ?? 0),
    };
    if (i > 0) return [last];
    const least = leastIsBest(metric);
    const value = (run: Run): number | null => (least ? of(run)?.least : of(run)?.greatest) ?? null;
    return [
      last,
      {
        id: `best ${name}`,
        words: least ? "least" : "greatest",
        title: `The ${least ? "least" : "greatest"} value of ${name}`,
        number: true,
        wide: true,
        value,
        text: (run) => valueText(value(run) ?? undefined, unit, 1),
      },
    ];
  });
  return [
    { id: "name", words: "Run", value: ({ name }) => name, text: ({ name }) => name },
    { id: "state", words: "State", value: ({ entry }) => entry.state, text: () => "" },
    {
      id: "step",
      words: "Step",
      number: true,
      wide: true,
      value: ({ entry }) => entry.step,
      text: ({ entry }) => (entry.step === null ? "–" : shortNumber(entry.step)),
    },
    ...of,
    ...settings.map(
      (name): Column => ({
        id: `set ${name}`,
        words: name,
        number: runs.every(({ settings }) => typeof (settings.get(name) ?? 0) === "number"),
        wide: true,
        value: ({ settings }) => settings.get(name) ?? null,
        text: ({ settings }) => settingText(settings.get(name)),
      }),
    ),
    {
      id: "took",
      words: "Took",
      number: true,
      wide: true,
      value: ({ entry }) => entry.end_ms - entry.start_ms,
      text: ({ entry }) => longSpan(entry.end_ms - entry.start_ms),
    },
    {
      id: "started",
      words: "Started",
      number: true,
      wide: true,
      value: ({ entry }) => entry.start_ms,
      text: ({ entry }) => started(entry.start_ms),
    },
    {
      id: "reading",
      words: "Last reading",
      number: true,
      wide: true,
      value: ({ entry }) => entry.end_ms,
      text: ({ entry }) => (entry.state === "finished" ? "done" : `${liveAge(nowMs - entry.end_ms)}`),
    },
  ];
}
