/** Writes the selector of a formula that selects exactly some series. */

import { labelOf } from "../base/naming";
import type { Directory, Series } from "./directory";

/** As long as a formula may be, in characters. */
const MOST_CHARS = 4_000;

const quoted = (text: string): string => JSON.stringify(text);
const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** A matcher of one of these values. */
function matcher(label: string, values: readonly string[]): string {
  const name = /^[A-Za-z_][A-Za-z0-9_]*$/.test(label) ? label : quoted(label);
  return values.length === 1
    ? `${name}=${quoted(values[0])}`
    : `${name}=~${quoted(values.map((value) => literal(value)).join("|"))}`;
}

/** Return a selector of these series and no others that are known; null if there is none, or none that is short enough. */
export function selectorOf(directory: Directory, series: readonly Series[]): string | null {
  const wanted = new Set(series);
  const metrics = [...new Set(series.map(({ metric }) => metric))];
  let found = metrics.flatMap((metric) => directory.byMetric.get(metric) ?? []);
  // Not as a bare name: a star in it would be a pattern.
  const parts = [matcher("__name__", metrics)];
  const names = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))];
  for (const name of names) {
    if (found.length === wanted.size) break;
    const values = new Set(series.map(({ labels }) => labelOf(labels, name) ?? ""));
    const left = found.filter(({ labels }) => values.has(labelOf(labels, name) ?? ""));
    if (left.length === found.length) continue;
    found = left;
    parts.push(matcher(name, [...values]));
  }
  const text = `{${parts.join(", ")}}`;
  return found.length === wanted.size && text.length <= MOST_CHARS ? text : null;
}
