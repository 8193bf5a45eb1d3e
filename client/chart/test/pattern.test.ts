/** Patterns select what the service's do, in time that no pattern can stretch. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matches } from "../src/base/pattern";
import { Requests } from "../src/wire/requests";

test("a pattern selects the metrics that the service selects", () => {
  const cases: [string, string, boolean][] = [
    ["plant/a", "plant/a", true],
    ["plant/*", "plant/a", true],
    ["plant/*", "plant/a/b", false],
    ["plant/**", "plant", true],
    ["plant/**", "plant/a/b", true],
    ["**", "a/b/c", true],
    ["**/temperature", "temperature", true],
    ["**/temperature", "a/b/temperature", true],
    ["plant/**/flow", "plant/flow", true],
    ["plant/**/flow", "plant/a/b/flow", true],
    ["plant/**/flow", "plant/a/b/flo", false],
    ["line-*/fl*w", "line-1/flow", true],
    ["line-*/fl*w", "line-1/flaw/x", false],
    ["a*", "b", false],
  ];
  for (const [pattern, metric, selected] of cases)
    assert.equal(matches(pattern, metric), selected, `${pattern} ${metric}`);
});

test("a pattern of many stars is answered at once", () => {
  const started = performance.now();
  assert.equal(matches(`${"*a".repeat(100)}b`, "a".repeat(255)), false);
  assert.equal(matches(`${"**/a/".repeat(40)}b`, `${"a/".repeat(120)}c`), false);
  assert.ok(performance.now() - started < 500);
});

test("an answer, a refusal and a lost connection end a question, and strangers none", async () => {
  const sent: Record<string, unknown>[] = [];
  const port = {
    send: (message: Record<string, unknown>) => void sent.push(message),
    ack: () => undefined,
    retry: () => undefined,
    close: () => undefined,
  };
  (globalThis as Record<string, unknown>).window = { setTimeout: () => 0 };
  const requests = new Requests(() => port);
  const first = requests.send({ t: "statistics" }, true);
  const second = requests.send({ t: "statistics" }, true);
  const saved = requests.send({ t: "save_deck" });
  assert.equal(requests.settle({ t: "statistics", id: 2, rows: [2] }), true);
  assert.deepEqual((await second).rows, [2]);
  requests.settle({ t: "refused", to: "statistics", id: 1, reason: "too much" });
  await assert.rejects(first, /too much/);
  assert.equal(requests.settle({ t: "series" }), false);
  requests.rejectAll();
  await assert.rejects(saved, /connection was lost/);
  assert.deepEqual(
    sent.map((message) => message.id),
    [1, 2, undefined],
  );
});
