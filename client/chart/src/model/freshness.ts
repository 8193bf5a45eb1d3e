/** Decides whether a series is live, stale, without data or finished, and how to say that and how old it is. */
import { clock, interval, liveAge, shortAge, span } from "../base/format";
import { FLAG_ENDED, FLAG_LATE } from "../wire/frame";

export type Freshness = "live" | "stale" | "nodata" | "finished" | "unknown";

/** A way of this length is not worth a word, and clocks differ by as much. */
const NO_WAY_MS = 1_000;

/** Whether a chart or tile in this state has had no reading for too long. */
export const isSilent = (state: string): boolean => state === "stale" || state === "nodata";

/** The fields of a record that decide freshness. */
export interface Timing {
  /** The newest reading's own time, and when it came. */
  lastTimeMs: number;
  lastIdMs: number;
  expectedMs: number;
  blocksMs: number;
  flags: number;
}

/** How long a series is silent between two arrivals: between readings, or between the blocks in which they come. */
const arrivalMs = ({ expectedMs, blocksMs }: Timing): number => Math.max(expectedMs, blocksMs);

/** How old the newest reading of a series is; NaN without one. */
export interface Age {
  /** Since its own time; negative if that is still to come. */
  ms: number;
  /** From its own time until it came; negative if its clock is ahead; 0 of a reading that came again as the last. */
  wayMs: number;
}

export function ageOf({ lastTimeMs, lastIdMs, flags }: Omit<Timing, "expectedMs" | "blocksMs">, nowMs: number): Age {
  return { ms: nowMs - lastTimeMs, wayMs: flags & FLAG_ENDED ? 0 : lastIdMs - lastTimeMs };
}

/** Tell whether a reading's own time is still to come, by more than clocks differ. */
export const isAhead = ({ ms }: Age): boolean => ms < -NO_WAY_MS;

/** "45 s late", "3 s ahead", or nothing for a reading that came at its time. */
export function wayWords({ wayMs }: Age): string {
  if (wayMs > NO_WAY_MS) return `${span(wayMs)} late`;
  return wayMs < -NO_WAY_MS ? `${span(-wayMs)} ahead` : "";
}

/** An age and the way: "46 s · 45 s late"; the way alone while the reading's time is still to come. */
export function ageWords(age: Age, written: (ms: number) => string = span): string {
  const way = wayWords(age);
  return way && age.ms < 0 ? way : [written(age.ms), way].filter(Boolean).join(" · ");
}

/** An age where there is room for one of both: the way tells more. */
export const shortAgeWords = (age: Age): string => wayWords(age) || shortAge(age.ms);

/**
 * Return the longest silence that is no gap, NaN with fewer than 3 readings. A step of 0 measures against now: longer
 * is stale. Python has the same rule in `tidewire/livestore/gaps.py`.
 */
export function gapLimitMs(expectedMs: number, stepMs: number): number {
  return Number.isNaN(expectedMs) ? NaN : Math.max(3 * expectedMs, 2_000, 2 * stepMs);
}

export function noDataLimitMs(expectedMs: number): number {
  return Number.isNaN(expectedMs) ? NaN : Math.max(30 * expectedMs, 60_000);
}

/** The width of buckets does not matter here: a window of a day goes stale as fast as one of a minute. */
export function freshness(timing: Timing, nowMs: number): Freshness {
  const age = nowMs - timing.lastIdMs;
  if (!Number.isFinite(age)) return "unknown";
  if (timing.flags & FLAG_ENDED) return "finished";
  const expectedMs = arrivalMs(timing);
  if (age > noDataLimitMs(expectedMs)) return "nodata";
  if (timing.flags & FLAG_LATE) return "stale";
  if (Number.isNaN(expectedMs)) return "unknown";
  return age > gapLimitMs(expectedMs, 0) ? "stale" : "live";
}

/** The word and value of a chart's title row: LIVE 120 ms, LIVE 46 s · 45 s late, STALE 8 s, FINISHED 3 min ago. */
export function chartWords(state: Freshness, age: Age): { word: string; value: string } {
  if (!Number.isFinite(age.ms)) return { word: "NO DATA", value: "" };
  switch (state) {
    case "live":
      return { word: "LIVE", value: ageWords(age, liveAge) };
    case "stale":
      return { word: "STALE", value: ageWords(age) };
    case "nodata":
      return { word: "NO DATA", value: ageWords(age) };
    case "finished":
      return { word: "FINISHED", value: ago(age, span) };
    case "unknown":
      return { word: "", value: ago(age, shortAge) };
  }
}

/** The words of a chart that has no reading in its window: "newest 20 min ago". */
export const emptyWords = (age: Age): { word: string; value: string } => ({
  word: "",
  value: `newest ${ago(age, span)}`,
});

const ago = (age: Age, written: (ms: number) => string): string => ageWords(age, (ms) => `${written(ms)} ago`);

/** What a screen reader hears: "live, last reading 0.2 seconds ago". */
export function spoken(state: Freshness, age: Age): string {
  if (!Number.isFinite(age.ms)) return "no reading yet";
  const inFull = (text: string): string =>
    text
      .replace(/ s\b/, " seconds")
      .replace(/ min\b/, " minutes")
      .replace(/ h\b/, " hours")
      .replace(/ d\b/, " days");
  const s = Math.max(0, age.ms) / 1000;
  const how = `${s < 10 ? `${s.toFixed(1)} s` : span(age.ms)} ago`;
  const way = wayWords(age);
  const word = { live: "live, ", stale: "stale, ", nodata: "no data, ", finished: "finished, ", unknown: "" }[state];
  return `${word}last reading ${[inFull(how), inFull(way)].filter(Boolean).join(", ")}`;
}

/** Return the texts for the hatching of a silent chart, longest first; the first that fits is drawn. */
export function silentWords(ageMs: number, expectedMs: number): string[] {
  const last = `last value ${span(ageMs)} ago`;
  const within = gapLimitMs(expectedMs, 0);
  return [...(Number.isNaN(within) ? [] : [`${last} · expected within ${interval(within)}`]), last, span(ageMs)];
}

/** The second line of a tile that is not live: the time of its last reading, or how long ago. */
export function tileWhen(state: Freshness, ageMs: number, lastTimeMs: number): string {
  return state === "stale" ? clock(lastTimeMs) : `${span(ageMs)} ago`;
}
