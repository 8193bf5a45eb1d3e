/**
 * The time picker: presets, two fields and a calendar for a span, the zone in which times are written, the comparison
 * with a span earlier, and what is kept. Zone and comparison act at once; Esc undoes them.
 */
import { h, icon, messageLine, Segments, setAttribute, setText, show } from "../base/dom";
import { clock, compareText, dayOfYear, longSpan } from "../base/format";
import { browserZone, fromWall, knownZone, LOCAL, midnight, offsetText, UTC, zoneCity } from "../base/zone";
import { survey } from "../model/kept";
import { lookedWords } from "../model/looked";
import { EXAMPLES, monday, readTime, type TypedTime, writeTime } from "../model/typed-time";
import { compareName, MOST_WINDOW_MS, parseLength } from "../model/url";
import type { AppContext } from "./app-context";
import { Calendar, type Day, dayOf } from "./calendar";
import css from "./time-picker.css";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const LEAST_MS = 1_000;
/** Longest text of an event in a preset. */
const MOST_TEXT = 16;
const OTHER = "other";
const FOCUSABLE = "button:not([disabled]):not([tabindex='-1']), input, select";

/** A span with its end open if it is now. */
interface Chosen {
  startMs: number;
  endMs: number;
  live: boolean;
}

interface Preset {
  text: string;
  chosen: (nowMs: number) => Chosen;
}

const last = (text: string, ms: number): Preset => ({
  text,
  chosen: (nowMs) => ({ startMs: nowMs - ms, endMs: nowMs, live: true }),
});

/** Presets by group. Those that end now stay live. */
const PRESETS: readonly (readonly Preset[])[] = [
  [
    last("Last 15 min", 15 * MINUTE_MS),
    last("Last 1 h", HOUR_MS),
    last("Last 6 h", 6 * HOUR_MS),
    last("Last 24 h", DAY_MS),
    last("Last 7 days", 7 * DAY_MS),
    last("Last 30 days", 30 * DAY_MS),
  ],
  [
    { text: "Today", chosen: (nowMs) => ({ startMs: midnight(nowMs), endMs: nowMs, live: true }) },
    { text: "Yesterday", chosen: (nowMs) => ({ startMs: midnight(nowMs, -1), endMs: midnight(nowMs), live: false }) },
    { text: "This week", chosen: (nowMs) => ({ startMs: monday(nowMs), endMs: nowMs, live: true }) },
    { text: "Last week", chosen: (nowMs) => ({ startMs: monday(nowMs, -1), endMs: monday(nowMs), live: false }) },
  ],
];

/** A field with its message. */
class TimeField {
  readonly input: HTMLInputElement;
  readonly wrong: HTMLParagraphElement;
  readonly element: HTMLElement;

  constructor(name: string, hook: string, typed: () => void) {
    this.wrong = messageLine(`${hook}-wrong`);
    this.wrong.id = `tw-${hook}-wrong`;
    this.input = h("input", {
      type: "text",
      class: "field",
      id: `tw-${hook}`,
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 64,
      title: EXAMPLES,
      "aria-describedby": this.wrong.id,
      "data-tw": hook,
      oninput: typed,
    });
    this.element = h(
      "div",
      { class: "picker-field" },
      h("label", { for: this.input.id }, name),
      this.input,
      this.wrong,
    );
  }

  say(words: string): void {
    setText(this.wrong, words);
    setAttribute(this.input, "aria-invalid", String(words !== ""));
  }
}

export class TimePicker {
  readonly element: HTMLElement;
  readonly #from = new TimeField("From", "picker-from", () => this.#typed());
  readonly #to = new TimeField("To", "picker-to", () => this.#typed());
  readonly #calendar = new Calendar((day, extend) => this.#picked(day, extend));
  readonly #presets = h("div", { class: "picker-presets", role: "group", "aria-label": "Spans" });
  readonly #span = h("div", { class: "picker-span" });
  readonly #note = messageLine("picker-note");
  readonly #zones: Segments<string>;
  readonly #others = h("select", { class: "field", "aria-label": "Another time zone", "data-tw": "picker-zones" });
  readonly #compare: Segments<string>;
  readonly #compareRow: HTMLElement;
  readonly #compareOther: HTMLInputElement;
  readonly #compareWrong = messageLine("picker-compare-wrong");
  readonly #keptWords = h("span", { class: "picker-kept", "data-tw": "picker-kept" });
  readonly #show = h("button", {
    type: "button",
    class: "button primary",
    "data-tw": "picker-show",
    onclick: () => this.#apply(),
  });
  /** What Esc goes back to. */
  #before: { zone: string | null; compareMs: number | null } = { zone: null, compareMs: null };
  /** The span that was shown when it was opened, and how the fields had it: unchanged, it stays to the millisecond. */
  #shown: Chosen = { startMs: 0, endMs: 0, live: true };
  #written: readonly [string, string] = ["", ""];
  #surveys = 0;
  /** Days with a reading, as far as that is known. */
  #days: ReadonlySet<Day> = new Set();
  /** What was looked through for them, if not all that is kept: ` in 100 of 250 series`. */
  #within = "";
  readonly #away = (event: Event): void => {
    const path = event.composedPath();
    if (!path.includes(this.element) && !path.includes(this.#app.header.timeButton)) this.close(false);
  };
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    const browser = zoneCity(browserZone());
    const own = browser === UTC ? [] : ([[LOCAL, browser]] as const);
    this.#zones = new Segments("Time zone", "picker-zone", [...own, [UTC, UTC] as const], (zone) => this.#zone(zone));
    this.#others.addEventListener("change", () => this.#zone(this.#others.value));
    this.#compare = new Segments(
      "Compare with",
      "picker-compare",
      [
        ["0", "Off"],
        ["1h", "1 h"],
        ["1d", "1 day"],
        ["1w", "1 week"],
      ],
      (name) => this.#compareWith(name),
    );
    this.#compareOther = h("input", {
      type: "text",
      class: "field picker-other",
      placeholder: "e.g. 8h",
      maxlength: 10,
      autocomplete: "off",
      "aria-label": "Compare with another span earlier",
      "data-tw": "picker-compare-other",
      onchange: () => this.#compareTyped(),
    });
    this.#compareRow = h(
      "div",
      { class: "picker-row" },
      h("span", { class: "picker-label" }, "Compare with"),
      this.#compare.element,
      h("span", { class: "grow" }),
      this.#compareOther,
    );
    this.#span.append(
      h("div", { class: "picker-fields" }, this.#from.element, this.#to.element),
      this.#note,
      this.#calendar.element,
      h(
        "p",
        { class: "picker-marks" },
        h("i", {}),
        "has readings ",
        h("span", { class: "picker-hint" }, `Type ${EXAMPLES}`),
      ),
    );
    const main = h(
      "div",
      { class: "picker-main" },
      this.#span,
      h(
        "div",
        { class: "picker-row" },
        h("span", { class: "picker-label" }, "Time zone"),
        this.#zones.element,
        h("span", { class: "grow" }),
        this.#others,
      ),
      this.#compareRow,
      this.#compareWrong,
      h("div", { class: "picker-foot" }, this.#keptWords, this.#show),
    );
    const close = h(
      "button",
      { type: "button", class: "icon-button picker-close", "aria-label": "Close", onclick: () => this.close(true) },
      icon("close"),
    );
    this.element = h(
      "div",
      { class: "picker", role: "dialog", "aria-label": "Time", "data-tw": "picker", tabindex: "-1" },
      h("style", {}, css),
      h("div", { class: "picker-sheet-head" }, h("h2", {}, "Time"), close),
      this.#presets,
      main,
    );
    this.element.addEventListener("keydown", (event) => this.#key(event));
    show(this.element, false);
  }

  /** Open it under its button; open, it closes. */
  open(): void {
    if (!this.element.hidden) return this.close(true);
    const { state, time, timeline, header } = this.#app;
    this.#before = { zone: state.zone, compareMs: state.compareMs };
    this.#shown = { ...time.shown(), live: !timeline.paused };
    const deck = state.page === "deck";
    show(this.#span, deck);
    show(this.#compareRow, deck);
    this.#fillZones();
    this.#fillPresets();
    this.#write();
    this.#compareOther.value = "";
    setText(this.#compareWrong, "");
    this.#select();
    show(this.element, true);
    const button = header.timeButton.getBoundingClientRect();
    const place = this.element.parentElement?.getBoundingClientRect();
    if (place && button.width > 0) {
      this.element.style.right = `${Math.max(8, place.right - button.right - 154)}px`;
      this.element.style.top = `${button.bottom - place.top + 8}px`;
    }
    setAttribute(header.timeButton, "aria-expanded", "true");
    document.addEventListener("pointerdown", this.#away);
    if (deck && !matchMedia("(pointer: coarse)").matches) this.#from.input.select();
    else this.element.focus();
    this.#survey();
  }

  close(focus: boolean): void {
    if (this.element.hidden) return;
    show(this.element, false);
    document.removeEventListener("pointerdown", this.#away);
    setAttribute(this.#app.header.timeButton, "aria-expanded", "false");
    if (focus) this.#app.header.timeButton.focus();
  }

  #now(): number {
    return this.#app.session.now();
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      this.#app.change(this.#before);
      this.close(true);
    } else if (event.key === "Enter" && this.#isSpan(event.target as HTMLElement)) {
      const target = event.target as HTMLElement;
      // On a day that is not chosen yet, Enter chooses it as well.
      if (target instanceof HTMLButtonElement && target.closest("[aria-selected='false']")) target.click();
      this.#apply();
    } else if (event.key === "Tab") {
      if (!this.#turn(event.shiftKey)) return event.stopPropagation();
    } else {
      // The page's own keys are for the page.
      event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #isSpan(target: HTMLElement): boolean {
    return target === this.#from.input || target === this.#to.input || target.closest(".picker-day") !== null;
  }

  /** Keep Tab inside; true if the focus was moved. */
  #turn(back: boolean): boolean {
    const all = Array.from(this.element.querySelectorAll<HTMLElement>(FOCUSABLE)).filter((one) =>
      one.checkVisibility(),
    );
    const at = (this.element.getRootNode() as ShadowRoot).activeElement;
    if (at !== (back ? all[0] : all[all.length - 1]) && at !== this.element) return false;
    (back ? all[all.length - 1] : all[0])?.focus();
    return true;
  }

  // -- the span ---------------------------------------------------------------------------------------------------

  #fillPresets(): void {
    const nowMs = this.#now();
    const groups = this.#app.state.page === "deck" ? [...PRESETS, this.#since(nowMs)] : [PRESETS[0].slice(0, 4)];
    this.#presets.replaceChildren(
      ...groups
        .filter((group) => group.length > 0)
        .map((group) =>
          h(
            "div",
            {},
            ...group.map((preset) =>
              h(
                "button",
                {
                  type: "button",
                  class: "picker-preset",
                  "aria-pressed": String(this.#isShown(preset.chosen(nowMs))),
                  onclick: () => this.#choose(preset.chosen(this.#now())),
                },
                preset.text,
              ),
            ),
          ),
        ),
    );
  }

  /** The span since the newest event. */
  #since(nowMs: number): Preset[] {
    const newest = [...this.#app.session.events]
      .reverse()
      .find(({ time_ms }) => time_ms < nowMs - LEAST_MS && time_ms > nowMs - MOST_WINDOW_MS);
    if (!newest) return [];
    const text = newest.text.length > MOST_TEXT ? `${newest.text.slice(0, MOST_TEXT)}…` : newest.text;
    return [{ text: `Since ${text}`, chosen: (now) => ({ startMs: newest.time_ms, endMs: now, live: true }) }];
  }

  #isShown({ startMs, endMs, live }: Chosen): boolean {
    if (live !== this.#shown.live) return false;
    if (live) return windowOf(endMs - startMs) === this.#app.state.windowMs;
    return startMs === this.#shown.startMs && endMs === this.#shown.endMs;
  }

  /** Write the span that is shown into the fields. */
  #write(): void {
    const { startMs, endMs, live } = this.#shown;
    this.#written = [writeTime(startMs), live ? "now" : writeTime(endMs)];
    [this.#from.input.value, this.#to.input.value] = this.#written;
    this.#to.element.classList.toggle("live", live);
    this.#calendar.open(dayOf(this.#now()), daysOf(this.#shown));
    this.#typed();
  }

  /** Read the fields, and say at each what is wrong with it; null if anything is. */
  #read(): Chosen | null {
    const nowMs = this.#now();
    const [fromText, toText] = [this.#from.input.value, this.#to.input.value];
    if (fromText === this.#written[0] && toText === this.#written[1]) {
      this.#say("", "");
      return this.#shown;
    }
    const from = fromText === this.#written[0] ? { ms: this.#shown.startMs, now: false } : readTime(fromText, nowMs);
    const to =
      toText === this.#written[1] && !this.#shown.live
        ? { ms: this.#shown.endMs, now: false }
        : readTime(toText, nowMs);
    const words = problems(from, to, fromText, toText, nowMs);
    this.#say(...words);
    if (!from || !to || words.some(Boolean)) return null;
    const live = to.now;
    return { startMs: from.ms, endMs: Math.min(to.ms, nowMs), live };
  }

  #say(from: string, to: string): void {
    this.#from.say(from);
    this.#to.say(to);
  }

  #typed(): void {
    const chosen = this.#read();
    this.#show.classList.toggle("wrong", chosen === null);
    setText(this.#show, chosen ? `Show ${longSpan(chosen.endMs - chosen.startMs)}` : "Show");
    this.#to.element.classList.toggle("live", chosen?.live ?? false);
    if (chosen) this.#calendar.select(daysOf(chosen));
    const keptMs = this.#app.session.status?.retention_ms;
    const before = chosen && keptMs && chosen.startMs < this.#now() - keptMs - MINUTE_MS;
    const nearest = chosen && !chosen.live ? this.#nearestDay(chosen) : null;
    const words = before ? `Begins before what is kept: the log keeps ${longSpan(keptMs)}. ` : "";
    if (nearest === null) return setText(this.#note, words.trim());
    const there = dayOfYear(fromWall(nearest * DAY_MS), this.#now());
    const link = h("button", { type: "button", class: "link-button", "data-tw": "picker-there" }, "Go there");
    link.addEventListener("click", () => this.#picked(nearest, false));
    this.#note.replaceChildren(
      `${words}Nothing was read then${this.#within}; the nearest day with a reading is ${there} `,
      link,
    );
  }

  /** Return the day with a reading that is nearest to a span without any; null if it has one, or if none is known. */
  #nearestDay(chosen: Chosen): Day | null {
    const [first, last] = daysOf(chosen);
    let best: Day | null = null;
    const away = (day: Day): number => Math.max(first - day, day - last);
    for (const day of this.#days) {
      if (away(day) <= 0) return null;
      if (best === null || away(day) < away(best)) best = day;
    }
    return best;
  }

  #picked(day: Day, extend: boolean): void {
    const nowMs = this.#now();
    if (!extend) this.#from.input.value = writeTime(fromWall(day * DAY_MS));
    const endMs = fromWall((day + 1) * DAY_MS);
    this.#to.input.value = endMs > nowMs ? "now" : writeTime(endMs);
    this.#typed();
  }

  #apply(): void {
    const chosen = this.#app.state.page === "deck" ? this.#read() : this.#shown;
    if (chosen === null) return (this.#from.wrong.textContent ? this.#from : this.#to).input.focus();
    if (chosen === this.#shown) return this.close(true);
    this.#choose(chosen);
  }

  #choose({ startMs, endMs, live }: Chosen): void {
    this.close(true);
    if (live) this.#app.setWindow(windowOf(endMs - startMs));
    else this.#app.time.zoomTo({ startMs, endMs });
  }

  // -- zone and comparison ------------------------------------------------------------------------------------------

  #fillZones(): void {
    if (this.#others.childElementCount > 0) return;
    const option = (value: string, text: string): HTMLElement => h("option", { value }, text);
    this.#others.append(
      option(OTHER, "Other"),
      ...Intl.supportedValuesOf("timeZone").map((zone) => option(zone, zone.replaceAll("_", " "))),
    );
  }

  #zone(zone: string): void {
    if (zone === OTHER) return;
    // The browser's own zone is what an address without one has.
    const saved = this.#app.savedDecks.saved?.state.zone ?? null;
    this.#app.change({ zone: zone === LOCAL && saved === null ? null : zone });
    if (this.#from.input.value === this.#written[0] && this.#to.input.value === this.#written[1]) this.#write();
    else this.#typed();
    this.#select();
    this.#survey();
  }

  #compareWith(name: string): void {
    const ms = name === "0" ? 0 : parseLength(name);
    const saved = this.#app.savedDecks.saved?.state.compareMs ?? null;
    this.#app.change({ compareMs: ms === 0 && saved === null ? null : ms });
    setText(this.#compareWrong, "");
    this.#select();
  }

  #compareTyped(): void {
    const text = this.#compareOther.value.trim().replace(/\s+/g, "");
    if (text === "") return;
    const ms = parseLength(text);
    if (ms > 0 && ms <= MOST_WINDOW_MS) return this.#compareWith(text);
    setText(this.#compareWrong, `“${text}” is no span such as 8h, 2d or 1w`);
  }

  /** Mark the zone and the comparison that are in force. */
  #select(): void {
    const zone = this.#app.state.zone ?? this.#app.savedDecks.saved?.state.zone ?? LOCAL;
    const first = zone === browserZone() ? LOCAL : zone;
    const shown = first === LOCAL && knownZone(browserZone()) === UTC ? UTC : first;
    this.#zones.select(shown);
    this.#zones.element.querySelector(`[data-value="${LOCAL}"]`)?.setAttribute("title", browserZone());
    this.#others.value = shown === LOCAL || shown === UTC ? OTHER : zone;
    // A zone that this browser does not list under its name.
    if (this.#others.selectedIndex < 0) {
      this.#others.append(h("option", { value: zone }, zone));
      this.#others.value = zone;
    }
    this.#others.title = `${this.#others.value === OTHER ? "Another time zone" : zone} · ${offsetText(this.#now())}`;
    const compareMs = this.#app.compareMs();
    this.#compare.select(compareName(compareMs));
    this.#compareOther.placeholder = ["0", "1h", "1d", "1w"].includes(compareName(compareMs))
      ? "e.g. 8h"
      : compareText(compareMs);
  }

  // -- what is kept -----------------------------------------------------------------------------------------------

  #survey(): void {
    const { session } = this.#app;
    const keptMs = session.status?.retention_ms;
    const kept = keptMs ? `Kept: every reading, ${longSpan(keptMs)}` : "";
    setText(this.#keptWords, kept);
    const own = ++this.#surveys;
    if (this.#app.state.page !== "deck") return;
    const series = [...this.#app.watched()];
    const looked = lookedWords(series.length, keptMs);
    const within = looked && ` in ${looked}`;
    survey(session, series, ({ firstMs, days }) => {
      if (own !== this.#surveys) return;
      this.#calendar.kept(days);
      this.#days = days;
      this.#within = within;
      this.#typed();
      if (Number.isNaN(firstMs))
        return setText(this.#keptWords, [kept, `nothing was read${within}`].filter(Boolean).join(" · "));
      const at = `${dayOfYear(firstMs, this.#now())} ${clock(firstMs, "min")}`;
      const first = `first reading${within && `${within}:`} ${at}`;
      setText(this.#keptWords, [kept, first].filter(Boolean).join(" · "));
    });
  }
}

/** Return the window that a live span has: whole seconds, or whole minutes from an hour on. */
function windowOf(ms: number): number {
  const unit = ms > HOUR_MS ? MINUTE_MS : 1_000;
  return Math.min(MOST_WINDOW_MS, Math.max(LEAST_MS, Math.ceil(Math.round(ms) / unit) * unit));
}

/** Return what is wrong with each field, empty if nothing is. */
function problems(
  from: TypedTime | null,
  to: TypedTime | null,
  fromText: string,
  toText: string,
  nowMs: number,
): [from: string, to: string] {
  const unread = (text: string): string => (text.trim() ? `“${text.trim()}” is no time` : "Type a time");
  if (!from || !to) return [from ? "" : unread(fromText), to ? "" : unread(toText)];
  if (from.ms >= nowMs) return ["From is not before now", ""];
  if (to.ms <= from.ms) return ["", "To is not after From"];
  if (to.ms - from.ms > MOST_WINDOW_MS) return [`A span is at most ${longSpan(MOST_WINDOW_MS)} long`, ""];
  if (to.ms - from.ms < LEAST_MS) return ["", "A span is at least 1 s long"];
  return ["", ""];
}

/** Return the first and last day of a span; one that ends at midnight does not reach into the day that begins then. */
function daysOf({ startMs, endMs }: Chosen): [Day, Day] {
  const first = dayOf(startMs);
  return [first, Math.max(first, dayOf(endMs - 1))];
}
