/** Finds the reading that is nearest to a span without any: the newest before it is known, the first after it is looked for. */
import { Trace } from "./buckets";
import { type Session, SURVEY } from "./session";
import type { Span } from "./url";

const MOST_COLUMNS = 800;
/** Series that are looked through, as many as a viewer may ask for. */
const MOST_SERIES = 100;
/** What was found is as exact as this share of the span: it shows the reading then. */
const EXACT = 0.25;
const MOST_LOOKS = 4;

/** Ask for the begin of the first column with a reading in a stretch of time, and how wide it is; NaN if there is none. */
function firstIn(session: Session, series: readonly number[], { startMs, endMs }: Span): Promise<[number, number]> {
  return new Promise((done) => {
    session.requestRange(
      series.slice(0, MOST_SERIES),
      startMs,
      endMs,
      MOST_COLUMNS,
      (ring) => {
        let first = NaN;
        const trace = new Trace();
        for (const slot of ring.slots.values()) {
          trace.read(ring, slot, startMs, endMs, NaN);
          let k = 0;
          while (k < trace.n && trace.count[k] === 0) k++;
          const times = [...(k < trace.n ? [trace.time[k] - trace.stepMs / 2] : []), ...slot.states.map(([at]) => at)];
          for (const at of times) if (at >= startMs - ring.stepMs && !(at >= first)) first = at;
        }
        done([Math.max(startMs, first), ring.stepMs]);
      },
      { lane: SURVEY },
    );
  });
}

/**
 * Return the time of the reading that is nearest to a span, NaN if none is kept. `beforeMs` is the newest before the span, NaN
 * without one. One after another: a survey of another time would replace the one before.
 */
export async function nearestReading(
  session: Session,
  series: readonly number[],
  span: Span,
  beforeMs: number,
): Promise<number> {
  const nowMs = session.now();
  // Nothing after the span is nearer than what lies so much before it.
  const reach = Number.isNaN(beforeMs) ? Infinity : span.startMs - beforeMs;
  let [startMs, endMs] = [span.endMs, Math.min(nowMs, span.endMs + reach)];
  let after = NaN;
  for (let look = 0; look < MOST_LOOKS && endMs > startMs; look++) {
    const [first, stepMs] = await firstIn(session, series, { startMs, endMs });
    if (Number.isNaN(first)) break;
    after = first;
    if (stepMs <= (span.endMs - span.startMs) * EXACT) break;
    [startMs, endMs] = [first, first + stepMs];
  }
  return Number.isNaN(after) ? beforeMs : after;
}

/** Return a span as long as one that shows a reading near its end if it lies before, near its begin if after. */
export function spanAt({ startMs, endMs }: Span, timeMs: number): Span {
  const long = endMs - startMs;
  return timeMs < startMs
    ? { startMs: timeMs - 0.9 * long, endMs: timeMs + 0.1 * long }
    : { startMs: timeMs - 0.1 * long, endMs: timeMs + 0.9 * long };
}
