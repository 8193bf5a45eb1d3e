/** The directory of series that Python announced, with their colours, groups and order. */
import { colourIndex } from "../base/colour";
import { groupBy } from "../base/group-by";
import {
  byName,
  groupOf,
  type Labels,
  labelKey,
  legendLabel,
  nameInGroup,
  shortLabels,
  tellingLabels,
} from "../base/naming";
import type { SeriesEntry } from "../wire/messages";

export interface Series {
  readonly index: number;
  readonly metric: string;
  readonly labels: Labels;
  readonly unit: string;
  readonly key: string;
  readonly group: string;
  /** Name inside its group, and in short the labels that tell it from the others of its metric. */
  readonly name: string;
  readonly short: string;
  readonly legend: string;
  /** Lower case text that the search box looks in. */
  readonly haystack: string;
  colour: number;
}

export class Directory {
  readonly byIndex = new Map<number, Series>();
  /** All series, by metric name, then by labels. */
  list: Series[] = [];
  /** All but `annotations`, whose events are drawn as flags. */
  measured: Series[] = [];
  byMetric: ReadonlyMap<string, Series[]> = new Map();
  /** Raised by every change. */
  version = 0;

  update(full: boolean, entries: readonly SeriesEntry[]): void {
    if (full) this.byIndex.clear();
    for (const entry of entries) {
      const { labels } = entry;
      const short = shortLabels(labels);
      this.byIndex.set(entry.i, {
        index: entry.i,
        metric: entry.metric,
        labels,
        unit: entry.unit,
        key: labelKey(labels),
        group: groupOf(entry.metric),
        name: nameInGroup(entry.metric),
        short,
        legend: legendLabel(labels),
        haystack: `${entry.metric} ${short} ${labelKey(labels)}`.toLowerCase(),
        colour: 0,
      });
    }
    this.#shorten();
    this.list = [...this.byIndex.values()].sort((a, b) => byName(a.metric, b.metric) || byName(a.key, b.key));
    this.measured = this.list.filter((series) => series.metric !== "annotations");
    this.byMetric = groupBy(this.list, ({ metric }) => metric);
    // Ranks follow plain text order, as in Python; the order on screen sorts numbers by value.
    for (const [metric, same] of this.byMetric) {
      const ranked = [...same].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
      ranked.forEach((series, rank) => (series.colour = colourIndex(metric, rank)));
    }
    this.version++;
  }

  /** Leave out the labels that all series of a metric share. A series whose text changes becomes another object. */
  #shorten(): void {
    for (const same of groupBy(this.byIndex.values(), ({ metric }) => metric).values()) {
      const all = same.map(({ labels }) => labels);
      for (const series of same) {
        const telling = tellingLabels(series.labels, all);
        const legend = legendLabel(telling);
        if (legend !== series.legend)
          this.byIndex.set(series.index, { ...series, legend, short: shortLabels(telling) });
      }
    }
  }

  /** Return the measured series that a search finds: those with all of its words. */
  search(query: string): Series[] {
    const words = query.toLowerCase().split(/\s+/);
    return this.measured.filter(({ haystack }) => words.every((word) => haystack.includes(word)));
  }

  find(metric: string, key: string): Series | undefined {
    return this.byMetric.get(metric)?.find((series) => series.key === key);
  }

  /** Return the first levels of the metrics' names, sorted: each is a default deck. */
  groups(): string[] {
    return [...new Set(this.list.map((series) => series.group))].sort(byName);
  }
}
