/** The rows of a tooltip. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsNear } from "../src/chart/overlay";

const rows = Array.from({ length: 1_000 }, (_, n) => ({ y: 999 - n }));

test("a tooltip of few series has them all, the highest first", () => {
  assert.deepEqual(
    rowsNear(rows.slice(0, 10), 3).map(({ y }) => y),
    [990, 991, 992, 993, 994, 995, 996, 997, 998, 999],
  );
});

for (const [what, y, first, last] of [
  ["around the pointer", 500.4, 496, 504],
  ["at the top", -20, 0, 8],
  ["at the foot", 5_000, 991, 999],
  ["without a pointer", NaN, 0, 8],
] as const)
  test(`a tooltip of many series has those ${what}`, () => {
    const near = rowsNear(rows, y).map((row) => row.y);
    assert.deepEqual([near.length, near[0], near.at(-1)], [9, first, last]);
  });
