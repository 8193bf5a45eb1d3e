/** The calendar of the time picker: a grid of six weeks, with the days that have readings, and a span in it. */
import { focusedAt, h, iconButton, setAttribute, setText } from "../base/dom";
import { MONTHS, WEEKDAYS } from "../base/format";
import { wallMs } from "../base/zone";

const DAY_MS = 86_400_000;
const CELLS = 42;
const MONTH = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });
const WEEK = [1, 2, 3, 4, 5, 6, 0].map((day) => WEEKDAYS[day]);

/** A day is counted from the epoch, in the zone of the page. */
export type Day = number;

export const dayOf = (ms: number): Day => Math.floor(wallMs(ms) / DAY_MS);
const dateOf = (day: Day): Date => new Date(day * DAY_MS);

function firstOf(day: Day): Day {
  const date = dateOf(day);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1) / DAY_MS;
}

/** Return the first of a month so many months later. */
function monthFrom(day: Day, months: number): Day {
  const date = dateOf(day);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1) / DAY_MS;
}

const STEPS: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

export class Calendar {
  readonly element: HTMLElement;
  readonly #title = h("span", { class: "picker-month", "aria-live": "polite" });
  readonly #cells: HTMLElement[] = [];
  readonly #buttons: HTMLButtonElement[] = [];
  #month: Day = 0;
  /** The day that the Tab key reaches. */
  #focus: Day = 0;
  #today: Day = 0;
  #span: readonly [Day, Day] = [0, -1];
  #kept: ReadonlySet<Day> = new Set();
  readonly #pick: (day: Day, extend: boolean) => void;

  /** `pick` is called with a day; `extend` if it is the other end of the span that the day before it began. */
  constructor(pick: (day: Day, extend: boolean) => void) {
    this.#pick = pick;
    const rows: HTMLElement[] = [];
    for (let at = 0; at < CELLS; at++) {
      const button = h("button", { type: "button", tabindex: "-1", onclick: () => this.#chosen(this.#dayAt(at)) });
      const cell = h("td", { role: "gridcell", class: "picker-day" }, button);
      this.#cells.push(cell);
      this.#buttons.push(button);
      if (at % 7 === 0) rows.push(h("tr", { role: "row" }));
      rows[rows.length - 1].append(cell);
    }
    const heads = WEEK.map((name) => h("th", { scope: "col", role: "columnheader", abbr: name }, name.slice(0, 2)));
    const grid = h(
      "table",
      { class: "picker-days", role: "grid", "aria-label": "Days", "data-tw": "picker-days" },
      h("thead", {}, h("tr", { role: "row" }, ...heads)),
      h("tbody", {}, ...rows),
    );
    grid.addEventListener("keydown", (event) => this.#key(event));
    this.element = h(
      "div",
      { class: "picker-calendar" },
      h(
        "div",
        { class: "picker-calendar-head" },
        iconButton("chevron", "The month before", () => this.#turn(-1), "picker-before"),
        this.#title,
        iconButton("chevron", "The month after", () => this.#turn(1), "picker-after"),
      ),
      grid,
    );
  }

  /** Show the month of the end of a span; `today` is marked. */
  open(today: Day, span: readonly [Day, Day]): void {
    this.#today = today;
    this.#span = span;
    this.#focus = span[1];
    this.#month = firstOf(span[1]);
    this.#begun = NaN;
    this.#draw();
  }

  /** Mark a span, and leave the month if it shows an end of it. */
  select(span: readonly [Day, Day]): void {
    this.#span = span;
    const shown = span.some((day) => firstOf(day) === this.#month);
    if (!shown) this.#month = firstOf(span[1]);
    this.#draw();
  }

  /** Mark the days that have readings. */
  kept(days: ReadonlySet<Day>): void {
    this.#kept = days;
    this.#draw();
  }

  /** The first day of a span whose last is still to be chosen. */
  #begun: Day = NaN;

  #chosen(day: Day): void {
    const extend = day > this.#begun;
    this.#begun = extend ? NaN : day;
    this.#focus = day;
    this.#pick(day, extend);
  }

  #dayAt(cell: number): Day {
    // 1 January 1970 was a Thursday.
    const before = (((this.#month + 3) % 7) + 7) % 7;
    return this.#month - before + cell;
  }

  #turn(months: number): void {
    this.#month = monthFrom(this.#month, months);
    this.#focus = this.#month;
    this.#draw();
  }

  #key(event: KeyboardEvent): void {
    const weekday = (((this.#focus + 3) % 7) + 7) % 7;
    if (event.key in STEPS) this.#move(this.#focus + STEPS[event.key]);
    else if (event.key === "Home") this.#move(this.#focus - weekday);
    else if (event.key === "End") this.#move(this.#focus + 6 - weekday);
    else if (event.key === "PageUp") this.#move(monthFrom(this.#focus, -1));
    else if (event.key === "PageDown") this.#move(monthFrom(this.#focus, 1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move(day: Day): void {
    this.#focus = Math.max(0, Math.min(day, this.#today));
    this.#month = firstOf(this.#focus);
    this.#draw();
    this.#buttons.find((_, at) => this.#dayAt(at) === this.#focus)?.focus();
  }

  #draw(): void {
    const date = dateOf(this.#month);
    setText(this.#title, MONTH.format(date));
    const [from, to] = this.#span;
    const focused = focusedAt(this.element);
    this.#buttons.forEach((button, at) => {
      const day = this.#dayAt(at);
      const own = dateOf(day);
      const inside = day >= from && day <= to;
      setText(button, String(own.getUTCDate()));
      const words = `${WEEKDAYS[own.getUTCDay()]} ${own.getUTCDate()} ${MONTHS[own.getUTCMonth()]} ${own.getUTCFullYear()}`;
      setAttribute(button, "aria-label", this.#kept.has(day) ? `${words}, has readings` : words);
      button.disabled = day > this.#today && button !== focused;
      button.tabIndex = day === this.#focus ? 0 : -1;
      const { classList } = this.#cells[at];
      classList.toggle("other", firstOf(day) !== this.#month);
      classList.toggle("inside", inside);
      classList.toggle("kept", this.#kept.has(day));
      classList.toggle("today", day === this.#today);
      setAttribute(this.#cells[at], "aria-selected", String(inside));
    });
  }
}
