/** Finds the reading that is nearest to a span without any: the newest before it, or the first after it. */
import { Trace } from "./buckets";
import { lookedMs, MOST_SERIES } from "./looked";
import { type Session, SURVEY } from "./session";
import type { Span } from "./url";

const MOST_COLUMNS = 800;
/** What was found is as exact as this share of the span: it shows the reading then. */
const EXACT = 0.25;
const MOST_LOOKS = 4;

/** Ask for the first or the last column with a reading in a stretch of time; null if there is none. */
function columnIn(
  session: Session,
  series: readonly number[],
  { startMs, endMs }: Span,
  last: boolean,
): Promise<Span | null> {
  return new Promise((done) => {
    session.requestRange(
      series.slice(0, MOST_SERIES),
      startMs,
      endMs,
      MOST_COLUMNS,
      (ring) => {
        let found = NaN;
        const note = (at: number): void => {
          if (at >= startMs - ring.stepMs && at < endMs && !(last ? at <= found : at >= found)) found = at;
        };
        const trace = new Trace();
        for (const slot of ring.slots.values()) {
          // The middle of the last column may lie after the end.
          trace.read(ring, slot, startMs, endMs + ring.stepMs, NaN);
          for (let k = 0; k < trace.n; k++) if (trace.count[k] > 0) note(trace.time[k] - ring.stepMs / 2);
          for (const [sinceMs] of slot.states) note(sinceMs);
        }
        done(Number.isNaN(found) ? null : { startMs: found, endMs: found + ring.stepMs });
      },
      { lane: SURVEY },
    );
  });
}

/** Return about when the first or the last reading of a stretch was; NaN without one. */
async function edgeOf(
  session: Session,
  series: readonly number[],
  within: Span,
  last: boolean,
  exactMs: number,
): Promise<number> {
  let [stretch, time] = [within, NaN];
  for (let look = 0; look < MOST_LOOKS && stretch.endMs > stretch.startMs; look++) {
    const column = await columnIn(session, series, stretch, last);
    if (!column) break;
    time = Math.min(within.endMs, Math.max(within.startMs, last ? column.endMs : column.startMs));
    if (column.endMs - column.startMs <= exactMs) break;
    stretch = column;
  }
  return time;
}

/**
 * Return the time of the reading that is nearest to a span, NaN if there is none in what is looked through. One question after another: a survey of
 * another time would replace the one before.
 */
export async function nearestReading(session: Session, series: readonly number[], span: Span): Promise<number> {
  const nowMs = session.now();
  const exactMs = (span.endMs - span.startMs) * EXACT;
  const oldest = Math.max(0, nowMs - lookedMs(session.status?.retention_ms));
  const before = await edgeOf(session, series, { startMs: oldest, endMs: span.startMs }, true, exactMs);
  const away = span.startMs - before;
  // Nothing after the span is nearer than what lies so much before it.
  const endMs = Math.min(nowMs, Number.isNaN(away) ? Infinity : span.endMs + away);
  const after = await edgeOf(session, series, { startMs: span.endMs, endMs }, false, exactMs);
  return Number.isNaN(after) ? before : after;
}

/** Return a span as long as one that shows a reading near its end if it lies before, near its begin if after. */
export function spanAt({ startMs, endMs }: Span, timeMs: number): Span {
  const long = endMs - startMs;
  return timeMs <= startMs
    ? { startMs: timeMs - 0.7 * long, endMs: timeMs + 0.3 * long }
    : { startMs: timeMs - 0.3 * long, endMs: timeMs + 0.7 * long };
}
