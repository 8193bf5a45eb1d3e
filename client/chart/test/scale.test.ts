/** Axes: ticks people would choose, labels that do not touch; and the places of the tiles. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compact, stepDecimals } from "../src/base/format";
import { apart } from "../src/canvas/axis";
import { niceStep, ticksIn, tickTexts, yRange } from "../src/canvas/scale";
import { layoutTiles, visibleTiles } from "../src/canvas/tile-layout";
import { Directory } from "../src/model/directory";

test("the y axis has three to five ticks", () => {
  assert.equal(niceStep(0, 62), 20);
  assert.equal(niceStep(0, 108), 50);
  assert.equal(niceStep(29, 51), 5);
  assert.equal(niceStep(6.07, 6.34), 0.05);
  assert.equal(niceStep(306, 318.5), 2.5);
  for (let i = 0; i < 400; i++) {
    const lo = Math.sin(i) * 10 ** ((i % 9) - 3);
    const hi = lo + (1 + (i % 13)) * 10 ** ((i % 7) - 3);
    const count = ticksIn(lo, hi, niceStep(lo, hi)).length;
    assert.ok(count >= 2 && count <= 6, `${lo}…${hi}: ${count}`);
  }
});

test("decimals of a step", () => {
  assert.deepEqual([20, 2.5, 0.05, 1e-4].map(stepDecimals), [0, 1, 2, 4]);
});

test("the y range pads 9 % and starts amounts at zero", () => {
  const [lo, hi] = yRange(100, 200, false);
  assert.ok(Math.abs(lo - 91) < 1e-9 && Math.abs(hi - 209) < 1e-9);
  assert.deepEqual(yRange(40, 100, true), [0, 100 * 1.09]);
  assert.deepEqual(yRange(0, 0, true), [0, 1]);
  assert.deepEqual(yRange(NaN, NaN, false), [0, 1]);
  const flat = yRange(500, 500, false);
  assert.ok(flat[1] - flat[0] >= 2 && flat[0] < 500 && flat[1] > 500);
});

test("seven columns at 1440, heads of 30 and 32, the last row ends with its padding", () => {
  const directory = new Directory();
  directory.update(
    true,
    Array.from({ length: 16 }, (_, i) => ({
      i,
      metric: `${i < 9 ? "a" : "b"}/m${String(i).padStart(2, "0")}`,
      labels: {},
      colour: 0,
      unit: "",
    })),
  );
  const groups = ["a", "b"].map((name) => ({ name, series: directory.list.filter((series) => series.group === name) }));
  const layout = layoutTiles(groups, 1440);
  assert.equal(layout.columns, 7);
  assert.deepEqual(
    layout.heads.map((head) => head.top),
    [0, 30 + 104 + 12 + 104],
  );
  assert.equal(layout.tiles[0].top, 30);
  assert.equal(layout.tiles[0].left, 16);
  assert.equal(layout.tiles[6].left + layout.tiles[6].width, 1424);
  assert.equal(layout.tiles[9].top, 250 + 32);
  assert.equal(layout.height, 282 + 104 + 16);
  // The view ends above the second row of tiles, then above the second group, then below everything.
  const visible = (top: number, height: number): number[] =>
    visibleTiles(layout, top, height).map((tile) => layout.tiles.indexOf(tile));
  assert.deepEqual(visible(0, 145), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(visible(140, 100), [7, 8]);
  assert.deepEqual(visible(140, 142), [7, 8, 9, 10, 11, 12, 13, 14, 15]);
  assert.deepEqual(visible(5_000, 100), []);
});

test("what stands at ticks fits beside the plot, however large or small the values are", () => {
  const fits = (text: string): boolean => text.replace(/[.,]/g, "").length <= 5;
  const texts = (lo: number, hi: number): string[] => {
    const step = niceStep(lo, hi);
    return tickTexts(ticksIn(lo, hi, step), step, fits);
  };
  assert.deepEqual(texts(0, 60), ["0", "20", "40", "60"]);
  assert.deepEqual(texts(0, 4_000_000), ["0", "1M", "2M", "3M", "4M"]);
  assert.deepEqual(texts(1_100_000_000, 1_400_000_000), ["1.1G", "1.2G", "1.3G", "1.4G"]);
  assert.deepEqual(texts(1_234_567_890, 1_234_568_610), ["≈1.23G", "+200", "+400", "+600"]);
  assert.deepEqual(texts(6e23, 12e23), ["6e23", "8e23", "1e24", "1.2e24"]);
  assert.deepEqual(texts(-1.1e-7, 1.1e-7), ["−1e−7", "−5e−8", "0", "5e−8", "1e−7"]);
  for (const [lo, hi] of [
    [1e9, 1e9 + 7],
    [-3.2e7, -3.19e7],
    [1e-9, 3e-9],
    [0.00012, 0.00018],
    [999_990, 1_000_010],
  ]) {
    const found = texts(lo, hi);
    assert.equal(new Set(found).size, found.length, `${lo} ${hi}: ${found}`);
    assert.ok(found.every(fits), `${lo} ${hi}: ${found}`);
  }
});

test("a tick is written with the digits of its step, or relative to the first", () => {
  assert.equal(compact(1_250, 250), "1.25k");
  assert.equal(compact(-286.25, 0.25), "−286.25");
  const ticks = [-286.25, -286, -285.75, -285.5];
  assert.deepEqual(
    tickTexts(ticks, 0.25, (text) => text.length <= 6),
    ["≈−286", "+0.25", "+0.5", "+0.75"],
  );
});

test("ticks whose texts would touch leave some out, and keep the one at zero", () => {
  const ticks = [-2, -1, 0, 1, 2, 3].map((at) => ({ at, text: String(at) }));
  const all = { ticks, minor: [], unit: "", base: "" };
  assert.equal(apart(all, { a: -20, b: 0 }), all);
  assert.deepEqual(
    apart(all, { a: -8, b: 0 }).ticks.map(({ text }) => text),
    ["-2", "0", "2"],
  );
  assert.deepEqual(
    apart(all, { a: -5, b: 0 }).ticks.map(({ text }) => text),
    ["0", "3"],
  );
  const one = { ...all, ticks: ticks.slice(0, 1) };
  assert.equal(apart(one, { a: -5, b: 0 }), one);
});

test("a flat line has round numbers around it", () => {
  const [lo, hi] = yRange(3.7, 3.7, false);
  assert.deepEqual(
    tickTexts(ticksIn(lo, hi, niceStep(lo, hi)), niceStep(lo, hi), () => true),
    ["3.5", "3.6", "3.7", "3.8", "3.9"],
  );
});
