/** The directory of series that Python announced, with their colours, groups and order. */
import { sharedParts, shorterForms } from "../base/elision";
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
import type { FormulaState, SeriesEntry } from "../wire/messages";
import { sourceOf } from "./columns";

export interface Series {
  readonly index: number;
  readonly metric: string;
  readonly labels: Labels;
  readonly unit: string;
  readonly key: string;
  readonly group: string;
  /** Name below the heading of its group, and in short the labels that tell it from the others of its metric. */
  readonly name: string;
  readonly short: string;
  /** Shorter texts of both, longest first, for where there is little room. */
  readonly names: readonly string[];
  readonly shorts: readonly string[];
  readonly legend: string;
  /** Lower case text that the search box looks in. */
  readonly haystack: string;
  /** Style of its lines as the dashboard gives it, and as the deck that is shown has it. */
  readonly given: number;
  style: number;
  /** When it was announced, by `performance.now()`, if that was after the page had a directory; else -Infinity. */
  readonly bornAt: number;
  /** What it says of many series in whose place it stands, such as `p50`: see `FormulaSeries`. */
  readonly role?: string | undefined;
}

/** Series of results have indices from here on, as Python has it in `livestore/shared_formulas.py`. */
const FIRST_RESULT = 1 << 24;

/** Tell whether a series is of the result of a formula, and published by nobody. */
export const isResult = ({ index }: Pick<Series, "index">): boolean => index >= FIRST_RESULT;

/** The identity of a series, and of its label set in every metric (`*`). */
export const seriesId = ({ metric, key }: { metric: string; key: string }): string => `${metric}\0${key}`;

/** Tell whether a series is of Tidewire itself, or of the machine that it runs on. */
export const isOwn = ({ group }: Pick<Series, "group">): boolean => ["host", "tidewire"].includes(group);

/** Rows of the summaries of one formula that are known: a heat map has up to 41, and a zoom has its own. */
const MOST_ROWS = 512;

export class Directory {
  readonly byIndex = new Map<number, Series>();
  /** All series, by metric name, then by labels. */
  list: Series[] = [];
  /** All but `annotations`, whose events are marks below the charts. */
  measured: Series[] = [];
  byMetric: ReadonlyMap<string, Series[]> = new Map();
  /** Raised by every change. */
  version = 0;
  /** What there is of each formula, as it is written, and the series of its result. */
  readonly #formulas = new Map<string, { state: FormulaState; series: Series[] }>();
  /** Heading of each group: its name, and the levels that all its metrics share. */
  readonly #headings = new Map<string, string>();
  #styles: ReadonlyMap<string, number> = new Map();

  update(full: boolean, entries: readonly SeriesEntry[]): void {
    const bornAt = full || this.version === 0 ? -Infinity : performance.now();
    if (full) this.byIndex.clear();
    for (const entry of entries) {
      const { labels } = entry;
      const short = shortLabels(labels);
      const key = labelKey(labels);
      this.byIndex.set(entry.i, {
        index: entry.i,
        metric: entry.metric,
        labels,
        unit: entry.unit,
        key,
        group: groupOf(entry.metric),
        name: nameInGroup(entry.metric),
        short,
        names: [],
        shorts: [],
        legend: legendLabel(labels),
        haystack: `${entry.metric} ${short} ${key}`.toLowerCase(),
        given: entry.colour,
        style: this.#styles.get(seriesId({ metric: entry.metric, key })) ?? entry.colour,
        bornAt: this.byIndex.get(entry.i)?.bornAt ?? bornAt,
      });
    }
    this.#shorten();
    this.#name();
    this.list = [...this.byIndex.values()].sort((a, b) => byName(a.metric, b.metric) || byName(a.key, b.key));
    this.measured = this.list.filter((series) => series.metric !== "annotations");
    this.byMetric = groupBy(this.list, ({ metric }) => metric);
    this.version++;
  }

  /** What there is of a formula, or of what summarizes it: see `sourceOf`; undefined if it was not asked for. */
  formula(text: string): { state: FormulaState; series: Series[] } | undefined {
    return this.#formulas.get(text);
  }

  /** The series of the results of all formulas. */
  results(): Series[] {
    return [...this.#formulas.values()].flatMap(({ series }) => series);
  }

  /**
   * Take what there is of a formula. Its series are in none of the lists: they are those of its charts alone. Rows of a
   * summary that were named before stay known: a chart that is paused, or zoomed, has other rows than the live one.
   */
  setFormula(state: FormulaState): void {
    const source = sourceOf(state.formula, state.summary);
    const known = this.#formulas.get(source);
    const before = new Map(known?.series.map((one) => [one.index, one]));
    const metric = `=${state.formula}`;
    const named = new Set(state.series.map(({ i }) => i));
    const others = state.summary && known ? known.state.series.filter(({ i }) => !named.has(i)) : [];
    const entries = [...state.series, ...others].slice(0, Math.max(MOST_ROWS, state.series.length));
    const all = entries.map(({ name, labels }) => (name ? { __name__: name, ...labels } : labels));
    const series = entries.map(({ i, name, unit, colour, role }, at): Series => {
      const labels = all[at];
      const key = labelKey(labels);
      const telling = all.length > 1 ? tellingLabels(labels, all) : labels;
      const style = this.#styles.get(seriesId({ metric, key })) ?? colour;
      const made = {
        index: i,
        metric,
        labels,
        unit,
        key,
        group: "",
        name: name || state.formula,
        short: shortLabels(telling),
        names: [],
        shorts: [],
        legend: legendLabel(telling),
        haystack: "",
        given: colour,
        style,
        bornAt: -Infinity,
        role,
      };
      const old = before.get(i);
      return old && old.unit === unit && old.legend === made.legend && old.style === style ? old : made;
    });
    // With an error what was drawn before stays.
    this.#formulas.set(source, {
      state: { ...state, series: entries },
      series: state.error && known && !series.length ? known.series : series,
    });
  }

  /** Give series, by their identity, other styles than the dashboard's; those that are not named get that one back. */
  restyle(styles: ReadonlyMap<string, number>): void {
    if (styles.size === 0 && this.#styles.size === 0) return;
    this.#styles = styles;
    for (const series of [...this.list, ...this.results()]) series.style = styles.get(seriesId(series)) ?? series.given;
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

  /** Give each series its name below the heading of its group, and the texts that tell it from its neighbours. */
  #name(): void {
    this.#headings.clear();
    for (const [group, same] of groupBy(this.byIndex.values(), (series) => series.group)) {
      const inGroup = [...new Set(same.map(({ metric }) => nameInGroup(metric)))];
      const shared = inGroup.length > 1 ? sharedParts(inGroup, "/") : 0;
      const parts = (name: string): string[] => name.split("/");
      this.#headings.set(group, [group, ...parts(inGroup[0]).slice(0, shared)].join("/"));
      const below = (metric: string): string => parts(nameInGroup(metric)).slice(shared).join("/");
      const forms = shorterForms(
        same.map(({ metric }) => below(metric)),
        "/",
      );
      for (const ofMetric of groupBy(same, ({ metric }) => metric).values()) {
        const name = below(ofMetric[0].metric);
        const names = forms.get(name) ?? [name];
        const shortForms = shorterForms(
          ofMetric.map(({ short }) => short),
          " ",
        );
        for (const series of ofMetric) {
          // Labels of the only series of a metric tell it from nothing: they leave before its name is cut.
          const whole = ofMetric.length > 1 ? [] : [""];
          const shorts = series.short ? [...(shortForms.get(series.short) ?? []), ...whole] : [];
          if (name === series.name && `${names}` === `${series.names}` && `${shorts}` === `${series.shorts}`) continue;
          this.byIndex.set(series.index, { ...series, name, names, shorts });
        }
      }
    }
  }

  /** Return what stands above a group. */
  heading(group: string): string {
    return this.#headings.get(group) ?? group;
  }

  find(metric: string, key: string): Series | undefined {
    return this.byMetric.get(metric)?.find((series) => series.key === key);
  }

  /** Return the first levels of the metrics' names, sorted: each is a default deck. */
  groups(): string[] {
    return [...new Set(this.list.map((series) => series.group))].sort(byName);
  }
}
