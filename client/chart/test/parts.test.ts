/** The parts of a notebook chart: each is a trait of the widget, and every view of it finds all that came. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parts } from "../src/base/parts";

/** A model as anywidget has it: a view registers with `on`, the kernel sets. */
class Model {
  readonly state: Record<string, string> = { part_kinds: "", part_many: "", part_runs: "" };
  readonly callbacks = new Map<string, Set<() => void>>();
  get(name: string): unknown {
    return this.state[name];
  }
  on(name: string, callback: () => void): void {
    this.callbacks.set(name, (this.callbacks.get(name) ?? new Set()).add(callback));
  }
  off(name: string, callback: () => void): void {
    this.callbacks.get(name)?.delete(callback);
  }
  set(name: string, text: string): void {
    this.state[name] = text;
    for (const callback of this.callbacks.get(`change:${name}`) ?? []) callback();
  }
}

const text = (value: string): string => `/* TIDEWIRE_PLACE */ export const value = "${value}";`;
const loaded = async (name: string): Promise<string> => ((await parts.load(name)) as { value: string }).value;

test("each part comes by itself, and a view that is opened later has those of before", async () => {
  const model = new Model();
  const came: string[] = [];
  const end = parts.follow(model, () => came.push("first"));
  await assert.rejects(parts.load("kinds"), /has not sent the part kinds/);
  model.set("part_kinds", text("kinds"));
  assert.deepEqual(came, ["first"]);
  model.set("part_many", text("many"));
  const endSecond = parts.follow(model, () => came.push("second"));
  assert.deepEqual(came, ["first", "first"], "what was there before is no news");
  end();
  model.set("part_runs", text("runs"));
  assert.deepEqual(came, ["first", "first", "second"], "a view that is gone hears nothing");
  endSecond();
  assert.ok([...model.callbacks.values()].every((all) => all.size === 0));
});

test("a part that came late, and one that was there, are loaded", async () => {
  // Node imports no blob:, so that a data: address stands in for it.
  const { createObjectURL, revokeObjectURL } = URL;
  const texts: Promise<string>[] = [];
  URL.createObjectURL = (blob) => {
    texts.push((blob as Blob).text());
    return "data:text/javascript,export const value = 1";
  };
  URL.revokeObjectURL = () => undefined;
  const model = new Model();
  model.state.part_many = text("many of a page that is loaded again");
  const end = parts.follow(model, () => undefined);
  assert.equal(await loaded("many"), 1);
  assert.match(await texts[0], /many of a page/);
  model.set("part_runs", text("runs that came late"));
  assert.equal(await loaded("runs"), 1);
  assert.match(await texts[1], /runs that came late/);
  end();
  Object.assign(URL, { createObjectURL, revokeObjectURL });
});
