/** Numbers, ages, spans and times as text whose width does not change from one reading to the next. */
import { isBrowserZone, wallMs, zoneCity } from "./zone";

const MAX_DECIMALS = 3;
/** Significant digits of a float64; values that differ by less than this share of them differ by rounding. */
export const MOST_DIGITS = 15;
const ROUNDING = 1e-12;

/**
 * Decimals that give four significant digits at the largest magnitude of the window, and more where those do not tell
 * a fifth of its range; none for counts. Very small and very large ones are powers of ten: −n for n + 1 decimals. Python
 * has the same rule in `tidewire/model/numbers.py`; `tests/chart/vectors/numbers.json` holds both.
 */
export function decimalsFor(magnitude: number, integers: boolean, range = 0): number {
  if (!Number.isFinite(magnitude)) return 0;
  if (integers && magnitude < 1e12) return 0;
  const power = magnitude > 0 ? Math.floor(Math.log10(magnitude) + 1e-9) : 0;
  const telling = range > magnitude * ROUNDING ? Math.ceil(Math.log10(5 / range) - 1e-9) : -power;
  if (magnitude >= 1e12 || (magnitude > 0 && magnitude < 0.001)) return 1 - Math.max(2, telling + power);
  const significant = Math.min(MAX_DECIMALS, 3 - Math.max(0, power));
  return Math.max(0, significant, telling);
}

/** Decimals of a number as it was given, such as a limit: 0.85 → 2, 0.1 + 0.2 → 1. */
export function decimalsOf(value: number): number {
  const [, fraction = "", power = "0"] =
    /^[^.e]*(?:\.(\d+))?(?:e(.+))?$/.exec(String(Number(value.toPrecision(12)))) ?? [];
  return Math.max(0, fraction.length - Number(power));
}

/** 1328.4 → "1,328"; NaN → "–". */
export function formatNumber(value: number, decimals: number): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (decimals < 0 || size >= 1e15)
    return value === 0 ? "0" : value.toExponential(Math.max(2, 1 - decimals)).replaceAll("-", "−");
  let text = size.toFixed(decimals);
  const dot = decimals > 0 ? text.length - decimals - 1 : text.length;
  for (let at = dot - 3; at > 0; at -= 3) text = `${text.slice(0, at)},${text.slice(at)}`;
  return value < 0 && Number(size.toFixed(decimals)) !== 0 ? `−${text}` : text;
}

/** As `formatNumber`, but what is not zero is not written as zero: it has its own digits then. */
export function formatReading(value: number, decimals: number): string {
  const size = Math.abs(value);
  const vanishes = size > 0 && decimals >= 0 && Number(size.toFixed(decimals)) === 0;
  return formatNumber(value, vanishes ? decimalsFor(size, false) : decimals);
}

/** Readings per second: 1328 → "1,328", 2.4 → "2.4", 0.03 → "0.030". */
export function formatRate(perS: number): string {
  return formatReading(perS, perS < 10 ? 1 : 0);
}

/** 1.500 → "1.5", 2.000 → "2". */
export function withoutZeros(text: string): string {
  return text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

const SUFFIXES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
] as const;

/** Decimals that a step needs, at most 9: 0.05 → 2, 2.5 → 1, 20 → 0. */
export function stepDecimals(step: number): number {
  for (let decimals = 0; decimals < 9; decimals++) {
    const scaled = step * 10 ** decimals;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled) return decimals;
  }
  return 9;
}

/** 1,234,000 → 1.234M; beyond that, and for the smallest, 1.2e24. */
export function compact(value: number, step: number): string {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e15 || size < 1e-3) {
    const digits = Math.min(6, Math.max(0, Math.floor(Math.log10(size) + 1e-9) - Math.floor(Math.log10(step) + 1e-9)));
    return value
      .toExponential(digits)
      .replace(/\.?0*e\+?/, "e")
      .replaceAll("-", "−");
  }
  // The suffix is that of what is written: 999,990 to the thousand is 1M.
  const [divisor, suffix] = SUFFIXES.find(([least]) => Math.round(size / step) * step >= least * 0.9999999) ?? [1, ""];
  const decimals = stepDecimals(step / divisor);
  return withoutZeros(formatNumber(value / divisor, decimals)) + suffix;
}

/** 0.024 → "2.4 %"; the sign is drawn as a triangle. */
export function formatChange(change: number): string {
  const percent = Math.abs(change) * 100;
  if (percent < 0.05) return "±0.0 %";
  return percent >= 999.95 ? ">999 %" : `${percent.toFixed(1)} %`;
}

/** What a change compares: "mean of the last 5 min: 2.4 % above that of the 5 min before". */
export function changeWords(change: number, windowMs: number): string {
  const text = formatChange(change);
  const side = text.startsWith("±") ? "the same as" : `${text} ${change > 0 ? "above" : "below"}`;
  return `mean of the last ${longSpan(windowMs)}: ${side} that of the ${longSpan(windowMs)} before`;
}

/** Age on a tile: 0.2 s, 12 s, 3 min ago is `ago`. */
export function shortAge(ageMs: number): string {
  const s = Math.max(0, ageMs) / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  return span(ageMs);
}

/** 42 s, 3 min, 5 h, 2 d: whole units, rounded down so that 59.9 s is not yet a minute. */
export function span(ms: number): string {
  const s = Math.floor(Math.max(0, ms) / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/** 1 min 38 s, 2 d 3 h: two units, for reading off a crosshair. */
export function longSpan(ms: number): string {
  const s = Math.round(Math.max(0, ms) / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  const h = Math.floor(s / 3600);
  const min = Math.floor((s % 3600) / 60);
  if (h >= 48) return h % 24 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${h / 24} d`;
  return min ? `${h} h ${min} min` : `${h} h`;
}

/** How much earlier something is: 8 h, 1 day, 2 days, 1 week. */
export function compareText(ms: number): string {
  for (const [long, unit] of [
    [604_800_000, "week"],
    [86_400_000, "day"],
  ] as const)
    if (ms % long === 0) return plural(ms / long, unit, `${unit}s`);
  return longSpan(ms);
}

/** The value behind LIVE: 10 ms steps below half a second, then tenths. */
export function liveAge(ageMs: number): string {
  const age = Math.max(0, ageMs);
  if (age < 500) return `${Math.max(10, Math.round(age / 10) * 10)} ms`;
  return age < 9_950 ? `${(age / 1000).toFixed(1)} s` : span(age);
}

/** "1 s", "200 ms": the interval at which readings of a series are expected. */
export function interval(ms: number): string {
  if (ms < 950) return `${Math.round(ms / 10) * 10 || Math.round(ms)} ms`;
  const s = ms / 1000;
  return s < 60 ? `${Number(s.toFixed(s < 10 ? 1 : 0))} s` : span(ms);
}

const pad = (n: number, width = 2): string => String(n).padStart(width, "0");

/** Wall-clock time of a Unix ms, in the zone of the page: 14:03, 14:03:20, 14:03:20.4 or 14:03:20.418. */
export function clock(ms: number, form: "min" | "s" | "tenth" | "ms" = "s"): string {
  if (!Number.isFinite(ms)) return "–";
  const at = new Date(wallMs(ms));
  const hm = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
  if (form === "min") return hm;
  const hms = `${hm}:${pad(at.getUTCSeconds())}`;
  if (form === "s") return hms;
  return form === "tenth"
    ? `${hms}.${Math.floor(at.getUTCMilliseconds() / 100)}`
    : `${hms}.${pad(at.getUTCMilliseconds(), 3)}`;
}

export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;
export const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;

/** Day of a Unix ms in the zone of the page: 28 Nov. */
export function day(ms: number): string {
  const at = new Date(wallMs(ms));
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
}

/** Day with its weekday: Sat 28 Nov. */
export function weekday(ms: number): string {
  return `${WEEKDAYS[new Date(wallMs(ms)).getUTCDay()]} ${day(ms)}`;
}

/** Time inside a window of some length: of one beyond half a day to the minute and with its day. */
export function timeText(ms: number, windowMs: number, form: "s" | "tenth" = "tenth"): string {
  return windowMs > 43_200_000 ? `${weekday(ms)} ${clock(ms, "min")}` : clock(ms, form);
}

/** Day, with its year unless that is this one: 28 Nov, 28 Nov 2025. */
export function dayOfYear(ms: number, nowMs: number): string {
  const year = new Date(wallMs(ms)).getUTCFullYear();
  return year === new Date(wallMs(nowMs)).getUTCFullYear() ? day(ms) : `${day(ms)} ${year}`;
}

/** 08:00:00 – 16:00:00, with its day or days unless both are today, and with the zone unless that is the browser's. */
export function spanText(startMs: number, endMs: number, nowMs: number): string {
  const [first, last] = [dayOfYear(startMs, nowMs), dayOfYear(endMs, nowMs)];
  const from = first === last && last === day(nowMs) ? "" : `${first} `;
  const form = startMs % 60_000 === 0 && endMs % 60_000 === 0 && endMs - startMs >= 3_600_000 ? "min" : "s";
  const zone = isBrowserZone() ? "" : ` ${zoneCity()}`;
  return `${from}${clock(startMs, form)} – ${first === last ? "" : `${last} `}${clock(endMs, form)}${zone}`;
}

export function plural(n: number, one: string, many: string): string {
  return `${formatNumber(n, 0)} ${n === 1 ? one : many}`;
}
