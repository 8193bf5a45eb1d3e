/** The span earlier with which charts are compared: what is asked for, and how it is named. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareText } from "../src/base/format";
import { agoText, askedSpan } from "../src/chart/compared";

const H = 3_600_000;

test("a span that rests is asked for as it is shown", () => {
  assert.deepEqual(askedSpan({ startMs: 5, endMs: 9 }, H, false), { startMs: 5, endMs: 9 });
});

test("a live span is asked for ahead, so that it is asked for seldom, and never beyond what has been read", () => {
  const nowMs = Date.parse("2026-11-29T12:34:56.789Z");
  for (const windowMs of [60_000, 5 * 60_000, H, 24 * H, 7 * 24 * H])
    for (const compareMs of [60_000, H, 24 * H, 7 * 24 * H]) {
      const asked = new Set<string>();
      for (let at = nowMs; at < nowMs + 60_000; at += 1_000) {
        const { startMs, endMs } = askedSpan({ startMs: at - windowMs, endMs: at }, compareMs, true);
        assert.ok(startMs <= at - windowMs && endMs >= at, "it holds all that is shown");
        assert.ok(endMs - compareMs <= at, "it is over");
        asked.add(`${startMs} ${endMs}`);
      }
      assert.ok(asked.size <= (compareMs === 60_000 ? 5 : 2), `${windowMs} ${compareMs}: ${asked.size}`);
    }
});

test("how much earlier it is has a name", () => {
  assert.deepEqual([H, 8 * H, 24 * H, 48 * H, 168 * H].map(agoText), [
    "an hour ago",
    "8 h ago",
    "a day ago",
    "2 days ago",
    "a week ago",
  ]);
  assert.equal(compareText(14 * 24 * H), "2 weeks");
});
