/** Events lie below the plot: none is lost, none covers another, and each has its words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DARK } from "../src/base/tokens";
import { countText, drawEvents, type PlacedMark, placeMarks, slotsOf } from "../src/canvas/event-marks";
import type { Linear } from "../src/canvas/paths";
import { spokenEvents, spokenGroup } from "../src/chart/event-strip";
import { columnsOf, shownBy } from "../src/model/columns";
import { Directory, type Series } from "../src/model/directory";
import { ChartEvents, type EventSources } from "../src/model/events";
import type { EventMark, Level } from "../src/wire/messages";

const NOW = 1_790_000_000_000;
const HOUR = 3_600_000;
const wide = (text: string): number => 7 * text.length;

function seriesOf(...labels: Record<string, string>[]): Series[] {
  const directory = new Directory();
  directory.update(
    true,
    labels.map((one, i) => ({ i, metric: "t", labels: one, unit: "", colour: 0 })),
  );
  return directory.list;
}

const mark = (timeMs: number, more: Partial<EventMark> = {}): EventMark => ({
  time_ms: timeMs,
  text: "deploy",
  metric: "annotations",
  labels: {},
  ...more,
});

const sources = (events: EventMark[], more: Partial<EventSources> = {}): EventSources => ({
  events,
  eventsShown: "all",
  alarms: new Map(),
  alarmsSince: new Map(),
  ...more,
});

function eventsOf(events: EventMark[], series = seriesOf({}), more: Partial<EventSources> = {}): ChartEvents {
  const found = new ChartEvents();
  found.update(series, sources(events, more));
  return found;
}

/** The marks of a window that ends at a time, in a plot of this width in px. */
function placed(events: ChartEvents, width: number, windowMs: number, endMs = NOW): PlacedMark[] {
  const columns = columnsOf(windowMs, width);
  const shown = shownBy(columns, endMs);
  const a = columns.px / columns.stepMs;
  const x: Linear = { a, b: 48 + width - a * shown.endMs };
  return placeMarks(events.groups(shown, ...slotsOf(columns, x)), x, { left: 48, width }, wide);
}

/** Made-up but fixed times, some of them in heaps. */
const spread = (count: number, windowMs: number): EventMark[] =>
  Array.from({ length: count }, (_, i) => mark(NOW - 1 - 0.99 * windowMs * ((i * 0.618034) % 1) ** (i % 3 ? 1 : 4)));

for (const width of [248, 320, 640, 1_180, 1_848])
  for (const count of [0, 1, 500, 20_000])
    test(`${count} events of a day in ${width} px are all told, and no mark touches another`, () => {
      const windowMs = 24 * HOUR;
      const events = eventsOf(spread(count, windowMs));
      const marks = placed(events, width, windowMs);
      assert.equal(
        marks.reduce((sum, { group }) => sum + group.events.length, 0),
        count,
      );
      marks.forEach((one, i) => {
        assert.ok(one.x >= 48 && one.x <= 48 + width + 20);
        const next = marks[i + 1];
        if (!next) return;
        assert.ok(
          next.x - next.width / 2 >= one.x + one.width / 2 - 1,
          `${one.x} ${one.width} ${next.x} ${next.width}`,
        );
      });
      assert.ok(marks.length <= (width / 36 + 1) * 3);
    });

test("a group stays the same while time goes on, and moves by whole pixels", () => {
  const windowMs = 300_000;
  const events = eventsOf(spread(500, windowMs));
  const marks = placed(events, 600, windowMs);
  const columns = columnsOf(windowMs, 600);
  const later = placed(events, 600, windowMs, NOW + 7 * columns.stepMs);
  for (const { group, x } of marks) {
    const same = later.find((one) => one.group === group);
    if (x > 48 + 60 && x < 48 + 540) assert.equal(same?.x, x - 7 * columns.px);
  }
});

test("events that are far enough from each other are ticks, nearer ones a count", () => {
  const windowMs = 600_000; // a px is a second
  const counts = (...seconds: number[]): number[] =>
    placed(eventsOf(seconds.map((s) => mark(NOW - 400_000 - (NOW % 36_000) + s * 1_000))), 600, windowMs).map(
      ({ group }) => group.events.length,
    );
  assert.deepEqual(counts(1, 14), [1, 1]);
  assert.deepEqual(counts(1, 12), [2]);
  assert.deepEqual(counts(1, 2, 30, 40, 60), [2, 2, 1]);
});

test("a count is never wider than its slot", () => {
  assert.deepEqual([2, 999, 1_000, 2_549, 9_949, 9_950, 20_000].map(countText), [
    "2",
    "999",
    "1.0k",
    "2.5k",
    "9.9k",
    "10k",
    "20k",
  ]);
});

test("the sign of a group is that of its worst alarm, also of one that is not over", () => {
  const level = (one: Level): Partial<EventMark> => ({ metric: "t", level: one });
  const events = [mark(NOW - 9_000), mark(NOW - 9_000, level("warn")), mark(NOW - 9_000, level("critical"))];
  const worst = (...some: EventMark[]): (Level | null)[] =>
    placed(eventsOf(some), 600, HOUR).map(({ group }) => group.level);
  assert.deepEqual(worst(events[0], events[0]), [null]);
  assert.deepEqual(worst(events[0], events[1]), ["warn"]);
  assert.deepEqual(worst(...events), ["critical"]);
  const series = seriesOf({ site: "A" }, { site: "B" });
  const going = eventsOf([], series, { alarms: new Map([[1, "warn"]]), alarmsSince: new Map([[1, NOW - 60_000]]) });
  assert.deepEqual(going.all, [{ timeMs: NOW - 60_000, text: "site B: warn, not over", level: "warn" }]);
});

test("events of a chart of several series say of which they are", () => {
  const series = seriesOf({ site: "A" }, { site: "B" });
  const events = [
    mark(1, { metric: "t", labels: { site: "B" }, text: "warn for 3 s" }),
    mark(2, { labels: { site: "A" }, text: "recipe 15" }),
    mark(3),
    mark(4, { metric: "t", labels: { site: "C" } }),
    mark(5, { metric: "u" }),
  ];
  assert.deepEqual(
    eventsOf(events, series).all.map(({ text }) => text),
    ["site B: warn for 3 s", "site A: recipe 15", "deploy"],
  );
  assert.deepEqual(
    eventsOf(events, [series[1]]).all.map(({ text }) => text),
    ["warn for 3 s", "deploy"],
  );
});

test("below states lie annotations, and not the words of their bands", () => {
  const found = new ChartEvents();
  found.update(seriesOf({}), sources([mark(1), mark(2, { metric: "t", text: "HEATING" })]), true);
  assert.deepEqual(
    found.all.map(({ text }) => text),
    ["deploy"],
  );
});

test("events that are switched off, or of another metric than is asked for, are not drawn", () => {
  const events = [mark(1), mark(2, { metric: "t", text: "own" })];
  const texts = (eventsShown: string): string[] => {
    const found = eventsOf(events, seriesOf({}), { eventsShown });
    return found.shown ? found.all.map(({ text }) => text) : [];
  };
  assert.deepEqual(texts("all"), ["deploy", "own"]);
  assert.deepEqual(texts("0"), []);
  assert.deepEqual(texts("t"), ["own"]);
  assert.deepEqual(texts("anno*"), ["deploy"]);
  assert.equal(eventsOf(events, seriesOf({}), { eventsShown: "0" }).all.length, 2, "their number is still told");
});

/** The words that are drawn, with the x of their left and right end. */
function drawn(marks: PlacedMark[]): { text: string; from: number; to: number }[] {
  const found: { text: string; from: number; to: number }[] = [];
  let align = "left";
  const ctx = new Proxy(
    {},
    {
      get: (_, name) => {
        if (name === "measureText") return (text: string) => ({ width: wide(text) });
        if (name !== "fillText") return () => undefined;
        return (text: string, x: number) => {
          const from = align === "right" ? x - wide(text) : align === "center" ? x - wide(text) / 2 : x;
          found.push({ text, from, to: from + wide(text) });
        };
      },
      set: (_, name, value) => {
        if (name === "textAlign") align = value;
        return true;
      },
    },
  ) as CanvasRenderingContext2D;
  drawEvents(ctx, DARK, marks, 200, 48, 668);
  return found;
}

test("words stand beside a mark where there is room, right of it or left, cut at their end, and never on another", () => {
  const at = (secondsAgo: number, text: string): EventMark => mark(NOW - secondsAgo * 1_000, { text });
  const words = (...events: EventMark[]): string[] =>
    drawn(placed(eventsOf(events), 600, 600_000)).map(({ text }) => text);
  assert.deepEqual(words(at(300, "recipe 14")), ["recipe 14"]);
  assert.deepEqual(words(at(5, "night shift starts")), ["night shift starts"]);
  assert.deepEqual(
    words(at(300, "a".repeat(300))).map((text) => /^a{30,44}…$/.test(text)),
    [true],
  );
  assert.deepEqual(words(at(300, "first"), at(250, "second")), ["first", "second"]);
  for (const count of [2, 5, 9, 40]) {
    const some = Array.from({ length: count }, (_, i) => at(((i * 0.618034) % 1) * 590, `event ${i}`));
    const boxes = drawn(placed(eventsOf(some), 600, 600_000)).sort((a, b) => a.from - b.from);
    assert.ok(boxes.length > 0);
    boxes.forEach((one, i) => assert.ok(!boxes[i + 1] || one.to < boxes[i + 1].from, JSON.stringify(boxes)));
    assert.ok(boxes.every(({ from, to }) => from >= 48 && to <= 668));
  }
});

test("a mark is read out with its words, many with the first of them", () => {
  const { all } = eventsOf(Array.from({ length: 12 }, (_, i) => mark(NOW + i * 1_000, { text: `n${i}` })));
  const span = { startMs: 0, endMs: 1, level: null };
  assert.match(
    spokenGroup({ ...span, events: all }),
    /^12 events, \d\d:\d\d:\d\d – .*: n0; n1; n2; n3; n4; and 7 more$/,
  );
  assert.match(spokenGroup({ ...span, events: all.slice(0, 1) }), /^\d\d:\d\d:\d\d: n0$/);
  assert.match(spokenEvents(all), /^\. 12 events, the newest at \d\d:\d\d:\d\d: n11$/);
  assert.equal(spokenEvents([]), "");
});
