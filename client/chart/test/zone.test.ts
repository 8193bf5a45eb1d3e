/** Times are written in the zone of the page: offsets, the days that have 23 or 25 hours, ticks and their texts. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { clock, day, dayOfYear, spanText, weekday } from "../src/base/format";
import {
  browserZone,
  fromWall,
  knownZone,
  LOCAL,
  midnight,
  offsetText,
  setZone,
  wallMs,
  zoneText,
} from "../src/base/zone";
import { timeLabels, timeStep, timeTicks } from "../src/canvas/time-scale";

const H = 3_600_000;
const at = (text: string): number => Date.parse(text);
const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 16);

afterEach(() => setZone(LOCAL));

test("a time is written in the zone of the page, to the minute of its offset", () => {
  const noon = at("2026-11-29T12:00:00Z");
  const shown = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"].map((zone) => {
    setZone(zone);
    return [clock(noon, "min"), zoneText(noon)];
  });
  assert.deepEqual(shown, [
    ["12:00", "UTC"],
    ["13:00", "Berlin UTC+1"],
    ["08:30", "St Johns UTC−3:30"],
    ["17:45", "Kathmandu UTC+5:45"],
    ["23:00", "Lord Howe UTC+11"],
  ]);
});

test("the offset is that of the time, not that of today", () => {
  setZone("Europe/Berlin");
  assert.deepEqual(
    [at("2026-07-01T10:00Z"), at("2026-01-01T10:00Z")].map((ms) => clock(ms, "min")),
    ["12:00", "11:00"],
  );
  assert.equal(offsetText(at("2026-07-01T10:00Z")), "UTC+2");
  setZone("Asia/Kolkata");
  assert.equal(offsetText(at("1941-06-01T10:00Z")), "UTC+5:30");
});

test("a day begins at midnight of its zone, also those of 23 and 25 hours", () => {
  setZone("Europe/Berlin");
  const spring = midnight(at("2026-03-29T12:00Z"));
  assert.equal(iso(spring), "2026-03-28T23:00");
  assert.equal(midnight(spring, 1) - spring, 23 * H);
  const autumn = midnight(at("2026-10-25T12:00Z"));
  assert.equal(midnight(autumn, 1) - autumn, 25 * H);
  setZone("Africa/Cairo"); // the clock is put forward at midnight itself: that day begins at 01:00
  assert.equal(clock(midnight(at("2026-04-24T12:00Z")), "min"), "01:00");
});

test("a wall time that comes twice is the first, one that is skipped is as if the clock had not been put forward", () => {
  setZone("America/New_York");
  const wall = (text: string): string => iso(fromWall(Date.parse(`${text}Z`)));
  assert.equal(wall("2026-11-01T01:30"), "2026-11-01T05:30");
  assert.equal(wall("2026-03-08T02:30"), "2026-03-08T07:30");
  assert.equal(wall("2026-03-08T01:59"), "2026-03-08T06:59");
  for (const zone of ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]) {
    setZone(zone);
    for (let ms = at("2026-01-01T00:00Z"); ms < at("2027-01-01T00:00Z"); ms += 7 * H)
      assert.equal(wallMs(fromWall(wallMs(ms))), wallMs(ms), `${zone} ${iso(ms)}`);
  }
});

test("a zone that no browser knows is none", () => {
  assert.deepEqual(["Europe/Berlin", "UTC", "Etc/UTC", "local", "Mars/Phobos", ""].map(knownZone), [
    "Europe/Berlin",
    "UTC",
    "UTC",
    "local",
    null,
    null,
  ]);
  assert.equal(knownZone("europe/berlin"), "Europe/Berlin");
  setZone("Mars/Phobos");
  assert.equal(zoneText(0).startsWith(browserZone() === "UTC" ? "UTC" : ""), true);
});

test("days, years and spans are those of the zone", () => {
  setZone("Pacific/Auckland");
  const evening = at("2026-12-31T12:00Z");
  assert.deepEqual(
    [day(evening), weekday(evening), dayOfYear(evening, at("2026-12-01T00:00Z"))],
    ["1 Jan", "Fri 1 Jan", "1 Jan 2027"],
  );
  setZone("Asia/Tokyo");
  assert.equal(
    spanText(at("2026-11-19T23:00Z"), at("2026-11-20T07:00Z"), at("2026-11-29T12:00Z")),
    "20 Nov 08:00 – 16:00 Tokyo",
  );
});

test("time labels keep their distance", () => {
  assert.equal(timeStep(300_000, 294), 60_000);
  assert.equal(timeStep(300_000, 674), 60_000);
  assert.equal(timeStep(300_000, 1_340), 30_000);
  assert.equal(timeStep(40_000, 674), 5_000);
  assert.equal(timeStep(24 * H, 294), 6 * H);
  assert.equal(timeStep(7 * 24 * H, 674), 24 * H);
  assert.equal(timeStep(30 * 24 * H, 294), 14 * 24 * H);
});

test("time ticks fall on round local times", () => {
  const start = new Date(2026, 0, 5, 13, 58, 20).getTime();
  const ticks = timeTicks(start, start + 300_000, 60_000).map((ms) => new Date(ms));
  assert.equal(ticks.length, 5);
  for (const tick of ticks) assert.equal(tick.getSeconds(), 0);
  const night = timeTicks(start, start + 24 * H, 6 * H).map((ms) => new Date(ms).getHours());
  assert.deepEqual(night, [18, 0, 6, 12]);
});

test("ticks stay on midnight over the nights on which the clock is changed", () => {
  for (const zone of ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata", "Australia/Lord_Howe"]) {
    setZone(zone);
    for (const month of ["03", "04", "10", "11"]) {
      const start = at(`2026-${month}-01T05:17Z`);
      for (const step of [6 * H, 12 * H, 24 * H]) {
        const ticks = timeTicks(start, start + 12 * 24 * H, step);
        assert.ok(
          ticks.every((tick) => wallMs(tick) % step === 0),
          `${zone} ${month} ${step / H} h`,
        );
        assert.ok(ticks.every((tick, i) => i === 0 || tick > ticks[i - 1]));
      }
      const hours = timeTicks(start + 20 * 24 * H, start + 22 * 24 * H, H);
      assert.ok(
        hours.every((tick, i) => i === 0 || tick - hours[i - 1] <= 1.5 * H),
        "no hour is left out",
      );
      assert.ok(
        hours.every((tick) => wallMs(tick) % H === 0),
        zone,
      );
    }
  }
});

test("every hour has its tick in the night of 25 hours", () => {
  setZone("Europe/Berlin");
  const start = at("2026-10-24T22:00Z");
  const texts = timeLabels(start, start + 5 * H, H).map(([, text]) => text);
  assert.deepEqual(texts, ["Sun 25 Oct", "01:00", "02:00", "02:00", "03:00", "04:00"]);
});

test("a label is the day at midnight, and where the day changes between two ticks", () => {
  setZone("UTC");
  const texts = (start: string, hours: number, step: number): string[] =>
    timeLabels(at(start), at(start) + hours * H, step).map(([, text]) => text);
  assert.deepEqual(texts("2026-11-27T15:00Z", 24, 6 * H), ["18:00", "Sat 28 Nov", "06:00", "12:00"]);
  assert.deepEqual(texts("2026-11-27T23:58Z", 0.1, 120_000), ["23:58", "Sat 28 Nov", "00:02", "00:04"]);
  assert.deepEqual(texts("2026-11-27T12:00Z", 48, 24 * H), ["Sat 28 Nov", "Sun 29 Nov"]);
  assert.deepEqual(texts("2026-11-01T12:00Z", 21 * 24, 7 * 24 * H), ["2 Nov", "9 Nov", "16 Nov"]);
});
