/** No pattern can stretch the time that matching takes; what is selected is in shared-rules.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matches } from "../src/base/pattern";

test("a pattern of many stars is answered at once", () => {
  const started = performance.now();
  assert.equal(matches(`${"*a".repeat(100)}b`, "a".repeat(255)), false);
  assert.equal(matches(`${"**/a/".repeat(40)}b`, `${"a/".repeat(120)}c`), false);
  assert.ok(performance.now() - started < 500);
});
