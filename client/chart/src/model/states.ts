/** The states of a series whose readings are words: joined from frame to frame, and as bands of a window. */
import { fnv1a } from "../base/colour";
import type { State } from "../wire/frame";

/** What a slot holds of its words. */
interface Worded {
  states: readonly State[];
  lastValue: number;
  lastTimeMs: number;
}

/** Colours that words have; the first of the series' colours. */
const STATE_COLOURS = 6;
/** Words of a thing that does nothing: they are grey. */
const AT_REST = /^(idle|off|standby|none)$/i;

/** Return the states held with those of a newer frame, which begin with the reading before what changed. */
export function joinStates(held: readonly State[], fresh: readonly State[], keepFromMs: number): State[] {
  const cutMs = fresh[0][0];
  const joined = held
    .filter(([fromMs, toMs]) => fromMs < cutMs && toMs >= keepFromMs)
    .map(([fromMs, toMs, text]): State => [fromMs, Math.min(toMs, cutMs), text]);
  const [before, [, toMs, text]] = [joined.at(-1), fresh[0]];
  if (before?.[2] !== text || before[1] < cutMs) return [...joined, ...fresh];
  return [...joined.slice(0, -1), [before[0], toMs, text], ...fresh.slice(1)];
}

/** The word of the newest reading of a series; empty if that has none. */
export function wordOf(slot: Worded | undefined): string {
  const last = slot?.states.at(-1);
  return slot && last && Number.isNaN(slot.lastValue) && last[1] >= slot.lastTimeMs ? last[2] : "";
}

/** Return the states inside a window; the present one goes on until `presentMs`, if that is a number. */
export function bandsOf(slot: Worded, startMs: number, endMs: number, presentMs: number): State[] {
  const present = wordOf(slot) !== "" && !Number.isNaN(presentMs);
  return slot.states
    .map(([fromMs, toMs, text], i): State => {
      const until = present && i === slot.states.length - 1 ? Math.max(toMs, presentMs) : toMs;
      return [Math.max(fromMs, startMs), Math.min(until, endMs), text];
    })
    .filter(([fromMs, toMs]) => toMs >= fromMs && toMs >= startMs && fromMs <= endMs);
}

/** Return the last band that begins up to a time. */
export function bandAt(bands: readonly State[], timeMs: number): State | undefined {
  let found: State | undefined;
  for (const band of bands) if (band[0] <= timeMs) found = band;
  return found;
}

/** Return the colour of each word, as an index of a series' colour; -1: at rest. Up to six words have one of their own. */
export function wordColours(words: Iterable<string>): Map<string, number> {
  const found = new Map<string, number>();
  const taken = new Set<number>();
  for (const word of [...new Set(words)].sort()) {
    if (AT_REST.test(word)) {
      found.set(word, -1);
      continue;
    }
    let colour = fnv1a(word) % STATE_COLOURS;
    while (taken.has(colour) && taken.size < STATE_COLOURS) colour = (colour + 1) % STATE_COLOURS;
    taken.add(colour);
    found.set(word, colour);
  }
  return found;
}

/** Return which share of the time that is known each word has, the longest first. */
export function sharesOf(bands: readonly State[]): [word: string, share: number][] {
  const long = new Map<string, number>();
  for (const [fromMs, toMs, text] of bands) long.set(text, (long.get(text) ?? 0) + toMs - fromMs);
  const all = [...long.values()].reduce((sum, ms) => sum + ms, 0) || 1;
  return [...long].map(([word, ms]): [string, number] => [word, ms / all]).sort((a, b) => b[1] - a[1]);
}
