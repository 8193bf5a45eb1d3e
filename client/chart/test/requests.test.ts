/** Each request ends once: by its answer, a refusal, or a lost connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Requests } from "../src/wire/requests";

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
