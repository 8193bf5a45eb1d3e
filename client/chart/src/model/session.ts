/** The state of one viewer: directory, rings of its views, status of the service, the log's clock. */

import { decodeFrame, type Frame, RANGE } from "../wire/frame";
import type {
  DeckMessage,
  EventMark,
  Level,
  OpenView,
  PythonMessage,
  Snippet,
  Status,
  Threshold,
} from "../wire/messages";
import type { Link, Port } from "../wire/port";
import { Requests } from "../wire/requests";
import { BucketRing, type Slot } from "./bucket-ring";
import { Directory } from "./directory";
import { Gaze } from "./gaze";
import { Loading } from "./loading";
import { Prints } from "./prints";

export const CHARTS = 0;
export const LIST = 1;
/** Lanes of ranges: the span that is shown, the one it is compared with, and a survey of what is kept. */
const SHOWN = 0;
export const COMPARED = 1;
export const SURVEY = 2;
/** As Python has it, `MAX_VIEWS` in `tidewire/livestore/messages.py`. */
export const MAX_VIEWS = 64;
/** The ring of a plot that has no view yet: it stays empty. */
export const NO_VIEW = MAX_VIEWS;

/** Series in alarm, by index. Python evaluates `for_s` and `hysteresis` once for all viewers. */
export type Alarms = ReadonlyMap<number, Level>;

export type ViewRequest = Required<Omit<OpenView, "t" | "view" | "formula" | "summary">> & { formula?: string };

/** What a message says of a source. */
function sourced(source: string | undefined): Pick<OpenView, "formula" | "summary"> {
  if (source === undefined) return {};
  const [formula, summary] = source.split("\0") as [string, NonNullable<OpenView["summary"]>?];
  return summary ? { formula, summary } : { formula };
}

/** Events kept, as many as Python keeps; the oldest go first. */
const MAX_EVENTS = 21_000;
/** After a hole, wait this long before requesting another snapshot. */
const HELLO_AGAIN_MS = 2_000;

/** What a message changed: `list` is a frame of all series, `clock` a status that goes on, with other figures. */
export type Change = "frame" | "list" | "directory" | "status" | "clock";

export class Session {
  readonly directory = new Directory();
  /** The list is `LIST`; the others are the charts', one of each width. */
  readonly views: readonly BucketRing[] = Array.from({ length: MAX_VIEWS + 1 }, () => new BucketRing());
  status: Status | null = null;
  link: Link = { state: "connecting", lostAtMs: NaN, attempts: 0, retryAt: NaN, reason: "" };
  events: readonly EventMark[] = [];
  thresholds: readonly Threshold[] = [];
  alarms: Alarms = new Map();
  /** Since when each series in alarm is at its level, Unix ms. */
  alarmsSince: ReadonlyMap<number, number> = new Map();
  readonly requests = new Requests(() => this.port);
  readonly loading = new Loading();
  readonly prints = new Prints();
  readonly gaze = new Gaze((series) => this.port?.send({ t: "look", series }));
  snippet: Snippet | null = null;
  problem = "";
  port: Port | null = null;
  readonly counters = { frames: 0, bytes: 0, holes: 0, acks: 0, draws: 0 };
  readonly #requestedViews = new Map<number, string>();
  readonly #acks = new Map<number, number>();
  /** Views with a hole, and when their snapshot was requested. */
  readonly #awaited = new Map<number, number>();
  readonly #ranges = new Map<number, { lane: number; answer: (frame: Frame) => void }>();
  #rangeId = 0;
  /** Of each lane. */
  readonly #rangeSpans: string[] = [];
  #viewsKnown = false;
  #clockMs = NaN;
  #clockAt = 0;
  readonly #page: () => "overview" | "deck";
  readonly #changed: (what: Change) => void;

  constructor(page: () => "overview" | "deck", changed: (what: Change) => void) {
    this.#page = page;
    this.#changed = changed;
  }

  /** Return the log's clock; this browser's clock until the first message with the log's. */
  now(): number {
    return Number.isNaN(this.#clockMs) ? Date.now() : this.#clockMs + (performance.now() - this.#clockAt);
  }

  #setClock(ms: unknown): void {
    if (typeof ms !== "number" || !Number.isFinite(ms)) return;
    this.#clockMs = ms;
    this.#clockAt = performance.now();
  }

  hello(hidden = false): void {
    if (hidden) {
      this.port?.send({ t: "hidden", hidden: true });
      return;
    }
    this.#acks.clear();
    this.port?.send({ t: "hello", page: this.#page(), hidden: false });
    if (this.#viewsKnown) return;
    this.#viewsKnown = true;
    for (const message of this.#requestedViews.values()) this.port?.send(JSON.parse(message) as DeckMessage);
  }

  /** Start a new connection, on which Python knows no view yet. */
  connected(): void {
    this.#viewsKnown = false;
    this.gaze.again();
  }

  /** Request a view, or close it; send nothing if it is unchanged. */
  requestView(view: number, request: ViewRequest | null): void {
    const message = request ? JSON.stringify({ t: "view", view, ...request, ...sourced(request.formula) }) : undefined;
    if (this.#requestedViews.get(view) === message) return;
    if (message === undefined) {
      this.#requestedViews.delete(view);
      this.#acks.delete(view);
      this.port?.send({ t: "close", view });
    } else {
      this.#requestedViews.set(view, message);
      this.port?.send(JSON.parse(message) as DeckMessage);
    }
  }

  /** Return the newest record of a series: of its charts, or else of the list. */
  slot(index: number): Slot | undefined {
    let newest: Slot | undefined;
    for (const view of this.#requestedViews.keys()) {
      const slot = view === LIST ? undefined : this.views[view].slots.get(index);
      if (slot && !(slot.total < (newest?.total ?? 0))) newest = slot;
    }
    return newest ?? this.views[LIST].slots.get(index);
  }

  /** Request one fixed window of the past; requests of its lane for another window before it are dropped. */
  requestRange(
    series: readonly number[],
    startMs: number,
    endMs: number,
    buckets: number,
    answer: (ring: BucketRing) => void,
    { lane = SHOWN, formula }: { lane?: number; formula?: string | undefined } = {},
  ): void {
    this.#rangeId = (this.#rangeId + 1) % 65_536;
    const span = `${startMs} ${endMs}`;
    if (span !== this.#rangeSpans[lane])
      for (const [id, waiting] of this.#ranges) if (waiting.lane === lane) this.#ranges.delete(id);
    this.#rangeSpans[lane] = span;
    const read = (frame: Frame): void => {
      const ring = new BucketRing();
      ring.apply(frame);
      answer(ring);
    };
    this.#ranges.set(this.#rangeId, { lane, answer: read });
    const asked = {
      start_ms: startMs,
      end_ms: endMs,
      buckets,
      ...(lane === SHOWN ? {} : { lane }),
      ...sourced(formula),
    };
    this.port?.send({ t: "range", id: this.#rangeId, series, ...asked });
  }

  onFrame(data: ArrayBuffer | ArrayBufferView): void {
    const frame = decodeFrame(data);
    this.counters.frames++;
    this.counters.bytes += data.byteLength;
    if (frame.kind === RANGE) {
      this.#ranges.get(frame.view)?.answer(frame);
      this.#ranges.delete(frame.view);
      this.#changed("frame");
      return;
    }
    const ring = this.views[frame.view];
    if (!ring) return;
    this.#setClock(frame.nowMs);
    this.#acks.set(frame.view, frame.seq);
    if (ring.apply(frame)) {
      this.#awaited.delete(frame.view);
    } else if (performance.now() - (this.#awaited.get(frame.view) ?? -Infinity) > HELLO_AGAIN_MS) {
      this.counters.holes++;
      this.hello();
      // hello() forgets what was to be acknowledged: the snapshot it brings is acknowledged instead.
      this.#awaited.set(frame.view, performance.now());
    }
    this.#changed(frame.view === LIST ? "list" : "frame");
  }

  /** Called inside requestAnimationFrame, after drawing: the next frames may come. */
  acknowledge(): void {
    for (const [view, seq] of this.#acks) {
      this.port?.ack(view, seq);
      this.counters.acks++;
    }
    this.#acks.clear();
  }

  onText(message: PythonMessage): void {
    if (this.requests.settle(message)) return;
    switch (message.t) {
      case "series":
        this.directory.update(message.full, message.series);
        this.#changed("directory");
        return;
      case "formula":
        this.directory.setFormula(message);
        this.#changed("directory");
        return;
      case "status": {
        const before = this.status;
        this.status = message;
        if (Number.isNaN(this.#clockMs) || performance.now() - this.#clockAt > 1_000) this.#setClock(message.now_ms);
        const goesOn = before?.state === message.state && (before.behind_ms === null) === (message.behind_ms === null);
        this.#changed(goesOn ? "clock" : "status");
        return;
      }
      case "events":
        this.events = (message.full ? message.events : [...this.events, ...message.events]).slice(-MAX_EVENTS);
        break;
      case "thresholds":
        this.thresholds = message.thresholds;
        break;
      case "alarms":
        this.alarms = new Map(message.alarms.map((one) => [one.i, one.level]));
        this.alarmsSince = new Map(message.alarms.map((one) => [one.i, one.since_ms]));
        break;
      case "snippet":
        this.snippet = message;
        break;
      case "error":
        this.problem = message.reason;
        break;
    }
    this.#changed("status");
  }
}
