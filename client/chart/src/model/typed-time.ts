/** Reads times that somebody types, in the zone of the page; and writes them as they can be typed again. */
import { clock, MONTHS, WEEKDAYS } from "../base/format";
import { fromWall, midnight, wallMs } from "../base/zone";
import { parseLength } from "./url";

const DAY_MS = 86_400_000;
const MOST_CHARS = 64;

/** A time that was typed; `now` if it is the end that stays live. */
export interface TypedTime {
  ms: number;
  now: boolean;
}

/** What may be typed, for a hint and where it cannot be read. */
export const EXAMPLES = "-2h, yesterday 06:00, 2026-11-20 08:00 or now";

/**
 * Return the time that a text means, null if it means none: `now`, `-2h`, `now-1d`, `yesterday`, `yesterday 06:00`,
 * `mon 8:00` (the last one), `06:00`, `20 Nov 08:00`, `2026-11-20 08:00`, RFC 3339 with its offset, or Unix ms. A day
 * without a time is its midnight; one without a year is the last there was.
 */
export function readTime(text: string, nowMs: number): TypedTime | null {
  const typed = text.trim().toLowerCase().replace(/−/g, "-").replace(/\s+/g, " ");
  if (typed === "" || typed.length > MOST_CHARS) return null;
  if (typed === "now") return { ms: nowMs, now: true };
  const at = ago(typed, nowMs) ?? exact(typed) ?? onDay(typed, nowMs);
  return at === null || !Number.isFinite(at) || at < 0 ? null : { ms: at, now: false };
}

function ago(typed: string, nowMs: number): number | null {
  const parts =
    /^(?:now ?)?- ?((?:\d+(?:min|[smhdw]) ?)+)(?: ago)?$/.exec(typed) ??
    /^((?:\d+ ?(?:min|[smhdw]) ?)+)ago$/.exec(typed);
  if (!parts) return null;
  const lengths =
    parts[1]
      .replace(/min/g, "m")
      .replace(/ /g, "")
      .match(/\d+[smhdw]/g) ?? [];
  return nowMs - lengths.reduce((sum, length) => sum + parseLength(length), 0);
}

/** RFC 3339 with an offset, or Unix ms: the same in any zone. */
function exact(typed: string): number | null {
  if (/^\d{12,13}(\.\d+)?$/.test(typed)) return Number(typed);
  if (!/^\d{4}-\d\d-\d\d[t ]\d\d:\d\d(:\d\d(\.\d+)?)?(z|[+-]\d\d:\d\d)$/.test(typed)) return null;
  const at = Date.parse(typed.replace(" ", "t").toUpperCase());
  return Number.isNaN(at) ? null : at;
}

function onDay(typed: string, nowMs: number): number | null {
  const found = /^(.*?)(?:(?:^|[ t])(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?$/.exec(typed);
  if (!found) return null;
  const [, day, hours = "0", minutes = "0", seconds = "0", part = "0"] = found;
  if (Number(hours) > 24 || Number(minutes) > 59 || Number(seconds) > 59) return null;
  const time = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000 + Number(part.padEnd(3, "0"));
  if (time > DAY_MS) return null;
  const wall = wallDay(day.replace(/,? at$|,$/, "").trim(), nowMs);
  return wall === null ? null : fromWall(wall + time);
}

/** Return the midnight of a day as a wall time. */
function wallDay(day: string, nowMs: number): number | null {
  const today = Math.floor(wallMs(nowMs) / DAY_MS);
  if (day === "" || day === "today") return today * DAY_MS;
  if (day === "yesterday") return (today - 1) * DAY_MS;
  if (/^[a-z]{3,}$/.test(day)) {
    const index = WEEKDAYS.findIndex((name) => day.startsWith(name.toLowerCase()));
    // 1 January 1970 was a Thursday.
    return index < 0 ? null : (today - ((((today + 4 - index) % 7) + 7) % 7)) * DAY_MS;
  }
  const iso = /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(day);
  if (iso) return dateOf(Number(iso[1]), Number(iso[2]) - 1, Number(iso[3]));
  const named = /^(?:[a-z]{2,9}\.?,? )?(\d{1,2})\.? ([a-z]{3})[a-z]*\.?(?:,? (\d{4}))?$/.exec(day);
  if (!named) return null;
  const month = MONTHS.findIndex((name) => name.toLowerCase() === named[2]);
  if (month < 0) return null;
  const year = new Date(today * DAY_MS).getUTCFullYear();
  if (named[3]) return dateOf(Number(named[3]), month, Number(named[1]));
  const own = dateOf(year, month, Number(named[1]));
  return own !== null && own > (today + 1) * DAY_MS ? dateOf(year - 1, month, Number(named[1])) : own;
}

function dateOf(year: number, month: number, date: number): number | null {
  const wall = Date.UTC(year, month, date);
  const back = new Date(wall);
  return back.getUTCMonth() === month && back.getUTCDate() === date ? wall : null;
}

/** Return a time as it is shown in a field, and read again: 2026-11-20 08:00, with its seconds if it has any. */
export function writeTime(ms: number): string {
  const date = new Date(wallMs(ms)).toISOString().slice(0, 10);
  return `${date} ${clock(ms, wallMs(ms) % 60_000 === 0 ? "min" : "s")}`;
}

/** Return the Monday that begins a week, so many weeks from that of a Unix ms. */
export function monday(ms: number, weeks = 0): number {
  const today = Math.floor(wallMs(ms) / DAY_MS);
  return midnight(ms, -((((today + 3) % 7) + 7) % 7) + 7 * weeks);
}
