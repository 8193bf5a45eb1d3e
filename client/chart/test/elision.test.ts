/** Names that are shortened: what tells them apart stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { elided, fitted, sharedParts, shorterForms } from "../src/base/elision";

const length = (text: string): number => [...text].length;

test("what all names share leaves first, then what they begin with", () => {
  const forms = shorterForms(["hall-0/cell-00/robot-04/axis0", "hall-0/cell-00/robot-17/axis0"], "/");
  assert.deepEqual(forms.get("hall-0/cell-00/robot-04/axis0"), [
    "hall-0/cell-00/robot-04/axis0",
    "…/robot-04/…",
    "…/…04/…",
  ]);
  assert.deepEqual(shorterForms(["az0 node-0017", "az1 node-0018"], " ").get("az0 node-0017"), [
    "az0 node-0017",
    "az0 …0017",
  ]);
});

test("a name of its own shape stays whole, and no number or character is cut apart", () => {
  assert.deepEqual(shorterForms(["cpu", "disk/sda/read"], "/").get("cpu"), ["cpu"]);
  assert.deepEqual(shorterForms(["n101", "n102"], "/").get("n101"), ["n101"]);
  assert.deepEqual(shorterForms(["abc", "abc"], "/").get("abc"), ["abc"]);
  assert.deepEqual(shorterForms(["🔥🔥🔥a", "🔥🔥🔦b"], "/").get("🔥🔥🔥a"), ["🔥🔥🔥a", "…🔥a"]);
  assert.deepEqual(shorterForms(["robot", "robot-1"], "/").get("robot"), ["robot", "…t"]);
});

test("names that differ have texts that differ, in every form", () => {
  const parts = [
    ["hall-0", "hall-1", "h"],
    ["cell-00", "cell-01", "cell-10", "zelle"],
    ["robot-04", "robot-05", "r"],
    ["axis0", "axis1", "torque"],
  ];
  const names = parts[0].flatMap((a) =>
    parts[1].flatMap((b) => parts[2].flatMap((c) => parts[3].map((d) => [a, b, c, d].join("/")))),
  );
  for (const some of [names, names.slice(0, 9), names.filter((_, i) => i % 7 === 0)]) {
    const forms = [...shorterForms(some, "/").values()];
    for (let form = 0; form < 6; form++) {
      const texts = forms.map((each) => each[Math.min(form, each.length - 1)]);
      assert.equal(new Set(texts).size, some.length);
    }
    for (const each of forms) each.forEach((text, i) => i && assert.ok(text.length < each[i - 1].length));
  }
});

test("the middle is cut last, and two characters and the end stay", () => {
  assert.equal(elided("robot-04/torque", 15, length), "robot-04/torque");
  assert.equal(elided("robot-04/torque", 9, length), "ro…torque");
  assert.equal(elided("robot", 1, length), "…");
  assert.equal(elided("robot", 0, length), "");
});

test("a name and its labels fit side by side", () => {
  const names = ["hall-0/cell/robot-04", "…/robot-04", "…04"];
  const labels = ["az0 node-0017", "az0 …0017"];
  for (const [width, name, label] of [
    [40, names[0], labels[0]],
    [29, names[1], labels[0]],
    [25, names[2], labels[0]],
    [17, names[2], labels[1]],
    [10, "", ""],
  ] as const) {
    const found = fitted(names, labels, width, length);
    assert.ok(length(found[0]) + (found[1] ? 5 + length(found[1]) : 0) <= width, `${width}: ${found}`);
    if (width > 10) assert.deepEqual(found, [name, label]);
  }
  assert.deepEqual(fitted(["cpu"], [], 3, length), ["cpu", ""]);
  assert.deepEqual(fitted(["temperature"], [], 6, length), ["te…ure", ""]);
  assert.deepEqual(fitted(["accepted"], ["vm:18901", ""], 12, length), ["accepted", ""]);
  assert.deepEqual(fitted(["accepted"], ["vm:18901", ""], 6, length), ["ac…ted", ""]);
});

test("the levels that all names of a group share", () => {
  assert.equal(sharedParts(["hall-0/cell/a", "hall-0/cell/b/c"], "/"), 2);
  assert.equal(sharedParts(["a", "a/b"], "/"), 0);
  assert.equal(sharedParts(["a/b"], "/"), 1);
});
