/**
 * What the search box finds: words, `label=value`, patterns with `*` and `**`, and regular expressions between slashes.
 *
 * A series is found if it matches all parts. A pattern may begin at any level and says nothing of the levels after it.
 * Regular expressions are matched without backtracking, and in all for a bounded time.
 */
import { compile } from "../base/automaton";
import type { Labels } from "../base/naming";
import { labelOf } from "../base/naming";
import { matches } from "../base/pattern";
import type { Directory, Series } from "./directory";
import { hasLabels } from "./layout";

/** Parts of a search that are obeyed; a text is longer only by mistake. */
const MAX_PARTS = 20;
/** How long regular expressions may take in one search, ms; what is not tested by then is not found, and this is said. */
const MAX_MS = 200;
/** Series between two looks at the clock. */
const CHUNK = 32;

type Test = (series: Series) => boolean;

export interface Search {
  /** Series of this order that match. */
  found: Series[];
  /** What is wrong with the search; empty: nothing. */
  problem: string;
}

function testOf(part: string): Test {
  const expression = part.length > 2 && part.startsWith("/") && part.endsWith("/") ? part.slice(1, -1) : null;
  if (expression !== null) {
    const test = compile(expression);
    return ({ metric, key }) => test(key ? `${metric} ${key}` : metric);
  }
  const label = /^([^=/*]+)=(.*)$/.exec(part);
  if (label) {
    const [, name, value] = label;
    return ({ labels, haystack }) => {
      const own = labelOf(labels, name);
      return own === undefined
        ? haystack.includes(part.toLowerCase())
        : matches((value || "*").toLowerCase(), own.toLowerCase());
    };
  }
  if (part.includes("*")) {
    const start = part.startsWith("**") ? part : `**/${part.replace(/^\//, "")}`;
    const pattern = (start.endsWith("**") ? start : `${start.replace(/\/$/, "")}/**`).toLowerCase();
    return ({ metric }) => matches(pattern, metric.toLowerCase());
  }
  const word = part.toLowerCase();
  return ({ haystack }) => haystack.includes(word);
}

/** Return the series that a search finds among these, of those with all of these labels. */
export function search(series: readonly Series[], query: string, labels: Labels = {}): Search {
  const parts = query.split(/\s+/).filter(Boolean);
  const tests: Test[] = [];
  let problem = parts.length > MAX_PARTS ? `Only the first ${MAX_PARTS} parts of the search are obeyed` : "";
  for (const part of parts.slice(0, MAX_PARTS)) {
    try {
      tests.push(testOf(part));
    } catch (error) {
      problem = `${part} is no expression: ${(error as Error).message}`;
      tests.push(() => false);
    }
  }
  const found: Series[] = [];
  const until = performance.now() + MAX_MS;
  const chosen = Object.keys(labels).length > 0;
  for (let i = 0; i < series.length; i++) {
    if (i % CHUNK === CHUNK - 1 && performance.now() > until) {
      problem = `This search takes too long: only the first ${i} series were searched`;
      break;
    }
    const one = series[i];
    if ((!chosen || hasLabels(one, labels)) && tests.every((test) => test(one))) found.push(one);
  }
  return { found, problem };
}

/** The last search of a page: as long as directory, query and labels are as they were, so is what it found. */
export class Searched {
  #key = "";
  #last: Search = { found: [], problem: "" };

  of(directory: Directory, query: string, labels: Labels): Search {
    const key = JSON.stringify([directory.version, query, Object.entries(labels)]);
    if (key !== this.#key) this.#last = search(directory.measured, query, labels);
    this.#key = key;
    return this.#last;
  }

  #near: readonly [key: string, level: string] = ["", ""];

  /** Return the level nearest to a query that found nothing, see `nearest`. */
  nearest(directory: Directory, query: string): string {
    const key = `${directory.version} ${query}`;
    if (this.#near[0] !== key) this.#near = [key, nearest(directory.measured, query)];
    return this.#near[1];
  }
}

/** Names compared for the nearest one. */
const MAX_NEAR = 5_000;

/** Return the level that is most like a search that found nothing; empty if none is. */
export function nearest(series: readonly Series[], query: string): string {
  const wanted = query
    .toLowerCase()
    .split(/[\s/*=]+/)
    .filter(Boolean);
  const levels = new Set(series.flatMap(({ metric }) => metric.split("/")));
  let best = "";
  let least = Infinity;
  for (const level of [...levels].slice(0, MAX_NEAR)) {
    const own = level.toLowerCase();
    for (const word of wanted) {
      const away = own === word ? Infinity : distance(own, word);
      if (away < least) [best, least] = [level, away];
    }
  }
  return least <= 3 ? best : "";
}

/** Changes of one character between two texts, of the first 40 characters of each (Levenshtein). */
function distance(a: string, b: string): number {
  const [from, to] = [a.slice(0, 40), b.slice(0, 40)];
  if (Math.abs(from.length - to.length) > 3) return Infinity;
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[to.length];
}
