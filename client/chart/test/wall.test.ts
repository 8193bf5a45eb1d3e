/** Which series a wall shows as tiles. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../src/model/directory";
import { wallRow, wallSeries } from "../src/panels/wall-tiles";
import { turnsOf } from "../src/panels/wall-turns";

const series = (...names: string[]): Series[] => names.map((name) => ({ name }) as Series);

test("every chart has tiles before one has all of its own, in the order of the charts", () => {
  const [hot, power, flow, cpu] = [
    series("A", "B", "C"),
    series("pA", "pB", "pC"),
    series("flow"),
    series("c0", "c1", "c2", "c3"),
  ];
  assert.deepEqual(
    wallSeries([hot, power, flow, cpu], 6).map(({ name }) => name),
    ["A", "B", "pA", "pB", "flow", "c0"],
  );
  assert.deepEqual(
    wallSeries([hot, flow], 6).map(({ name }) => name),
    ["A", "B", "C", "flow"],
  );
  assert.deepEqual(
    wallSeries([hot, hot, flow], 2).map(({ name }) => name),
    ["A", "flow"],
  );
  assert.deepEqual(wallSeries([], 6), []);
});

test("a wall that does not fit turns by whole rows", () => {
  const rows = [
    [0, 200],
    [200, 400],
    [210, 380],
    [400, 620],
    [620, 1_500],
    [1_500, 1_600],
  ] as const;
  assert.deepEqual(turnsOf(rows, 700), [
    { top: 0, bottom: 620 },
    { top: 620, bottom: 1_500 },
    { top: 1_500, bottom: 1_600 },
  ]);
  assert.deepEqual(turnsOf(rows, 1_600), [{ top: 0, bottom: 1_600 }]);
  assert.deepEqual(turnsOf([], 100), []);
});

test("the rows of a wall share its height, or those of a turn do", () => {
  // Two rows of charts of five rows each.
  assert.equal(wallRow(496, 4, 10, 5), (496 - 9 * 4) / 10);
  // Six rows of charts, of which three have room: these share all of it.
  const row = wallRow(496, 4, 30, 5);
  assert.equal(row, (496 - 14 * 4) / 15);
  assert.ok(15 * row + 14 * 4 <= 496);
  // A chart higher than the wall is as low as one may be.
  assert.equal(wallRow(100, 4, 40, 20), 24);
});
