/** Words are states: bands from change to change, joined from frame to frame, each word with its colour. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsIn } from "../src/canvas/state-bands";
import { BucketRing, type Slot } from "../src/model/bucket-ring";
import { bandAt, bandsOf, joinStates, sharesOf, wordColours, wordOf } from "../src/model/states";
import { decodeFrame, FrameError, type State } from "../src/wire/frame";
import { encodeFrame } from "./encode";

const NO = NaN;

/** A frame of one series without numbers, with its states behind the body. */
function frame(kind: number, first: number, states: readonly State[], lastTimeMs: number, rest?: string): ArrayBuffer {
  const data = kind === 1 ? [NO, NO, NO, NO] : [NO];
  const series = [{ index: 7, data, lastTimeMs, lastValue: NO }];
  const body = new Uint8Array(encodeFrame({ kind, first, buckets: data.length, stepMs: 1_000, series }));
  const text = new TextEncoder().encode(rest ?? JSON.stringify({ 7: states }));
  const bytes = new Uint8Array(body.length + text.length);
  bytes.set(body);
  bytes.set(text, body.length);
  return bytes.buffer;
}

const slotOf = (ring: BucketRing): Slot => ring.slots.get(7) as Slot;
const held = (states: readonly State[], lastTimeMs = 9_000) => ({ states, lastValue: NO, lastTimeMs });

test("a frame may end with states; a frame without is as it was, and rubbish is refused", () => {
  const data: State[] = [[1_000, 2_000, "IDLE"]];
  assert.deepEqual([...decodeFrame(frame(1, 0, data, 2_000)).states], [[7, data]]);
  assert.equal(decodeFrame(frame(1, 0, [], 2_000, "")).states.size, 0);
  assert.throws(() => decodeFrame(frame(1, 0, [], 2_000, "\0")), FrameError);
});

test("states go on from frame to frame, and old ones leave", () => {
  const ring = new BucketRing();
  ring.apply(
    decodeFrame(
      frame(
        1,
        100,
        [
          [99_000, 101_000, "IDLE"],
          [101_000, 103_200, "HEAT"],
        ],
        103_200,
      ),
    ),
  );
  ring.apply(decodeFrame(frame(2, 104, [[103_200, 104_100, "HEAT"]], 104_100)));
  assert.deepEqual(slotOf(ring).states, [
    [99_000, 101_000, "IDLE"],
    [101_000, 104_100, "HEAT"],
  ]);
  assert.equal(wordOf(slotOf(ring)), "HEAT");
  for (let n = 105; n < 112; n++) ring.apply(decodeFrame(frame(2, n, [[104_100, n * 1_000 + 100, "HEAT"]], n * 1_000)));
  assert.deepEqual(slotOf(ring).states, [[101_000, 111_100, "HEAT"]]);
  const frozen = ring.freeze();
  ring.apply(
    decodeFrame(
      frame(
        2,
        112,
        [
          [111_100, 112_500, "HEAT"],
          [112_500, 112_500, "HOLD"],
        ],
        112_500,
      ),
    ),
  );
  assert.deepEqual([wordOf(slotOf(ring)), wordOf(slotOf(frozen))], ["HOLD", "HEAT"]);
});

test("a late word cuts what was held", () => {
  const before: State[] = [
    [0, 4_000, "A"],
    [4_000, 9_000, "B"],
  ];
  const late: State[] = [
    [2_000, 3_000, "A"],
    [3_000, 4_000, "C"],
    [4_000, 9_000, "B"],
  ];
  assert.deepEqual(joinStates(before, late, 0), [
    [0, 3_000, "A"],
    [3_000, 4_000, "C"],
    [4_000, 9_000, "B"],
  ]);
});

test("equal words are two states if a gap lies between them", () => {
  assert.deepEqual(joinStates([[0, 1_000, "A"]], [[5_000, 6_000, "A"]], 0), [
    [0, 1_000, "A"],
    [5_000, 6_000, "A"],
  ]);
});

test("the present state goes on while its series lives, and up to the window's edges", () => {
  const states: State[] = [
    [0, 4_000, "A"],
    [4_000, 9_000, "B"],
  ];
  assert.deepEqual(bandsOf(held(states), 2_000, 12_000, 11_000), [
    [2_000, 4_000, "A"],
    [4_000, 11_000, "B"],
  ]);
  assert.deepEqual(bandsOf(held(states), 2_000, 8_000, 8_000), [
    [2_000, 4_000, "A"],
    [4_000, 8_000, "B"],
  ]);
  assert.deepEqual(
    bandsOf(held(states), 2_000, 12_000, NO),
    [
      [2_000, 4_000, "A"],
      [4_000, 9_000, "B"],
    ],
    "it is silent",
  );
  assert.deepEqual(bandsOf(held(states, 9_500), 5_000, 12_000, 11_000), [[5_000, 9_000, "B"]], "a word no more");
  assert.deepEqual(bandsOf(held(states), 20_000, 25_000, 25_000), [[20_000, 25_000, "B"]], "held all through");
});

test("a series that has a number now has no word", () => {
  assert.equal(wordOf({ states: [[0, 9_000, "A"]], lastValue: 1, lastTimeMs: 9_000 }), "");
  assert.equal(wordOf(undefined), "");
});

test("up to six words have colours of their own, and what rests is grey", () => {
  const words = ["HEAT", "HOLD", "COOL", "FAULT", "PURGE", "VENT", "idle", "OFF"];
  const colours = wordColours([...words, ...words]);
  assert.equal(new Set([...colours.values()].filter((one) => one >= 0)).size, 6);
  assert.deepEqual([colours.get("idle"), colours.get("OFF")], [-1, -1]);
  assert.equal(wordColours(["HEAT"]).get("HEAT"), wordColours(["HEAT", "idle"]).get("HEAT"));
  assert.equal(wordColours([..."abcdefghij"]).size, 10, "more than six repeat colours");
});

test("shares are of the time that is known", () => {
  assert.deepEqual(
    sharesOf([
      [0, 1_000, "A"],
      [1_000, 4_000, "B"],
      [10_000, 10_000, "C"],
    ]),
    [
      ["B", 0.75],
      ["A", 0.25],
      ["C", 0],
    ],
  );
});

test("the state at a time is the last that began", () => {
  const bands: State[] = [
    [0, 1_000, "A"],
    [1_000, 4_000, "B"],
  ];
  assert.deepEqual(
    [bandAt(bands, -1)?.[2], bandAt(bands, 1_000)?.[2], bandAt(bands, 9_000)?.[2]],
    [undefined, "B", "B"],
  );
});

test("rows have 34 px, and shrink to fit", () => {
  assert.deepEqual(rowsIn(2, 8, 180), [
    { top: 20, height: 34 },
    { top: 63, height: 34 },
  ]);
  for (const count of [5, 9, 20]) {
    const rows = rowsIn(count, 8, 180);
    assert.ok(rows[count - 1].top + rows[count - 1].height <= 188, `${count}`);
    for (let i = 1; i < count; i++) assert.ok(rows[i].top > rows[i - 1].top);
  }
});
