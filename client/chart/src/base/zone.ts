/**
 * The time zone in which a page writes times, and its arithmetic. The rules of the zones, with their daylight saving
 * time, are the browser's own (`Intl`). A wall time is what a clock of the zone shows, as if it were a Unix ms of UTC.
 */

/** The zone of the browser; any other goes by its IANA name. */
export const LOCAL = "local";
export const UTC = "UTC";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** No zone changes its offset at another time than a quarter of an hour. */
const QUARTER_MS = 900_000;
/** Offsets kept; then all are forgotten. */
const MOST_KNOWN = 4_096;

let shown = LOCAL;
/** Writes the offset of the zone; null for the browser's zone and for UTC, which need no such thing. */
let offsets: Intl.DateTimeFormat | null = null;
const known = new Map<number, number>();

/** The browser's zone is asked for again after this: a machine may travel. */
const ZONE_KEPT_MS = 10_000;
let found = "";
let foundAt = -Infinity;

/** Return the IANA name of the browser's zone. */
export function browserZone(): string {
  const now = performance.now();
  if (now - foundAt > ZONE_KEPT_MS) {
    found = Intl.DateTimeFormat().resolvedOptions().timeZone;
    foundAt = now;
  }
  return found;
}

/** Return the name under which the browser knows a zone, null if it knows none: `europe/berlin` → `Europe/Berlin`. */
export function knownZone(name: string): string | null {
  if (name === LOCAL || name === UTC) return name;
  try {
    const { timeZone } = new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions();
    if (/^(Etc\/)?(UTC|UCT|Zulu)$|^GMT$/i.test(timeZone)) return UTC;
    // Some browsers go by old names of their own: what was asked for as Kathmandu stays it.
    return timeZone.toLowerCase() === name.toLowerCase() ? timeZone : name;
  } catch {
    return null;
  }
}

/** Write times in a zone from now on; an unknown one is taken for the browser's. */
export function setZone(name: string): void {
  const zone = knownZone(name) ?? LOCAL;
  if (zone === shown) return;
  shown = zone;
  known.clear();
  offsets =
    zone === LOCAL || zone === UTC
      ? null
      : new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
}

/** Whether times are written in the browser's zone. */
export const isBrowserZone = (): boolean => shown === LOCAL || shown === browserZone();

/** Return the IANA name of the zone of the page. */
export const zoneName = (): string => (shown === LOCAL ? browserZone() : shown);

/** Return the city of a zone, or the zone itself if it has none: `America/New_York` → `New York`. */
export function zoneCity(name = zoneName()): string {
  const city = name.slice(name.lastIndexOf("/") + 1).replaceAll("_", " ");
  return knownZone(name) === UTC ? UTC : city;
}

/** Return the offset of the zone from UTC at a time, ms; east of Greenwich it is positive. */
export function offsetMs(ms: number): number {
  if (shown === LOCAL) return -new Date(ms).getTimezoneOffset() * MINUTE_MS || 0;
  if (!offsets) return 0;
  const quarter = Math.floor(ms / QUARTER_MS);
  let offset = known.get(quarter);
  if (offset === undefined) {
    offset = readOffset(offsets, quarter * QUARTER_MS);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(quarter, offset);
  }
  return offset;
}

function readOffset(format: Intl.DateTimeFormat, ms: number): number {
  if (!Number.isFinite(new Date(ms).getTime())) return 0;
  const text = format.formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "";
  const found = /([+-−])(\d{2}):(\d{2})(?::(\d{2}))?/.exec(text);
  if (!found) return 0;
  const [, sign, hours, minutes, seconds = "0"] = found;
  return (sign === "+" ? 1 : -1) * ((Number(hours) * 60 + Number(minutes)) * MINUTE_MS + Number(seconds) * 1_000);
}

/** Return the offset as it is written: UTC, UTC+1, UTC−3:30. */
export function offsetText(ms: number): string {
  const minutes = Math.round(offsetMs(ms) / MINUTE_MS);
  const size = Math.abs(minutes);
  const rest = size % 60 ? `:${String(size % 60).padStart(2, "0")}` : "";
  return minutes === 0 ? UTC : `UTC${minutes < 0 ? "−" : "+"}${Math.floor(size / 60)}${rest}`;
}

/** Return how a page names its zone: UTC, Berlin UTC+1. */
export function zoneText(ms: number): string {
  const city = zoneCity();
  return city === UTC ? UTC : `${city} ${offsetText(ms)}`;
}

/** Return the wall time at a Unix ms. */
export const wallMs = (ms: number): number => ms + offsetMs(ms);

/**
 * Return the Unix ms of a wall time. One that comes twice is taken as the first; one that is skipped, as if the clock had
 * not been put forward: 02:30 is then 03:30.
 */
export function fromWall(wall: number): number {
  const before = wall - offsetMs(wall - DAY_MS);
  const after = wall - offsetMs(wall + DAY_MS);
  return wallMs(before) === wall || wallMs(after) !== wall ? before : after;
}

/** Return the midnight that begins a day, so many days from that of a Unix ms. */
export const midnight = (ms: number, days = 0): number =>
  fromWall(Math.floor(wallMs(ms) / DAY_MS) * DAY_MS + days * DAY_MS);
