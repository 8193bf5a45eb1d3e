/** What is said to be kept, or not to be, is said of what was looked through. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setZone, UTC } from "../src/base/zone";
import { lookedMs, lookedWords } from "../src/model/looked";
import { nearestWords } from "../src/panels/nearest";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 29, 15);

test("a bound of what is looked through is named, and only then", () => {
  assert.equal(lookedWords(100, 7 * DAY), "");
  assert.equal(lookedWords(1, 366 * DAY), "");
  assert.equal(lookedWords(101, 7 * DAY), "100 of 101 series");
  assert.equal(lookedWords(1, null), "the last 366 d");
  assert.equal(lookedWords(1_500, 400 * DAY), "100 of 1,500 series, the last 366 d");
  assert.deepEqual([lookedMs(7 * DAY), lookedMs(400 * DAY), lookedMs(null)], [7 * DAY, 366 * DAY, 366 * DAY]);
});

test("no other reading is kept only where all that is kept was looked through", () => {
  assert.equal(nearestWords(NaN, NOW, ""), "No other reading is kept");
  assert.equal(nearestWords(NaN, NOW, lookedWords(250, null)), "No other reading in 100 of 250 series, the last 366 d");
  setZone(UTC);
  const at = Date.UTC(2026, 10, 29, 12, 30);
  assert.equal(nearestWords(at, NOW, ""), "Nearest reading: 29 Nov 12:30:00 · ");
  assert.equal(
    nearestWords(at, NOW, lookedWords(101, DAY)),
    "Nearest reading in 100 of 101 series: 29 Nov 12:30:00 · ",
  );
  setZone("Asia/Tokyo");
  assert.equal(nearestWords(at, NOW, ""), "Nearest reading: 29 Nov 21:30:00 · ");
  setZone(UTC);
});
