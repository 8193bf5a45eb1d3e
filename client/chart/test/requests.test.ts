/** Each request ends once: by its answer, a refusal, or a lost connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeckMessage, PythonMessage } from "../src/wire/messages";
import { Requests } from "../src/wire/requests";

test("an answer, a refusal and a lost connection end a question, and strangers none", async () => {
  const sent: DeckMessage[] = [];
  const port = {
    send: (message: DeckMessage) => void sent.push(message),
    ack: () => undefined,
    retry: () => undefined,
    close: () => undefined,
  };
  (globalThis as Record<string, unknown>).window = { setTimeout: () => 0 };
  const requests = new Requests(() => port);
  const first = requests.send({ t: "statistics", series: [0], start_ms: 0, end_ms: 1 }, true);
  const second = requests.send({ t: "statistics", series: [0], start_ms: 0, end_ms: 1 }, true);
  const saved = requests.send({ t: "save_deck", slug: "a", deck: {}, over: null });
  const answer: PythonMessage = { t: "statistics", id: 2, start_ms: 0, end_ms: 1, rows: [] };
  assert.equal(requests.settle(answer), true);
  assert.equal(await second, answer);
  requests.settle({ t: "refused", to: "statistics", id: 1, reason: "too much" });
  await assert.rejects(first, /too much/);
  assert.equal(requests.settle({ t: "series", full: true, series: [] }), false);
  requests.rejectAll();
  await assert.rejects(saved, /connection was lost/);
  assert.deepEqual(
    sent.map((message) => ("id" in message ? message.id : undefined)),
    [1, 2, undefined],
  );
});
