/** Units, numbers, ages and names as they are written on the screen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fnv1a, paler, withAlpha } from "../src/base/colour";
import {
  changeWords,
  decimalsFor,
  formatChange,
  formatNumber,
  interval,
  liveAge,
  longSpan,
  shortAge,
  span,
} from "../src/base/format";
import { chartTitle, groupOf, legendLabel, nameInGroup, shortLabels } from "../src/base/naming";
import { isAmount, shownUnit, startsAtZero } from "../src/base/units";
import type { Slot } from "../src/model/bucket-ring";
import { Directory } from "../src/model/directory";
import {
  type Age,
  ageOf,
  chartWords,
  emptyWords,
  freshness,
  gapLimitMs,
  shortAgeWords,
  silentWords,
  spoken,
  wayWords,
} from "../src/model/freshness";
import { chartFreshness } from "../src/model/reading";
import { search } from "../src/model/search";
import { FLAG_ENDED, FLAG_LATE, FLAG_PARTIAL } from "../src/wire/frame";

test("units are written as people write them, and unknown ones as they are", () => {
  const shown = (unit: string | undefined, magnitude = 1): string => shownUnit(unit, magnitude).text;
  assert.equal(shown("Cel"), "°C");
  assert.equal(shown("%"), "%");
  assert.equal(shown("1"), "");
  assert.equal(shown(undefined), "");
  assert.equal(shown("GiBy"), "GiB");
  assert.equal(shown("{parts}"), "parts");
  assert.equal(shown("{batches}/s"), "batches/s");
  assert.equal(shown("furlong/fortnight"), "furlong/fortnight");
  assert.deepEqual(shownUnit("By", 950), { text: "B", divisor: 1 });
  assert.deepEqual(shownUnit("By", 4_200), { text: "kB", divisor: 1e3 });
  assert.deepEqual(shownUnit("By/s", 82e6), { text: "MB/s", divisor: 1e6 });
  assert.deepEqual(shownUnit("By", 3e9), { text: "GB", divisor: 1e9 });
});

test("percentages and rates start at zero, speeds and temperatures do not", () => {
  for (const unit of ["%", "By/s", "1/s", "/s", "{batches}/s", "MBy/s", "bit/s"])
    assert.equal(startsAtZero(unit), true, unit);
  for (const unit of ["Cel", "m/s", "mm/s", "L/min", "m/min", "By", "1", ""])
    assert.equal(startsAtZero(unit), false, unit);
  assert.equal(isAmount("GiBy"), true);
  assert.equal(isAmount("By/s"), false);
});

test("four significant digits, with the decimals of the largest magnitude", () => {
  assert.equal(decimalsFor(939.3, false), 1);
  assert.equal(decimalsFor(45.72, false), 2);
  assert.equal(decimalsFor(6.239, false), 3);
  assert.equal(decimalsFor(0.0123, false), 3);
  assert.equal(decimalsFor(1328, false), 0);
  assert.equal(decimalsFor(1000, false), 0);
  assert.equal(decimalsFor(12, true), 0);
  assert.equal(decimalsFor(NaN, false), 0);
  assert.equal(formatNumber(3e-4, decimalsFor(3e-4, false)), "3.00e−4");
});

test("numbers keep their width and say when they are none", () => {
  assert.equal(formatNumber(1328, 0), "1,328");
  assert.equal(formatNumber(1234567.891, 2), "1,234,567.89");
  assert.equal(formatNumber(-1234.5, 1), "−1,234.5");
  assert.equal(formatNumber(-0.0001, 1), "0.0");
  assert.equal(formatNumber(NaN, 2), "–");
  assert.equal(formatNumber(Infinity, 2), "∞");
  assert.equal(formatNumber(9.5, 3).length, formatNumber(1.111, 3).length);
});

test("change against the previous window", () => {
  assert.equal(formatChange(0.0563), "5.6 %");
  assert.equal(formatChange(-0.024), "2.4 %");
  assert.equal(formatChange(0.0004), "±0.0 %");
  assert.equal(formatChange(55), ">999 %");
  assert.equal(changeWords(0.024, 300_000), "mean of the last 5 min: 2.4 % above that of the 5 min before");
  assert.equal(changeWords(-0.299, 60_000), "mean of the last 1 min: 29.9 % below that of the 1 min before");
  assert.equal(changeWords(0, 3_600_000), "mean of the last 1 h: the same as that of the 1 h before");
});

test("ages and spans", () => {
  assert.equal(liveAge(118), "120 ms");
  assert.equal(liveAge(3), "10 ms");
  assert.equal(liveAge(640), "0.6 s");
  assert.equal(shortAge(180), "0.2 s");
  assert.equal(span(59_900), "59 s");
  assert.equal(span(185_000), "3 min");
  assert.equal(span(86_400_000), "24 h");
  assert.equal(longSpan(98_000), "1 min 38 s");
  assert.equal(interval(200), "200 ms");
  assert.equal(interval(1_000), "1 s");
});

test("live, stale and no data follow the expected interval", () => {
  const at = (age: number, expectedMs: number, flags = 0, blocksMs = 0): string =>
    freshness({ lastTimeMs: 1e12 - age - 45_000, lastIdMs: 1e12 - age, expectedMs, blocksMs, flags }, 1e12);
  assert.equal(at(1_900, 100), "live");
  assert.equal(at(2_100, 100), "stale");
  assert.equal(at(61_000, 100), "nodata");
  assert.equal(at(20_000, 10_000), "live");
  assert.equal(at(31_000, 10_000), "stale");
  assert.equal(at(290_000, 10_000), "stale");
  assert.equal(at(301_000, 10_000), "nodata");
  assert.equal(at(5_000, NaN), "unknown");
  assert.equal(at(5_000, 1_000, FLAG_ENDED), "finished", "what has ended is not stale");
  assert.equal(at(5_000, NaN, FLAG_ENDED | FLAG_PARTIAL), "finished");
  assert.equal(at(100, 1_000, FLAG_LATE), "stale", "its partition does not answer: at once");
  assert.equal(at(100, NaN, FLAG_LATE), "stale");
  assert.equal(at(100_000, 1_000, FLAG_LATE), "nodata", "it was before");
  assert.equal(at(100, 1_000, FLAG_LATE | FLAG_ENDED), "finished");
  assert.equal(at(170_000, 1_000, 0, 60_000), "live", "a minute's readings come together");
  assert.equal(at(190_000, 1_000, 0, 60_000), "stale");
  assert.equal(at(5_000, NaN, 0, 60_000), "unknown");
  assert.equal(gapLimitMs(100, 15_000), 30_000);
});

test("the words of a chart and of a screen reader", () => {
  const age = (ms: number, wayMs = 20): Age => ({ ms, wayMs });
  assert.deepEqual(chartWords("live", age(240)), { word: "LIVE", value: "240 ms" });
  assert.deepEqual(chartWords("stale", age(8_400)), { word: "STALE", value: "8 s" });
  assert.deepEqual(chartWords("nodata", age(190_000)), { word: "NO DATA", value: "3 min" });
  assert.deepEqual(chartWords("finished", age(190_000)), { word: "FINISHED", value: "3 min ago" });
  assert.deepEqual(chartWords("unknown", age(2_000)), { word: "", value: "2.0 s ago" });
  assert.equal(spoken("live", age(200)), "live, last reading 0.2 seconds ago");
  assert.equal(spoken("finished", age(190_000)), "finished, last reading 3 minutes ago");
  assert.equal(silentWords(190_000, 1_000)[0], "last value 3 min ago · expected within 3 s");
});

test("the age is that of the newest reading's own time, and what came late or from the future says so", () => {
  const at = (time: number, came: number, now: number, flags = 0): Age =>
    ageOf({ lastTimeMs: time, lastIdMs: came, flags }, now);
  const late = at(1_000_000, 1_045_100, 1_045_210);
  assert.deepEqual(chartWords("live", late), { word: "LIVE", value: "45 s · 45 s late" });
  assert.deepEqual(chartWords("stale", at(1_000_000, 1_045_100, 1_060_000)), {
    word: "STALE",
    value: "1 min · 45 s late",
  });
  assert.equal(spoken("live", late), "live, last reading 45 seconds ago, 45 seconds late");
  assert.equal(shortAgeWords(late), "45 s late", "a tile has room for one");
  assert.equal(chartWords("live", at(1_003_200, 1_000_000, 1_000_100)).value, "3 s ahead");
  assert.equal(chartWords("unknown", at(1_003_200, 1_000_000, 1_000_100)).value, "3 s ahead");
  assert.equal(chartWords("stale", at(1_003_200, 1_000_000, 1_010_000)).value, "6 s · 3 s ahead");
  assert.equal(shortAgeWords(at(1_003_200, 1_000_000, 1_000_100)), "3 s ahead");
  for (const way of [-990, 0, 990]) assert.equal(wayWords({ ms: 5_000, wayMs: way }), "", "clocks differ by as much");
  assert.equal(
    chartWords("finished", at(0, 300_000, 301_000, FLAG_ENDED)).value,
    "5 min ago",
    "when it said so is no way",
  );
  assert.equal(emptyWords(at(0, 1_140_000, 1_200_000)).value, "newest 20 min ago · 19 min late");
});

test("a chart has the freshness of its newest living series, and is finished when all of them are", () => {
  const slot = (part: Partial<Slot>): Slot =>
    ({ lastTimeMs: 1_000_000, lastIdMs: 1_000_000, expectedMs: 1_000, blocksMs: 0, flags: 0, ...part }) as Slot;
  const state = (...slots: (Slot | undefined)[]): [string, number] => {
    const found = chartFreshness(slots, 1_010_000);
    return [found.state, found.age.ms];
  };
  const late = slot({ lastTimeMs: 964_000, lastIdMs: 1_009_500 });
  const stale = slot({});
  const finished = slot({ lastTimeMs: 1_005_000, lastIdMs: 1_005_000, flags: FLAG_ENDED });
  const ahead = slot({ lastTimeMs: 4_000_000, lastIdMs: 1_009_900 });
  assert.deepEqual(state(), ["nodata", NaN]);
  assert.deepEqual(state(undefined, late), ["live", 46_000]);
  assert.deepEqual(state(stale, late), ["live", 46_000], "the living one, though its reading is older");
  assert.deepEqual(
    state(finished, stale),
    ["stale", 10_000],
    "one that should go on is not hidden by one that has ended",
  );
  assert.deepEqual(state(finished, late), ["live", 46_000]);
  assert.deepEqual(state(finished), ["finished", 5_000]);
  assert.deepEqual(state(ahead, late), ["live", 46_000], "a clock that is ahead does not speak for the others");
  assert.deepEqual(state(ahead), ["live", -2_990_000]);
});

test("names and labels", () => {
  assert.equal(groupOf("line-1/flow"), "line-1");
  assert.equal(nameInGroup("tidewire/latency/p99"), "latency/p99");
  assert.equal(nameInGroup("loss"), "loss");
  assert.equal(shortLabels({ site: "A" }), "A");
  assert.equal(shortLabels({ core: "0" }), "core0");
  assert.equal(legendLabel({ site: "A" }), "site A");
  assert.equal(legendLabel({ direction: "rx" }), "rx");
  assert.equal(chartTitle(["host/cpu"]), "host/cpu");
  assert.equal(chartTitle(["host/cpu", "host/load"]), "host/cpu + load");
});

test("a name that is no address has one of its hash", () => {
  assert.equal(fnv1a(""), 0x811c9dc5);
  assert.equal(fnv1a("a"), 0xe40c292c);
});

test("a series that is announced again is the same with another unit", () => {
  const directory = new Directory();
  const entry = { i: 1, metric: "furnace/temperature", labels: { site: "A" }, unit: "Cel", colour: 4 };
  directory.update(true, [{ ...entry, i: 0, labels: { site: "C" } }, entry]);
  directory.update(false, [{ ...entry, unit: "K" }]);
  assert.deepEqual(
    directory.list.map(({ unit, style }) => [unit, style]),
    [
      ["K", 4],
      ["Cel", 4],
    ],
  );
});

test("colours are mixed as the style sheet would", () => {
  assert.equal(withAlpha("#3581F6", 0.14), "rgba(53,129,246,0.14)");
  assert.equal(paler("#808080"), "#808080");
});

test("a label that all series of a metric share is left out, and comes back when one differs", () => {
  const directory = new Directory();
  const entry = (i: number, labels: Record<string, string>) => ({ i, metric: "cpu", labels, unit: "%", colour: 0 });
  directory.update(true, [entry(0, { host: "a", region: "eu" })]);
  assert.equal(directory.byIndex.get(0)?.legend, "host a eu", "one alone says all");
  directory.update(false, [entry(1, { host: "b", region: "eu" })]);
  assert.deepEqual(
    directory.list.map(({ short }) => short),
    ["a", "b"],
  );
  assert.deepEqual(
    directory.byMetric.get("cpu")?.map(({ legend }) => legend),
    ["host a", "host b"],
  );
  directory.update(false, [entry(2, { host: "b", region: "us" })]);
  assert.deepEqual(
    directory.list.map(({ short }) => short),
    ["a eu", "b eu", "b us"],
  );
});

test("a search finds the series that have all of its words, in any order and case", () => {
  const directory = new Directory();
  directory.update(true, [
    { i: 0, metric: "furnace/temperature", labels: { site: "A" }, unit: "", colour: 0 },
    { i: 1, metric: "furnace/temperature", labels: { site: "B" }, unit: "", colour: 0 },
    { i: 2, metric: "line/temperature", labels: {}, unit: "", colour: 0 },
    { i: 3, metric: "annotations", labels: {}, unit: "", colour: 0 },
  ]);
  const found = (query: string): number[] => search(directory.measured, query).found.map(({ index }) => index);
  assert.deepEqual(found(" Temperature FURN "), [0, 1]);
  assert.deepEqual(found("temperature site=b"), [1]);
  assert.deepEqual(found("  "), [0, 1, 2]);
  assert.deepEqual(found("pressure"), []);
});
