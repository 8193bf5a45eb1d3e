/** How far the past of the charts of a page is here, and what a chart says until its own is. */
import type { Status } from "../wire/messages";

/** A service that has not sent the past of all charts by then answers slowly. */
const SLOW_MS = 10_000;

export class Loading {
  /** Charts of the page, and those whose past is here. */
  charts = 0;
  here = 0;
  #since = NaN;

  /** Note for each chart of the page whether its past is still to come. */
  update(charts: readonly boolean[], now: number): void {
    this.charts = charts.length;
    this.here = charts.filter((loading) => !loading).length;
    if (!this.pending) this.#since = NaN;
    else if (Number.isNaN(this.#since)) this.#since = now;
  }

  get pending(): boolean {
    return this.here < this.charts;
  }

  /** Return what the charts that lack their past say of it, longest first; nothing for the first ten seconds. */
  words(status: Status | null, now: number): string[] {
    if (status?.past_reason) return [`the past cannot be read: ${status.past_reason}`, "the past cannot be read"];
    if (!(now - this.#since > SLOW_MS)) return [];
    const still = `still loading, ${this.here} of ${this.charts}`;
    return [`${still}; the service answers slowly`, still];
  }

  /** Return the notice of the header; empty once all is here. */
  notice(status: Status | null): string {
    if (!this.pending) return "";
    if (status?.past_reason) return `Values are live; ${this.words(status, 0)[0]}`;
    return `Values are current · ${this.here} of ${this.charts} charts are here`;
  }
}
