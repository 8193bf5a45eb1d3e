/**
 * The pattern that selects metrics, as the service has it: `*` within one level, a level of `**` any number of levels.
 */

/**
 * One level against one level of a pattern: a star eats any characters. Each star goes back to itself only: linear per
 * star.
 */
function levelMatches(pattern: string, level: string): boolean {
  let [p, at, star, mark] = [0, 0, -1, 0];
  while (at < level.length) {
    if (pattern[p] === "*") [star, mark, p] = [p, at, p + 1];
    else if (p < pattern.length && pattern[p] === level[at]) [p, at] = [p + 1, at + 1];
    else if (star >= 0) [p, mark, at] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

/** Whether a pattern selects a metric; `plant/**` selects `plant` as well. */
export function matches(pattern: string, metric: string): boolean {
  if (!pattern.includes("*")) return pattern === metric;
  const levels = metric.split("/");
  // reach[k]: the pattern so far can have eaten exactly k levels.
  let reach: boolean[] = [true, ...levels.map(() => false)];
  for (const part of pattern.split("/")) {
    const next: boolean[] = levels.map(() => false);
    next.unshift(false);
    if (part === "**") {
      for (let k = 0, any = false; k <= levels.length; k++) next[k] = any ||= reach[k];
    } else {
      for (let k = 0; k < levels.length; k++) next[k + 1] = reach[k] && levelMatches(part, levels[k]);
    }
    reach = next;
  }
  return reach[levels.length];
}
