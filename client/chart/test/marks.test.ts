/** Where words stand on a chart: a threshold's label clears the lines, stays where it is, and never lies on another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Frame2d, labelPlace, type Placed } from "../src/canvas/marks";
import { Trace } from "../src/model/buckets";

const WIDE = 104;
const Y = 100;
const frame: Frame2d = { box: { left: 48, top: 8, width: 294, height: 182 }, x: { a: 1, b: 48 }, y: { a: -1, b: 190 } };

/** A trace through these points of the plot: px from its left edge, px from the canvas' top. */
function through(...points: [x: number, y: number][]): Trace {
  const trace = new Trace();
  trace.n = points.length;
  trace.time = Float64Array.from(points, ([x]) => x);
  for (const name of ["first", "last", "min", "max", "mean"] as const)
    trace[name] = Float64Array.from(points, ([, y]) => 190 - y);
  trace.breaks = new Uint8Array(points.length);
  return trace;
}

const across = (y: (x: number) => number, step = 2): Trace =>
  through(...Array.from({ length: 294 / step + 1 }, (_, i): [number, number] => [i * step, y(i * step)]));
const place = (traces: Trace[], placed: Placed = [], kept?: { left: number; above: boolean }) =>
  labelPlace(frame, { traces }, Y, WIDE, true, placed, kept);

test("a label stands beyond its line, at the end that is free", () => {
  assert.deepEqual(place([]), { left: 48 + 294 - WIDE, above: true });
  assert.deepEqual(place([across((x) => (x > 200 ? 92 : 150))]), { left: 48, above: true });
});

test("where readings run along the line at both ends, the label finds the stretch between, or the other side", () => {
  const found = place([across((x) => (x < 60 || x > 240 ? 92 : 40))]);
  assert.ok(found.above && found.left - 48 >= 60 - 2 && found.left + WIDE - 48 <= 240 + 2, JSON.stringify(found));
  assert.equal(place([across(() => 92)]).above, false);
});

test("a steep line between two far readings is cleared as well", () => {
  const found = place([through([0, 180], [250, 180], [254, 20], [294, 20])]);
  assert.ok(found.left + WIDE - 48 <= 250, JSON.stringify(found));
});

test("a label stays while nothing is gained by moving it", () => {
  const kept = { left: 120, above: true };
  assert.equal(place([], [], kept), kept);
  assert.equal(place([through([80, 92])], [], kept), kept, "one touch is no reason to jump");
  assert.notEqual(place([across((x) => (x > 60 && x < 200 ? 92 : 40))], [], kept), kept);
});

test("two labels never lie on each other", () => {
  const first = place([]);
  const second = place([], [{ left: first.left, right: first.left + WIDE, top: Y - 16 }]);
  assert.ok(second.left + WIDE <= first.left || second.left >= first.left + WIDE || second.above !== first.above);
});

test("at the edge of the plot the label stands on the side where there is room", () => {
  assert.equal(labelPlace(frame, { traces: [] }, 12, WIDE, true).above, false);
  assert.equal(labelPlace(frame, { traces: [] }, 186, WIDE, false).above, true);
});
