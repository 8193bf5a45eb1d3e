/** The charts of a notebook over the steps of runs, or the time since each began: one chart per metric, a line per run. */

import { dashesOf } from "../base/colour";
import { h } from "../base/dom";
import type { Tokens } from "../base/tokens";
import { unitKey } from "../base/units";
import { Crosshair } from "../chart/crosshair";
import { RunChart, type RunTrace } from "../chart/run-chart";
import type { Directory } from "../model/directory";
import { drawnRuns, isSetting, placed, type Run, RunLines, runsOf, smoothingUnit } from "../model/runs";
import type { RunAxis, Span } from "../model/url";
import type { RunPoints, RunsAnswer } from "../wire/messages";

/** Room after the last point of the longest line, as a share of the axis. */
const AFTER = 0.015;

/** Said of a metric that no run has a line of, by the axis. */
const NOTHING: Partial<Readonly<Record<RunAxis, string>>> = {
  step: "No run has published a step of this: log(…, step=7), publish(…, step=7)",
  rel: "No run has published a number of this",
};

/** What the frame around it says at the moment. */
interface Now {
  tokens: Tokens;
  paused: boolean;
  offline: boolean;
}

export class NotebookRuns {
  readonly element = h("div", { class: "nb-charts", "data-tw": "runs" });
  readonly #charts = new Map<string, RunChart>();
  readonly #lines = new RunLines();
  readonly #crosshair: Crosshair;
  #answer: RunsAnswer | null = null;
  /** What has come while paused: the newest answer, and of each line its parts since the last whole one. */
  #newer: RunsAnswer | null = null;
  readonly #waiting = new Map<number, RunPoints[]>();
  #known: readonly Run[] = [];
  #runs: readonly Run[] = [];
  #zoom: Span | null = null;
  readonly #axis: RunAxis;
  readonly #directory: Directory;
  readonly #most: number;

  /** `redraw` is called when something has changed; at most so many charts are drawn. */
  constructor(directory: Directory, axis: RunAxis, most: number, redraw: () => void) {
    this.#directory = directory;
    this.#axis = axis;
    this.#most = most;
    const zoom = (span: Span | null): void => {
      this.#zoom = span;
      redraw();
    };
    this.#crosshair = new Crosshair(
      () => [...this.#charts.values()],
      zoom,
      () => zoom(null),
      zoom,
    );
  }

  /** Take what has changed; while paused what is drawn stays. */
  take(answer: RunsAnswer, paused: boolean): void {
    for (const part of answer.lines)
      this.#waiting.set(part.i, part.start === 0 ? [part] : [...(this.#waiting.get(part.i) ?? []), part]);
    this.#newer = answer;
    if (!paused) this.#show();
  }

  #show(): void {
    const answer = this.#newer;
    if (!answer) return;
    this.#newer = null;
    this.#lines.take([...this.#waiting.values()].flat());
    this.#waiting.clear();
    this.#answer = answer;
    this.#known = runsOf(answer.runs);
    const drawn = drawnRuns(this.#known, null, this.#axis);
    this.#runs = this.#known.filter(({ key }) => drawn.has(key));
    this.#reconcile();
  }

  /** How many runs are drawn; null while nothing is known. */
  get count(): number | null {
    return this.#answer && !(this.#answer.loading && this.#runs.length === 0) ? this.#runs.length : null;
  }

  get problem(): string {
    return this.#answer?.problem ?? "";
  }

  /** Whether there is neither a chart nor anything that says why. */
  get empty(): boolean {
    return this.#charts.size === 0 && this.problem === "";
  }

  key(event: KeyboardEvent): boolean {
    if (event.key !== "Escape" || !this.#zoom) return this.#crosshair.key(event);
    this.#zoom = null;
    return true;
  }

  /** The metrics that have a chart: settings have none. */
  #metrics(): string[] {
    const found = this.#known.flatMap(({ entry }) =>
      entry.metrics.flatMap(({ i }) => this.#directory.byIndex.get(i)?.metric ?? []),
    );
    return [...new Set(found)]
      .filter((metric) => !isSetting(metric))
      .sort()
      .slice(0, this.#most);
  }

  #reconcile(): void {
    const metrics = this.#metrics();
    for (const [metric, chart] of this.#charts) {
      if (metrics.includes(metric)) continue;
      chart.destroy();
      this.#charts.delete(metric);
    }
    metrics.forEach((metric, i) => {
      let chart = this.#charts.get(metric);
      if (!chart) {
        chart = new RunChart(() => undefined);
        chart.title = metric;
        this.#charts.set(metric, chart);
        this.#crosshair.attach(chart);
      }
      if (this.element.children[i] !== chart.card.element)
        this.element.insertBefore(chart.card.element, this.element.children[i] ?? null);
    });
  }

  draw({ tokens, paused, offline }: Now): void {
    if (!paused) this.#show();
    const traces = new Map([...this.#charts.keys()].map((metric) => [metric, this.#traces(metric)]));
    const lines = [...traces.values()].flat().map(({ x }) => x);
    const filled = lines.filter(({ length }) => length > 0);
    const last = Math.max(...filled.map((x) => x[x.length - 1]), 0);
    const first = Math.min(0, ...filled.map((x) => x[0]));
    const whole = { startMs: first, endMs: last + ((last - first) * AFTER || 1) };
    const zoom = this.#zoom;
    const span = zoom && zoom.startMs < whole.endMs && zoom.endMs > whole.startMs ? zoom : whole;
    this.#crosshair.frame(span);
    const unit = smoothingUnit(filled);
    for (const [metric, chart] of this.#charts) {
      const own = traces.get(metric) ?? [];
      const code = unitKey(own[0]?.series.unit ?? "");
      const refused = this.#answer?.refused[metric] ?? "";
      const none = own.length === 0;
      const loading = none && refused === "" && (this.#answer?.loading || this.#answer?.more);
      chart.traces = own.filter(({ series }) => unitKey(series.unit) === code);
      chart.card.nothing = refused || (NOTHING[this.#axis] ?? "");
      chart.card.absent(none && !loading, metric);
      if (loading) chart.card.loading(true, metric);
      else if (none) chart.clear();
      else chart.draw({ tokens, axis: this.#axis, span, raw: false, smoothing: 0, unit, raised: "", paused, offline });
    }
  }

  #traces(metric: string): RunTrace[] {
    const dashes = dashesOf(this.#runs.map((run) => this.#styleOf(run)));
    return this.#runs.flatMap((run, at): RunTrace[] => {
      const series = run.entry.metrics
        .map(({ i }) => this.#directory.byIndex.get(i))
        .find((one) => one?.metric === metric);
      const line = series && this.#lines.get(series.index);
      if (!series || !line || line.x.length === 0) return [];
      const { key, name, entry } = run;
      const x = placed(line.x, this.#axis, entry.start_ms);
      const style = this.#styleOf(run);
      return [
        { series, run: key, label: name, state: entry.state, style, dash: dashes[at], line, x, smooth: line.mean },
      ];
    });
  }

  /** A run has one colour in all charts: that of its first series. */
  #styleOf(run: Run): number {
    return run.entry.metrics.map(({ i }) => this.#directory.byIndex.get(i)).find(Boolean)?.style ?? 0;
  }

  debug(): Record<string, unknown>[] {
    return [...this.#charts.values()].map((chart) => chart.debug());
  }

  destroy(): void {
    for (const chart of this.#charts.values()) chart.destroy();
    this.element.remove();
  }
}
