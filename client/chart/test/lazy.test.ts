/** Parts of a page that are fetched when they are first asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lazy } from "../src/base/lazy";

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

test("a part is fetched once, and then used at once", async () => {
  let fetched = 0;
  const used: string[] = [];
  const part = new Lazy<string>(
    async () => `part ${++fetched}`,
    (): void => assert.fail("it can be fetched"),
  );
  part.use((one) => used.push(`${one} first`));
  part.use((one) => used.push(`${one} second`));
  assert.equal(used.length, 0);
  assert.equal(part.awaited, true, "what is typed now is meant for it");
  await settled();
  await settled();
  assert.equal(part.awaited, false);
  part.use((one) => used.push(`${one} third`));
  assert.deepEqual(used, ["part 1 first", "part 1 second", "part 1 third"]);
});

test("what cannot be fetched is said, and fetched when it is asked for again", async () => {
  let away = true;
  let said = 0;
  const used: string[] = [];
  const part = new Lazy<string>(
    async () => {
      if (away) throw new TypeError("Failed to fetch");
      return "part";
    },
    () => said++,
  );
  part.warm();
  await settled();
  assert.equal(said, 0, "nobody asked for it");
  part.use((one) => used.push(one));
  await settled();
  assert.deepEqual([said, used, part.here], [1, [], null]);
  away = false;
  part.use((one) => used.push(one));
  await settled();
  assert.deepEqual([said, used], [1, ["part"]]);
});

test("an error of what is done with a part is not taken for a fetch that failed", async () => {
  const part = new Lazy(
    async () => "part",
    (): void => assert.fail("it was fetched"),
  );
  part.warm();
  await settled();
  assert.throws(() => part.use(() => assert.fail("own error")), /own error/);
});
