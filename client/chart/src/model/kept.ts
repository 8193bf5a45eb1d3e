/** Asks what is kept of some series: the days that have readings, and when the first was read. */
import { wallMs } from "../base/zone";
import { Trace } from "./buckets";
import { lookedMs, MOST_SERIES } from "./looked";
import { type Session, SURVEY } from "./session";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Columns of a survey: no more than a chart costs. */
const MOST_COLUMNS = 800;

/** What is kept of some series. */
export interface Kept {
  /** Begin of the first column with a reading, ms; NaN if there is none. */
  firstMs: number;
  /** Days with a reading in the zone of the page, counted from the epoch. */
  days: ReadonlySet<number>;
}

/** Ask for what is kept of these series, in columns of an hour or as wide as they must be. */
export function survey(session: Session, series: readonly number[], done: (kept: Kept) => void): void {
  const nowMs = session.now();
  const longMs = lookedMs(session.status?.retention_ms);
  const columns = Math.max(2, Math.min(MOST_COLUMNS, Math.ceil(longMs / HOUR_MS)));
  const some = series.slice(0, MOST_SERIES);
  if (some.length === 0) return done({ firstMs: NaN, days: new Set() });
  session.requestRange(
    some,
    nowMs - longMs,
    nowMs,
    columns,
    (ring) => {
      const days = new Set<number>();
      let firstMs = NaN;
      const note = (at: number): void => {
        days.add(Math.floor(wallMs(at) / DAY_MS));
        if (!(at >= firstMs)) firstMs = at;
      };
      const trace = new Trace();
      for (const slot of ring.slots.values()) {
        trace.read(ring, slot, nowMs - longMs, nowMs, NaN);
        for (let i = 0; i < trace.n; i++) if (trace.count[i] > 0) note(trace.time[i] - trace.stepMs / 2);
        for (const [sinceMs] of slot.states) note(sinceMs);
      }
      done({ firstMs, days });
    },
    { lane: SURVEY },
  );
}
