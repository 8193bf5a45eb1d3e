/** The rows of bars and tables: their names, and the order that somebody chose. */

import { byName, type Labels, labelOf } from "../../base/naming";
import type { Series } from "../../model/directory";

/** What rows are sorted by; NaN where a row has none. */
export interface RowValues {
  name: string;
  last: number;
  mean: number;
  max: number;
  age: number;
}

/** The order of a column after one more click on its head: its first way, the other way, then none. */
export function nextOrder(order: string | undefined, column: keyof RowValues): string | undefined {
  if (order === column) return `-${column}`;
  return order === `-${column}` ? undefined : column;
}

/**
 * Return the indices of rows in an order, see `ORDERS`; none leaves them as they are. Rows without a number come last,
 * whatever the way, and equal ones stay as they are.
 */
export function sorted(rows: readonly RowValues[], order: string | undefined): number[] {
  const indices = rows.map((_, i) => i);
  if (!order) return indices;
  const back = order.startsWith("-") ? -1 : 1;
  const column = order.replace("-", "") as keyof RowValues;
  if (column === "name") return indices.sort((a, b) => back * byName(rows[a].name, rows[b].name) || a - b);
  // Ages from the newest on, other numbers from the greatest on.
  const way = column === "age" ? back : -back;
  return indices.sort((a, b) => {
    const [one, other] = [rows[a][column], rows[b][column]];
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
