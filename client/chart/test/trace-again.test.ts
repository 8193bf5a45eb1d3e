/** A trace that is read again keeps the columns that stay, and says the same as one that is read for the first time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BucketRing } from "../src/model/bucket-ring";
import { Trace } from "../src/model/buckets";
import { DELTA, decodeFrame, FLAG_STEPS } from "../src/wire/frame";
import { encodeFrame, type PackedSeries } from "./encode";

const STEP = 750;
const COLUMNS = ["time", "first", "last", "min", "max", "mean", "count", "gapFrom", "gapTo", "breaks"] as const;

/** Numbers from 0 to 1, the same for a seed. */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function facts(trace: Trace): unknown {
  const { n, lo, hi, integers, steps, stepMs, heldMs, endedMs, over } = trace;
  const columns = COLUMNS.map((name) => [...trace[name].subarray(0, n)]);
  return { n, lo, hi, integers, steps, stepMs, heldMs, endedMs, over, columns };
}

test("a trace that is read again says what a new one says", () => {
  let kept = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const random = randoms(seed);
    const upTo = (n: number): number => Math.floor(random() * n);
    const whole = seed % 3 === 0;
    const ring = new BucketRing();
    const again = new Trace();
    let bucket = 1_000_000;
    let base = 0;
    const series = (buckets: number): PackedSeries => {
      const empty = [0.02, 0.5][seed % 2];
      const value = (): number => (whole ? upTo(3) : 100 * random());
      const data = Array.from({ length: buckets }, (): PackedSeries["data"][number] => {
        if (random() < empty) return NaN;
        if (random() < 0.5) return value();
        const four = [value(), value(), value(), value()].sort((a, b) => a - b);
        return [four[1], four[0], four[3], four[2]];
      });
      const lastTimeMs = (bucket - upTo(3)) * STEP + upTo(STEP);
      const expectedMs = [NaN, STEP, 4 * STEP][upTo(3)];
      return { index: 0, base, data, lastTimeMs, lastValue: value(), expectedMs, flags: whole ? FLAG_STEPS : 0 };
    };
    const frame = (kind: number, first: number, buckets: number): boolean =>
      ring.apply(decodeFrame(encodeFrame({ kind, first, buckets, stepMs: STEP, series: [series(buckets)] })));
    frame(1, bucket - 99, 100);
    for (let turn = 0; turn < 80; turn++) {
      if (random() < 0.03) base = whole ? upTo(50) : 50 * random();
      if (random() < 0.02) frame(1, bucket - 99, 100);
      for (let frames = upTo(3); frames > 0; frames--) {
        const [back, on] = [random() < 0.1 ? upTo(30) : upTo(2), upTo(2)];
        bucket += on;
        assert.ok(frame(DELTA, bucket - on - back, on + back + 1));
      }
      const slot = ring.slots.get(0);
      assert.ok(slot);
      const far = random() < 0.1 ? upTo(20) : 0;
      const [startMs, endMs] = [(bucket - 80 - far) * STEP, (bucket + 1 - far) * STEP];
      const gapMs = [2, 3, 5][upTo(3)] * STEP;
      const fresh = new Trace();
      const before = again.n;
      again.read(ring, slot, startMs, endMs, gapMs, whole ? "auto" : "line");
      fresh.read(ring, slot, startMs, endMs, gapMs, whole ? "auto" : "line");
      if (before === again.n) kept++;
      for (const trace of [again, fresh]) trace.hold(slot, endMs);
      assert.deepEqual(facts(again), facts(fresh), `seed ${seed}, turn ${turn}`);
      if (random() < 0.02) again.clear();
    }
  }
  assert.ok(kept > 100, String(kept));
});

test("a trace that was moved in time is read anew", () => {
  const ring = new BucketRing();
  const data = Array.from({ length: 400 }, (_, i) => i);
  ring.apply(decodeFrame(encodeFrame({ kind: 1, first: 0, buckets: 400, stepMs: STEP, series: [{ index: 0, data }] })));
  const slot = ring.slots.get(0);
  assert.ok(slot);
  const again = new Trace();
  const read = (trace: Trace): Trace => {
    trace.read(ring, slot, 100 * STEP, 300 * STEP, 2 * STEP, "line");
    trace.shift(60 * STEP);
    return trace;
  };
  for (let turn = 0; turn < 4; turn++) assert.deepEqual(facts(read(again)), facts(read(new Trace())));
  assert.equal(again.time[again.indexAt(160 * STEP)], 160.5 * STEP);
  assert.equal(again.last[again.indexAt(160 * STEP)], 100);
});
