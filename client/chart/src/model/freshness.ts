/** Decides whether a series is live, stale or without data, and how to say it. */
import { clock, interval, liveAge, shortAge, span } from "../base/format";

export type Freshness = "live" | "stale" | "nodata" | "unknown";

/** Whether a chart or tile in this state has had no reading for too long. */
export const isSilent = (state: string): boolean => state === "stale" || state === "nodata";

/** The fields of a record that decide freshness. */
export interface Timing {
  lastIdMs: number;
  expectedMs: number;
}

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
  if (Number.isNaN(timing.expectedMs)) return "unknown";
  if (age > noDataLimitMs(timing.expectedMs)) return "nodata";
  return age > gapLimitMs(timing.expectedMs, 0) ? "stale" : "live";
}

/** The word and value of a chart's title row: LIVE 120 ms, STALE 8 s, NO DATA 3 min. */
export function chartWords(state: Freshness, ageMs: number): { word: string; value: string } {
  if (!Number.isFinite(ageMs)) return { word: "NO DATA", value: "" };
  switch (state) {
    case "live":
      return { word: "LIVE", value: liveAge(ageMs) };
    case "stale":
      return { word: "STALE", value: span(ageMs) };
    case "nodata":
      return { word: "NO DATA", value: span(ageMs) };
    case "unknown":
      return { word: "", value: `${shortAge(ageMs)} ago` };
  }
}

/** What a screen reader hears: "live, last reading 0.2 seconds ago". */
export function spoken(state: Freshness, ageMs: number): string {
  if (!Number.isFinite(ageMs)) return "no reading yet";
  const s = Math.max(0, ageMs) / 1000;
  const ago =
    s < 10
      ? `${s.toFixed(1)} seconds ago`
      : `${span(ageMs).replace(/ s$/, " seconds").replace(/ min$/, " minutes").replace(/ h$/, " hours").replace(/ d$/, " days")} ago`;
  const word = { live: "live, ", stale: "stale, ", nodata: "no data, ", unknown: "" }[state];
  return `${word}last reading ${ago}`;
}

/** Return the texts for the hatching of a silent chart, longest first; the first that fits is drawn. */
export function silentWords(ageMs: number, expectedMs: number): string[] {
  const last = `last value ${span(ageMs)} ago`;
  const every = Number.isFinite(expectedMs) ? [`${last} · expected every ${interval(expectedMs)}`] : [];
  return [...every, last, span(ageMs)];
}

/** The second line of a tile that is not live: the time of its last reading, or how long ago. */
export function tileWhen(state: Freshness, ageMs: number, lastTimeMs: number): string {
  return state === "nodata" ? `${span(ageMs)} ago` : clock(lastTimeMs);
}
