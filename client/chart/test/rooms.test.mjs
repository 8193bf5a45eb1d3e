import assert from "node:assert/strict";
import { test } from "node:test";
import { faults, importsOf } from "../check-rooms.mjs";

test("imports are seen in each of their forms, those of types as well", () => {
  const text = [
    'import { a } from "./a";',
    'import type { B } from "../base/b";',
    'export { c } from "./c";',
    'import "./d";',
    'type E = import("./e").E;',
    'import css from "./x.css";',
    '/* import "./f" */',
  ].join("\n");
  assert.deepEqual(importsOf("model/here.ts", text), [
    "model/a.ts",
    "base/b.ts",
    "model/c.ts",
    "model/d.ts",
    "model/e.ts",
  ]);
});

test("an import from a later room is a fault, one from an earlier room is none", () => {
  assert.deepEqual(
    faults(
      new Map([
        ["model/a.ts", ["base/b.ts"]],
        ["base/b.ts", []],
      ]),
    ),
    [],
  );
  assert.deepEqual(
    faults(
      new Map([
        ["base/b.ts", ["model/a.ts"]],
        ["model/a.ts", []],
      ]),
    ),
    ["base/b.ts imports model/a.ts, from a later room"],
  );
  assert.deepEqual(faults(new Map([["other/a.ts", []]])), ["other/a.ts is in no room"]);
});

test("a circle inside one room is a fault", () => {
  const graph = new Map([
    ["chart/a.ts", ["chart/b.ts"]],
    ["chart/b.ts", ["chart/c.ts"]],
    ["chart/c.ts", ["chart/a.ts"]],
  ]);
  assert.deepEqual(faults(graph), ["a circle: chart/a.ts → chart/b.ts → chart/c.ts → chart/a.ts"]);
});
