/**
 * The styles of a deck's series, where the dashboard's do not do: two series of one chart never share one, and none
 * changes once it was shown. See docs/decisions/0019-a-colour-is-one-series.md.
 */

import { STYLES } from "../base/colour";
import { labelKey } from "../base/naming";
import { type Directory, type Series, seriesId } from "./directory";
import { EVERY, type KeptColour } from "./url";

/** Written into an address at most. */
const MOST_KEPT = 100;

/** What is kept of each series and label set, by its identity. */
export function keptStyles(colours: readonly KeptColour[]): Map<string, number> {
  return new Map(colours.map(({ metric, labels, style }) => [seriesId({ metric, key: labelKey(labels) }), style]));
}

const keptOf = (kept: ReadonlyMap<string, number>, series: Series): number | undefined =>
  kept.get(seriesId(series)) ?? (series.key ? kept.get(seriesId({ metric: EVERY, key: series.key })) : undefined);

/**
 * Choose the style of each series of a deck's charts: what is kept of it, or else what the dashboard gives; where two of a
 * chart would have the same, that which is not kept gets one that is free.
 */
export function deckStyles(
  directory: Directory,
  charts: readonly (readonly Series[])[],
  kept: ReadonlyMap<string, number>,
): Map<string, number> {
  const styles = new Map<string, number>();
  const styleOf = (one: Series): number => styles.get(seriesId(one)) ?? keptOf(kept, one) ?? one.given;
  for (const chart of charts) {
    const taken = new Set<number>();
    const before = chart.filter((one) => keptOf(kept, one) !== undefined);
    for (const one of new Set([...before, ...chart])) {
      let style = styleOf(one);
      if (taken.has(style)) {
        const beside = charts.filter((other) => other.includes(one)).flat();
        const ofMetric = directory.byMetric.get(one.metric) ?? [];
        style = free([...beside, ...ofMetric], one, styleOf) ?? free(beside, one, styleOf) ?? style;
      }
      taken.add(style);
      styles.set(seriesId(one), style);
    }
  }
  return styles;
}

/** Return the first style that no other of these series has. */
function free(series: readonly Series[], own: Series, styleOf: (one: Series) => number): number | undefined {
  const taken = new Set(series.filter((one) => one !== own).map(styleOf));
  for (let style = 0; style < STYLES; style++) if (!taken.has(style)) return style;
  return undefined;
}

/** Return what the address of a deck must say: what it says already, and the styles that are not the dashboard's. */
export function changedColours(series: readonly Series[], said: readonly KeptColour[]): KeptColour[] {
  const known = keptStyles(said);
  const changed = series.filter((one) => one.style !== (keptOf(known, one) ?? one.given));
  const ids = new Set(changed.map(seriesId));
  const kept = said.filter(({ metric, labels }) => !ids.has(seriesId({ metric, key: labelKey(labels) })));
  return [...kept, ...changed.map(({ metric, labels, style }) => ({ metric, labels, style }))].slice(-MOST_KEPT);
}

/**
 * Return what a link, a file or a saved deck says, which may be opened when the dashboard gives other styles: that of each
 * label set, and of each series with another than its label set, or without labels unless its name alone gives it.
 */
export function allColours(directory: Directory, series: readonly Series[]): KeptColour[] {
  const colours = new Map<string, KeptColour>();
  for (const { metric, labels, key, style, given } of new Set(series)) {
    const set = colours.get(key);
    const needless = key === "" && style === given && directory.byMetric.get(metric)?.length === 1;
    if (key !== "" && !set) colours.set(key, { metric: EVERY, labels, style });
    else if (style !== set?.style && !needless) colours.set(seriesId({ metric, key }), { metric, labels, style });
  }
  return [...colours.values()].slice(0, MOST_KEPT);
}
