/** The rows of bars and tables: their names, and the order that somebody chose. */

import { byName, type Labels, labelOf } from "../../base/naming";
import type { Series } from "../../model/directory";

/** What the rows of a chart are sorted by; NaN where a row has none. */
export type RowValues = {
  name: string;
  last: number;
  mean: number;
  max: number;
  age: number;
};

/** The order of a column after one more click on its head: its first way, the other way, then none. */
export function nextOrder(order: string | undefined, column: string): string | undefined {
  if (order === column) return `-${column}`;
  return order === `-${column}` ? undefined : column;
}

/** What a head says of its column to a screen reader, as `aria-sort`. */
export function sortWords(order: string | undefined, column: string): "none" | "ascending" | "descending" {
  if (order !== column && order !== `-${column}`) return "none";
  const rising = (order === column) === (column === "name" || column === "age");
  return rising ? "ascending" : "descending";
}

/**
 * Return the indices of rows in the order of a column: names in that of the alphabet, ages from the newest on, other numbers
 * from the greatest on; after a minus the other way around; none leaves them as they are. Rows without a number come last,
 * whatever the way, and equal ones stay as they are.
 */
export function sorted<Row extends Readonly<Record<string, string | number>>>(
  rows: readonly Row[],
  order: string | undefined,
): number[] {
  const indices = rows.map((_, i) => i);
  if (!order) return indices;
  const back = order.startsWith("-") ? -1 : 1;
  const column = order.replace("-", "");
  const way = column === "age" ? back : -back;
  return indices.sort((a, b) => {
    const [one, other] = [rows[a][column], rows[b][column]];
    if (typeof one === "string" || typeof other === "string") return back * byName(`${one}`, `${other}`) || a - b;
    const missing = Number(Number.isNaN(one)) - Number(Number.isNaN(other));
    return missing || (Number.isNaN(one) ? 0 : way * (one - other)) || a - b;
  });
}

/** Return what rows are called: the value of the only label in which they differ, and that label; else their whole names. */
export function rowNames(series: readonly Series[]): { per: string; names: string[] } {
  const keys = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))];
  const value = (labels: Labels, key: string): string => labelOf(labels, key) ?? "";
  const telling = keys.filter((key) =>
    series.some(({ labels }) => value(labels, key) !== value(series[0].labels, key)),
  );
  const oneMetric = series.every(({ metric }) => metric === series[0].metric);
  if (oneMetric && telling.length === 1)
    return { per: telling[0], names: series.map(({ labels }) => value(labels, telling[0]) || `no ${telling[0]}`) };
  const names = series.map((one) => (oneMetric ? one.legend || one.name : `${one.name} ${one.legend}`.trim()));
  return { per: "", names };
}
