/** Says on each chart without a reading in the span that is shown where the nearest one lies, and goes there. */

import { h, setText, show } from "../base/dom";
import { clock, dayOfYear } from "../base/format";
import type { Chart } from "../chart/chart";
import { isResult } from "../model/directory";
import { lookedWords } from "../model/looked";
import { nearestReading, spanAt } from "../model/nearest";
import type { Span } from "../model/url";
import type { AppContext } from "./app-context";
import css from "./nearest.css";

/** An answer that has not come by then does not come. */
const GIVE_UP_MS = 15_000;

const later = (ms: number): Promise<null> => new Promise((done) => window.setTimeout(() => done(null), ms));

/** Return where the nearest reading lies, NaN: nowhere in what was looked through; that is named if it is not all. */
export function nearestWords(timeMs: number, nowMs: number, looked: string): string {
  const within = looked && ` in ${looked}`;
  if (Number.isNaN(timeMs)) return within ? `No other reading${within}` : "No other reading is kept";
  return `Nearest reading${within}: ${dayOfYear(timeMs, nowMs)} ${clock(timeMs)} · `;
}

interface Note {
  element: HTMLElement;
  words: HTMLElement;
  link: HTMLElement;
  /** What it is about. */
  key: string;
  /** Of the nearest reading; NaN: there is none, null: not known yet. */
  timeMs: number | null;
  /** What was looked through, empty: all that is kept. */
  looked: string;
}

export class Nearest {
  readonly #notes = new Map<Chart, Note>();
  readonly #style = h("style", {}, css);
  /** What is asked for, one chart after another. */
  #queue: Promise<void> = Promise.resolve();
  readonly #app: AppContext;

  constructor(app: AppContext, root: HTMLElement) {
    this.#app = app;
    root.append(this.#style);
  }

  /** Update the notes of charts; those that hold a reading have none. */
  update(charts: readonly Chart[], span: Span | null): void {
    for (const [chart, note] of this.#notes) {
      if (charts.includes(chart)) continue;
      note.element.remove();
      this.#notes.delete(chart);
    }
    for (const chart of charts) {
      const series = chart.series.filter((one) => !isResult(one)).map(({ index }) => index);
      if (span && chart.empty && series.length > 0) this.#ask(chart, series, span);
      else this.#hide(chart);
    }
  }

  #hide(chart: Chart): void {
    const note = this.#notes.get(chart);
    if (!note) return;
    note.key = "";
    show(note.element, false);
  }

  #make(chart: Chart): Note {
    const words = h("span", {});
    const go = (): void => {
      const { state, time } = this.#app;
      if (state.zoom && note.timeMs) time.zoomTo(spanAt(state.zoom, note.timeMs));
    };
    const link = h("button", { type: "button", class: "link-button", "data-tw": "go-there", onclick: go }, "Go there");
    const element = h("p", { class: "nearest", "data-tw": "nearest", role: "status" }, words, link);
    const note: Note = { element, words, link, key: "", timeMs: null, looked: "" };
    chart.card.element.append(element);
    this.#notes.set(chart, note);
    return note;
  }

  #ask(chart: Chart, series: readonly number[], span: Span): void {
    const note = this.#notes.get(chart) ?? this.#make(chart);
    const key = `${span.startMs} ${span.endMs} ${series.join()}`;
    if (note.key === key) return this.#say(note); // in a zone that may be another
    note.key = key;
    note.timeMs = null;
    show(note.element, false);
    this.#queue = this.#queue.then(async () => {
      if (note.key !== key) return;
      const { session } = this.#app;
      const timeMs = await Promise.race([nearestReading(session, series, span), later(GIVE_UP_MS)]);
      if (note.key !== key) return;
      if (timeMs === null) {
        note.key = ""; // no answer came, or another question of the page took its place: asked again
        return;
      }
      note.timeMs = timeMs;
      note.looked = lookedWords(series.length, session.status?.retention_ms);
      this.#say(note);
      show(note.link, !Number.isNaN(timeMs));
      show(note.element, true);
    });
  }

  #say({ words, timeMs, looked }: Note): void {
    if (timeMs !== null) setText(words, nearestWords(timeMs, this.#app.session.now(), looked));
  }
}
