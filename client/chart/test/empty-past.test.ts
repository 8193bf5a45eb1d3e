/** A past without readings says why, with its day. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { spanText } from "../src/base/format";
import { emptyWords } from "../src/chart/empty-part";
import { BucketRing } from "../src/model/bucket-ring";
import { Trace } from "../src/model/buckets";
import { decodeFrame } from "../src/wire/frame";
import { encodeFrame } from "./encode";

const HOUR = 3_600_000;
const at = (text: string): number => new Date(text).getTime();
const NOW = at("2026-11-29T15:00:00");

test("a span has its day unless it is today", () => {
  assert.equal(spanText(at("2026-11-29T08:00:00"), at("2026-11-29T09:30:00"), NOW), "08:00 – 09:30");
  assert.equal(spanText(at("2026-11-20T08:00:00"), at("2026-11-20T16:00:00"), NOW), "20 Nov 08:00 – 16:00");
  assert.equal(spanText(at("2026-11-28T22:00:00"), at("2026-11-29T06:00:00"), NOW), "28 Nov 22:00 – 29 Nov 06:00");
});

/** Return what a chart says of an hour that begins `hoursAgo`; `data` are its buckets of ten minutes. */
function words(hoursAgo: number, data: readonly number[], beforeMs = 0, parts = {}): string {
  const [startMs, stepMs] = [NOW - hoursAgo * HOUR, 600_000];
  const ring = new BucketRing();
  const first = Math.floor(startMs / stepMs);
  ring.apply(
    decodeFrame(encodeFrame({ kind: 4, first, buckets: data.length, stepMs, series: [{ index: 0, data, beforeMs }] })),
  );
  const slot = ring.slots.get(0);
  assert.ok(slot);
  Object.assign(slot, parts);
  const trace = new Trace();
  trace.read(ring, slot, startMs, startMs + HOUR, NaN);
  const when = { startMs, endMs: startMs + HOUR, nowMs: NOW, zoomed: true, settled: true, offline: false };
  return emptyWords([slot], [trace], { ...when, retentionMs: 24 * HOUR, ...parts })[0] ?? "";
}

test("an empty past says why, as far as that is known", () => {
  const nothing = [NaN, NaN, NaN, NaN, NaN, NaN];
  assert.equal(words(3, [NaN, NaN, 5, NaN, NaN, NaN]), "");
  assert.equal(words(3, nothing, NOW - 5 * HOUR), "Nothing was published 12:00 – 13:00");
  assert.equal(words(3, nothing), "No reading of 12:00 – 13:00 is kept");
  assert.equal(words(30, nothing), "28 Nov 09:00 – 10:00 is before what is kept: the log keeps 24 h");
  assert.equal(words(30, nothing, 0, { retentionMs: null }), "No reading of 28 Nov 09:00 – 10:00 is kept");
});

test("nothing is said while the past is on its way", () => {
  const nothing = [NaN, NaN, NaN, NaN, NaN, NaN];
  assert.equal(words(3, nothing, 0, { settled: false }), "");
});

test("a live window without a reading says how long it is, unless nobody can know", () => {
  const nothing = [NaN, NaN, NaN, NaN, NaN, NaN];
  const live = { zoomed: false, settled: false };
  assert.equal(words(1, nothing, 0, live), "no number in the last 1 h", "what came were events");
  assert.equal(words(1, nothing, 0, { ...live, lastValue: 7 }), "no reading in the last 1 h");
  assert.equal(words(1, [NaN, 5, NaN, NaN, NaN, NaN], 0, live), "");
  assert.equal(words(1, nothing, 0, { ...live, offline: true }), "");
});
