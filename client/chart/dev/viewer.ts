/** One viewer of the fake server: answers the deck's messages with view frames computed from the plant. */
import { encodeFrame, type PackedSeries } from "../test/encode";
import type { FakeSeries } from "./plant";

const LADDER = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000];
/** Readings looked at per bucket; long windows are thinned. */
const MAX_PER_BUCKET = 12;

interface View {
  series: number[] | null;
  window_ms: number;
  buckets: number;
  fps: number;
  stepMs: number;
  sentLast: number;
  seq: number;
  unacked: boolean;
  due: number;
}

export interface Scenario {
  plant: FakeSeries[];
  /** The service was lost this many seconds before the run began; 0: it is there. */
  lostS: number;
  startMs: number;
}

export class Viewer {
  private readonly views = new Map<number, View>();
  private readonly timer: NodeJS.Timeout;
  private hidden = false;
  private lastStatus = 0;

  constructor(
    private readonly scenario: Scenario,
    private readonly now: () => number,
    private readonly sendText: (text: string) => void,
    private readonly sendBytes: (bytes: ArrayBuffer) => void,
  ) {
    this.timer = setInterval(() => this.tick(), 20);
  }

  close(): void {
    clearInterval(this.timer);
  }

  receive(text: string): void {
    const ack = /^a(\d+):(\d+)$/.exec(text);
    if (ack) {
      const view = this.views.get(Number(ack[1]));
      if (view) view.unacked = false;
      return;
    }
    const message = JSON.parse(text) as Record<string, unknown>;
    if (message.t === "hello") {
      this.hidden = false;
      this.directory();
      this.status();
      for (const view of this.views.values()) this.reset(view);
    } else if (message.t === "view") {
      const { series, window_ms, buckets, fps } = message as unknown as View;
      const view = { series, window_ms, buckets, fps, stepMs: 0, sentLast: 0, seq: 0, unacked: false, due: 0 };
      this.reset(view);
      this.views.set(Number(message.view), view);
    } else if (message.t === "close") this.views.delete(Number(message.view));
    else if (message.t === "hidden") this.hidden = true;
    else if (message.t === "range") this.range(message as unknown as { id: number; series: number[]; start_ms: number; end_ms: number; buckets: number });
  }

  private reset(view: View): void {
    view.stepMs = LADDER.find((step) => view.window_ms / step <= view.buckets) ?? 900_000;
    view.sentLast = -1;
    view.unacked = false;
    view.due = 0;
  }

  private directory(): void {
    const series = this.scenario.plant.map((one, i) => ({ i, metric: one.metric, labels: one.labels, unit: one.unit }));
    this.json({ t: "series", full: true, series });
    if (series.length === 0) {
      this.json({ t: "snippet", url: "http://127.0.0.1:8000", redis: "redis://127.0.0.1:6379" });
      return;
    }
    this.json({ t: "events", full: true, events: [{ time_ms: this.scenario.startMs - 128_000, text: "recipe 14 → 15", metric: "furnace/temperature", labels: {} }] });
    this.json({
      t: "thresholds",
      thresholds: [
        { metric: "furnace/temperature", labels: {}, warn_above: 935, critical_above: null, warn_below: null, critical_below: null },
        { metric: "line-1/flow", labels: {}, warn_above: null, critical_above: null, warn_below: null, critical_below: 117 },
      ],
    });
  }

  private status(): void {
    const { plant, lostS, startMs } = this.scenario;
    const now = this.now();
    this.lastStatus = now;
    this.json({
      t: "status",
      state: lostS ? "reconnecting" : "live",
      since_ms: lostS ? startMs - lostS * 1000 : startMs - 3_600_000,
      retry_at_ms: lostS ? now + 3_000 - (now % 3_000) : null,
      attempts: lostS ? 4 : 0,
      service: "http://127.0.0.1:8000",
      metrics: new Set(plant.map((one) => one.metric)).size,
      readings_per_s: lostS ? 0 : plant.length ? 1328 : 0,
      retention_ms: 86_400_000,
      service_ok: true,
      redis_ok: true,
      redis: "Valkey 9.1, bundled, append-only file on",
      listening_since_ms: startMs - 69_000,
      recovered: 0,
      gap: null,
      lag_ms: 0,
      now_ms: now,
    });
  }

  private json(message: unknown): void {
    this.sendText(JSON.stringify(message));
  }

  private tick(): void {
    if (this.hidden) return;
    const now = this.now();
    if (now - this.lastStatus > 1_000) this.status();
    for (const [id, view] of this.views) {
      if (view.unacked || now < view.due) continue;
      view.due = now + 1000 / view.fps;
      view.unacked = true;
      const last = Math.floor(now / view.stepMs);
      const first = view.sentLast < 0 ? last - Math.ceil(view.window_ms / view.stepMs) : view.sentLast;
      this.sendBytes(this.pack(view.sentLast < 0 ? 1 : 2, id, view.series, first, last, view.stepMs, ++view.seq));
      view.sentLast = last;
    }
  }

  private range(ask: { id: number; series: number[]; start_ms: number; end_ms: number; buckets: number }): void {
    const step = LADDER.find((one) => (ask.end_ms - ask.start_ms) / one <= ask.buckets) ?? 900_000;
    this.sendBytes(this.pack(4, ask.id, ask.series, Math.floor(ask.start_ms / step), Math.floor(ask.end_ms / step), step, 1));
  }

  private pack(kind: number, view: number, wanted: number[] | null, first: number, last: number, stepMs: number, seq: number): ArrayBuffer {
    const indices = wanted ?? this.scenario.plant.map((_, i) => i);
    const series = indices.filter((i) => this.scenario.plant[i]).map((i) => this.one(i, first, last, stepMs));
    return encodeFrame({ kind, seq, nowMs: this.now(), first, buckets: last - first + 1, view, stepMs, series });
  }

  private one(index: number, first: number, last: number, stepMs: number): PackedSeries {
    const one = this.scenario.plant[index];
    const { startMs, lostS } = this.scenario;
    // Each series publishes at its own phase; what is younger than its transport is not there yet.
    const phase = (index * 137) % one.intervalMs;
    const newestAllowed = Math.min(this.now() - 20, lostS ? startMs - lostS * 1000 : Infinity);
    const silent = (ms: number): boolean => {
      const ago = (startMs - ms) / 1000;
      return one.silent !== undefined && ago < one.silent[0] && ago > one.silent[1];
    };
    let lastMs = Math.floor((newestAllowed - phase) / one.intervalMs) * one.intervalMs + phase;
    if (silent(lastMs)) lastMs = Math.floor((startMs - (one.silent?.[0] ?? 0) * 1000 - phase) / one.intervalMs) * one.intervalMs + phase;
    const at = (ms: number): number => one.value((ms - startMs) / 1000);
    const perBucket = stepMs / one.intervalMs;
    const mean = perBucket >= 2;
    const data = new Float32Array((last - first + 1) * 3).fill(NaN);
    for (let b = first; b <= last; b++) {
      const from = Math.ceil((b * stepMs - phase) / one.intervalMs) * one.intervalMs + phase;
      const stride = one.intervalMs * Math.max(1, Math.floor(perBucket / MAX_PER_BUCKET));
      let sum = 0;
      let count = 0;
      let min = Infinity;
      let max = -Infinity;
      let value = NaN;
      for (let ms = from; ms < (b + 1) * stepMs && ms <= lastMs; ms += stride) {
        if (silent(ms)) continue;
        value = at(ms);
        sum += value;
        count++;
        min = Math.min(min, value);
        max = Math.max(max, value);
      }
      if (count === 0) continue;
      const newest = lastMs >= b * stepMs && lastMs < (b + 1) * stepMs;
      const o = (b - first) * 3;
      data[o] = newest ? at(lastMs) : mean ? sum / count : value;
      data[o + 1] = Math.min(min, data[o]);
      data[o + 2] = Math.max(max, data[o]);
    }
    const total = Math.floor((lastMs - startMs + 86_400_000) / one.intervalMs);
    return { index, data, lastValue: at(lastMs), lastTimeMs: lastMs, lastIdMs: lastMs, total, expectedMs: one.intervalMs, change: 0.02 * Math.sin(index * 1.7), rate: 1000 / one.intervalMs, flags: mean ? 1 : 0 };
  }
}
