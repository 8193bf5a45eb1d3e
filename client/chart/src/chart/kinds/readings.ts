/** What the kinds read of a chart: its last values, its words, which of its series are shown. */

import { longSpan, plural, shortAge } from "../../base/format";
import type { Picture } from "../../canvas/picture";
import { chartWords, emptyWords, type Freshness, freshness, isSilent } from "../../model/freshness";
import { chartFreshness, printValue } from "../../model/reading";
import { bandAt, bandsOf, wordOf } from "../../model/states";
import type { Moment } from "../moment";
import type { Shown } from "./kind";

/** Return the indices of the series that the legend has not hidden. */
export const shownOf = (chart: Shown): number[] =>
  chart.series.map((_, i) => i).filter((i) => !chart.hides(chart.series[i].index));

/** Return the newest value of a series; of a span of the past, the last one inside it. NaN if there is none. */
export function newestOf(chart: Shown, moment: Moment, i: number): number {
  if (chart.hides(chart.series[i].index)) return NaN;
  return moment.zoomed ? chart.traces[i].lastWithin(moment.startMs, moment.endMs) : (chart.slots[i]?.lastValue ?? NaN);
}

/** How pale is what a chart is compared with. */
export const EARLIER_ALPHA = 0.42;

/** Return what a series was at the end of the window, that much earlier; NaN if nothing is compared, or if there was nothing. */
export function earlierOf(chart: Shown, { startMs, endMs }: Moment, i: number): number {
  const trace = chart.earlier?.traces[i];
  return trace && !chart.hides(chart.series[i].index) ? trace.lastWithin(startMs, endMs) : NaN;
}

/** "a week ago 924.6", or only "a week ago" of several series; empty if nothing is compared. */
export function earlierWords(chart: Shown, moment: Moment, i: number | null): string {
  if (!chart.earlier) return "";
  if (!chart.earlier.comparable) return "not compared";
  if (!chart.earlier.ready) return `${chart.earlier.ago}: loading`;
  const value = i === null ? NaN : earlierOf(chart, moment, i);
  const known = i === null ? chart.earlier.traces.some(({ n }) => n > 0) : !Number.isNaN(value);
  if (!known) return `nothing ${chart.earlier.ago}`;
  return i === null ? `pale: ${chart.earlier.ago}` : `${chart.earlier.ago} ${printValue(value, chart.prints[i])}`;
}

/** Return the word of a series of words at the end of the window, empty if it is none. */
export function wordWithin(chart: Shown, moment: Moment, i: number): string {
  if (chart.hides(chart.series[i].index)) return "";
  const slot = chart.slots[i];
  if (!moment.zoomed || !slot) return wordOf(slot);
  // A chart of words and numbers has no bands.
  return bandAt(bandsOf(slot, moment.startMs, moment.endMs, NaN), moment.endMs)?.[2] ?? "";
}

/** Return the freshness of one series; in a span of the past nothing is live or stale. */
export function stateOf(chart: Shown, moment: Moment, i: number): Freshness {
  const slot = chart.slots[i];
  if (!slot) return "unknown";
  const state = freshness(slot, moment.nowMs);
  return moment.zoomed && state !== "finished" ? "unknown" : state;
}

/** How fresh a chart is: as the head of its card says it. */
export interface Fresh {
  silent: boolean;
  /** "LIVE 60 ms", "STALE 8 s", "PAUSED", "newest 20 min ago". */
  words: string;
  /** The same without the word LIVE; and the word and the age apart, without the way of the last reading. */
  short: string;
  word: string;
  age: string;
}

export function freshOf(chart: Shown, moment: Moment, picture: Picture): Fresh {
  const { state, age } = chartFreshness(chart.heard, moment.nowMs);
  const live = state === "live" || state === "unknown";
  const { word, value } = live && picture.emptyText.length > 0 ? emptyWords(age) : chartWords(state, age);
  const silent = isSilent(state) && !moment.zoomed;
  const words = moment.paused && !silent ? "PAUSED" : `${word} ${value}`.trim();
  const old = Number.isFinite(age.ms) ? shortAge(age.ms) : "";
  return { silent, words, short: words.replace(/^LIVE /, ""), word, age: old };
}

/** How long the window is: "5 min". */
export const lengthText = ({ startMs, endMs }: Moment): string =>
  longSpan(Math.round((endMs - startMs) / 1_000) * 1_000);

/** "last 5 min", or how long the stretch of the past is that is shown. */
export function windowText(moment: Moment): string {
  return moment.zoomed || moment.paused ? lengthText(moment) : `last ${lengthText(moment)}`;
}

/** Return what tells a series from others of its metric, and of a chart of several metrics its name too. */
export function nameOf({ series }: Shown, i: number): string {
  const { metric, name, legend } = series[i];
  return series.every((one) => one.metric === metric) ? legend : `${name} ${legend}`.trim();
}

/** "7 series", or "6 of 7 series" while the legend hides some. */
export function countText(chart: Shown): string {
  const [shown, all] = [shownOf(chart).length, chart.series.length];
  return shown === all ? plural(all, "series", "series") : `${shown} of ${plural(all, "series", "series")}`;
}

/** Why a kind that shows one series cannot show a chart, empty if it can. */
export function oneSeries(chart: Shown, what: string): string {
  const { length } = shownOf(chart);
  return length > 1 ? `${what} shows one series, and here are ${length}: split the chart (s) or hide others` : "";
}

/** Why a kind that compares numbers of one unit cannot show a chart, empty if it can. */
export function oneUnit(chart: Shown, what: string): string {
  if (chart.bands) return `${what} shows numbers, and these readings are words`;
  return chart.codes.length > 1 ? `${what} shows one unit, and here are several` : "";
}
