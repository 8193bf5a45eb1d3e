/** Matches metrics against patterns, by the service's rules: `*` within one level, `**` for any number of levels. */

/**
 * Match one level of a name with one level of a pattern, in which `*` stands for any characters. Backtracks only to the
 * last star, so the time is at most the product of both lengths.
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
  // reach[k]: the part of the pattern so far can match exactly the first k levels.
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
