/** What is not here yet is said to be loading, and never to be silent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoading, loadingPart } from "../src/chart/loading-part";
import type { Slot } from "../src/model/bucket-ring";
import type { Trace } from "../src/model/buckets";
import { Gaze } from "../src/model/gaze";
import { Loading } from "../src/model/loading";
import { FLAG_PARTIAL, type State } from "../src/wire/frame";
import type { Status } from "../src/wire/messages";

const start = new Date(2026, 0, 5, 13, 58, 0).getTime();
const end = start + 300_000;
const moment = { startMs: start, endMs: end, zoomed: false, paused: false, pastWords: [] };
const slot = (flags: number, ...states: State[]): Slot => ({ flags, states }) as unknown as Slot;
const trace = (...time: number[]): Trace => ({ n: time.length, time }) as unknown as Trace;
const status = (past_reason = ""): Status => ({ past_reason }) as Status;

test("a chart is loading until the past of all its series is here", () => {
  assert.equal(isLoading([slot(0), undefined, slot(FLAG_PARTIAL)]), true);
  assert.equal(isLoading([slot(0), undefined]), false);
  assert.equal(loadingPart([slot(0)], [trace()], moment), null);
});

test("the part that is loading ends where the readings of every series are known", () => {
  const partly = loadingPart(
    [slot(FLAG_PARTIAL), slot(FLAG_PARTIAL), slot(0)],
    [trace(start + 60_000, end), trace(start + 180_000, end), trace(start + 240_000)],
    moment,
  );
  assert.equal(partly?.untilMs, start + 180_000);
  assert.equal(partly?.bare, false);
  assert.equal(partly?.words[0], "loading 13:58 – 14:01");
  const bare = loadingPart([slot(FLAG_PARTIAL)], [trace(end - 2_000)], moment);
  assert.equal(bare?.bare, true);
  assert.equal(bare?.words[0], "loading the last 5 min…");
  assert.equal(loadingPart([slot(FLAG_PARTIAL)], [trace()], moment)?.untilMs, end);
  assert.equal(loadingPart([slot(FLAG_PARTIAL)], [trace(start + 60_000)], moment)?.bare, true);
  const noted = loadingPart([slot(FLAG_PARTIAL)], [trace()], { ...moment, pastWords: ["slow"] });
  assert.equal(noted?.words[0], "slow");
  assert.deepEqual(loadingPart([slot(FLAG_PARTIAL)], [trace()], { ...moment, paused: true })?.words, []);
  assert.equal(loadingPart([slot(FLAG_PARTIAL)], [trace()], { ...moment, zoomed: true }), null);
});

test("words are known from the first state on", () => {
  const words = slot(FLAG_PARTIAL, [start + 60_000, start + 90_000, "IDLE"], [start + 90_000, end, "HEAT"]);
  const partly = loadingPart([words], [trace()], moment);
  assert.deepEqual([partly?.untilMs, partly?.bare], [start + 60_000, false]);
});

test("a service that is slow or refuses is named", () => {
  const loading = new Loading();
  loading.update([true, false, true], 1_000);
  assert.equal(loading.pending, true);
  assert.deepEqual(loading.words(status(), 9_000), []);
  assert.equal(loading.words(status(), 11_500)[0], "still loading, 1 of 3; the service answers slowly");
  assert.equal(loading.words(status("HTTP 403"), 1_000)[0], "the past cannot be read: HTTP 403");
  assert.equal(loading.notice(status()), "Values are current · 1 of 3 charts are here");
  assert.equal(loading.notice(status("HTTP 403")), "Values are live; the past cannot be read: HTTP 403");
  loading.update([false, false, false], 12_000);
  assert.equal(loading.notice(status()), "");
  assert.deepEqual(loading.words(status(), 60_000), []);
});

test("Python is told what is on the screen once, charts first, and again on another connection", async () => {
  const sent: number[][] = [];
  const gaze = new Gaze((series) => sent.push(series));
  const rest = (): Promise<void> => new Promise((done) => setTimeout(done, 400));
  gaze.list([3, 4]);
  gaze.charts([7, 3]);
  await rest();
  gaze.list([3, 4]);
  await rest();
  gaze.again();
  await rest();
  assert.deepEqual(sent, [
    [7, 3, 4],
    [7, 3, 4],
  ]);
});
