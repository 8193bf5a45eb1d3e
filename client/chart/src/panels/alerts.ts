/** Counts the series in alarm or silent, for the wall's footer and the tab's title. */

import { tileState } from "../canvas/tile";
import { freshness, isSilent } from "../model/freshness";
import { LIST, type Session } from "../model/session";

export interface Counts {
  /** Series that warn or are critical, and those of them that are critical. */
  alerts: number;
  critical: number;
  stale: number;
}

/** Counted this often. */
const EVERY_MS = 1_000;

export class Alerts {
  counts: Counts = { alerts: 0, critical: 0, stale: 0 };
  #countedAt = -Infinity;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Count, once a second; true if something changed. */
  draw(): boolean {
    const at = performance.now();
    if (at - this.#countedAt < EVERY_MS) return false;
    this.#countedAt = at;
    const session = this.#session;
    const nowMs = session.now();
    const before = this.counts;
    this.counts = { alerts: 0, critical: 0, stale: 0 };
    for (const series of session.directory.measured) {
      const slot = session.views[LIST].slots.get(series.index);
      if (!slot) continue;
      const state = tileState(slot, series, { nowMs, alarms: session.alarms });
      if (state === "critical") this.counts.critical++;
      if (state === "warn" || state === "critical") this.counts.alerts++;
      else if (isSilent(freshness(slot, nowMs))) this.counts.stale++;
    }
    return (
      before.alerts !== this.counts.alerts ||
      before.critical !== this.counts.critical ||
      before.stale !== this.counts.stale
    );
  }

  /** `(2) furnace · Tidewire` */
  title(page: string): string {
    const name = page ? `${page} · Tidewire` : "Tidewire";
    return this.counts.alerts > 0 ? `(${this.counts.alerts}) ${name}` : name;
  }
}
