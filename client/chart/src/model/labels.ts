/** The labels by which series can be chosen: those that divide them best are offered first; pure. */
import { byName, type Labels } from "../base/naming";

/** Labels of which a chip is offered; the others are behind `+ label`. */
export const MOST_CHIPS = 4;
/** A label of more values names series one by one: it is offered after the others. */
const MANY_VALUES = 50;

export interface LabelChoice {
  name: string;
  /** Its values in order of name, each with the number of series. */
  values: readonly (readonly [value: string, count: number])[];
}

/** Return the labels with two or more values, those that divide the series best first: O(n) in all labels. */
export function labelChoices(series: readonly { readonly labels: Labels }[]): LabelChoice[] {
  const counts = new Map<string, Map<string, number>>();
  for (const { labels } of series)
    for (const [name, value] of Object.entries(labels)) {
      const values = counts.get(name) ?? new Map<string, number>();
      values.set(value, (values.get(value) ?? 0) + 1);
      counts.set(name, values);
    }
  const divides = (values: ReadonlyMap<string, number>): number => {
    const all = [...values.values()].reduce((sum, count) => sum + count, 0);
    const same = [...values.values()].reduce((sum, count) => sum + (count / all) ** 2, 0);
    return ((all / series.length) * (1 - same)) / (values.size > MANY_VALUES ? MANY_VALUES : 1);
  };
  return [...counts]
    .filter(([, values]) => values.size > 1)
    .map(([name, values]) => ({ name, values, worth: divides(values) }))
    .sort((a, b) => b.worth - a.worth || byName(a.name, b.name))
    .map(({ name, values }) => ({ name, values: [...values].sort(([a], [b]) => byName(a, b)) }));
}

/** Return the names of the chips that are shown: the chosen labels, then the best of the others. */
export function chipsOf(choices: readonly LabelChoice[], chosen: Labels, added: readonly string[]): string[] {
  const own = [...new Set([...Object.keys(chosen), ...added])];
  const others = choices.map(({ name }) => name).filter((name) => !own.includes(name));
  return [...own, ...others.slice(0, Math.max(0, MOST_CHIPS - own.length))];
}

/** Return labels with a value set, or without it (null). */
export function withLabel(labels: Labels, name: string, value: string | null): Labels {
  const others = Object.entries(labels).filter(([key]) => key !== name);
  return Object.fromEntries(value === null ? others : [...others, [name, value]]);
}
