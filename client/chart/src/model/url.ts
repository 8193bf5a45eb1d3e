/** Converts the state of a page to its URL and back. */
import { STYLES } from "../base/colour";
import { type Labels, labelOf } from "../base/naming";
import { knownZone } from "../base/zone";
import { type AxisOptions, axisOptions, takeAxisOption } from "./axis-options";
import { DEFAULT_COLUMNS, defaultColumns, KINDS, type Kind } from "./kinds";

export const WINDOWS = [
  ["1m", 60_000],
  ["5m", 300_000],
  ["15m", 900_000],
  ["1h", 3_600_000],
  ["6h", 21_600_000],
  ["24h", 86_400_000],
] as const;

export const SORTS = ["state", "name", "value", "rate", "age"] as const;
export const FILTERS = ["all", "live", "stale", "nodata", "finished", "warn"] as const;
/** Height of a chart, in rows of 44 px. */
export const DEFAULT_ROWS = 5;
/** What a chart of very many series shows: all of them, or a few rows in their place. */
export const VIEWS = ["lines", "band", "heat", "top"] as const;
export type View = (typeof VIEWS)[number];
export type Sort = (typeof SORTS)[number];
export type Filter = (typeof FILTERS)[number];
export type Theme = "dark" | "light" | "auto";

/** A metric (all its series), or one series of it when labels are given. */
export interface SeriesRef {
  metric: string;
  labels?: Labels;
}

/** The style of a series in a deck, or of a label set in all metrics: then the metric is `*`. */
export interface KeptColour {
  metric: string;
  labels: Labels;
  style: number;
}

export interface ChartSpec {
  series: SeriesRef[];
  /** What is drawn beside its series, or in the place of any; empty while it is being written. */
  formula?: string | undefined;
  /** 2 … 12 */
  columns: number;
  /** 3 … 20; absent: 5 */
  rows?: number | undefined;
  /** One chart per value of this label, all with one y range. */
  facet?: string | undefined;
  /** Absent: auto. */
  kind?: Kind | undefined;
  /** Whether its legend begins with the greatest newest value; absent: it is in the order of its series. */
  byValue?: boolean | undefined;
  /** Absent: lines, or of many series a band. */
  view?: View | undefined;
  /** How its y axis is set by hand; absent: not at all. */
  axis?: AxisOptions | undefined;
  /** Options of the address that this deck does not know: kept, not obeyed. */
  unknown?: readonly string[] | undefined;
}

const BY_VALUE = "leg=value";

/** A time span, Unix ms. */
export interface Span {
  startMs: number;
  endMs: number;
}

/** What the x axis of a deck is: steps of runs, the time since a run began, or the clock; `0`: it is live. */
export const RUN_AXES = ["step", "rel", "time", "0"] as const;
export type RunAxis = (typeof RUN_AXES)[number];
/** In the place of a metric: a label set, such as a run, in all metrics. */
export const EVERY = "*";
/** Most of a run's smoothing. */
const MOST_SMOOTHING = 0.99;

/** What a page shows of events: all, none, or those whose metric matches a pattern. */
export const ALL_EVENTS = "all";
export const NO_EVENTS = "0";

export interface PageState {
  page: "overview" | "deck";
  slug: string;
  windowMs: number;
  theme: Theme | null;
  query: string;
  filter: Filter;
  /** null: by name, and by state where there are many series. */
  sort: Sort | null;
  /** Labels that a series must have to be shown. */
  labels: Labels;
  /** Which label sets the charts show, as the address has it: see `selects`; empty: all. */
  select: string;
  /** Levels that were folded or unfolded by hand, by their path; one that ends with `/` is a group of tiles. */
  folds: ReadonlyMap<string, boolean>;
  /** null: the deck's default charts. */
  charts: ChartSpec[] | null;
  /** The span that is shown; null: live. */
  zoom: Span | null;
  /** The time zone of all times: `LOCAL`, or an IANA name; null: as in the saved deck, else the browser's. */
  zone: string | null;
  /** How much earlier the span is with which charts are compared, ms; 0: none; null: as in the saved deck, else none. */
  compareMs: number | null;
  /** A wall: no header, no sidebar. */
  kiosk: boolean;
  /** How long a wall shows each part of what does not fit, ms. */
  turnMs: number;
  /** A page in a frame of another site: nothing can be changed. */
  embed: boolean;
  /** Series that are hidden in the legend. */
  hidden: SeriesRef[];
  /** Styles that are not, or may not be, those that the dashboard gives. */
  colours: readonly KeptColour[];
  /** Which events are shown: `ALL_EVENTS`, `NO_EVENTS` or a pattern; null: as in the saved deck, else all. */
  events: string | null;
  /** null: as in the saved deck, else live. */
  x: RunAxis | null;
  /** Weight of what came before in the mean of a run's line, 0 to 0.99; null: as in the saved deck, else 0. */
  smoothing: number | null;
  /** Whether the lines of runs are drawn as they were read too; null: as in the saved deck, else they are. */
  raw: boolean | null;
  /** The runs that are drawn: a value of the label `run`, or a label set; null: the newest. */
  runs: readonly SeriesRef[] | null;
  /** The column by which the table of runs is sorted, after a `-` if its greatest come first; empty: the newest
   * first; null: as in the saved deck, else those.
   */
  by: string | null;
  /** Whether the table has only those settings that differ; null: as in the saved deck, else all. */
  differing: boolean | null;
  /** Index of the chart whose drawer is open; null: none. */
  drawer: number | null;
  /** Index of the only chart that is shown; null: all are. */
  only: number | null;
}

/** Fields that are reset when another page is opened. */
export const FRESH: Pick<
  PageState,
  | "charts"
  | "query"
  | "labels"
  | "select"
  | "folds"
  | "zoom"
  | "compareMs"
  | "hidden"
  | "colours"
  | "events"
  | "drawer"
  | "only"
  | "x"
  | "smoothing"
  | "raw"
  | "runs"
  | "by"
  | "differing"
> = {
  charts: null,
  query: "",
  labels: {},
  select: "",
  folds: new Map(),
  zoom: null,
  compareMs: null,
  hidden: [],
  colours: [],
  events: null,
  drawer: null,
  only: null,
  x: null,
  smoothing: null,
  raw: null,
  runs: null,
  by: null,
  differing: null,
};

export const DEFAULT_WINDOW_MS = 300_000;

const DAY_MS = 86_400_000;
const UNITS_MS: ReadonlyMap<string, number> = new Map([
  ["w", 7 * DAY_MS],
  ["d", DAY_MS],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
]);
const LEAST_WINDOW_MS = 1_000;
/** Runs that are drawn at a time. */
export const MOST_RUNS = 50;
/** Longest window and longest span; as Python has it, `MAX_WINDOW_MS` in `tidewire/livestore/messages.py`. */
export const MOST_WINDOW_MS = 366 * DAY_MS;

/** 300000 → 5m; a window that is none of the presets in the largest unit that is whole. */
export function windowName(ms: number): string {
  const preset = WINDOWS.find(([, span]) => span === ms)?.[0];
  if (preset) return preset;
  for (const [unit, long] of UNITS_MS) if (unit !== "w" && ms % long === 0) return `${ms / long}${unit}`;
  return `${Math.round(ms / 1_000)}s`;
}

/** 90s, 15m, 7d, 2w → ms; NaN for anything else. */
export function parseLength(text: string): number {
  const found = /^(\d{1,9})([smhdw])$/.exec(text);
  return found ? Number(found[1]) * (UNITS_MS.get(found[2]) ?? NaN) : NaN;
}

/** Return the window that `w=` names, within its bounds; the usual one if it names none. */
export function windowNamed(text: string | undefined): number {
  const ms = parseLength(text ?? "");
  return ms > 0 ? Math.min(MOST_WINDOW_MS, Math.max(LEAST_WINDOW_MS, ms)) : DEFAULT_WINDOW_MS;
}

const TURN_MS = 10_000;

/** Return how long `turn=` is, from 2 s to an hour; undefined if it is not. */
export function turnOf(text: string | undefined): number | undefined {
  const ms = parseLength(text ?? "");
  return ms >= 2_000 && ms <= 3_600_000 ? ms : undefined;
}

/** 604800000 → 1w, 86400000 → 1d, 0 → 0. */
export function compareName(ms: number): string {
  if (ms === 0) return "0";
  if (ms % (7 * DAY_MS) === 0) return `${ms / (7 * DAY_MS)}w`;
  return ms % DAY_MS === 0 ? `${ms / DAY_MS}d` : windowName(ms);
}

/** The span earlier that `cmp=` names, ms: 0 for none, null if it is not given or cannot be read. */
export function parseCompare(text: string | undefined): number | null {
  if (text === "0") return 0;
  const ms = parseLength(text ?? "");
  return ms > 0 && ms <= MOST_WINDOW_MS ? ms : null;
}

/** encodeURIComponent, but `/` stays readable and the separators of a chart are escaped. */
function escapePart(text: string): string {
  return encodeURIComponent(text)
    .replace(/%2F/g, "/")
    .replace(/[(),:=@]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/**
 * Tell whether a label set is one of a selection, `az=az1|az2,host!=web-1`: each of its terms holds, by any of its values;
 * names and values are escaped. A term that is none holds; so does with `lax` one of a label that is absent.
 */
export function selects(selection: string, labels: Labels, lax = false): boolean {
  return selection.split(",").every((term) => {
    const [, name, not, values] = /^([^=!]+)(!?)=(.*)$/.exec(term) ?? [];
    const own = name && labelOf(labels, unescapePart(name));
    if (name === undefined || (lax && own === undefined)) return true;
    return values.split("|").some((one) => unescapePart(one) === (own ?? "")) !== (not === "!");
  });
}

function unescapePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A stray % that somebody typed.
  }
}

export function formatRef(ref: SeriesRef): string {
  if (!ref.labels) return escapePart(ref.metric);
  const labels = ref.labels;
  const keys = Object.keys(labels).sort();
  return `${escapePart(ref.metric)}(${keys.map((key) => `${escapePart(key)}=${escapePart(labels[key])}`).join(",")})`;
}

export function formatChart(chart: ChartSpec): string {
  const { columns, rows = DEFAULT_ROWS } = chart;
  const size =
    rows !== DEFAULT_ROWS ? `:${columns}x${rows}` : columns !== defaultColumns(chart.kind) ? `:${columns}` : "";
  const options = [
    ...(chart.kind && chart.kind !== "auto" ? [`k=${chart.kind}`] : []),
    ...(chart.byValue ? [BY_VALUE] : []),
    ...(chart.view ? [`v=${chart.view}`] : []),
    ...axisOptions(chart.axis ?? {}, escapePart),
    ...(chart.unknown ?? []),
  ];
  const formula = chart.formula === undefined ? [] : [`=${escapePart(chart.formula)}`];
  return (
    [...chart.series.map(formatRef), ...formula].join() +
    (chart.facet === undefined ? "" : `@${escapePart(chart.facet)}`) +
    size +
    options.map((option) => `;${option}`).join("")
  );
}

export const boundColumns = (columns: number): number => Math.min(12, Math.max(2, columns));
export const boundRows = (rows: number): number => Math.min(20, Math.max(3, rows));

export function parseChart(text: string): ChartSpec | null {
  // A `;` in a name is escaped.
  const [what, ...options] = text.split(";");
  const match = /^(.*?)(?:@([^@:,()]+))?(?::(\d{1,2})(?:x(\d{1,2}))?)?$/s.exec(what) as RegExpExecArray;
  // In a name it is escaped. A formula is the last.
  const [, names, own] = /^(.*?)(?:(?:^|,)=(.*))?$/s.exec(match[1]) as RegExpExecArray;
  const formula = own === undefined ? undefined : unescapePart(own);
  const series = parseRefs(names);
  if (series.length === 0 && formula === undefined) return null;
  const chart: ChartSpec = {
    series,
    columns: match[3] ? boundColumns(Number(match[3])) : DEFAULT_COLUMNS,
  };
  if (formula !== undefined) chart.formula = formula;
  if (match[4] && Number(match[4]) !== DEFAULT_ROWS) chart.rows = boundRows(Number(match[4]));
  if (match[2]) chart.facet = unescapePart(match[2]);
  const axis: AxisOptions = {};
  for (const option of options.filter(Boolean)) {
    const kind = KINDS.find((one) => option === `k=${one}`);
    const view = VIEWS.find((one) => option === `v=${one}`);
    if (kind) chart.kind = kind;
    else if (option === BY_VALUE) chart.byValue = true;
    else if (view) chart.view = view;
    else if (takeAxisOption(axis, option, unescapePart)) chart.axis = axis;
    else chart.unknown = [...(chart.unknown ?? []), option];
  }
  if (!match[3]) chart.columns = defaultColumns(chart.kind);
  return chart;
}

/** Series joined by commas. */
export function parseRefs(text: string): SeriesRef[] {
  const series: SeriesRef[] = [];
  const part = /([^,()]+)(\(([^()]*)\))?(,|$)/gy;
  for (const found of text.matchAll(part)) {
    const ref: SeriesRef = { metric: unescapePart(found[1]) };
    if (found[2] !== undefined) {
      const labels = new Map<string, string>();
      for (const pair of found[3].split(",").filter(Boolean)) {
        const equals = pair.indexOf("=");
        if (equals > 0) labels.set(unescapePart(pair.slice(0, equals)), unescapePart(pair.slice(equals + 1)));
      }
      // Not by assignment: a label named `__proto__` would be dropped.
      ref.labels = Object.fromEntries(labels);
    }
    series.push(ref);
    if (found[4] === "") break;
  }
  return series;
}

/** Parse series, each with the number of its style: 1 to 12 are the colours, those after them have dashes. */
function parseColours(text: string): KeptColour[] {
  return [...text.matchAll(/([^,()]+\([^()]*\)):(\d{1,2})(?=,|$)/g)].flatMap(([, name, number]) => {
    const [{ metric, labels = {} }] = parseRefs(name);
    const style = Number(number) - 1;
    return style >= 0 && style < STYLES ? [{ metric, labels, style }] : [];
  });
}

const formatColour = ({ metric, labels, style }: KeptColour): string => `${formatRef({ metric, labels })}:${style + 1}`;

/** Levels kept in an address, the latest: it stays short enough to be sent. */
const MAX_FOLDS = 60;

/** Parse levels, each folded (0) or unfolded (1). */
function parseFolds(text: string): Map<string, boolean> {
  const found = [...text.matchAll(/([^,:]+):([01])(?=,|$)/g)].slice(-MAX_FOLDS);
  return new Map(found.map(([, path, open]) => [unescapePart(path), open === "1"]));
}

const formatFolds = (folds: ReadonlyMap<string, boolean>): string =>
  [...folds]
    .slice(-MAX_FOLDS)
    .map(([path, open]) => `${escapePart(path)}:${open ? 1 : 0}`)
    .join();

export const formatLabels = (labels: Labels): string[] =>
  Object.keys(labels)
    .sort()
    .map((key) => `l.${encodeURIComponent(key)}=${encodeURIComponent(labels[key])}`);

/** Parse a time of the URL: RFC 3339, or milliseconds since the Unix epoch. */
export function parseTime(text: string | undefined): number {
  return /^\d+(\.\d+)?$/.test(text ?? "") ? Number(text) : Date.parse(text ?? "");
}

export function parseSpan(from: string | undefined, to: string | undefined): Span | null {
  const [startMs, endMs] = [parseTime(from), parseTime(to)];
  return startMs >= 0 && endMs > startMs ? { startMs, endMs } : null;
}

/** Parse what is on or off; null if it is neither. */
const flagOf = (text: string | undefined): boolean | null => (text === "1" ? true : text === "0" ? false : null);

/** Parse the weight of smoothing; null if it is none. */
export function parseSmoothing(text: string | undefined): number | null {
  const weight = Number(text || NaN);
  return weight >= 0 && weight <= MOST_SMOOTHING ? Math.round(weight * 1_000) / 1_000 : null;
}

/** Parse the index of a chart; the URL counts from one. */
function parseIndex(text: string | undefined): number | null {
  return /^[1-9]\d?$/.test(text ?? "") ? Number(text) - 1 : null;
}

function oneOf<T extends string>(values: readonly T[], text: string | undefined, otherwise: T): T {
  return values.includes(text as T) ? (text as T) : otherwise;
}

/** Return the last level of a deck's path; a browser takes a level of dots alone for a way up, however it is escaped. */
function formatSlug(slug: string): string {
  return encodeURIComponent(/^(\.{1,2}$|~)/.test(slug) ? `~${slug}` : slug || "all");
}

function parseSlug(level: string): string {
  const slug = unescapePart(level);
  return slug.startsWith("~") ? slug.slice(1) : slug;
}

export function parseState(
  path: string,
  search: string,
  prefix: string,
  fallback: "overview" | "deck" = "overview",
): PageState {
  const inside = path.startsWith(prefix) ? path.slice(prefix.length) : path;
  const deck = /^\/d\/([^/]+)\/?$/.exec(inside);
  const fields = new Map<string, string>();
  const charts: ChartSpec[] = [];
  const hidden: SeriesRef[] = [];
  const colours: KeptColour[] = [];
  let runs: SeriesRef[] | null = null;
  const labels = new Map<string, string>();
  let select = "";
  let folds = FRESH.folds;
  let anyChart = false;
  for (const pair of search.replace(/^\?/, "").split("&")) {
    if (!pair) continue;
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    const value = equals < 0 ? "" : pair.slice(equals + 1).replace(/\+/g, " ");
    if (name === "hide") {
      hidden.push(...parseRefs(value));
    } else if (name === "runs") {
      runs = [...(runs ?? []), ...parseRefs(value)].slice(0, MOST_RUNS);
    } else if (name === "col") {
      colours.push(...parseColours(value));
    } else if (name === "sel") {
      select = value;
    } else if (name === "f") {
      folds = parseFolds(value);
    } else if (name.startsWith("l.") && name.length > 2) {
      labels.set(unescapePart(name.slice(2)), unescapePart(value));
    } else if (name === "c") {
      anyChart = true;
      const chart = parseChart(value);
      if (chart) charts.push(chart);
    } else {
      fields.set(name, unescapePart(value));
    }
  }
  const theme = fields.get("theme");
  return {
    page: deck ? "deck" : inside === "/" || inside === "" ? "overview" : fallback,
    slug: deck ? parseSlug(deck[1]) : "",
    windowMs: windowNamed(fields.get("w")),
    theme: theme === "dark" || theme === "light" ? theme : null,
    query: fields.get("q") ?? "",
    filter: oneOf(FILTERS, fields.get("filter"), "all"),
    sort: SORTS.find((sort) => sort === fields.get("sort")) ?? null,
    labels: Object.fromEntries(labels),
    select,
    folds,
    charts: anyChart ? charts : null,
    zoom: parseSpan(fields.get("from"), fields.get("to")),
    zone: knownZone(fields.get("tz") ?? ""),
    compareMs: parseCompare(fields.get("cmp")),
    kiosk: fields.get("kiosk") === "1",
    turnMs: turnOf(fields.get("turn")) ?? TURN_MS,
    embed: fields.get("embed") === "1",
    hidden,
    colours,
    events: fields.get("ev") || null,
    x: RUN_AXES.find((x) => x === fields.get("x")) ?? null,
    smoothing: parseSmoothing(fields.get("sm")),
    raw: flagOf(fields.get("raw")),
    runs,
    by: fields.get("by") ?? null,
    differing: flagOf(fields.get("diff")),
    drawer: parseIndex(fields.get("drawer")),
    only: parseIndex(fields.get("only")),
  };
}

/** Return the URL of a state, without the fields that have their default. */
export function formatState(state: PageState, prefix: string): string {
  const path = state.page === "deck" ? `${prefix}/d/${formatSlug(state.slug)}` : `${prefix}/`;
  const fields: string[] = [];
  if (state.windowMs !== DEFAULT_WINDOW_MS) fields.push(`w=${windowName(state.windowMs)}`);
  if (state.theme && state.theme !== "auto") fields.push(`theme=${state.theme}`);
  if (state.query) fields.push(`q=${encodeURIComponent(state.query)}`);
  fields.push(...formatLabels(state.labels));
  if (state.folds.size) fields.push(`f=${formatFolds(state.folds)}`);
  if (state.kiosk) fields.push("kiosk=1");
  if (state.turnMs !== TURN_MS) fields.push(`turn=${state.turnMs / 1_000}s`);
  if (state.embed) fields.push("embed=1");
  if (state.zoom)
    fields.push(`from=${new Date(state.zoom.startMs).toISOString()}`, `to=${new Date(state.zoom.endMs).toISOString()}`);
  if (state.zone !== null) fields.push(`tz=${escapePart(state.zone)}`);
  if (state.page === "overview") {
    if (state.filter !== "all") fields.push(`filter=${state.filter}`);
    if (state.sort) fields.push(`sort=${state.sort}`);
  } else {
    if (state.charts?.length === 0) fields.push("c=");
    for (const chart of state.charts ?? []) fields.push(`c=${formatChart(chart)}`);
    if (state.select) fields.push(`sel=${state.select}`);
    if (state.hidden.length) fields.push(`hide=${state.hidden.map(formatRef).join(",")}`);
    if (state.colours.length) fields.push(`col=${state.colours.map(formatColour).join(",")}`);
    if (state.compareMs !== null) fields.push(`cmp=${compareName(state.compareMs)}`);
    if (state.events !== null) fields.push(`ev=${escapePart(state.events)}`);
    if (state.x) fields.push(`x=${state.x}`);
    if (state.smoothing !== null) fields.push(`sm=${state.smoothing}`);
    if (state.raw !== null) fields.push(`raw=${Number(state.raw)}`);
    if (state.runs) fields.push(`runs=${state.runs.map(formatRef).join(",")}`);
    if (state.by !== null) fields.push(`by=${escapePart(state.by)}`);
    if (state.differing !== null) fields.push(`diff=${Number(state.differing)}`);
    if (state.drawer !== null) fields.push(`drawer=${state.drawer + 1}`);
    if (state.only !== null) fields.push(`only=${state.only + 1}`);
  }
  return fields.length ? `${path}?${fields.join("&")}` : path;
}
