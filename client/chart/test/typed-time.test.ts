/** Times that somebody types are read in the zone of the page, or refused. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { LOCAL, setZone } from "../src/base/zone";
import { monday, readTime, writeTime } from "../src/model/typed-time";

const NOW = Date.parse("2026-11-29T14:30:00Z"); // a Sunday
const read = (text: string): string | null => {
  const found = readTime(text, NOW);
  return found && new Date(found.ms).toISOString().slice(0, 19);
};

afterEach(() => setZone(LOCAL));

test("a time is read as it is spoken of", () => {
  setZone("UTC");
  const cases: Record<string, string> = {
    now: "2026-11-29T14:30:00",
    "-2h": "2026-11-29T12:30:00",
    "−90s": "2026-11-29T14:28:30",
    "now-1d": "2026-11-28T14:30:00",
    "now - 1h30m": "2026-11-29T13:00:00",
    "2h ago": "2026-11-29T12:30:00",
    "-15min": "2026-11-29T14:15:00",
    "-2w": "2026-11-15T14:30:00",
    today: "2026-11-29T00:00:00",
    "yesterday 06:00": "2026-11-28T06:00:00",
    Yesterday: "2026-11-28T00:00:00",
    "6:05": "2026-11-29T06:05:00",
    "mon 8:00": "2026-11-23T08:00:00",
    Sunday: "2026-11-29T00:00:00",
    "2026-11-20 08:00": "2026-11-20T08:00:00",
    "2026-11-20T08:00:30": "2026-11-20T08:00:30",
    "2026-11-20": "2026-11-20T00:00:00",
    "2026-11-20 24:00": "2026-11-21T00:00:00",
    "2026-11-20T08:00:00+02:00": "2026-11-20T06:00:00",
    "2026-11-20 08:00Z": "2026-11-20T08:00:00",
    "Fri 27 Nov 15:03:20": "2026-11-27T15:03:20",
    "20 November, 08:00": "2026-11-20T08:00:00",
    "30 Dec 08:00": "2025-12-30T08:00:00",
    "20 Nov 2025": "2025-11-20T00:00:00",
    "1763900000000": "2025-11-23T12:13:20",
  };
  for (const [text, at] of Object.entries(cases)) assert.equal(read(text), at, text);
  assert.equal(readTime("now", NOW)?.now, true);
  assert.equal(readTime("-0s", NOW)?.now, false);
});

test("what is no time is refused", () => {
  const wrong = ["", "soon", "-2", "2h", "-2y", "2026-13-01", "2026-02-30 08:00", "31 Feb", "25:00", "08:61", "24:01"];
  for (const text of [
    ...wrong,
    "20 Foo 08:00",
    "funday 08:00",
    "-2h 08:00",
    "now 08:00",
    "1".repeat(99),
    "9999999999999999d",
  ])
    assert.equal(read(text), null, text);
});

test("a time is one of the zone of the page, also in the night on which the clock is changed", () => {
  setZone("Europe/Berlin");
  assert.equal(read("2026-11-20 08:00"), "2026-11-20T07:00:00");
  assert.equal(read("2026-07-20 08:00"), "2026-07-20T06:00:00");
  assert.equal(read("2026-10-25 02:30"), "2026-10-25T00:30:00", "the first of two");
  assert.equal(read("2026-03-29 02:30"), "2026-03-29T01:30:00", "as if the clock had not been put forward");
  setZone("Pacific/Auckland");
  assert.equal(read("today"), "2026-11-29T11:00:00");
  assert.equal(read("yesterday 06:00"), "2026-11-28T17:00:00");
});

test("what is written is read again, and weeks begin on Monday", () => {
  for (const zone of ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]) {
    setZone(zone);
    for (const ms of [NOW, NOW - 1_000, Date.parse("2026-03-29T00:30:00Z")])
      assert.equal(readTime(writeTime(ms), NOW)?.ms, ms, zone);
  }
  setZone("Europe/Berlin");
  assert.equal(writeTime(monday(NOW)), "2026-11-23 00:00");
  assert.equal(writeTime(monday(NOW, -1)), "2026-11-16 00:00");
  assert.equal(writeTime(monday(Date.parse("2026-11-23T00:00:00Z"))), "2026-11-23 00:00");
});
