/** The events below a plot, for pointer and keyboard: the mark that is pointed at, its line, and a card with its words. */

import { h, icon, setAttribute, show } from "../base/dom";
import { clock, formatNumber, plural } from "../base/format";
import { type PlacedMark, STRIP } from "../canvas/event-marks";
import type { Plot } from "../canvas/plot";
import type { ChartEvent, EventGroup } from "../model/events";

/** A pointer this near a mark, px, points at it. */
const NEAR = 18;
const EDGE = 8;
/** Rows of the card, and of its list; events that are read out. */
const ROWS = 3;
const MOST_ROWS = 200;
const SPOKEN = 5;

const times = (events: readonly ChartEvent[]): string => {
  const [first, last] = [events[0], events[events.length - 1]].map(({ timeMs }) => clock(timeMs));
  return first === last ? first : `${first} – ${last}`;
};

/** What a screen reader says of a mark. */
export function spokenGroup({ events }: EventGroup): string {
  const said = events.slice(0, SPOKEN).map(({ text }) => text);
  const more = events.length - said.length;
  const head = events.length > 1 ? `${plural(events.length, "event", "events")}, ` : "";
  return `${head}${times(events)}: ${said.join("; ")}${more > 0 ? `; and ${formatNumber(more, 0)} more` : ""}`;
}

/** What is said of all events of a window. */
export function spokenEvents(events: readonly ChartEvent[]): string {
  if (events.length === 0) return "";
  const { text, timeMs } = events[events.length - 1];
  return `. ${plural(events.length, "event", "events")}, the newest at ${clock(timeMs)}: ${text}`;
}

export class EventStrip {
  readonly element: HTMLElement;
  readonly #slider = h("div", {
    class: "events",
    role: "slider",
    tabindex: "0",
    "data-tw": "events",
    "aria-valuemin": "1",
  });
  readonly #mark = h("div", { class: "event-mark" });
  readonly #line = h("div", { class: "event-line" });
  readonly #card = h("div", { class: "tip tip-notes", "aria-hidden": "true", "data-tw": "event-card" });
  #plot: Plot | null = null;
  /** The mark that is pointed at, by its first event: it moves with time, and its group may grow. */
  #first: ChartEvent | null = null;
  #shown: EventGroup | null = null;
  /** Whether the card lists all events. */
  #whole = false;

  constructor() {
    this.element = h("div", { class: "events-part" }, this.#line, this.#mark, this.#card, this.#slider);
    const keyed = (): boolean => this.#slider.matches(":focus-visible");
    this.#slider.addEventListener("pointermove", (event) => this.#point(this.#nearest(event)));
    this.element.addEventListener("pointerleave", () => keyed() || this.#point(-1));
    this.#slider.addEventListener("click", (event) => this.#list(this.#nearest(event)));
    this.#slider.addEventListener("focus", () => keyed() && this.#point(this.#marks.length - 1));
    this.#slider.addEventListener("blur", () => this.#point(-1));
    this.#slider.addEventListener("keydown", (event) => {
      if (!this.#key(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.update(null, "");
  }

  /** Follow a drawing; null: nothing is drawn. */
  update(plot: Plot | null, title: string): void {
    this.#plot = plot;
    const { length } = this.#marks;
    show(this.element, length > 0);
    setAttribute(this.#slider, "aria-label", `Events of ${title}`);
    setAttribute(this.#slider, "aria-valuemax", String(length));
    this.#place();
  }

  get #marks(): readonly PlacedMark[] {
    return this.#plot?.marks ?? [];
  }

  get #index(): number {
    return this.#marks.findIndex(({ group }) => group.events[0] === this.#first);
  }

  #nearest(event: MouseEvent): number {
    const box = this.element.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.element.offsetWidth;
    const away = this.#marks.map((mark) => Math.max(0, Math.abs(mark.x - x) - mark.width / 2));
    const least = Math.min(...away);
    return least < NEAR ? away.indexOf(least) : -1;
  }

  #key(key: string): boolean {
    const last = this.#marks.length - 1;
    const index = this.#index;
    if (key === "ArrowLeft") this.#point(index < 0 ? last : Math.max(0, index - 1));
    else if (key === "ArrowRight") this.#point(index < 0 ? last : Math.min(last, index + 1));
    else if (key === "Home") this.#point(0);
    else if (key === "End") this.#point(last);
    else if (index < 0) return false;
    else if (key === "Enter") this.#list(index);
    else if (key === "Escape") this.#point(-1);
    else return false;
    return true;
  }

  #point(index: number): void {
    if (index !== this.#index) this.#whole = false;
    this.#first = this.#marks[index]?.group.events[0] ?? null;
    this.#place();
  }

  #list(index: number): void {
    this.#point(index);
    this.#whole = !this.#whole;
    this.#shown = null;
    this.#place();
  }

  #place(): void {
    const index = this.#index;
    const mark = this.#marks[index];
    for (const part of [this.#mark, this.#line, this.#card]) show(part, mark !== undefined);
    setAttribute(this.#slider, "aria-valuenow", String(index + 1 || this.#marks.length));
    if (!mark || !this.#plot) {
      this.#shown = null;
      setAttribute(this.#slider, "aria-valuetext", "arrow keys go from event to event");
      return;
    }
    const { x, group } = mark;
    const width = Math.max(STRIP - 4, mark.width);
    this.#mark.style.width = `${width}px`;
    this.#mark.style.transform = `translateX(${x - width / 2}px)`;
    this.#line.style.height = `${this.#plot.box.height}px`;
    this.#line.style.transform = `translateX(${x}px)`;
    if (group !== this.#shown) this.#fill(group);
    const room = this.element.offsetWidth - this.#card.offsetWidth - EDGE;
    this.#card.style.transform = `translateX(${Math.max(EDGE, Math.min(room, x - this.#card.offsetWidth / 2))}px)`;
  }

  #fill(group: EventGroup): void {
    this.#shown = group;
    const { events } = group;
    const rows = events.slice(0, this.#whole ? MOST_ROWS : ROWS);
    const more = events.length - rows.length;
    const many = events.length > 1 ? [h("b", {}, plural(events.length, "event", "events")), times(events)] : [];
    this.#card.classList.toggle("whole", this.#whole);
    this.#card.replaceChildren(
      h("div", { class: "tip-head" }, ...many),
      ...rows.map(({ timeMs, text, level }) =>
        h("p", {}, icon(level ?? "flag", 12), h("time", {}, clock(timeMs)), text),
      ),
      more > 0 ? h("p", {}, `and ${formatNumber(more, 0)} more${this.#whole ? "" : " · Enter lists them"}`) : "",
    );
    setAttribute(this.#slider, "aria-valuetext", spokenGroup(group));
  }
}
