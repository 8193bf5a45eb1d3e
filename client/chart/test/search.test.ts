import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../src/base/automaton";
import { Directory } from "../src/model/directory";
import { nearest, search } from "../src/model/search";
import type { SeriesEntry } from "../src/wire/messages";

const directory = new Directory();
directory.update(
  true,
  (
    [
      ["plant/hall-1/robot-1/torque", { line: "A", axis: "1" }],
      ["plant/hall-1/robot-2/torque", { line: "B" }],
      ["plant/hall-2/robot-1/speed", { line: "A" }],
      ["http/requests_total", {}],
    ] as [string, Record<string, string>][]
  ).map(([metric, labels], i) => ({ i, metric, labels, unit: "", colour: 0 })) as unknown as SeriesEntry[],
);
const indices = (query: string, labels = {}): number[] =>
  search(directory.measured, query, labels)
    .found.map(({ index }) => index)
    .sort();

test("words, labels, patterns and expressions all narrow a search", () => {
  assert.deepEqual(indices(""), [0, 1, 2, 3]);
  assert.deepEqual(indices("TORQUE hall-1"), [0, 1]);
  assert.deepEqual(indices("line=a"), [0, 2]);
  assert.deepEqual(indices("line=* speed"), [2]);
  assert.deepEqual(indices("hall-1/*/torque"), [0, 1]);
  assert.deepEqual(indices("plant/hall-1/**"), [0, 1]);
  assert.deepEqual(indices("plant/*/robot-1"), [0, 2]);
  assert.deepEqual(indices("**/speed"), [2]);
  assert.deepEqual(indices("/robot-[12]\\/(torque|speed)/ line=A"), [0, 2]);
  assert.deepEqual(indices("/^http/"), [3]);
  assert.deepEqual(indices("", { line: "A", axis: "1" }), [0]);
  assert.deepEqual(indices("torque", { constructor: "x" }), []);
});

test("an expression that cannot be obeyed is said, and finds nothing", () => {
  for (const [query, words] of [
    ["/(a/", /not closed/],
    ["/a)/", /not opened/],
    ["/(?=a)/", /look-around/],
    ["/\\1/", /not known/],
    ["/*a/", /nothing stands before/],
    ["/[a/", /not closed/],
    ["/a{200}/", /at most 100/],
    [`/${"(".repeat(30)}a${")".repeat(30)}/`, /nested/],
    ["/(){100}{100}{100}{100}{100}{100}/", /too many/],
    ["/((a{100}){100}){100}/", /too many/],
  ] as const) {
    const { found, problem } = search(directory.measured, query);
    assert.equal(found.length, 0, query);
    assert.match(problem, words, query);
  }
});

test("expressions mean what they mean to the browser", () => {
  const parts = [
    "a",
    "b",
    "ab",
    ".",
    "[ab]",
    "[^a]",
    "a*",
    "(a|b)*",
    "(ab)+",
    "b?",
    "^",
    "$",
    "a{2,3}",
    "\\d",
    "\\D",
    "[a-c1]",
  ];
  let seed = 7;
  const random = (n: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * n);
  };
  const texts = Array.from({ length: 60 }, () => Array.from({ length: random(7) }, () => "abc1"[random(4)]).join(""));
  for (let i = 0; i < 1_500; i++) {
    const expression = Array.from({ length: 1 + random(4) }, () => parts[random(parts.length)]).join(
      random(5) ? "" : "|",
    );
    const [ours, theirs] = [compile(expression), new RegExp(expression, "i")];
    for (const text of texts) assert.equal(ours(text), theirs.test(text), `${expression} in “${text}”`);
  }
});

test("what hangs a backtracking search takes as long as any other", () => {
  const text = `${"a".repeat(5_000)}!`;
  for (const expression of ["(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*a){12}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
    assert.equal(compile(expression)(text), false, expression);
});

test("a search that finds nothing names what is nearest", () => {
  assert.equal(nearest(directory.measured, "bigplant/hall-3/**"), "hall-1");
  assert.equal(nearest(directory.measured, "torqe"), "torque");
  assert.equal(nearest(directory.measured, "zzzzzzzzzz"), "");
});
