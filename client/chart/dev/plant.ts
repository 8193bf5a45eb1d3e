/** A made-up plant with the series of the pictures: each value is a function of time, so every run looks the same. */

export interface FakeSeries {
  metric: string;
  labels: Record<string, string>;
  unit: string;
  intervalMs: number;
  value: (seconds: number) => number;
  /** Silent from, and to, this many seconds before the start of the run. */
  silent?: readonly [from: number, to: number];
}

function noise(seed: number, n: number): number {
  let x = Math.imul(n | 0, 374761393) ^ Math.imul(seed, 668265263);
  x = Math.imul(x ^ (x >>> 13), 1274126177);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1;
}

/** Smooth noise with a given period. */
function wander(seed: number, t: number, period: number): number {
  const at = t / period;
  const n = Math.floor(at);
  const f = at - n;
  const s = f * f * (3 - 2 * f);
  return noise(seed, n) * (1 - s) + noise(seed, n + 1) * s;
}

const rough = (seed: number, t: number): number => noise(seed, Math.floor(t * 10));
/** A step that rises at `at` seconds relative to the start and returns at `back`. */
const step = (t: number, at: number, back = Infinity, width = 6): number => 1 / (1 + Math.exp(-(t - at) / (width / 4))) - 1 / (1 + Math.exp(-(t - back) / (width / 4)));

function make(metric: string, labels: Record<string, string>, unit: string, intervalMs: number, value: (t: number) => number, silent?: readonly [number, number]): FakeSeries {
  return silent ? { metric, labels, unit, intervalMs, value, silent } : { metric, labels, unit, intervalMs, value };
}

const core = (n: number, base: number, extra: (t: number) => number = () => 0): FakeSeries =>
  make("host/cpu", { core: String(n) }, "%", 1_000, (t) => Math.max(0.5, base + 7 * wander(40 + n, t, 9) + 4 * noise(60 + n, Math.floor(t)) + extra(t)));

export const PLANT: FakeSeries[] = [
  make("furnace/exhaust", {}, "Cel", 1_000, (t) => 312 + 3 * wander(1, t, 40) + 0.8 * noise(2, Math.floor(t))),
  make("furnace/power", { site: "A" }, "kW", 1_000, (t) => 41.5 + 4.5 * step(t, -143) + 1.2 * wander(3, t, 20) + 0.5 * noise(4, Math.floor(t))),
  make("furnace/power", { site: "B" }, "kW", 1_000, (t) => 38 + 8 * step(t, -120, -28) + 0.8 * wander(5, t, 25) + 0.4 * noise(6, Math.floor(t))),
  make("furnace/power", { site: "C" }, "kW", 1_000, (t) => 32.6 + 0.9 * wander(7, t, 30) + 0.3 * noise(8, Math.floor(t))),
  make("furnace/temperature", { site: "A" }, "Cel", 500, (t) => 920 + 3.5 * step(t, -140, Infinity, 40) + 2 * wander(9, t, 30) + 0.9 * noise(10, Math.floor(t * 2))),
  make("furnace/temperature", { site: "B" }, "Cel", 500, (t) => 927 + 18 * step(t, -110, Infinity, 30) - 7 * step(t, -40, Infinity, 50) + 1.2 * noise(11, Math.floor(t * 2))),
  make("furnace/temperature", { site: "C" }, "Cel", 500, (t) => 886 - 9 * step(t, -180, Infinity, 60) + 1.5 * wander(12, t, 20) + 0.8 * noise(13, Math.floor(t * 2))),
  core(0, 35, (t) => 18 * step(t, -98, -66)),
  core(1, 30),
  core(2, 21),
  core(3, 12),
  core(4, 28),
  core(5, 24),
  core(6, 36),
  core(7, 14),
  make("host/disk", { direction: "read" }, "By/s", 1_000, (t) => 1e6 * (12.5 + 2 * wander(14, t, 7) + noise(15, Math.floor(t)))),
  make("host/disk", { direction: "write" }, "By/s", 1_000, (t) => 1e6 * (38 + 4 * wander(16, t, 7) + 2 * noise(17, Math.floor(t)))),
  make("host/memory", {}, "GiBy", 1_000, (t) => 40.5 + 2.6 * ((((t + 400) % 93) + 93) % 93 / 93) ** 0.8 + 0.02 * noise(18, Math.floor(t))),
  make("host/net", { direction: "rx" }, "By/s", 1_000, (t) => 1e6 * (82 + 9 * wander(19, t, 9) + 8 * noise(20, Math.floor(t)))),
  make("host/net", { direction: "tx" }, "By/s", 1_000, (t) => 1e6 * (31 + 4 * wander(21, t, 9) + 3 * noise(22, Math.floor(t)) + 18 * step(t, -85, -70, 8))),
  make("host/temperature", { sensor: "package" }, "Cel", 1_000, (t) => 60 + 3 * wander(23, t, 18)),
  make("line-1/flow", {}, "L/min", 100, (t) => 129 + 2.5 * wander(24, t, 25) - 12 * step(t, -176, -160, 8) + 0.7 * rough(25, t)),
  make("line-1/pressure", {}, "bar", 100, (t) => 6.2 + 0.06 * Math.sin(t / 3.3) + 0.02 * wander(26, t, 12) + 0.03 * rough(27, t), [213, 171]),
  make("line-1/queue", {}, "{parts}", 2_000, (t) => Math.round(12 + 6 * wander(28, t, 14))),
  make("line-1/scrap", {}, "%", 1_000, (t) => 1.1 + 0.3 * wander(29, t, 30)),
  make("line-1/speed", {}, "m/min", 1_000, (t) => 42 - 9 * step(t, -222, -190, 5) + 0.08 * noise(30, Math.floor(t))),
  make("line-1/torque", {}, "N.m", 500, (t) => 182 + 3 * wander(31, t, 12) + 2 * noise(32, Math.floor(t * 2))),
  make("line-1/vibration", {}, "mm/s", 100, (t) => 2.5 + 0.1 * wander(33, t, 10) + 0.5 * rough(34, t)),
  make("line-2/flow", {}, "L/min", 200, (t) => 120 + 1.8 * wander(35, t, 20) + 0.8 * rough(36, t)),
  make("line-2/pressure", {}, "bar", 200, (t) => 5.9 + 0.08 * wander(37, t, 18) + 0.06 * rough(38, t)),
  make("line-2/queue", {}, "{parts}", 2_000, (t) => Math.round(8 + 5 * wander(39, t, 16))),
  make("line-2/scrap", {}, "%", 1_000, (t) => 1.1 + 0.15 * wander(50, t, 22), [195, -1e9]),
  make("line-2/speed", {}, "m/min", 1_000, (t) => 40 + 0.5 * wander(51, t, 8) + 0.3 * noise(52, Math.floor(t))),
  make("line-2/vibration", {}, "mm/s", 100, (t) => 3 + 0.25 * wander(53, t, 9) + 0.12 * Math.sin(t / 40) + 0.45 * rough(54, t), [38, -1e9]),
  make("tidewire/batches", {}, "{batches}/s", 1_000, (t) => Math.round(212 + 9 * wander(55, t, 8) + 5 * noise(56, Math.floor(t)))),
  make("tidewire/latency/p99", {}, "ms", 1_000, (t) => 1.45 + 0.15 * wander(57, t, 8) + 0.1 * noise(58, Math.floor(t))),
  make("tidewire/readings", {}, "/s", 1_000, (t) => Math.round(1_320 + 30 * wander(59, t, 9) + 12 * noise(70, Math.floor(t)))),
  make("tidewire/subscribers", {}, "1", 1_000, (t) => Math.round(37 + 3 * wander(71, t, 25))),
];

/** `count` series for the test of a large overview. */
export function manySeries(count: number): FakeSeries[] {
  return Array.from({ length: count }, (_, i) => make(`plant-${1 + (i % 8)}/sensor`, { id: String(Math.floor(i / 8)) }, "Cel", 1_000, (t) => 50 + (i % 40) + 3 * wander(i, t, 12)));
}

/** 20 metrics of four series, ten readings a second: the load the deck is measured with. */
export function loadSeries(): FakeSeries[] {
  return Array.from({ length: 80 }, (_, i) => make(`load/metric-${String(Math.floor(i / 4)).padStart(2, "0")}`, { site: "ABCD"[i % 4] }, "kW", 100, (t) => 40 + 8 * (i % 4) + 3 * wander(i, t, 12) + rough(i, t)));
}
