/** The notebook frame: one chart per metric of the pattern, fed by the kernel. */

import { h, setAttribute, setText, show } from "../base/dom";
import { applyTokens, DARK, hostIsDark, type Tokens } from "../base/tokens";
import { edgesOf } from "../canvas/plot";
import { Chart } from "../chart/chart";
import { Crosshair } from "../chart/crosshair";
import type { Moment } from "../chart/moment";
import { type Columns, columnsOf } from "../model/columns";
import { allColours } from "../model/deck-colours";
import { CHARTS, Session } from "../model/session";
import { shownSpan, Timeline } from "../model/timeline";
import { ALL_EVENTS, DEFAULT_WINDOW_MS, NO_EVENTS } from "../model/url";
import { ConnectionBadge } from "../panels/connection-badge";
import { waitingFor } from "../panels/connection-state";
import { NotebookHead } from "../panels/notebook-head";
import { type WidgetModel, WidgetPort } from "../wire/port";
import { DrawLoop } from "./draw-loop";

const FPS = 5;
/** Charts of one frame; a wider pattern belongs on the dashboard. */
const MAX_CHARTS = 24;
const SPEAK_MS = 5_000;

export class NotebookFrame {
  readonly session: Session;
  readonly timeline: Timeline;
  #tokens: Tokens = DARK;
  readonly #charts = new Map<string, Chart>();
  readonly #body = h("div", { class: "nb-charts" });
  readonly #wait = h("p", { class: "nb-wait", "data-tw": "wait" });
  readonly #problem = h("p", { class: "nb-problem", role: "status", "data-tw": "problem" });
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
  readonly #model: WidgetModel;
  readonly #root: HTMLElement;

  constructor(model: WidgetModel, root: HTMLElement) {
    this.#model = model;
    this.#root = root;
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
      if (event.key === "Escape") this.#live();
      if (event.key === "n" && !event.ctrlKey && !event.metaKey && !event.altKey) this.#switchEvents();
      if (this.#crosshair.key(event)) {
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
      text: (message) => this.session.onText(message),
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

  #indices(): number[] {
    return this.session.directory.measured.map((series) => series.index);
  }

  /** All charts have one width. */
  #columns(windowMs: number): Columns {
    const charts = [...this.#charts.values()];
    const { left, right } = edgesOf(this.#root.clientWidth, devicePixelRatio);
    return columnsOf(windowMs, Math.max(2, charts.find(({ devicePx }) => devicePx > 0)?.devicePx ?? right - left));
  }

  #fetch(): void {
    const { startMs, endMs } = this.timeline.window(this.#windowMs);
    const part = { view: CHARTS, series: this.#indices(), columns: this.#columns(endMs - startMs) };
    this.timeline.fetch([part], this.#windowMs, () => this.#requestDraw());
  }

  #requestViews(): void {
    if (this.#root.clientWidth === 0) return;
    const buckets = this.#columns(this.#windowMs).count;
    this.session.requestView(CHARTS, { series: null, window_ms: this.#windowMs, buckets, fps: FPS });
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

  /** Keep one chart for each metric of the directory. */
  #updateCharts(): void {
    const { byMetric, measured } = this.session.directory;
    this.#head.setCount(measured.length);
    const metrics = [...new Set(measured.map(({ metric }) => metric))].slice(0, MAX_CHARTS);
    for (const [metric, chart] of this.#charts) {
      if (metrics.includes(metric)) continue;
      this.#watcher.unobserve(chart.card.element);
      chart.destroy();
      this.#charts.delete(metric);
    }
    metrics.forEach((metric, i) => {
      let chart = this.#charts.get(metric);
      if (!chart) {
        chart = new Chart(
          null,
          () => this.#requestViews(),
          () => this.#switchEvents(),
        );
        this.#charts.set(metric, chart);
        this.#crosshair.attach(chart);
        this.#watcher.observe(chart.card.element);
      }
      chart.setSeries(byMetric.get(metric) ?? []);
      if (this.#body.children[i] !== chart.card.element)
        this.#body.insertBefore(chart.card.element, this.#body.children[i] ?? null);
    });
    this.#updateLink(metrics);
  }

  #switchEvents(): void {
    this.#eventsShown = this.#eventsShown === NO_EVENTS ? ALL_EVENTS : NO_EVENTS;
    this.#requestDraw();
  }

  #updateLink(metrics: readonly string[] = [...this.#charts.keys()]): void {
    const { directory } = this.session;
    const colours = allColours(
      directory,
      metrics.flatMap((metric) => directory.byMetric.get(metric) ?? []),
    );
    this.#head.linkTo(String(this.#model.get("dashboard_url") ?? ""), metrics, this.#windowMs, colours);
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
    show(this.#wait, this.#charts.size === 0);
    const speak = now - this.#spokenAt > SPEAK_MS;
    if (speak) this.#spokenAt = now;
    const moment: Moment = {
      ring: () => timeline.ring(CHARTS),
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
    this.#dark.removeEventListener("change", this.#onTheme);
    this.#host.disconnect();
    document.removeEventListener("visibilitychange", this.#onVisible);
    this.#watcher.disconnect();
    this.#resizer.disconnect();
    this.#port.close();
    for (const chart of this.#charts.values()) chart.destroy();
    this.#root.remove();
  }
}
