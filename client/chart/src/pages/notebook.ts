/** The notebook frame: one chart per metric of the pattern, fed by the kernel. */

import { h, icon, iconButton, Segments, setAttribute, setText, show } from "../base/dom";
import { plural } from "../base/format";
import { groupOf } from "../base/naming";
import { applyTokens, DARK, hostIsDark, type Tokens } from "../base/tokens";
import { GUTTER } from "../canvas/plot";
import { Chart } from "../chart/chart";
import { Crosshair } from "../chart/crosshair";
import type { Moment } from "../chart/moment";
import { bucketsFor } from "../model/buckets";
import { CHARTS, Session } from "../model/session";
import { shownSpan, Timeline } from "../model/timeline";
import { DEFAULT_WINDOW_MS, formatState, parseState, WINDOWS, windowName } from "../model/url";
import { ConnectionBadge } from "../panels/connection-badge";
import { waitingFor } from "../panels/connection-state";
import { type WidgetModel, WidgetPort } from "../wire/port";

const FPS = 5;
const TICK_MS = 250;
const IDLE_DRAW_MS = 1_000;
const MAX_BUCKETS = 1_000;
/** Charts of one frame; a wider pattern belongs on the dashboard. */
const MAX_CHARTS = 24;
const SPEAK_MS = 5_000;

export class NotebookFrame {
  readonly session: Session;
  readonly timeline: Timeline;
  #tokens: Tokens = DARK;
  readonly #charts = new Map<string, Chart>();
  readonly #body = h("div", { class: "nb-charts" });
  readonly #count = h("span", { class: "nb-count" });
  readonly #wait = h("p", { class: "nb-wait", "data-tw": "wait" });
  readonly #problem = h("p", { class: "nb-problem", role: "status", "data-tw": "problem" });
  readonly #windows: Segments<string>;
  readonly #pause: HTMLButtonElement;
  readonly #opener = h(
    "a",
    {
      class: "icon-button",
      target: "_blank",
      rel: "noopener",
      "aria-label": "Open in the dashboard",
      title: "Open in the dashboard",
      "data-tw": "open",
    },
    icon("open"),
  );
  readonly #badge: ConnectionBadge;
  /** Hides the snapshot beside this chart, which is for a notebook without a kernel. */
  readonly #cover = h("style", {});
  readonly #crosshair: Crosshair;
  readonly #port: WidgetPort;
  readonly #timer: number;
  readonly #resizer: ResizeObserver;
  readonly #watcher: IntersectionObserver;
  readonly #dark = window.matchMedia("(prefers-color-scheme: dark)");
  /** The host's theme is an attribute of its page, and may change under an open chart. */
  readonly #host = new MutationObserver(() => this.#applyTheme());
  #windowMs: number;
  #waiting = false;
  #drawnAt = 0;
  #spokenAt = 0;
  readonly #onVisible = (): void => {
    if (!document.hidden) this.#requestDraw();
  };
  readonly #onAddress = (): void => this.#address();
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
        if (what === "directory") this.#directory();
        this.#hideStill();
        this.#requestDraw();
      },
    );
    this.timeline = new Timeline(this.session);
    this.#badge = new ConnectionBadge(this);
    this.#crosshair = new Crosshair(
      () => [...this.#charts.values()],
      (span) => {
        this.timeline.zoomTo(shownSpan(span, this.session.now()));
        this.timeline.fetch(this.#indices(), this.#buckets(), this.#windowMs, () => this.#requestDraw());
      },
      () => this.#live(),
      (span) => {
        this.timeline.zoomTo(shownSpan(span, this.session.now()));
        this.#requestDraw();
      },
    );
    const presets = WINDOWS.slice(0, 4).map(([name]) => [name, name] as const);
    this.#windows = new Segments("Window", "windows", presets, (name) =>
      this.#setWindow(WINDOWS.find(([own]) => own === name)?.[1] ?? DEFAULT_WINDOW_MS, true),
    );
    this.#pause = iconButton("pause", "Pause", () => (this.timeline.paused ? this.#live() : this.#freeze()), "pause");
    const pattern = String(model.get("pattern") ?? "");
    const head = h(
      "div",
      { class: "nb-head" },
      h("strong", { "data-tw": "pattern" }, pattern),
      this.#count,
      this.#badge.element,
      h("span", { class: "grow" }),
      this.#windows.element,
      this.#pause,
    );
    head.append(this.#opener);
    root.append(this.#cover, head, this.#problem, this.#body, this.#wait);
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
    this.#windows.select(windowName(this.#windowMs));
    this.#timer = window.setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    if (document.hidden) return;
    this.#badge.draw();
    if (performance.now() - this.#drawnAt > IDLE_DRAW_MS) this.#requestDraw();
  }

  #hideStill(): void {
    const key = String(this.#model.get("still") ?? "");
    if (key === "" || this.#cover.textContent !== "" || !/^\w+$/.test(key)) return;
    const still = `[data-tidewire-still="${key}"]`;
    setText(this.#cover, `${still},.jp-OutputArea-child:has(${still}){display:none!important}`);
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

  #buckets(): number {
    return Math.min(
      MAX_BUCKETS,
      bucketsFor(this.#windowMs, Math.max(120, this.#root.clientWidth - GUTTER.left - GUTTER.right)),
    );
  }

  #requestViews(): void {
    if (this.#root.clientWidth === 0) return;
    this.session.requestView(CHARTS, { series: null, window_ms: this.#windowMs, buckets: this.#buckets(), fps: FPS });
  }

  #setWindow(windowMs: number, save: boolean): void {
    this.#live();
    if (windowMs === this.#windowMs) return;
    this.#windowMs = windowMs;
    this.#windows.select(windowName(windowMs));
    this.#address();
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
    const paused = this.timeline.paused;
    this.#pause.replaceChildren(icon(paused ? "play" : "pause"));
    setAttribute(this.#pause, "aria-label", paused ? "Back to live" : "Pause");
    this.#requestDraw();
  }

  #directory(): void {
    const { byMetric, measured } = this.session.directory;
    setText(this.#count, plural(measured.length, "series", "series"));
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
        chart = new Chart();
        this.#charts.set(metric, chart);
        this.#crosshair.attach(chart);
        this.#watcher.observe(chart.card.element);
      }
      chart.setSeries(byMetric.get(metric) ?? []);
      if (this.#body.children[i] !== chart.card.element)
        this.#body.insertBefore(chart.card.element, this.#body.children[i] ?? null);
    });
    this.#address(metrics);
  }

  /** Link to the same charts on the dashboard, if its address is known. */
  #address(metrics: readonly string[] = [...this.#charts.keys()]): void {
    const base = String(this.#model.get("dashboard_url") ?? "").replace(/\/$/, "");
    const known = /^https?:\/\//.test(base) && metrics.length > 0;
    show(this.#opener, known);
    if (!known) return;
    const charts = metrics.map((metric) => ({ series: [{ metric }], columns: metrics.length > 1 ? 6 : 12 }));
    this.#opener.href =
      base +
      formatState({ ...parseState("/d/x", "", ""), slug: groupOf(metrics[0]), windowMs: this.#windowMs, charts }, "");
  }

  #requestDraw(): void {
    if (this.#waiting || document.hidden) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  #draw(): void {
    const now = performance.now();
    this.#drawnAt = now;
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
      ring: timeline.ring(CHARTS),
      ...timeline.window(this.#windowMs),
      nowMs: timeline.now(),
      paused: timeline.paused,
      zoomed: timeline.zoom !== null,
      settled: true,
      offline:
        session.status?.state === "reconnecting" ||
        session.status?.state === "ended" ||
        session.link.state === "silent",
      tokens: this.#tokens,
      events: session.events,
      thresholds: session.thresholds,
      alarms: session.alarms,
      speak,
    };
    this.#crosshair.frame(moment);
    for (const chart of this.#charts.values()) chart.draw(moment);
  }

  destroy(): void {
    window.clearInterval(this.#timer);
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
