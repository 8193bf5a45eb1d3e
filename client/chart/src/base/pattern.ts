/**
 * Matches metrics against patterns: `*` within one level, `**` for any number of levels.
 *
 * Matching never backtracks, as in `tidewire/model/pattern.py`: the text between two stars of a level is taken at its
 * first place after the one before, and so is a run of levels between two `**`, whose number is fixed.
 */

/** Texts of a level, with any characters between two of them. */
type Level = readonly string[];

/** Runs of levels, with any levels between two of them; of the patterns matched last. */
const compiled = new Map<string, readonly (readonly Level[])[]>();
const MOST_COMPILED = 4_096;

function runsOf(pattern: string): readonly (readonly Level[])[] {
  let runs = compiled.get(pattern);
  if (!runs) {
    const made: Level[][] = [[]];
    for (const level of pattern.split("/"))
      if (level === "**") made.push([]);
      else made[made.length - 1].push(level.split("*"));
    runs = made;
    if (compiled.size >= MOST_COMPILED) compiled.clear();
    compiled.set(pattern, runs);
  }
  return runs;
}

function levelMatches(texts: Level, level: string): boolean {
  const [first, last] = [texts[0], texts[texts.length - 1]];
  if (texts.length === 1) return level === first;
  const end = level.length - last.length;
  let at = first.length;
  if (at > end || !level.startsWith(first) || !level.endsWith(last)) return false;
  for (let i = 1; i < texts.length - 1; i++) {
    const found = level.indexOf(texts[i], at);
    if (found < 0 || found + texts[i].length > end) return false;
    at = found + texts[i].length;
  }
  return true;
}

const runMatches = (run: readonly Level[], levels: readonly string[], at: number): boolean =>
  run.every((texts, i) => levelMatches(texts, levels[at + i]));

/** Whether a pattern selects a metric; `plant/**` selects `plant` as well. */
export function matches(pattern: string, metric: string): boolean {
  if (!pattern.includes("*")) return pattern === metric;
  const runs = runsOf(pattern);
  const levels = metric.split("/");
  const [first, last] = [runs[0], runs[runs.length - 1]];
  if (runs.length === 1) return levels.length === first.length && runMatches(first, levels, 0);
  const end = levels.length - last.length;
  let at = first.length;
  if (at > end || !runMatches(first, levels, 0) || !runMatches(last, levels, end)) return false;
  for (const run of runs.slice(1, -1)) {
    while (at + run.length <= end && !runMatches(run, levels, at)) at++;
    at += run.length;
    if (at > end) return false;
  }
  return true;
}
