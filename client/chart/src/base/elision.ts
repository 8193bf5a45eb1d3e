/** Shortens names: what neighbours share leaves first, then the middle; what tells a name apart stays. Pure. */

import { groupBy } from "./group-by";

const MARK = "…";
/** A shared start of fewer characters is not worth a mark. */
const LEAST_CUT = 3;
/** Characters that stay at the start of a name whose middle is cut. */
const HEAD = 2;
/** Px between a name and its labels. */
export const BETWEEN = 5;

/** Whether a text has room. */
type Measure = (text: string) => number;

/** Return the leading parts that all names share, never the last part of one. */
export function sharedParts(names: readonly string[], separator: string): number {
  const split = names.map((name) => name.split(separator));
  const most = Math.min(...split.map((parts) => parts.length - 1));
  let shared = 0;
  while (shared < most && split.every((parts) => parts[shared] === split[0][shared])) shared++;
  return shared;
}

/** Return how many characters all texts begin with; no number is cut, and no text is cut whole. */
function sharedStart(texts: readonly string[]): number {
  const [first] = texts;
  let shared = 0;
  while (texts.every((text) => text.length > shared + 1 && text[shared] === first[shared])) shared++;
  const splits = (at: number): boolean =>
    /[\uD800-\uDBFF]$/.test(first.slice(0, at)) ||
    (/\d$/.test(first.slice(0, at)) && texts.some((text) => /^\d/.test(text.slice(at))));
  while (shared > 0 && splits(shared)) shared--;
  return shared >= LEAST_CUT ? shared : 0;
}

/**
 * Return shorter texts of each name, longest first: whole, without the parts that all names of as many parts share, and
 * part by part without what the others begin with. Names that differ have texts that differ.
 */
export function shorterForms(names: Iterable<string>, separator: string): Map<string, readonly string[]> {
  const forms = new Map<string, readonly string[]>();
  for (const same of groupBy(new Set(names), (name) => name.split(separator).length).values()) {
    const split = same.map((name) => name.split(separator));
    const values = split[0].map((_, i) => [...new Set(split.map((parts) => parts[i]))]);
    const cuts = values.map(sharedStart);
    same.forEach((name, at) => {
      if (same.length === 1) {
        forms.set(name, [name]);
        return;
      }
      const telling = split[at].map((part, i) => (values[i].length > 1 ? part : MARK));
      const cutUntil = (until: number): string[] =>
        telling.map((part, i) => (i < until && part !== MARK && cuts[i] ? MARK + part.slice(cuts[i]) : part));
      const texts = [name, ...[...telling.keys(), telling.length].map((until) => merged(cutUntil(until), separator))];
      forms.set(
        name,
        texts.filter((text, i) => i === 0 || text.length < texts[i - 1].length),
      );
    });
  }
  return forms;
}

/** Join parts; marks beside each other are one. */
function merged(parts: readonly string[], separator: string): string {
  return parts.filter((part, i) => part !== MARK || parts[i - 1] !== MARK).join(separator);
}

/** Return a text with its middle cut until it fits: its first two characters, and as much of its end as there is room. */
export function elided(text: string, width: number, measure: Measure): string {
  if (measure(text) <= width) return text;
  const characters = [...text];
  for (let tail = characters.length - HEAD - 1; tail > 0; tail--) {
    const cut = characters.slice(0, HEAD).join("") + MARK + characters.slice(-tail).join("");
    if (measure(cut) <= width) return cut;
  }
  return measure(MARK) <= width ? MARK : "";
}

/** Return a name and its labels as they fit side by side: each gives up what it shares before either is cut. */
export function fitted(
  names: readonly string[],
  details: readonly string[],
  width: number,
  measure: Measure,
): readonly [string, string] {
  const wide = [names, details].map((texts) => texts.map(measure));
  for (let loss = 0; loss < names.length + Math.max(1, details.length) - 1; loss++) {
    for (let i = Math.min(loss, names.length - 1); i >= 0 && loss - i < Math.max(1, details.length); i--) {
      const detail = details[loss - i] ?? "";
      if (wide[0][i] + (detail ? BETWEEN + wide[1][loss - i] : 0) <= width) return [names[i], detail];
    }
  }
  const name = names[0]; // of texts with marks, cut once more, nothing could be read
  if (!details[details.length - 1]) return [elided(name, width, measure), ""];
  const least = Math.min(measure(name), width / 2);
  const detail = elided(details[0], width - BETWEEN - least, measure);
  return [elided(name, width - BETWEEN - measure(detail), measure), detail];
}
