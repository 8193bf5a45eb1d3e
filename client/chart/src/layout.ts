/** Which charts a deck has: the defaults, and the charts after a series is added, removed or moved. */
import type { Directory, Series } from "./directory";
import { byName, groupOf } from "./naming";
import type { ChartSpec, Columns, SeriesRef } from "./url";

const DEFAULT_CHARTS = 12;

/** One chart per metric of the group that the slug names; without such a group, of the first metrics. */
export function defaultCharts(directory: Directory, slug: string): ChartSpec[] {
  const metrics = [...directory.byMetric.keys()].filter((metric) => metric !== "annotations").sort(byName);
  const own = metrics.filter((metric) => groupOf(metric) === slug);
  return (own.length ? own : metrics).slice(0, DEFAULT_CHARTS).map((metric) => ({ series: [{ metric }], columns: 4 }));
}

/** The series a chart holds now, without doubles, in the order of its references. */
export function resolve(directory: Directory, chart: ChartSpec): Series[] {
  const found = new Set<Series>();
  for (const ref of chart.series) {
    for (const series of directory.byMetric.get(ref.metric) ?? []) {
      if (!ref.labels || sameLabels(ref.labels, series.labels)) found.add(series);
    }
  }
  return [...found];
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

/** Different units of a chart's series, in order; more than one cannot share an axis. */
export function unitsOf(series: readonly Series[]): string[] {
  return [...new Set(series.map((one) => one.unit))];
}

export function isOnDeck(directory: Directory, charts: readonly ChartSpec[], series: Series): boolean {
  return charts.some((chart) => resolve(directory, chart).includes(series));
}

/** Add a series that is not on the deck, or take it off every chart it is on. */
export function toggleSeries(directory: Directory, charts: readonly ChartSpec[], series: Series): ChartSpec[] {
  return isOnDeck(directory, charts, series) ? withoutSeries(directory, charts, series) : withSeries(directory, charts, series);
}

/** Its own metric's chart takes it when there is one, else it gets a chart of its own. */
export function withSeries(directory: Directory, charts: readonly ChartSpec[], series: Series): ChartSpec[] {
  const at = charts.findIndex((chart) => chart.series.some((ref) => ref.metric === series.metric));
  const ref = refOf(directory, series);
  if (at < 0) return [...charts, { series: [ref], columns: 4 }];
  return charts.map((chart, i) => (i === at ? { ...chart, series: [...chart.series, ref] } : chart));
}

/** The shortest way to name one series: by its metric alone when that has no other. */
export function refOf(directory: Directory, series: Series): SeriesRef {
  const alone = directory.byMetric.get(series.metric)?.length === 1;
  return alone ? { metric: series.metric } : { metric: series.metric, labels: series.labels };
}

function withoutSeries(directory: Directory, charts: readonly ChartSpec[], series: Series): ChartSpec[] {
  const kept: ChartSpec[] = [];
  for (const chart of charts) {
    const held = resolve(directory, chart);
    if (!held.includes(series)) {
      kept.push(chart);
      continue;
    }
    const refs = held.filter((one) => one !== series).map((one) => ({ metric: one.metric, labels: one.labels }));
    if (refs.length) kept.push({ ...chart, series: refs });
  }
  return kept;
}

export function moveChart(charts: readonly ChartSpec[], from: number, to: number): ChartSpec[] {
  const moved = [...charts];
  const [chart] = moved.splice(from, 1);
  if (chart) moved.splice(to, 0, chart);
  return moved;
}

export function resizeChart(charts: readonly ChartSpec[], at: number, columns: Columns): ChartSpec[] {
  return charts.map((chart, i) => (i === at ? { ...chart, columns } : chart));
}

export function removeChart(charts: readonly ChartSpec[], at: number): ChartSpec[] {
  return charts.filter((_, i) => i !== at);
}
