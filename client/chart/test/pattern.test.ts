/** No pattern can stretch the time that matching takes; what is selected is in shared-rules.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matches } from "../src/base/pattern";

/** The meaning of a pattern, slow and obvious. */
function meant(pattern: string[], levels: string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return levels.length === 0;
  if (first === "**") return levels.concat("").some((_, n) => meant(rest, levels.slice(n)));
  const level = new RegExp(`^${first.replaceAll("*", ".*")}$`);
  return levels.length > 0 && level.test(levels[0]) && meant(rest, levels.slice(1));
}

test("a pattern selects what it means", () => {
  const [parts, names] = [
    ["**", "a", "b", "*", "a*", "*b", "a*b*a"],
    ["a", "b", "ab", "abba"],
  ];
  const all = (of: string[], most: number): string[][] =>
    most === 0 ? [[]] : [...all(of, most - 1), ...all(of, most - 1).flatMap((one) => of.map((next) => [...one, next]))];
  const metrics = all(names, 3).filter((one) => one.length);
  let selected = 0;
  for (const pattern of all(parts, 3).filter((one) => one.length))
    for (const levels of metrics) {
      const [text, metric] = [pattern.join("/"), levels.join("/")];
      assert.equal(matches(text, metric), meant(pattern, levels), `${text} ${metric}`);
      selected += Number(matches(text, metric));
    }
  assert.ok(selected > 1_000);
});

test("a pattern of many stars is answered at once", () => {
  const started = performance.now();
  for (let i = 0; i < 1_000; i++) {
    assert.equal(matches(`${"*a".repeat(100)}b`, "a".repeat(255)), false);
    assert.equal(matches(`${"**/a/".repeat(40)}b`, `${"a/".repeat(120)}c`), false);
    assert.equal(matches(`*${"a".repeat(100)}b*`, "a".repeat(255)), false);
  }
  assert.ok(performance.now() - started < 5_000);
});
