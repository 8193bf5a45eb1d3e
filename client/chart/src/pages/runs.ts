/**
 * The page of a deck over the steps of its runs, the time since they began, or the clock: a bar, the charts, and a table
 * of runs, which is its catalogue. Python is asked for what has changed once a second.
 */

import { dashesOf } from "../base/colour";
import { h, iconButton, setText, show } from "../base/dom";
import { formatNumber, plural } from "../base/format";
import type { Lazy } from "../base/lazy";
import { chartTitle } from "../base/naming";
import { unitKey } from "../base/units";
import { Crosshair } from "../chart/crosshair";
import { RunChart, type RunTrace } from "../chart/run-chart";
import { changedAxis } from "../model/axis-options";
import { allColours, changedColours, deckStyles, keptStyles } from "../model/deck-colours";
import { saveFile } from "../model/deck-file";
import type { Directory, Series } from "../model/directory";
import { DEFAULT_COLUMNS } from "../model/kinds";
import { withLabel } from "../model/labels";
import { changeChart, defaultCharts, hasLabels } from "../model/layout";
import {
  chartsByUnit,
  drawnRuns,
  isSetting,
  metricUnits,
  placed,
  type Run,
  RunLines,
  type RunOrder,
  refOfRun,
  runsOf,
  settingsOf,
  smoothed,
  smoothingUnit,
  type UnitChart,
} from "../model/runs";
import { LIST } from "../model/session";
import { type ChartSpec, type KeptColour, MOST_RUNS, type RunAxis, type Span, selects } from "../model/url";
import type { Action } from "../panels/action";
import type { AppContext } from "../panels/app-context";
import { LabelChips } from "../panels/label-chips";
import { RunBar, type RunBarOwner } from "../panels/run-bar";
import { RunTable, type RunTableOwner } from "../panels/run-table";
import type { SelectionBar } from "../panels/selection-bar";
import chipsCss from "../panels/tree-view.css";
import type { RunsAnswer } from "../wire/messages";
import type { Page } from "./page";
import css from "./runs.css";

/** Between two questions, ms; while something is still to come; and after one that failed. */
const ASK_MS = 1_000;
const SOON_MS = 150;
const AGAIN_MS = 3_000;
/** Metrics that are asked for at most, as Python has it. */
const MOST_METRICS = 32;
/** Lines that are asked for at most, as Python has it. */
const MOST_LINES = 2_000;
/** Room after the last point of the longest line, as a share of the axis. */
const AFTER = 0.015;
const DASH = [6, 3];
/** What has no step yet is told. */
const SNIPPET = 'tidewire.init("train", name="lr-0.03", config={"lr": 0.03})\ntidewire.log({"loss": 0.31}, step=7)';

/** Make the page of a deck over steps. */
export const openRuns = (app: AppContext): Page => new RunsPage(app);

/** The metrics of a chart that are drawn: none of a formula, or of settings alone. */
const metricsOf = ({ series }: ChartSpec): string[] => [
  ...new Set(series.map(({ metric }) => metric).filter((metric) => !isSetting(metric))),
];

interface Card extends UnitChart {
  at: number;
  chart: RunChart;
}

class RunsPage implements Page, RunBarOwner, RunTableOwner {
  readonly element = h("div", { class: "runs-page", "data-tw": "runs" });
  readonly actions: readonly Action[];
  readonly contents = "charts";
  readonly #scroller = h("div", { class: "runs-scroll", tabindex: "-1" });
  readonly #grid = h("div", { class: "grid", "data-tw": "grid" });
  readonly #problem = h("p", { class: "runs-problem", role: "status", "data-tw": "runs-problem" });
  readonly #empty: HTMLElement;
  readonly #bar: RunBar;
  /** Of all labels but the one that names a run. */
  readonly #chips: LabelChips;
  readonly #table: RunTable;
  readonly #crosshair: Crosshair;
  readonly #lines = new RunLines();
  #cards: Card[] = [];
  #answer: RunsAnswer | null = null;
  #runs: readonly Run[] = [];
  #drawn: ReadonlySet<string> = new Set();
  #styles = new Map<string, number>();
  #colours: readonly KeptColour[] | null = null;
  #zoom: Span | null = null;
  #raised = "";
  /** While the slider moves; null: as in the state. */
  #sliding: number | null = null;
  #timer = 0;
  #asking = false;
  #gone = false;
  #dirty = true;
  #asked = "";
  readonly #selection: Lazy<SelectionBar>;
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#chips = new LabelChips(app, () =>
      this.#metrics()
        .flatMap((metric) => this.#directory.byMetric.get(metric) ?? [])
        .map(({ labels }) => ({ labels: withLabel(labels, "run", null) })),
    );
    this.#bar = new RunBar(this, this.#chips.element);
    this.#table = new RunTable(this);
    this.#empty = h(
      "section",
      { class: "card runs-empty", "data-tw": "runs-empty" },
      h("h2", {}, "No run has published a step yet"),
      h("p", {}, "A reading has a step if its publisher gives it one:"),
      h("pre", { class: "code", tabindex: "0" }, SNIPPET),
      h("p", {}, "Each run is a label set, such as one value of the label run. Run time and Clock need no steps."),
    );
    this.#scroller.append(this.#problem, this.#empty, this.#grid, this.#table.element);
    this.#selection = app.part(async () => {
      const bar = new (await import("../panels/selection-bar")).SelectionBar(app);
      this.#scroller.prepend(bar.element);
      return bar;
    });
    this.element.append(h("style", {}, chipsCss, css), this.#bar.element, this.#scroller);
    show(this.#empty, false);
    show(this.#problem, false);
    this.#crosshair = new Crosshair(
      () => this.#cards.map(({ chart }) => chart),
      (span) => this.#zoomTo(span),
      () => this.#zoomTo(null),
      (span) => this.#zoomTo(span),
    );
    this.actions = [
      {
        keys: ["ArrowLeft", "ArrowRight"],
        shown: "← →",
        words: "Move the crosshair a step; with Shift, ten",
        run: () => false,
      },
      { keys: [], shown: "Esc", words: "Show all of x again", run: () => false },
    ];
    // The table of latest values needs the list; the charts of a live deck are not sent any more.
    for (const view of app.session.views.keys()) app.session.requestView(view, null);
    app.session.requestView(LIST, { series: null, window_ms: 60_000, buckets: 2, fps: 1 });
    this.#ask();
  }

  // -- what the bar and the table do -----------------------------------------------------------------------------

  setAxis(axis: RunAxis): void {
    if (axis === this.#axis) return;
    this.#zoom = null;
    this.#app.change({ x: axis }, true);
    this.#app.undoable(0);
  }

  setSmoothing(weight: number, done: boolean): void {
    this.#sliding = done ? null : weight;
    if (done) this.#app.change({ smoothing: weight });
    else this.refresh();
  }

  setRaw(raw: boolean): void {
    this.#app.change({ raw });
  }

  setDiffering(differing: boolean): void {
    this.#app.change({ differing });
  }

  leave(): void {
    this.#app.change({ x: this.#app.savedDecks.saved?.state.x ? "0" : null }, true);
  }

  drawOnly(keys: readonly string[]): void {
    const chosen = new Set(keys.slice(0, MOST_RUNS));
    if (keys.length > MOST_RUNS) this.#app.notify(`At most ${MOST_RUNS} runs are drawn at a time`);
    const runs = this.#runs.filter(({ key }) => chosen.has(key)).map(({ entry }) => refOfRun(entry));
    const usual = drawnRuns(this.#runs, null, this.#axis);
    const same = usual.size === chosen.size && [...usual].every((key) => chosen.has(key));
    // Where the saved deck chose others, the newest are a choice too.
    this.#app.change({ runs: same && !this.#app.savedDecks.saved?.state.runs ? null : runs });
  }

  sort(order: RunOrder | null): void {
    this.#app.change({ by: order ? `${order.down ? "-" : ""}${order.column}` : "" });
  }

  raise(key: string): void {
    if (key === this.#raised) return;
    this.#raised = this.#drawn.has(key) ? key : "";
    this.refresh();
  }

  // -- what is asked for -----------------------------------------------------------------------------------------

  get #axis(): RunAxis {
    return this.#app.state.x ?? "step";
  }

  get #smoothing(): number {
    return this.#sliding ?? this.#app.state.smoothing ?? 0;
  }

  get #directory(): Directory {
    return this.#app.session.directory;
  }

  #specs(): ChartSpec[] {
    const { state, savedDecks } = this.#app;
    return state.charts ?? savedDecks.charts ?? (savedDecks.reading ? [] : defaultCharts(this.#directory, state.slug));
  }

  /** The metrics of all charts, in their order. */
  #metrics(): string[] {
    return [...new Set(this.#specs().flatMap(metricsOf))].slice(0, MOST_METRICS);
  }

  #wanted(): number[] {
    const drawn = this.#runs.filter(({ key }) => this.#drawn.has(key));
    return drawn.flatMap(({ entry }) => entry.metrics.map(({ i }) => i)).slice(0, MOST_LINES);
  }

  #ask(): void {
    window.clearTimeout(this.#timer);
    if (this.#gone || this.#asking) return;
    const { session } = this.#app;
    const metrics = this.#metrics();
    if (
      document.hidden ||
      session.link.state !== "open" ||
      metrics.length === 0 ||
      (this.#frozen && this.#wanted().every((i) => this.#lines.get(i)))
    ) {
      this.#timer = window.setTimeout(() => this.#ask(), SOON_MS * 2);
      return;
    }
    const axis = this.#axis === "step" ? "step" : "time";
    const asked = `${axis} ${metrics.join("\0")}`;
    if (asked !== this.#asked) {
      this.#lines.clear();
      this.#chips.forget();
      this.#chips.update();
    }
    this.#asked = asked;
    const indices = this.#wanted();
    const lines = this.#lines.wanted(indices).filter(({ version }) => version === 0 || !this.#frozen);
    this.#asking = true;
    session.requests
      .send({ t: "runs", metrics, axis, lines }, true)
      .then(
        (answer) => {
          if (asked === this.#asked) this.#take(answer as RunsAnswer);
          return answer.loading || answer.more || this.#wanted().join() !== indices.join() ? SOON_MS : ASK_MS;
        },
        (error: Error) => {
          if (this.#app.session.link.state === "open") this.#say(error.message);
          return AGAIN_MS;
        },
      )
      .then((pauseMs) => {
        this.#asking = false;
        if (!this.#gone) this.#timer = window.setTimeout(() => this.#ask(), pauseMs);
      });
  }

  /** Whether the page shows what it showed when it was paused: then only lines that were not drawn are asked for. */
  get #frozen(): boolean {
    return this.#app.timeline.paused && this.#answer !== null;
  }

  /** Ask again at once: what is wanted has changed. */
  #askSoon(): void {
    if (this.#asking) return;
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#ask(), 0);
  }

  #take(answer: RunsAnswer): void {
    this.#lines.take(answer.lines);
    if (!this.#frozen) this.#answer = answer;
    this.#say(answer.problem);
    this.#choose();
    this.refresh();
  }

  /** Note which runs there are, which are drawn, and their colours. */
  #choose(): void {
    const { labels, runs, select } = this.#app.state;
    const known = runsOf(this.#answer?.runs ?? []);
    const wanted = Object.entries(labels);
    this.#runs = known.filter(
      ({ entry }) =>
        hasLabels({ labels: entry.labels } as Series, Object.fromEntries(wanted)) &&
        (select === "" || selects(select, entry.labels)),
    );
    if (select || this.#selection.here) this.#selection.use((bar) => bar.update());
    this.#drawn = drawnRuns(this.#runs, runs, this.#axis);
    this.#restyle();
    this.#reconcile();
  }

  #say(problem: string): void {
    const formulas = this.#specs().filter(({ formula }) => formula !== undefined).length;
    const elsewhere = formulas
      ? `${plural(formulas, "formula is", "formulas are")} drawn over time, on the live deck.`
      : "";
    const words = `${problem} ${elsewhere}`.trim();
    setText(this.#problem, words);
    show(this.#problem, words !== "");
  }

  #restyle(): void {
    const app = this.#app;
    const byMetric = this.#metrics().map((metric) => this.#directory.byMetric.get(metric) ?? []);
    if (app.state.colours !== this.#colours) this.#styles = keptStyles(app.state.colours);
    for (const [id, style] of deckStyles(this.#directory, byMetric, this.#styles)) this.#styles.set(id, style);
    this.#directory.restyle(this.#styles);
    this.#colours = changedColours([...new Set(byMetric.flat())], app.state.colours);
    app.coloursChanged(this.#colours);
  }

  /** Return the style of a run: that of its series in the first metric it has. */
  #styleOf(run: Run): number {
    const series = run.entry.metrics.map(({ i }) => this.#directory.byIndex.get(i)).find(Boolean);
    return series?.style ?? 0;
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  #reconcile(): void {
    const specs = this.#specs();
    const cards = specs.flatMap((spec, at) => this.#byUnit(metricsOf(spec)).map((own) => ({ spec, at, ...own })));
    while (this.#cards.length > cards.length) this.#cards.pop()?.chart.destroy();
    cards.forEach(({ spec, at, metrics, unit, left }, i) => {
      let card = this.#cards[i];
      if (!card) {
        const chart = new RunChart((series, alone) => this.#pressed(series, alone));
        this.#crosshair.attach(chart);
        card = this.#cards[i] = { at, chart, metrics, unit, left };
        this.#grid.append(chart.card.element);
        chart.card.loading(true, "Loading");
      }
      card.at = at;
      Object.assign(card, { metrics, unit, left });
      card.chart.card.third(left ? `${plural(left, "other unit is", "other units are")} not drawn` : "", null);
      card.chart.title = chartTitle([...card.metrics]);
      card.chart.axisOptions = spec.axis ?? {};
      card.chart.byValue = spec.byValue ?? false;
      const { element } = card.chart.card;
      const columns =
        spec.columns === DEFAULT_COLUMNS && cards.length < 5 ? (cards.length === 1 ? 12 : 6) : spec.columns;
      element.style.gridColumn = `span ${columns}`;
      element.dataset.columns = String(columns);
      this.#buttons(card);
    });
    show(this.#grid, cards.length > 0);
  }

  /** Divide a chart by the units of the runs that are drawn, or if none is of all. */
  #byUnit(metrics: readonly string[]): UnitChart[] {
    const drawn = this.#runs.filter(({ key }) => this.#drawn.has(key)).flatMap((run) => this.#seriesOf(run));
    const all = metrics.flatMap((metric) => this.#directory.byMetric.get(metric) ?? []);
    return metrics.length ? chartsByUnit(metrics, drawn.length ? drawn : all) : [];
  }

  #seriesOf(run: Run): Series[] {
    return run.entry.metrics.flatMap(({ i }) => this.#directory.byIndex.get(i) ?? []);
  }

  #buttons({ chart, at }: Card): void {
    const { menu } = chart.card;
    const key = `${chart.title} ${chart.axisOptions.log ?? false}`;
    if (menu.dataset.key === key) return;
    menu.dataset.key = key;
    const log = iconButton(
      "axis",
      `Logarithmic y axis of ${chart.title}, or linear`,
      () => this.#switchLog(at),
      "chart-log",
      14,
    );
    log.setAttribute("aria-pressed", String(chart.axisOptions.log ?? false));
    const png = iconButton("open", `Download ${chart.title} as PNG`, () => this.#download(chart), "chart-png", 14);
    menu.replaceChildren(h("div", { class: "card-buttons" }, log, png));
  }

  #switchLog(at: number): void {
    const specs = this.#specs();
    const log = specs[at].axis?.log ? undefined : true;
    this.#app.change({ charts: changeChart(specs, at, { axis: changedAxis(specs[at].axis, { log }) }) }, true);
    this.#app.undoable(0);
  }

  #download(chart: RunChart): void {
    chart.png().then(
      (image) => saveFile(image, `${chart.title}-by-${this.#axis}.png`),
      (error: Error) => this.#app.notify(error.message),
    );
  }

  /** A press on a legend switches a run off; alone: all others. */
  #pressed(series: Series, alone: boolean): void {
    const key = this.#runs.find(({ entry }) => entry.metrics.some(({ i }) => i === series.index))?.key;
    if (key !== undefined) this.drawOnly(alone ? [key] : [...this.#drawn].filter((one) => one !== key));
  }

  #zoomTo(span: Span | null): void {
    this.#zoom = span;
    this.refresh();
  }

  /** The lines of each chart. */
  #tracesOf(unitOf: (lines: readonly (readonly number[])[]) => number): [Card, RunTrace[]][] {
    const axis = this.#axis;
    const drawn = this.#runs.filter(({ key }) => this.#drawn.has(key));
    const found = this.#cards.map((card): [Card, Omit<RunTrace, "smooth">[]] => {
      const dashes = card.metrics.length > 1 ? drawn.map(() => []) : dashesOf(drawn.map((run) => this.#styleOf(run)));
      // Of several metrics a dash tells the metric.
      const lines = drawn.flatMap((run, at) =>
        card.metrics.flatMap((metric, order): Omit<RunTrace, "smooth">[] => {
          const own = this.#seriesOf(run).find(
            (series) => series.metric === metric && (card.unit === null || unitKey(series.unit) === card.unit),
          );
          const line = own && this.#lines.get(own.index);
          if (!own || !line || line.x.length === 0) return [];
          const label = card.metrics.length > 1 ? `${run.name} ${own.name}` : run.name;
          const dash = order === 0 ? dashes[at] : DASH;
          const x = placed(line.x, axis, run.entry.start_ms);
          return [
            { series: own, run: run.key, label, state: run.entry.state, style: this.#styleOf(run), dash, line, x },
          ];
        }),
      );
      return [card, lines];
    });
    const unit = unitOf(found.flatMap(([, lines]) => lines.map(({ x }) => x)));
    return found.map(([card, lines]) => [
      card,
      lines.map((one) => ({ ...one, smooth: smoothed(one.x, one.line.mean, this.#smoothing, unit) })),
    ]);
  }

  #paint(): void {
    this.#dirty = false;
    const { tokens, timeline, state } = this.#app;
    const axis = this.#axis;
    let span: Span = { startMs: 0, endMs: 1 };
    let unit = 1;
    const traces = this.#tracesOf((lines) => {
      const filled = lines.filter(({ length }) => length > 0);
      const last = Math.max(...filled.map((x) => x[x.length - 1]));
      const first = Math.min(...filled.map((x) => x[0]));
      if (filled.length > 0) {
        const startMs = axis === "time" ? first : Math.min(0, first);
        span = { startMs, endMs: last + ((last - startMs) * AFTER || 1) };
      }
      unit = smoothingUnit(filled);
      return unit;
    });
    const shown = this.#zoom && this.#zoom.startMs < span.endMs && this.#zoom.endMs > span.startMs ? this.#zoom : span;
    this.element.classList.toggle("zoomed", shown !== span);
    this.#crosshair.frame(shown);
    const answer = this.#answer;
    const steps = this.#runs.some(({ entry }) => entry.step !== null);
    // Of formulas alone there is nothing to ask for.
    const none = this.#cards.length === 0 && this.#directory.list.length > 0 && !this.#app.savedDecks.reading;
    const refusals = new Map(Object.entries(answer?.refused ?? {}));
    const empty = none || (answer !== null && !answer.loading && axis === "step" && !steps && refusals.size === 0);
    if (none) this.#say("This deck has no chart of published readings.");
    show(this.#empty, empty);
    show(this.#grid, !empty && this.#cards.length > 0);
    for (const [{ chart, metrics }, lines] of traces) {
      const refused = [...new Set(metrics.flatMap((metric) => refusals.get(metric) ?? []))].join(" ");
      chart.traces = lines;
      chart.card.nothing = refused;
      chart.card.absent(refused !== "" && lines.length === 0, chart.title);
      chart.card.fault(lines.length > 0 ? refused : "");
      if (refused && lines.length === 0) chart.clear();
      else if (answer === null || (answer.loading && lines.length === 0)) chart.card.loading(true, chart.title);
      else
        chart.draw({
          tokens,
          axis,
          span: shown,
          raw: state.raw ?? true,
          smoothing: this.#smoothing,
          unit,
          raised: this.#raised,
          paused: timeline.paused,
          offline: this.#app.offline(),
        });
    }
    const live = this.#runs.filter(({ entry }) => entry.state === "live").length;
    const drawn = this.#drawn.size;
    const count = answer
      ? `${formatNumber(drawn, 0)} of ${plural(this.#runs.length, "run", "runs")} shown · ${formatNumber(live, 0)} live`
      : none
        ? ""
        : "reading the runs…";
    this.#bar.update(axis, this.#smoothing, state.raw ?? true, state.differing ?? false, count);
    this.#fillTable();
  }

  #fillTable(): void {
    const answer = this.#answer;
    const { by } = this.#app.state;
    show(this.#table.element, this.#runs.length > 0);
    if (!answer) return;
    const left = [
      answer.of > answer.runs.length
        ? `The newest ${answer.runs.length} of ${formatNumber(answer.of, 0)} runs are listed.`
        : "",
      this.#drawn.size === MOST_RUNS && this.#runs.length > MOST_RUNS
        ? `At most ${MOST_RUNS} runs are drawn at a time.`
        : "",
    ];
    this.#table.update(
      {
        runs: this.#runs,
        drawn: this.#drawn,
        metrics: metricUnits(
          this.#metrics(),
          this.#runs.flatMap((run) => this.#seriesOf(run)),
        ).map((own) => ({
          ...own,
          of: (run) =>
            run.entry.metrics.find(({ i }) => {
              const series = this.#directory.byIndex.get(i);
              return series?.metric === own.metric && unitKey(series.unit) === unitKey(own.unit);
            }),
        })),
        settings: settingsOf(this.#runs, this.#app.state.differing ?? false),
        styles: new Map(this.#runs.map((run) => [run.key, this.#styleOf(run)])),
        order: by ? { column: by.replace(/^-/, ""), down: by.startsWith("-") } : null,
        tokens: this.#app.tokens,
        nowMs: this.#app.timeline.now(),
        raised: this.#raised,
      },
      left.filter(Boolean).join(" "),
    );
  }

  // -- as the app sees it ----------------------------------------------------------------------------------------

  directoryChanged(): void {
    this.stateChanged();
  }

  stateChanged(): void {
    this.#chips.update();
    if (this.#answer) this.#choose();
    else this.#reconcile();
    this.refresh();
    this.#askSoon();
  }

  draw(): void {
    if (this.#dirty) this.#paint();
  }

  refresh(): void {
    this.#dirty = true;
    this.#app.requestDraw();
  }

  key(event: KeyboardEvent): boolean {
    if (event.key !== "Escape" || !this.#zoom) return this.#crosshair.key(event);
    this.#zoomTo(null);
    return true;
  }

  focusSearch(): void {
    this.#table.element.focus();
  }

  focusContents(): void {
    (this.#cards[0]?.chart.card.plotHost ?? this.#scroller).focus();
  }

  toggleSidebar(): void {
    this.#table.element.classList.toggle("gone");
  }

  watched(): Iterable<number> {
    return new Set(this.#cards.flatMap(({ chart }) => chart.traces.map(({ series }) => series.index)));
  }

  written(): { charts: ChartSpec[]; colours: KeptColour[] } {
    const series = this.#metrics().flatMap((metric) => this.#directory.byMetric.get(metric) ?? []);
    return { charts: this.#specs(), colours: allColours(this.#directory, series) };
  }

  debug(): Record<string, unknown>[] {
    return this.#cards.map(({ chart }) => chart.debug());
  }

  destroy(): void {
    this.#gone = true;
    this.#chips.destroy();
    window.clearTimeout(this.#timer);
    for (const { chart } of this.#cards) chart.destroy();
    this.#directory.restyle(new Map());
    this.element.remove();
  }
}
