import assert from "node:assert/strict";
import { test } from "node:test";
import { Directory } from "../src/model/directory";
import { type Branch, type Folder, groupsOf, isOpen, Tree } from "../src/model/tree";
import type { SeriesEntry } from "../src/wire/messages";

type Named = readonly [metric: string, labels?: Record<string, string>];

function directoryOf(named: readonly Named[]): Directory {
  const directory = new Directory();
  const entries = named.map(([metric, labels = {}], i) => ({ i, metric, labels, unit: "", colour: 0 }));
  directory.update(true, entries as unknown as SeriesEntry[]);
  return directory;
}

const treeOf = (named: readonly Named[]): Tree => new Tree(directoryOf(named).measured);
const words = (rows: readonly Branch[]): string[] =>
  rows.map((row) => `${" ".repeat(row.depth - 1)}${row.name}${row.kind === "folder" ? ` ${row.count}` : ""}`);
const all = (tree: Tree): string[] => words(tree.rows(() => true));

/** 10 halls of 10 cells of 10 robots of 10 metrics. */
const big = (): Named[] =>
  Array.from({ length: 10_000 }, (_, n) => {
    const [hall, cell, robot, metric] = [...String(n).padStart(4, "0")];
    return [`bigplant/hall-${hall}/cell-0${cell}/robot-0${robot}/m${metric}`] as const;
  });

test("levels of one child are joined, and a lone series is no level", () => {
  assert.deepEqual(all(treeOf([["p/n/hall/r1/torque"], ["p/n/hall/r2/torque"], ["p/n/hall/r2/speed"], ["cpu"]])), [
    "cpu",
    "p/n/hall 3",
    " r1/torque",
    " r2 2",
    "  speed",
    "  torque",
  ]);
});

test("a metric that is also a level keeps its own series", () => {
  assert.deepEqual(all(treeOf([["a/b"], ["a/b/c"], ["a/d"]])), ["a 3", " b 2", "  b", "  c", " d"]);
});

test("label sets lie beside other metrics while they are few, and under their metric when they are many", () => {
  const sets = (metric: string, n: number): Named[] =>
    Array.from({ length: n }, (_, axis) => [metric, { axis: String(axis) }] as const);
  assert.deepEqual(all(treeOf([...sets("r/torque", 2), ["r/speed"]])), ["r 3", " speed", " torque", " torque"]);
  assert.deepEqual(all(treeOf([...sets("r/torque", 13), ["r/speed"]])).slice(0, 4), [
    "r 14",
    " speed",
    " torque 13",
    "  ",
  ]);
  assert.deepEqual(all(treeOf(sets("cpu", 2))), ["cpu 2", " ", " "], "the labels tell them apart");
});

test("states add up, the worst is told, and a state that ends is no longer counted", () => {
  const directory = directoryOf(big());
  const tree = new Tree(directory.measured);
  const at = (path: string): Folder => tree.folders.get(path) as Folder;
  const index = (metric: string): number => directory.byMetric.get(metric)?.[0].index ?? -1;
  const critical = index("bigplant/hall-3/cell-07/robot-04/m2");
  const stale = index("bigplant/hall-3/cell-02/robot-00/m0");
  tree.mark(critical, "critical");
  tree.mark(critical, "critical");
  tree.mark(stale, "stale");
  assert.equal(at("bigplant/hall-3").count, 1_000);
  assert.deepEqual(tree.worst(at("bigplant")), ["critical", 1]);
  assert.deepEqual(at("bigplant/hall-3").counts, [1, 0, 1]);
  assert.deepEqual(tree.worst(at("bigplant/hall-3/cell-02")), ["stale", 1]);
  assert.equal(tree.worst(at("bigplant/hall-4")), null);
  tree.mark(critical, "warn");
  assert.deepEqual(at("bigplant/hall-3").counts, [0, 1, 1]);
  tree.mark(critical, null);
  tree.mark(stale, null);
  assert.equal(tree.worst(at("bigplant")), null);
  tree.mark(99_999, "warn");
});

test("few series are all unfolded; of many, only whole depths that fit a screen", () => {
  assert.equal(treeOf([["a/b"], ["a/c"]]).unfoldedDepth(), Infinity);
  const tree = treeOf(big());
  const depth = tree.unfoldedDepth();
  assert.equal(tree.rows((folder) => isOpen(folder, new Map(), depth)).length, 11);
  const folds = new Map([
    ["bigplant/hall-3", true],
    ["bigplant/hall-3/cell-07", true],
  ]);
  assert.equal(tree.rows((folder) => isOpen(folder, folds, depth)).length, 31);
  assert.equal(tree.rows((folder) => isOpen(folder, new Map([["**", true]]), depth)).length, 11_111);
});

test("groups of tiles are as deep as their size asks for, and lose no series", () => {
  const { measured } = directoryOf([...big(), ["cpu"], ["x/y"]]);
  const groups = groupsOf(measured, 100);
  assert.deepEqual([groups[0].path, groups[0].series.length], ["bigplant/hall-0/cell-00", 100]);
  assert.equal(groups.length, 102);
  assert.equal(new Set(groups.flatMap(({ series }) => series)).size, measured.length);
});

test("a level may be named as what every object has", () => {
  assert.deepEqual(all(treeOf([["__proto__/constructor"], ["__proto__/x"]])), ["__proto__ 2", " constructor", " x"]);
});
