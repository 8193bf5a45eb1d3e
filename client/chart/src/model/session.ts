/** The state of one viewer: directory, rings of its views, status of the service, the log's clock. */

import { decodeFrame, type Frame, RANGE } from "../wire/frame";
import type { Link, Port } from "../wire/port";
import { Requests } from "../wire/requests";
import { BucketRing } from "./bucket-ring";
import { Directory, type SeriesEntry } from "./directory";

export const CHARTS = 0;
export const LIST = 1;

/** The `status` message. */
export interface Status {
  state: "connecting" | "live" | "reconnecting" | "ended";
  since_ms?: number;
  retry_at_ms?: number | null;
  attempts?: number;
  service?: string;
  reason?: string;
  last_id_ms?: number | null;
  recovered?: number;
  gap?: { from_ms: number; to_ms: number } | null;
  metrics?: number;
  readings_per_s?: number;
  retention_ms?: number;
  service_ok?: boolean;
  redis_ok?: boolean;
  redis?: string;
  listening_since_ms?: number;
  lag_ms?: number;
  now_ms?: number;
}

export interface EventMark {
  time_ms: number;
  text: string;
  metric: string;
  labels?: Record<string, string>;
}

export type Level = "warn" | "critical";

/** Limits for the series of a metric, or of all that match a pattern. */
export interface Threshold {
  metric: string;
  labels?: Record<string, string>;
  warn_above?: number | null;
  critical_above?: number | null;
  warn_below?: number | null;
  critical_below?: number | null;
  /** Seconds for which a limit must be exceeded. */
  for_s?: number;
  hysteresis?: number;
}

/** Series in alarm, by index. Python evaluates `for_s` and `hysteresis` once for all viewers. */
export type Alarms = ReadonlyMap<number, Level>;

export interface Snippet {
  url: string;
  redis: string;
}

export interface ViewRequest {
  series: number[] | null;
  window_ms: number;
  buckets: number;
  fps: number;
}

/** Events kept; the oldest go first. */
const MAX_EVENTS = 2_000;
/** After a hole, wait this long before requesting another snapshot. */
const HELLO_AGAIN_MS = 2_000;

export class Session {
  readonly directory = new Directory();
  readonly views: readonly [BucketRing, BucketRing] = [new BucketRing(), new BucketRing()];
  status: Status | null = null;
  link: Link = { state: "connecting", lostAtMs: NaN, attempts: 0, retryAt: NaN, reason: "" };
  events: EventMark[] = [];
  thresholds: Threshold[] = [];
  alarms: Alarms = new Map();
  /** Since when each series in alarm is at its level, Unix ms. */
  alarmsSince: ReadonlyMap<number, number> = new Map();
  readonly requests = new Requests(() => this.port);
  snippet: Snippet | null = null;
  problem = "";
  port: Port | null = null;
  readonly counters = { frames: 0, bytes: 0, holes: 0, acks: 0, draws: 0 };
  readonly #requestedViews = new Map<number, string>();
  readonly #acks = new Map<number, number>();
  /** Views with a hole, and when their snapshot was requested. */
  readonly #awaited = new Map<number, number>();
  readonly #ranges = new Map<number, (frame: Frame) => void>();
  #rangeId = 0;
  #viewsKnown = false;
  #clockMs = NaN;
  #clockAt = 0;
  readonly #page: () => "overview" | "deck";
  readonly #changed: (what: "frame" | "directory" | "status") => void;

  constructor(page: () => "overview" | "deck", changed: (what: "frame" | "directory" | "status") => void) {
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
    for (const message of this.#requestedViews.values())
      this.port?.send(JSON.parse(message) as Record<string, unknown>);
  }

  /** Start a new connection, on which Python knows no view yet. */
  connected(): void {
    this.#viewsKnown = false;
  }

  /** Request a view, or close it; send nothing if it is unchanged. */
  requestView(view: number, request: ViewRequest | null): void {
    const message = request ? JSON.stringify({ t: "view", view, ...request }) : undefined;
    if (this.#requestedViews.get(view) === message) return;
    if (message === undefined) {
      this.#requestedViews.delete(view);
      this.port?.send({ t: "close", view });
    } else {
      this.#requestedViews.set(view, message);
      this.port?.send(JSON.parse(message) as Record<string, unknown>);
    }
  }

  /** Request one fixed window of the past. */
  requestRange(
    series: readonly number[],
    startMs: number,
    endMs: number,
    buckets: number,
    answer: (ring: BucketRing) => void,
  ): void {
    this.#rangeId = (this.#rangeId + 1) % 65_536;
    this.#ranges.clear();
    this.#ranges.set(this.#rangeId, (frame) => {
      const ring = new BucketRing();
      ring.apply(frame);
      answer(ring);
    });
    this.port?.send({ t: "range", id: this.#rangeId, series, start_ms: startMs, end_ms: endMs, buckets });
  }

  onFrame(data: ArrayBuffer | ArrayBufferView): void {
    const frame = decodeFrame(data);
    this.counters.frames++;
    this.counters.bytes += data.byteLength;
    if (frame.kind === RANGE) {
      this.#ranges.get(frame.view)?.(frame);
      this.#ranges.delete(frame.view);
      this.#changed("frame");
      return;
    }
    const ring = this.views[frame.view as 0 | 1];
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
    this.#changed("frame");
  }

  /** Called inside requestAnimationFrame, after drawing: the next frames may come. */
  acknowledge(): void {
    for (const [view, seq] of this.#acks) {
      this.port?.ack(view, seq);
      this.counters.acks++;
    }
    this.#acks.clear();
  }

  onText(message: Record<string, unknown>): void {
    if (this.requests.settle(message)) return;
    switch (message.t) {
      case "series":
        this.directory.update(message.full === true, (message.series as SeriesEntry[] | undefined) ?? []);
        this.#changed("directory");
        return;
      case "status":
        this.status = message as unknown as Status;
        if (Number.isNaN(this.#clockMs) || performance.now() - this.#clockAt > 1_000) this.#setClock(message.now_ms);
        break;
      case "events": {
        const news = (message.events as EventMark[] | undefined) ?? [];
        this.events = (message.full === true ? news : [...this.events, ...news]).slice(-MAX_EVENTS);
        break;
      }
      case "thresholds":
        this.thresholds = (message.thresholds as Threshold[] | undefined) ?? [];
        break;
      case "alarms": {
        const alarms = (message.alarms as { i: number; level: Level; since_ms: number }[] | undefined) ?? [];
        this.alarms = new Map(alarms.map((one) => [one.i, one.level]));
        this.alarmsSince = new Map(alarms.map((one) => [one.i, one.since_ms]));
        break;
      }
      case "snippet":
        this.snippet = message as unknown as Snippet;
        break;
      case "error":
        this.problem = String(message.reason ?? "");
        break;
    }
    this.#changed("status");
  }
}
