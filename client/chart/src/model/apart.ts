/** Gives series of a chart a chart of their own. */
import { changedAxis } from "./axis-options";
import type { Directory, Series } from "./directory";
import { named, resolve } from "./layout";
import type { ChartSpec, SeriesRef } from "./url";

/** Give some series of a chart a chart of their own, beside it. */
export function openApart(
  directory: Directory,
  charts: readonly ChartSpec[],
  at: number,
  series: readonly Series[],
): ChartSpec[] {
  const chart = charts[at];
  if (chart.formula !== undefined) return [...charts];
  const stays = resolve(directory, chart).filter((one) => !series.includes(one));
  const names = (ref: SeriesRef, among: readonly Series[]): boolean => among.some((one) => named([ref], one));
  const moved = chart.series.filter((ref) => !names(ref, stays) && names(ref, series));
  const others = series.filter((one) => !named(moved, one)).map((one) => ({ metric: one.metric, labels: one.labels }));
  const right = chart.axis?.right?.flatMap((number) => chart.series[number - 1] ?? []);
  const kept = chart.series.filter((ref) => !moved.includes(ref));
  const numbers = kept.flatMap((ref, i) => (right?.includes(ref) ? [i + 1] : []));
  const axis = chart.axis && { axis: changedAxis(chart.axis, { right: numbers.length ? numbers : undefined }) };
  const { columns, rows } = chart;
  const beside: ChartSpec = { series: [...moved, ...others], columns, ...(rows === undefined ? {} : { rows }) };
  return [...charts.slice(0, at), { ...chart, series: kept, ...axis }, beside, ...charts.slice(at + 1)];
}
