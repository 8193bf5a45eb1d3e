/** The notebook frame: one chart per metric of the patterns and one per formula, fed by the kernel. */

import { h, setAttribute, setText, show } from "../base/dom";
import { Lazy } from "../base/lazy";
import { chartTitle } from "../base/naming";
import { parts } from "../base/parts";
import { applyTokens, DARK, hostIsDark, type Tokens } from "../base/tokens";
import { edgesOf } from "../canvas/plot";
import { Chart } from "../chart/chart";
import { Crosshair } from "../chart/crosshair";
import type { Moment } from "../chart/moment";
import { tagsOf } from "../model/axis-options";
import type { ViewPart } from "../model/chart-views";
import { type Columns, columnsOf, leastPx, sourceOf } from "../model/columns";
import { allColours } from "../model/deck-colours";
import { KINDS } from "../model/kinds";
import { isMany, resolve } from "../model/layout";
import { CHARTS, NO_VIEW, Session } from "../model/session";
import { shownSpan, Timeline } from "../model/timeline";
import { ALL_EVENTS, type ChartSpec, DEFAULT_WINDOW_MS, NO_EVENTS, VIEWS } from "../model/url";
import { ConnectionBadge } from "../panels/connection-badge";
import { waitingFor } from "../panels/connection-state";
import { dress } from "../panels/formula-card";
import { NotebookHead } from "../panels/notebook-head";
import type { PythonMessage } from "../wire/messages";
import { type WidgetModel, WidgetPort } from "../wire/port";
import { DrawLoop } from "./draw-loop";
import type { NotebookRuns } from "./notebook-runs";

const FPS = 5;
/** Charts of one frame; a wider pattern belongs on the dashboard. As Python has it, in `frame_pusher.py`. */
const MAX_CHARTS = 24;
const COLUMNS = 12;
const SPEAK_MS = 5_000;

export class NotebookFrame {
  readonly session: Session;
  readonly timeline: Timeline;
  #tokens: Tokens = DARK;
  readonly #charts = new Map<string, Chart>();
  readonly #specs = new Map<Chart, ChartSpec>();
  /** The view that the kernel gave a formula, or what summarizes one: see `sourceOf`. */
  readonly #views = new Map<string, number>();
  readonly #many = new Lazy(
    () => import("../panels/many"),
    () => undefined, // its text comes with the next change of the widget's parts
  );
  readonly #body = h("div", { class: "nb-charts" });
  readonly #wait = h("p", { class: "nb-wait", "data-tw": "wait" });
  readonly #problem = h("p", { class: "nb-problem", role: "status", "data-tw": "problem" });
  /** What draws runs over their steps, or the time since they began, in the place of the charts. */
  readonly #runs = new Lazy(
    async () => this.#openRuns((await import("./notebook-runs")).NotebookRuns),
    () => undefined,
  );
  readonly #badge: ConnectionBadge;
  readonly #head: NotebookHead;
  /** Hides the snapshot before this chart, which is for a notebook without a kernel. */
  readonly #snapshotStyle = h("style", {});
  readonly #crosshair: Crosshair;
  readonly #port: WidgetPort;
  readonly #loop = new DrawLoop(
    () => this.#draw(),
    () => this.#badge.draw(),
  );
  readonly #resizer: ResizeObserver;
  readonly #watcher: IntersectionObserver;
  readonly #dark = window.matchMedia("(prefers-color-scheme: dark)");
  /** The host's theme is an attribute of its page, and may change under an open chart. */
  readonly #host = new MutationObserver(() => this.#applyTheme());
  #windowMs: number;
  #spokenAt = 0;
  #eventsShown = ALL_EVENTS;
  readonly #onVisible = (): void => this.#requestDraw();
  readonly #onAddress = (): void => this.#updateLink();
  readonly #onTheme = (): void => this.#applyTheme();
  readonly #onWindow = (): void => this.#setWindow(Number(this.#model.get("window_ms")) || DEFAULT_WINDOW_MS, false);
  readonly #endParts: () => void;
  readonly #model: WidgetModel;
  readonly #root: HTMLElement;

  constructor(model: WidgetModel, root: HTMLElement) {
    this.#model = model;
    this.#root = root;
    this.#endParts = parts.follow(model, () => this.#updateCharts());
    this.#windowMs = Number(model.get("window_ms")) || DEFAULT_WINDOW_MS;
    this.session = new Session(
      () => "deck",
      (what) => {
        if (what === "directory") this.#updateCharts();
        this.#hideSnapshot();
        this.#requestDraw();
      },
    );
    this.timeline = new Timeline(this.session);
    this.#badge = new ConnectionBadge(this);
    this.#crosshair = new Crosshair(
      () => [...this.#charts.values()],
      (span) => {
        this.timeline.zoomTo(shownSpan(span, this.session.now()));
        this.#fetch();
      },
      () => this.#live(),
      (span) => {
        this.timeline.zoomTo(shownSpan(span, this.session.now()));
        this.#requestDraw();
      },
    );
    const pattern = String(model.get("pattern") ?? "");
    this.#head = new NotebookHead(
      pattern,
      this.#badge.element,
      (windowMs) => this.#setWindow(windowMs, true),
      () => (this.timeline.paused ? this.#live() : this.#freeze()),
    );
    root.append(this.#snapshotStyle, this.#head.element, this.#problem, this.#body, this.#wait);
    setAttribute(root, "role", "region");
    setAttribute(root, "aria-label", `Live charts of ${pattern}`);
    this.#applyTheme();
    this.#watcher = new IntersectionObserver((entries) => {
      for (const entry of entries)
        for (const chart of this.#charts.values())
          if (chart.card.element === entry.target) chart.visible = entry.isIntersecting;
      this.#requestDraw();
    });
    this.#resizer = new ResizeObserver(() => {
      this.#requestViews();
      this.#requestDraw();
    });
    this.#resizer.observe(root);
    // Only while focused: the notebook has shortcuts of its own.
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#runs.here) this.#live();
      if (event.key === "n" && !event.ctrlKey && !event.metaKey && !event.altKey) this.#switchEvents();
      if (this.#runs.here ? this.#runs.here.key(event) : this.#crosshair.key(event)) {
        this.#requestDraw();
        event.preventDefault();
        event.stopPropagation();
      }
    });
    model.on("change:theme", this.#onTheme);
    model.on("change:window_ms", this.#onWindow);
    model.on("change:dashboard_url", this.#onAddress);
    this.#dark.addEventListener("change", this.#onTheme);
    for (const element of [document.documentElement, document.body]) this.#host.observe(element, { attributes: true });
    document.addEventListener("visibilitychange", this.#onVisible);
    this.#port = new WidgetPort(model, {
      text: (message) => this.#onText(message),
      frame: (data) => this.session.onFrame(data),
      link: (link) => {
        this.session.link = link;
        if (link.state === "open") {
          this.session.hello();
          this.#requestViews();
        }
        this.#requestDraw();
      },
    });
    this.session.port = this.#port;
    this.#head.setWindow(this.#windowMs);
    if (this.#axis !== "clock") this.#head.withoutWindows();
  }

  #hideSnapshot(): void {
    const key = String(this.#model.get("snapshot_key") ?? "");
    if (key === "" || this.#snapshotStyle.textContent !== "" || !/^\w+$/.test(key)) return;
    const snapshot = `[data-tidewire-snapshot="${key}"]`;
    setText(this.#snapshotStyle, `${snapshot},.jp-OutputArea-child:has(${snapshot}){display:none!important}`);
  }

  #applyTheme(): void {
    const wanted = this.#model.get("theme");
    const theme =
      wanted === "dark" || wanted === "light"
        ? wanted
        : (hostIsDark(document.body.dataset, document.documentElement.getAttribute("theme")) ?? this.#dark.matches)
          ? "dark"
          : "light";
    if (this.#root.dataset.theme === theme) return;
    this.#tokens = applyTokens(this.#root, theme);
    this.#requestDraw();
  }

  /** The x axis: runs begin together on all but the clock. */
  get #axis(): "clock" | "step" | "rel" {
    const x = this.#model.get("x");
    return x === "step" || x === "rel" ? x : "clock";
  }

  #openRuns(Runs: typeof NotebookRuns): NotebookRuns {
    const runs = new Runs(this.session.directory, this.#axis === "rel" ? "rel" : "step", MAX_CHARTS, () =>
      this.#requestDraw(),
    );
    this.#body.replaceWith(runs.element);
    return runs;
  }

  #onText(message: PythonMessage): void {
    if (message.t === "runs")
      return this.#runs.use((runs) => {
        runs.take(message, this.timeline.paused);
        this.#requestDraw();
      });
    if (message.t === "formula" && message.view !== undefined) {
      this.#views.set(sourceOf(message.formula, message.summary), message.view);
      this.#requestViews();
    }
    this.session.onText(message);
  }

  #viewOf(source: string | undefined): number {
    return source === undefined ? CHARTS : (this.#views.get(source) ?? NO_VIEW);
  }

  /** All charts have one width. */
  #columns(windowMs: number, source?: string): Columns {
    const charts = [...this.#charts.values()];
    const { left, right } = edgesOf(this.#root.clientWidth, devicePixelRatio);
    const px = Math.max(2, charts.find(({ devicePx }) => devicePx > 0)?.devicePx ?? right - left);
    return columnsOf(windowMs, px, leastPx(px, source));
  }

  /** The views that the charts are drawn from: that of the series, and one of each formula or summary. */
  #parts(windowMs: number): ViewPart[] {
    const charts = [...this.#charts.values()];
    const own = charts.filter(({ formula }) => formula === undefined);
    const series = own.flatMap((chart) => chart.series.map(({ index }) => index));
    const sources = [...new Set(charts.flatMap(({ formula }) => (formula === undefined ? [] : [formula])))];
    return [
      { view: CHARTS, series, columns: this.#columns(windowMs) },
      ...sources
        .filter((source) => this.#views.has(source))
        .map((formula) => ({
          view: this.#viewOf(formula),
          series: [],
          columns: this.#columns(windowMs, formula),
          formula,
        })),
    ];
  }

  #fetch(): void {
    const { startMs, endMs } = this.timeline.window(this.#windowMs);
    this.timeline.fetch(this.#parts(endMs - startMs), this.#windowMs, () => this.#requestDraw());
  }

  #requestViews(): void {
    if (this.#root.clientWidth === 0) return;
    for (const { view, columns, formula } of this.#parts(this.#windowMs)) {
      const request = { series: null, window_ms: this.#windowMs, buckets: columns.count, fps: FPS };
      this.session.requestView(view, formula === undefined ? request : { ...request, series: [], formula });
    }
  }

  #setWindow(windowMs: number, save: boolean): void {
    this.#live();
    if (windowMs === this.#windowMs) return;
    this.#windowMs = windowMs;
    this.#head.setWindow(windowMs);
    this.#updateLink();
    if (save) {
      this.#model.set("window_ms", windowMs);
      this.#model.save_changes();
    }
    this.#requestViews();
  }

  #live(): void {
    this.timeline.resume();
    this.#paused();
  }

  #freeze(): void {
    this.timeline.pause();
    this.#paused();
  }

  #paused(): void {
    this.#head.setPaused(this.timeline.paused);
    this.#requestDraw();
  }

  /** What is drawn: a chart of each metric of the directory, and of each formula. */
  #drawn(): Map<string, ChartSpec> {
    const name = String(this.#model.get("kind") ?? "");
    const kind = KINDS.find((one) => one === name);
    const view = VIEWS.find((one) => one === name);
    const how = { columns: COLUMNS, ...(kind && { kind }), ...(view && { view }) };
    const formulas = (this.#model.get("formulas") ?? []) as readonly string[];
    const metrics = [...new Set(this.session.directory.measured.map(({ metric }) => metric))];
    const all: [string, ChartSpec][] = [
      ...metrics.map((metric): [string, ChartSpec] => [metric, { series: [{ metric }], ...how }]),
      ...formulas.map((formula): [string, ChartSpec] => [`=${formula}`, { series: [], formula, ...how }]),
    ];
    return new Map(all.slice(0, MAX_CHARTS));
  }

  #updateCharts(): void {
    const drawn = this.#axis === "clock" ? this.#drawn() : new Map<string, ChartSpec>();
    for (const [key, chart] of this.#charts) {
      if (drawn.has(key)) continue;
      this.#watcher.unobserve(chart.card.element);
      chart.destroy();
      this.#charts.delete(key);
      this.#specs.delete(chart);
    }
    [...drawn].forEach(([key, spec], i) => {
      const chart = this.#charts.get(key) ?? this.#create(key);
      this.#specs.set(chart, spec);
      this.#dress(chart, spec);
      if (this.#body.children[i] !== chart.card.element)
        this.#body.insertBefore(chart.card.element, this.#body.children[i] ?? null);
    });
    this.#requestViews();
    this.#updateLink();
  }

  #create(key: string): Chart {
    const chart = new Chart(
      null,
      () => this.#requestViews(),
      () => this.#switchEvents(),
    );
    this.#charts.set(key, chart);
    this.#crosshair.attach(chart);
    this.#watcher.observe(chart.card.element);
    return chart;
  }

  /** Show a chart as it is set, and its series. */
  #dress(chart: Chart, spec: ChartSpec): void {
    const { directory } = this.session;
    const { formula, kind = "auto" } = spec;
    const series = resolve(directory, spec);
    const title = formula ?? chartTitle(spec.series.map(({ metric }) => metric));
    chart.formula = formula;
    chart.drawAs(kind, {}, null);
    const tags = tagsOf(kind, {});
    if (formula === undefined) chart.card.tags(tags);
    else dress(chart.card, spec, directory.formula(formula)?.state, tags, null);
    if (!chart.many && !isMany(spec, { length: Math.max(series.length, this.#summarized(formula)) }))
      return chart.setSeries(series, title);
    this.#many.use((many) => {
      if (this.#specs.get(chart) !== spec) return;
      const page = { session: this.session, state: { embed: true } };
      many.dress({ chart, spec, series: resolve(directory, spec) }, title, page, () => undefined);
      this.#requestViews();
      this.#requestDraw();
    });
  }

  /** How many series of a formula a band stands for; 0 if none does. */
  #summarized(formula: string | undefined): number {
    return (formula && this.session.directory.formula(sourceOf(formula, "band"))?.state.of) || 0;
  }

  #switchEvents(): void {
    this.#eventsShown = this.#eventsShown === NO_EVENTS ? ALL_EVENTS : NO_EVENTS;
    this.#requestDraw();
  }

  #updateLink(): void {
    const { directory } = this.session;
    const specs = [...this.#drawn().values()];
    const colours = allColours(
      directory,
      specs.flatMap((spec) => resolve(directory, spec)),
    );
    const x = this.#axis === "clock" ? null : this.#axis;
    this.#head.linkTo(String(this.#model.get("dashboard_url") ?? ""), specs, this.#windowMs, colours, x);
  }

  #requestDraw(): void {
    this.#loop.request();
  }

  #draw(): void {
    const now = performance.now();
    this.session.counters.draws++;
    this.#badge.draw();
    const { timeline, session } = this;
    setText(this.#problem, session.problem);
    show(this.#problem, session.problem !== "");
    setText(this.#wait, waitingFor(String(this.#model.get("pattern") ?? ""), session.status));
    const runs = this.#runs.here;
    show(this.#wait, runs ? runs.empty : this.#charts.size === 0);
    // Before the kernel has read the catalogue, none is not yet nothing.
    if (this.#axis === "clock")
      this.#head.setCount(session.directory.measured.length || (session.status?.state === "live" ? 0 : null));
    if (runs) {
      this.#head.setCount(runs.count, "run", "runs");
      const offline = session.link.state === "silent" || session.status?.state === "ended";
      runs.draw({ tokens: this.#tokens, paused: timeline.paused, offline });
      setText(this.#problem, session.problem || runs.problem);
      show(this.#problem, this.#problem.textContent !== "");
    }
    const speak = now - this.#spokenAt > SPEAK_MS;
    if (speak) this.#spokenAt = now;
    const moment: Moment = {
      ring: (_, source) => timeline.ring(this.#viewOf(source)),
      ...timeline.window(this.#windowMs),
      nowMs: timeline.now(),
      paused: timeline.paused,
      zoomed: timeline.zoom !== null,
      settled: true,
      retentionMs: session.status?.retention_ms ?? null,
      offline:
        (session.status?.state === "reconnecting" && session.status.behind_ms === null) ||
        session.status?.state === "ended" ||
        session.link.state === "silent",
      pastWords: session.loading.words(session.status, now),
      tokens: this.#tokens,
      events: session.events,
      eventsShown: this.#eventsShown,
      thresholds: session.thresholds,
      alarms: session.alarms,
      prints: session.prints,
      alarmsSince: session.alarmsSince,
      speak,
    };
    this.#crosshair.frame(moment);
    const charts = [...this.#charts.values()];
    for (const chart of charts) chart.draw(moment);
    session.loading.update(timeline.paused ? [] : charts.map((chart) => chart.loading), now);
  }

  destroy(): void {
    this.#loop.destroy();
    this.#model.off("change:theme", this.#onTheme);
    this.#model.off("change:window_ms", this.#onWindow);
    this.#model.off("change:dashboard_url", this.#onAddress);
    this.#endParts();
    this.#dark.removeEventListener("change", this.#onTheme);
    this.#host.disconnect();
    document.removeEventListener("visibilitychange", this.#onVisible);
    this.#watcher.disconnect();
    this.#resizer.disconnect();
    this.#port.close();
    for (const chart of this.#charts.values()) chart.destroy();
    this.#runs.here?.destroy();
    this.#root.remove();
  }
}
