/** The whole state of a page as its address, and back. */
import type { Labels } from "./naming";

export const WINDOWS = [
  ["1m", 60_000],
  ["5m", 300_000],
  ["15m", 900_000],
  ["1h", 3_600_000],
  ["6h", 21_600_000],
  ["24h", 86_400_000],
] as const;

export const SORTS = ["name", "value", "rate", "age"] as const;
export const FILTERS = ["all", "live", "stale", "nodata", "warn"] as const;
export const COLUMNS = [4, 8, 12] as const;
export type Sort = (typeof SORTS)[number];
export type Filter = (typeof FILTERS)[number];
export type Columns = (typeof COLUMNS)[number];
export type Theme = "dark" | "light" | "auto";

/** A metric (all its series), or one series of it when labels are given. */
export interface SeriesRef {
  metric: string;
  labels?: Labels;
}

export interface ChartSpec {
  series: SeriesRef[];
  columns: Columns;
}

export interface PageState {
  page: "overview" | "deck";
  slug: string;
  windowMs: number;
  theme: Theme | null;
  query: string;
  filter: Filter;
  sort: Sort;
  /** null: the deck's default charts. */
  charts: ChartSpec[] | null;
}

export const DEFAULT_WINDOW_MS = 300_000;

export function windowName(ms: number): string {
  return WINDOWS.find(([, span]) => span === ms)?.[0] ?? `${Math.round(ms / 60_000)}m`;
}

/** encodeURIComponent, but `/` stays readable and the separators of a chart are escaped. */
function escape(text: string): string {
  return encodeURIComponent(text).replace(/%2F/g, "/").replace(/[(),:=]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function unescape(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A stray % that somebody typed.
  }
}

export function formatRef(ref: SeriesRef): string {
  if (!ref.labels) return escape(ref.metric);
  const labels = ref.labels;
  const keys = Object.keys(labels).sort();
  return `${escape(ref.metric)}(${keys.map((key) => `${escape(key)}=${escape(labels[key])}`).join(",")})`;
}

export function formatChart(chart: ChartSpec): string {
  const width = chart.columns === 4 ? "" : `:${chart.columns}`;
  return chart.series.map(formatRef).join(",") + width;
}

export function parseChart(text: string): ChartSpec | null {
  const match = /^(.*?)(?::(4|8|12))?$/s.exec(text) as RegExpExecArray;
  const series: SeriesRef[] = [];
  const part = /([^,()]+)(\(([^()]*)\))?(,|$)/gy;
  let found: RegExpExecArray | null;
  while ((found = part.exec(match[1])) !== null) {
    const ref: SeriesRef = { metric: unescape(found[1]) };
    if (found[2] !== undefined) {
      const labels: Record<string, string> = {};
      for (const pair of found[3].split(",").filter(Boolean)) {
        const equals = pair.indexOf("=");
        if (equals > 0) labels[unescape(pair.slice(0, equals))] = unescape(pair.slice(equals + 1));
      }
      ref.labels = labels;
    }
    series.push(ref);
    if (found[4] === "") break;
  }
  if (series.length === 0) return null;
  return { series, columns: (match[2] ? Number(match[2]) : 4) as Columns };
}

function oneOf<T extends string>(values: readonly T[], text: string | undefined, otherwise: T): T {
  return values.includes(text as T) ? (text as T) : otherwise;
}

export function parseState(path: string, search: string, prefix: string, fallback: "overview" | "deck" = "overview"): PageState {
  const inside = path.startsWith(prefix) ? path.slice(prefix.length) : path;
  const deck = /^\/d\/([^/]+)\/?$/.exec(inside);
  const fields = new Map<string, string>();
  const charts: ChartSpec[] = [];
  let anyChart = false;
  for (const pair of search.replace(/^\?/, "").split("&")) {
    if (!pair) continue;
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    const value = equals < 0 ? "" : pair.slice(equals + 1).replace(/\+/g, " ");
    if (name === "c") {
      anyChart = true;
      const chart = parseChart(value);
      if (chart) charts.push(chart);
    } else {
      fields.set(name, unescape(value));
    }
  }
  const windowMs = WINDOWS.find(([name]) => name === fields.get("w"))?.[1] ?? DEFAULT_WINDOW_MS;
  const theme = fields.get("theme");
  return {
    page: deck ? "deck" : inside === "/" || inside === "" ? "overview" : fallback,
    slug: deck ? unescape(deck[1]) : "",
    windowMs,
    theme: theme === "dark" || theme === "light" ? theme : null,
    query: fields.get("q") ?? "",
    filter: oneOf(FILTERS, fields.get("filter"), "all"),
    sort: oneOf(SORTS, fields.get("sort"), "name"),
    charts: anyChart ? charts : null,
  };
}

/** The address of a state; what has its default value is left out. */
export function formatState(state: PageState, prefix: string): string {
  const path = state.page === "deck" ? `${prefix}/d/${encodeURIComponent(state.slug || "all")}` : `${prefix}/`;
  const fields: string[] = [];
  if (state.windowMs !== DEFAULT_WINDOW_MS) fields.push(`w=${windowName(state.windowMs)}`);
  if (state.theme && state.theme !== "auto") fields.push(`theme=${state.theme}`);
  if (state.query) fields.push(`q=${encodeURIComponent(state.query)}`);
  if (state.page === "overview") {
    if (state.filter !== "all") fields.push(`filter=${state.filter}`);
    if (state.sort !== "name") fields.push(`sort=${state.sort}`);
  } else if (state.charts) {
    if (state.charts.length === 0) fields.push("c=");
    for (const chart of state.charts) fields.push(`c=${formatChart(chart)}`);
  }
  return fields.length ? `${path}?${fields.join("&")}` : path;
}
