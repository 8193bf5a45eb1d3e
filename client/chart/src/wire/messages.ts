/**
 * The text messages between the deck and Python, see docs/view-frame.md. Times are Unix ms; `i` is the index of a
 * series.
 *
 * Made from client/tidewire/livestore/messages.py: run `python docs/message_types.py`, do not edit.
 */

/** Ask for everything anew: the first message, and again after a hole or a hidden tab. */
export interface Hello {
  t: "hello";
  page?: "overview" | "deck";
  hidden?: boolean;
}

/** Open a view or change it; `series` null means all. `buckets`: columns of pixels that hold the window. */
export interface OpenView {
  t: "view";
  view: number;
  series: readonly number[] | null;
  window_ms: number;
  buckets: number;
  fps?: number;
  formula?: string | null;
  summary?: "band" | "heat" | "top" | null;
}

/** Close a view. */
export interface CloseView {
  t: "close";
  view: number;
}

/** Ask for a fixed window, for each width of chart; the answer is a view frame of kind 4. */
export interface RangeRequest {
  t: "range";
  id: number;
  series: readonly number[];
  start_ms: number;
  end_ms: number;
  buckets: number;
  lane?: number;
  formula?: string | null;
  summary?: "band" | "heat" | "top" | null;
}

/** Tell which series are on the screen, whole again at each change: their past is read first. */
export interface Look {
  t: "look";
  series: readonly number[];
}

/** Tell that the tab was hidden: nothing is sent until the next hello. */
export interface Hidden {
  t: "hidden";
  hidden?: boolean;
}

/** Try to connect to the service now. */
export interface Retry {
  t: "retry";
}

/** Ask for the statistics of a window. */
export interface StatisticsRequest {
  t: "statistics";
  id: number;
  series: readonly number[];
  start_ms: number;
  end_ms: number;
  formula?: string | null;
}

/** Ask for the newest readings of a window. */
export interface TableRequest {
  t: "table";
  id: number;
  series: readonly number[];
  start_ms: number;
  end_ms: number;
  formula?: string | null;
}

/** Ask for the address of a file with the readings of a window. */
export interface ExportRequest {
  t: "export";
  id: number;
  series: readonly number[];
  start_ms: number;
  end_ms: number;
  formula?: string | null;
  kind: string;
}

/** Ask for the saved decks. */
export interface ListDecks {
  t: "decks";
}

/** Ask for one saved deck. */
export interface ReadDeck {
  t: "read_deck";
  slug: string;
}

/** Save a deck over the version `over`: empty for none, null for any. */
export interface SaveDeck {
  t: "save_deck";
  slug: string;
  deck: Record<string, unknown>;
  over: string | null;
}

/** Delete a saved deck; the answer is the list of those left. */
export interface DeleteDeck {
  t: "delete_deck";
  slug: string;
}

/** Limits for the series of some metrics. */
export interface Threshold {
  metric: string;
  labels?: Record<string, string>;
  warn_above?: number | null;
  critical_above?: number | null;
  warn_below?: number | null;
  critical_below?: number | null;
  for_s?: number;
  hysteresis?: number;
}

/** Replace the thresholds, for everybody. */
export interface SaveThresholds {
  t: "save_thresholds";
  thresholds: readonly Threshold[];
}

/** Publish an event for everybody: a mark below all charts, or below those of its labels. */
export interface AddEvent {
  t: "add_event";
  time_ms: number;
  text: string;
  labels: Record<string, string>;
}

/** Ask what is wrong with a formula that is being written, and what may stand at a place of it, in UTF-16 units. */
export interface FormulaHelpRequest {
  t: "formula_help";
  id: number;
  formula: string;
  position: number;
}

/** Ask which series of a formula are in a cell of its heat map: at a time, from one value up to another. */
export interface CellRequest {
  t: "cell";
  id: number;
  formula: string;
  end_ms: number;
  step_ms: number;
  low: number;
  high: number;
}

/** The line of a series, of which the deck has the points up to a version, 0 for none. */
export interface RunLineWanted {
  i: number;
  version?: number;
}

/** Ask for the runs that published some metrics, and for lines of them over their steps, or over time. */
export interface RunsRequest {
  t: "runs";
  id: number;
  metrics: readonly string[];
  axis: "step" | "time";
  lines: readonly RunLineWanted[];
}

/** One series of the directory; `i` and `colour`, 0 to 47, never change while the Python process lives. */
export interface SeriesEntry {
  i: number;
  metric: string;
  labels: Record<string, string>;
  unit: string;
  colour: number;
}

/** The series there are; unless `full`, entries are added or replaced. */
export interface Directory {
  t: "series";
  full: boolean;
  series: readonly SeriesEntry[];
}

/** One series of a formula's result; `i` is no other series', and its own while somebody has the formula open. */
export interface FormulaSeries {
  i: number;
  name: string;
  labels: Record<string, string>;
  unit: string;
  colour: number;
  role?: string;
}

/** Why a formula has no result, and where: from `position` to before `end`, in UTF-16 units. */
export interface FormulaFault {
  position: number;
  end: number;
  message: string;
  remedy: string;
  instead?: string;
}

/** What there is of a formula that is open, at each change. */
export interface FormulaState {
  t: "formula";
  formula: string;
  series: readonly FormulaSeries[];
  loading: boolean;
  reads: number;
  warnings: readonly string[];
  error: FormulaFault | null;
  summary?: "band" | "heat" | "top";
  of?: number;
  view?: number;
  hint?: FormulaFault;
}

/** Times between which readings cannot be replayed. */
export interface GapSpan {
  from_ms: number;
  to_ms: number;
}

/** Series of which nothing comes, since a partition of the log does not answer: since when, and a sentence. */
export interface Late {
  since_ms: number;
  text: string;
}

/** How the stream stands; a notebook leaves out what only the dashboard knows. */
export interface Status {
  t: "status";
  state: "connecting" | "live" | "reconnecting" | "ended";
  since_ms: number;
  retry_at_ms: number | null;
  attempts: number;
  service: string;
  reason: string;
  last_id_ms: number | null;
  recovered: number;
  gap: GapSpan | null;
  metrics: number;
  readings_per_s: number;
  listening_since_ms: number | null;
  retention_ms: number | null;
  behind_ms: number | null;
  past_reason: string;
  late: Late | null;
  now_ms: number;
  service_ok?: boolean | null;
  redis_ok?: boolean | null;
  redis?: string;
  lag_ms?: number;
}

/** A reading with a text, a mark below the charts; with a level, a time beyond a threshold that began then. */
export interface EventMark {
  time_ms: number;
  text: string;
  metric: string;
  labels: Record<string, string>;
  level?: "warn" | "critical";
}

/** The events there are; unless `full`, they are added. */
export interface Events {
  t: "events";
  full: boolean;
  events: readonly EventMark[];
}

/** The thresholds in force. */
export interface Thresholds {
  t: "thresholds";
  thresholds: readonly Threshold[];
}

/** A series in alarm, and since when it is at this level. */
export interface AlarmEntry {
  i: number;
  level: "warn" | "critical";
  since_ms: number;
}

/** Every series in alarm. */
export interface Alarms {
  t: "alarms";
  alarms: readonly AlarmEntry[];
}

/** The addresses that the "No metrics yet" page prints. */
export interface Snippet {
  t: "snippet";
  url: string;
  redis: string;
}

/** A sentence for the person; the connection stays open. */
export interface Problem {
  t: "error";
  reason: string;
}

/** In a notebook: the view frames are this message's buffers. */
export interface FrameAttached {
  t: "f";
}

/** A request has no answer; `to` is the request's `t`. */
export interface Refused {
  t: "refused";
  to: string;
  reason: string;
  id?: number;
}

/** The statistics of one series; null where there are too few numbers. */
export interface StatisticsRow {
  i: number;
  count: number;
  rate: number;
  gaps: number;
  gap_ms: number;
  last: number | null;
  mean: number | null;
  min: number | null;
  max: number | null;
  std: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

/** The statistics of a window. */
export interface StatisticsAnswer {
  t: "statistics";
  id: number;
  start_ms: number;
  end_ms: number;
  rows: readonly StatisticsRow[];
}

/** One reading. */
export type TableRow = readonly [time_ms: number, i: number, value: number | null, text: string | null];

/** The newest readings of a window that holds `of`, newest first; `units` of each, if a series changes its. */
export interface TableAnswer {
  t: "table";
  id: number;
  start_ms: number;
  end_ms: number;
  rows: readonly TableRow[];
  of: number;
  units?: readonly string[];
}

/** The address of a file, relative to the dashboard's prefix; good once, for a minute. */
export interface ExportAnswer {
  t: "export";
  id: number;
  url: string;
}

/** One saved deck in a list. */
export interface DeckInfo {
  slug: string;
  name: string;
  etag: string;
  updated_ms: number;
}

/** The saved decks, newest first. */
export interface DeckList {
  t: "decks";
  decks: readonly DeckInfo[];
}

/** A saved deck as the service stores it; null where none is saved. */
export interface DeckAnswer {
  t: "deck";
  slug: string;
  etag: string;
  deck: Record<string, unknown> | null;
}

/** A deck was saved; with a conflict it was not, and `etag` is the newer version, empty if deleted. */
export interface DeckSaved {
  t: "saved";
  slug: string;
  etag: string;
  conflict: boolean;
}

/** The thresholds were saved; with a conflict they were not, and the newer ones are in force. */
export interface ThresholdsSaved {
  t: "thresholds_saved";
  conflict: boolean;
}

/** An event was published; it comes to all pages by the stream. */
export interface EventAdded {
  t: "event_added";
}

/** What may stand at a place of a formula; the cursor goes `back` so many units from its end. */
export interface FormulaCompletion {
  kind: "metric" | "label" | "value" | "function";
  text: string;
  shown: string;
  meaning: string;
  back: number;
}

/** What is wrong with a formula, if anything, and what may stand from `start` to the place that was asked for. */
export interface FormulaHelp {
  t: "formula_help";
  id: number;
  error: FormulaFault | null;
  hint?: FormulaFault;
  start: number;
  items: readonly FormulaCompletion[];
}

/** The selection of the `count` series of a cell, and how many `more` have its labels; empty: all have them. */
export interface CellAnswer {
  t: "cell";
  id: number;
  select: string;
  count: number;
  more: number;
}

/** One metric of a run: its series, its newest reading, null if that is no number, and the extremes of all. */
export interface RunMetric {
  i: number;
  last: number | null;
  least: number | null;
  greatest: number | null;
  count: number;
}

/** One run: a label set, how it stands, its highest step, null without one, and its first and newest reading. */
export interface RunEntry {
  labels: Record<string, string>;
  state: "live" | "stale" | "finished" | "stopped" | "failed";
  step: number | null;
  start_ms: number;
  end_ms: number;
  metrics: readonly RunMetric[];
  settings: Record<string, number | string>;
}

/** The points of a line from one on; `start` come before it, which the deck has. */
export interface RunPoints {
  i: number;
  version: number;
  start: number;
  x: readonly number[];
  mean: readonly number[];
  min: readonly number[];
  max: readonly number[];
  first: readonly number[];
  last: readonly number[];
}

/** The newest runs, `of` how many, and lines of them that have changed. */
export interface RunsAnswer {
  t: "runs";
  id: number;
  axis: "step" | "time";
  loading: boolean;
  more: boolean;
  of: number;
  runs: readonly RunEntry[];
  lines: readonly RunPoints[];
  problem: string;
  refused: Record<string, string>;
}

export type Level = AlarmEntry["level"];

export type ViewerRequest =
  | StatisticsRequest
  | TableRequest
  | ExportRequest
  | ListDecks
  | ReadDeck
  | SaveDeck
  | DeleteDeck
  | SaveThresholds
  | AddEvent
  | FormulaHelpRequest
  | CellRequest
  | RunsRequest;

export type DeckMessage =
  | Hello
  | OpenView
  | CloseView
  | RangeRequest
  | Look
  | Hidden
  | Retry
  | StatisticsRequest
  | TableRequest
  | ExportRequest
  | ListDecks
  | ReadDeck
  | SaveDeck
  | DeleteDeck
  | SaveThresholds
  | AddEvent
  | FormulaHelpRequest
  | CellRequest
  | RunsRequest;

export type Answer =
  | StatisticsAnswer
  | TableAnswer
  | ExportAnswer
  | DeckList
  | DeckAnswer
  | DeckSaved
  | ThresholdsSaved
  | EventAdded
  | FormulaHelp
  | CellAnswer
  | RunsAnswer;

export type PythonMessage =
  | Directory
  | FormulaState
  | Status
  | Events
  | Thresholds
  | Alarms
  | Snippet
  | Problem
  | FrameAttached
  | Refused
  | StatisticsAnswer
  | TableAnswer
  | ExportAnswer
  | DeckList
  | DeckAnswer
  | DeckSaved
  | ThresholdsSaved
  | EventAdded
  | FormulaHelp
  | CellAnswer
  | RunsAnswer;

/** That a frame of a view was drawn: plain text, not JSON. */
export type AcknowledgementText = `a${number}:${number}`;

/** Which message answers which request. */
export interface Answers {
  statistics: StatisticsAnswer;
  table: TableAnswer;
  export: ExportAnswer;
  decks: DeckList;
  read_deck: DeckAnswer;
  save_deck: DeckSaved;
  delete_deck: DeckList;
  save_thresholds: ThresholdsSaved;
  add_event: EventAdded;
  formula_help: FormulaHelp;
  cell: CellAnswer;
  runs: RunsAnswer;
}

/** The same as values. */
export const ANSWER_TAGS = {
  statistics: "statistics",
  table: "table",
  export: "export",
  decks: "decks",
  read_deck: "deck",
  save_deck: "saved",
  delete_deck: "decks",
  save_thresholds: "thresholds_saved",
  add_event: "event_added",
  formula_help: "formula_help",
  cell: "cell",
  runs: "runs",
} as const satisfies Record<ViewerRequest["t"], Answer["t"]>;
