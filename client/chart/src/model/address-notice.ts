/** Finds what a page must say of its address: what of it cannot be read, and is not obeyed. */
import { knownZone } from "../base/zone";
import {
  parseCompare,
  parseLength,
  parseSmoothing,
  parseSpan,
  parseState,
  parseTime,
  RUN_AXES,
  turnOf,
  windowName,
  windowNamed,
} from "./url";

/** Return what a page must say of its address, empty if all of it is shown. */
export function addressNotice(search: string): string {
  const fields = new URLSearchParams(search);
  const [window, from, to, zone, compare, x, smoothing, turn] = ["w", "from", "to", "tz", "cmp", "x", "sm", "turn"].map(
    (name) => fields.get(name) ?? undefined,
  );
  const unknown = parseState("", search, "").charts?.flatMap((chart) => chart.unknown ?? []) ?? [];
  return (
    windowNotice(window) ||
    spanNotice(from, to) ||
    (zone && knownZone(zone) === null ? `“tz=${zone}” is no time zone such as UTC or Europe/Berlin` : "") ||
    (compare && parseCompare(compare) === null ? `“cmp=${compare}” is no span such as 1h, 1d or 1w` : "") ||
    (x && !(RUN_AXES as readonly string[]).includes(x) ? `“x=${x}” is no x axis: step, rel or time` : "") ||
    (smoothing && parseSmoothing(smoothing) === null ? `“sm=${smoothing}” is no smoothing from 0 to 0.99` : "") ||
    (turn && turnOf(turn) === undefined ? `“turn=${turn}” is no time from 2s to 1h` : "") ||
    (unknown.length ? `“${unknown.join(";")}” is no option of a chart that this deck knows` : "")
  );
}

function windowNotice(text: string | undefined): string {
  if (text === undefined) return "";
  const ms = parseLength(text);
  if (!(ms > 0)) return `“w=${text}” is no window such as 90s, 15m or 7d`;
  const shown = windowNamed(text);
  return shown === ms ? "" : `A window is 1 s to 366 d long: not ${text} but ${windowName(shown)} is shown`;
}

function spanNotice(from: string | undefined, to: string | undefined): string {
  if (from === undefined && to === undefined) return "";
  for (const [name, text] of [
    ["from", from],
    ["to", to],
  ])
    if (!(parseTime(text) >= 0)) return `“${name}=${text ?? ""}” is no time such as 2026-11-20T08:00:00Z`;
  return parseSpan(from, to) ? "" : "“to” is not after “from”, so now is shown";
}
