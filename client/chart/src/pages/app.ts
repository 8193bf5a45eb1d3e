/**
 * Wires one viewer together: port, session, state in the URL, timeline, and the page that is shown.
 *
 * Over 300 lines, and no further seam: each change of the state touches the URL, the page, the header and the timeline in
 * an order that matters, so parts of this class would have to call back into it.
 */

import { Dialog } from "../base/dialog";
import { h, show } from "../base/dom";
import { Lazy } from "../base/lazy";
import { applyTokens, DARK, type Tokens } from "../base/tokens";
import { LOCAL, setZone } from "../base/zone";
import { type SavedDeck, SavedDecks } from "../model/saved-decks";
import { type Change, Session } from "../model/session";
import { Timeline } from "../model/timeline";
import {
  ALL_EVENTS,
  DEFAULT_WINDOW_MS,
  FRESH,
  formatState,
  type KeptColour,
  NO_EVENTS,
  type PageState,
  parseState,
  type Span,
} from "../model/url";
import { type Action, runKey } from "../panels/action";
import { Alerts } from "../panels/alerts";
import type { AppContext, Opener } from "../panels/app-context";
import { Footer } from "../panels/footer";
import { Header } from "../panels/header";
import { type Link, SocketPort } from "../wire/port";
import { pageActions } from "./actions";
import { DrawLoop } from "./draw-loop";
import type { Page } from "./page";
import { reloadOnce } from "./reload";
import { TimeControl } from "./time-control";

/** When the parts that nobody has asked for are fetched, ms after a page was opened: its charts come first. */
/** The keys of a page that is embedded: those that only move through time. */
const EMBED_KEYS = /^(?:[ [\]+=1-6-]|Escape)$/;
const WARM_AFTER_MS = 3_000;

/** Which page shows a state. */
const kindOf = ({ page, x }: PageState): "overview" | "deck" | "runs" =>
  page === "deck" && x && x !== "0" ? "runs" : page;

export interface AppOptions {
  root: HTMLElement;
  prefix: string;
  /** Whose token the page was opened with; empty without a log-in. */
  viewer: string;
  fallbackPage: "overview" | "deck";
  theme: () => string;
  socketAddress: () => string;
  /** Called when a page was first drawn. */
  drawn: () => void;
}

export class App implements AppContext {
  readonly session: Session;
  readonly timeline: Timeline;
  state: PageState;
  tokens: Tokens = DARK;
  #page: Page | null = null;
  readonly savedDecks: SavedDecks;
  readonly dialog = new Dialog();
  readonly saving: Lazy<Opener> = this.part(async () => new (await import("../panels/saving")).Saving(this));
  readonly latest: Lazy<Opener & { draw(): void }> = this.part(
    async () => new (await import("../panels/tables")).LatestValues(this),
  );
  readonly signIn: Lazy<Opener> = this.part(async () => new (await import("../panels/sign-in")).SignIn(this));
  readonly picker: Lazy<Opener> = this.part(async () => {
    const picker = new (await import("../panels/time-picker")).TimePicker(this);
    this.options.root.append(picker.element);
    return picker;
  });
  readonly turns = h("span", { class: "wall-turns", "data-tw": "wall-turns", "aria-hidden": "true", hidden: true });
  readonly header: Header;
  readonly time = new TimeControl(this);
  readonly alerts: Alerts;
  readonly #footer: Footer;
  readonly #always = pageActions(this);
  readonly #body = h("main", { class: "body" });
  readonly #heading = h("h1", { class: "spoken" });
  readonly #help = this.part(async () => {
    const help = new (await import("../panels/help")).HelpOverlay();
    this.options.root.append(help.element);
    return help;
  });
  readonly #empty = this.part(async () => {
    const empty = new (await import("./empty")).EmptyPage(this);
    this.#body.append(empty.element);
    return empty;
  });
  readonly #pages = {
    overview: this.part(async () => (await import("./overview")).openOverview),
    deck: this.part(async () => (await import("./charts")).openCharts),
    runs: this.part(async () => (await import("./charts")).loadRuns()),
  };
  readonly #toast = this.part(async () => {
    const toast = new (await import("../panels/toast")).Toast(() => this.#undoChange());
    this.options.root.append(toast.element);
    return toast;
  });
  readonly #port: SocketPort;
  readonly #dark = window.matchMedia("(prefers-color-scheme: dark)");
  readonly #loop = new DrawLoop(
    () => this.#draw(),
    () => {
      this.header.draw();
      this.#footer.draw();
    },
  );
  #firstDrawn = (): void => {
    this.#firstDrawn = () => undefined;
    // After this drawing: what it shows is complete then.
    queueMicrotask(this.options.drawn);
  };
  readonly #undo: (() => void)[] = [];

  constructor(readonly options: AppOptions) {
    this.state = parseState(location.pathname, location.search, options.prefix, options.fallbackPage);
    this.#applyZone();
    this.session = new Session(
      () => this.state.page,
      (what) => this.#onChange(what),
    );
    this.timeline = new Timeline(this.session);
    this.savedDecks = new SavedDecks(this.session.requests, () => this.#decksChanged());
    this.alerts = new Alerts(this.session);
    this.header = new Header(this);
    this.#footer = new Footer(this);
    this.#body.append(this.#heading);
    options.root.append(this.header.element, this.#body, this.#footer.wall, this.#footer.bar, this.dialog.element);
    this.applyTheme();
    this.#openPage();
    this.#port = new SocketPort(
      options.socketAddress,
      { text: (m) => this.session.onText(m), frame: (f) => this.session.onFrame(f), link: (l) => this.#onLink(l) },
      () => {
        this.coloursChanged(this.exported().colours);
        return reloadOnce();
      },
    );
    this.session.port = this.#port;
    this.#listen(window, "popstate", () => this.#onPopState());
    this.#listen(document, "visibilitychange", () => this.#visibility());
    this.#listen(window, "keydown", (event) => this.#key(event as KeyboardEvent));
    this.#listen(this.#dark, "change", () => this.applyTheme());
    this.#checkAddress(location.search);
  }

  /** Say what of the address cannot be read. */
  #checkAddress(search: string): void {
    if (search === "") return;
    this.part(async () => (await import("../model/address-notice")).addressNotice).use((noticeOf) => {
      const notice = noticeOf(search);
      if (notice) this.notify(notice);
    });
  }

  #listen(target: EventTarget, name: string, listener: (event: Event) => void): void {
    target.addEventListener(name, listener);
    this.#undo.push(() => target.removeEventListener(name, listener));
  }

  #onLink(link: Link): void {
    this.session.link = link;
    if (link.state !== "open") this.session.requests.rejectAll();
    if (link.state === "signed-out") this.signIn.use((dialog) => dialog.open());
    if (link.state === "open") {
      this.session.connected();
      if (!document.hidden) this.session.hello();
      this.savedDecks.connected();
    }
    this.header.draw();
    this.redraw();
    this.requestDraw();
  }

  /** Return a part of the page that is fetched when it is first used. */
  part<T>(load: () => Promise<T>): Lazy<T> {
    return new Lazy(load, () => this.notify("This part of the page could not be loaded: reload the page"));
  }

  /** Tell whether nothing new can arrive: the browser lost the dashboard, or the dashboard lost the service. */
  offline(): boolean {
    const lost =
      this.session.link.state === "waiting" ||
      this.session.link.attempts > 0 ||
      ["signed-out", "refused"].includes(this.session.link.state);
    const { status } = this.session;
    return lost || (status?.state === "reconnecting" && status.behind_ms === null) || status?.state === "ended";
  }

  #onChange(what: Change): void {
    if (what === "directory") {
      this.header.directoryChanged();
      this.#page?.directoryChanged();
    }
    if (what === "status") this.redraw();
    // The charts' frame of the same tick comes at once: one drawing, and one of all layers, does for both.
    if (what === "list" && this.state.page === "deck") this.#loop.requestSoon();
    else if (what !== "clock") this.requestDraw();
  }

  requestDraw(): void {
    this.#loop.request();
  }

  #draw(): void {
    this.session.counters.draws++;
    try {
      this.#drawParts();
    } finally {
      // Also after an error: without it no further frame is sent, and the page would stand still.
      this.session.acknowledge();
    }
  }

  #drawParts(): void {
    const { status, directory } = this.session;
    const nothing = status?.state === "live" && !status.metrics && directory.list.length === 0;
    if (this.#empty.here) show(this.#empty.here.element, nothing);
    show(this.#heading, !nothing);
    if (this.#page) show(this.#page.element, !nothing);
    this.options.root.classList.toggle("nothing", nothing);
    this.options.root.classList.toggle("kiosk", this.state.kiosk);
    this.options.root.classList.toggle("embed", this.state.embed);
    if (nothing) this.#empty.use((page) => page.draw());
    else this.#page?.draw();
    if (nothing || this.#page) this.#firstDrawn();
    if (this.alerts.draw()) this.#updateTitle();
    this.latest.here?.draw();
    this.header.draw();
    this.#footer.draw();
  }

  #visibility(): void {
    this.session.hello(document.hidden);
    if (document.hidden) return;
    this.redraw();
    this.requestDraw();
  }

  #onPopState(): void {
    const before = this.state;
    this.#toast.here?.hide();
    this.state = parseState(location.pathname, location.search, this.options.prefix, this.options.fallbackPage);
    this.#applyZone();
    this.applyTheme();
    if (kindOf(before) !== kindOf(this.state) || before.slug !== this.state.slug) this.#openPage();
    else {
      this.time.sync();
      this.#page?.stateChanged();
    }
    this.header.stateChanged();
    this.requestDraw();
  }

  #openPage(): void {
    this.timeline.resume();
    this.time.sync();
    this.dialog.close();
    const given = location.search.includes("w=");
    this.savedDecks.open(this.state.page === "deck" ? this.state.slug : "", (saved) => this.#onSavedDeck(saved, given));
    if (this.session.link.state === "open") this.savedDecks.connected();
    this.#heading.textContent = this.state.page === "deck" ? this.state.slug : "Overview";
    this.header.pageChanged();
    this.#footer.pageChanged();
    this.#updateTitle();
    this.#replacePage();
  }

  #replacePage(): void {
    this.#page?.destroy();
    this.#page = null;
    this.session.loading.update([], 0);
    this.session.gaze.charts([]);
    const wanted = kindOf(this.state);
    this.#pages[wanted].use((open) => {
      // Until its module was here, another page may have been asked for.
      if (wanted === kindOf(this.state) && !this.#page) this.#showPage(open(this));
    });
  }

  #showPage(page: Page): void {
    this.#page = page;
    this.#heading.after(page.element);
    this.header.pageChanged();
    page.directoryChanged();
    this.requestDraw();
    window.setTimeout(() => this.#warm(), WARM_AFTER_MS);
  }

  /** Fetch what a key may open, so that it opens also while the dashboard is away. */
  #warm(): void {
    for (const part of [this.#help, this.latest, this.saving, this.signIn, this.picker]) part.warm();
    this.header.warm();
    this.#page?.warm?.();
  }

  /** Apply the window, hidden series and colours of the saved deck, unless the URL has its own. */
  #onSavedDeck({ state }: SavedDeck, windowGiven: boolean): void {
    if (this.state.charts !== null) return;
    this.change({
      windowMs: windowGiven ? this.state.windowMs : state.windowMs,
      labels: Object.keys(this.state.labels).length ? this.state.labels : state.labels,
      select: this.state.select || state.select,
      hidden: this.state.hidden.length ? this.state.hidden : state.hidden,
      colours: this.state.colours.length ? this.state.colours : state.colours,
      x: this.state.x ?? state.x,
      smoothing: this.state.smoothing ?? state.smoothing,
      raw: this.state.raw ?? state.raw,
      runs: this.state.runs ?? state.runs,
      by: this.state.by ?? state.by,
      differing: this.state.differing ?? state.differing,
    });
  }

  #decksChanged(): void {
    this.#applyZone();
    this.header.directoryChanged();
    this.header.pageChanged();
    this.#page?.stateChanged();
    this.#updateTitle();
    this.requestDraw();
  }

  /** Go on with the saved deck after saving. */
  savedAs(slug: string): void {
    if (slug === this.state.slug) this.change({ charts: null });
    else this.visit("deck", slug);
  }

  /** Open a saved deck and drop the changes made here. */
  reopen(slug: string): void {
    if (slug !== this.state.slug) return this.visit("deck", slug);
    this.change({ ...FRESH }, true);
    void this.savedDecks.read();
  }

  #updateTitle(): void {
    document.title = this.alerts.title(
      this.state.page === "deck" ? (this.savedDecks.saved?.name ?? this.state.slug) : "",
    );
  }

  /** Say that the deck has so many charts more, or 0: others, and offer to undo it. */
  undoable(more: number): void {
    history.replaceState({ undo: true }, "");
    this.#toast.use((toast) => toast.show(more));
  }

  offerUndo(words: string, undo: () => void): void {
    this.#toast.use((toast) => toast.offer(words, undo));
  }

  /** Undo the last change of the deck, as Back does; false if the last step was another. */
  #undoChange(): boolean {
    if (this.#toast.here?.undo()) return true;
    if ((history.state as { undo?: boolean } | null)?.undo !== true) return false;
    history.back();
    return true;
  }

  /** Change the state and the URL; `push` adds a step to the browser's history. */
  change(part: Partial<PageState>, push = false): void {
    const before = this.state;
    this.state = { ...before, ...part };
    const address = formatState(this.state, this.options.prefix);
    if (push) history.pushState(null, "", address);
    else history.replaceState(history.state, "", address);
    if (part.theme !== undefined) this.applyTheme();
    this.#applyZone();
    if (before.zoom !== this.state.zoom) this.time.sync();
    else if (before.windowMs !== this.state.windowMs) this.time.live();
    if (before.page !== this.state.page || before.slug !== this.state.slug) this.#openPage();
    else if (kindOf(before) !== kindOf(this.state)) this.#replacePage();
    else this.#page?.stateChanged();
    this.header.stateChanged();
    this.requestDraw();
  }

  addressOf(part: Partial<PageState>): string {
    return formatState({ ...this.state, ...part }, this.options.prefix);
  }

  /** Set the span in state and URL, without a new layout. */
  timeChanged(zoom: Span | null): void {
    this.state = { ...this.state, zoom };
    history.replaceState(history.state, "", formatState(this.state, this.options.prefix));
    this.#page?.stateChanged();
    this.requestDraw();
  }

  /** Return which events the page shows. */
  eventsShown(): string {
    return this.state.events ?? this.savedDecks.saved?.state.events ?? ALL_EVENTS;
  }

  /** Write all times in the zone of the address, or else of the saved deck. */
  #applyZone(): void {
    setZone(this.state.zone ?? this.savedDecks?.saved?.state.zone ?? LOCAL);
  }

  /** Return how much earlier the span is with which the charts are compared, ms; 0: none. */
  compareMs(): number {
    return this.state.compareMs ?? this.savedDecks.saved?.state.compareMs ?? 0;
  }

  switchEvents(): void {
    this.change({ events: this.eventsShown() === NO_EVENTS ? ALL_EVENTS : NO_EVENTS });
  }

  /** Keep the colours of a deck in state and URL. */
  coloursChanged(colours: readonly KeptColour[]): void {
    const before = formatState(this.state, this.options.prefix);
    this.state = { ...this.state, colours };
    const address = formatState(this.state, this.options.prefix);
    if (address !== before) history.replaceState(history.state, "", address);
  }

  /** Draw the page without new readings. */
  redraw(): void {
    this.#page?.refresh();
  }

  /** Return the series whose new readings are counted while paused. */
  watched(): Iterable<number> {
    return this.#page?.watched() ?? [];
  }

  theme(): "dark" | "light" {
    const wanted = this.state.theme ?? this.options.theme();
    return wanted === "light" || wanted === "dark" ? wanted : this.#dark.matches ? "dark" : "light";
  }

  applyTheme(): void {
    this.tokens = applyTokens(this.options.root, this.theme());
    // The page behind the deck has the same colour when it is overscrolled.
    document.documentElement.dataset.theme = this.theme();
    this.header.stateChanged();
    this.#page?.stateChanged();
    this.requestDraw();
  }

  toggleTheme(): void {
    this.change({ theme: this.theme() === "dark" ? "light" : "dark" });
  }

  #key(event: KeyboardEvent): void {
    const target = event.composedPath()[0] as HTMLElement;
    const typing =
      (target instanceof HTMLInputElement && target.type !== "checkbox") ||
      target instanceof HTMLTextAreaElement ||
      target instanceof HTMLSelectElement ||
      target.isContentEditable;
    if (!typing && (event.ctrlKey || event.metaKey) && event.key === "z" && !event.altKey && this.#undoChange())
      event.preventDefault();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    // Space presses a focused button, and ticks.
    if (event.key === " " && (target instanceof HTMLButtonElement || target instanceof HTMLInputElement)) return;
    if (
      this.dialog.key(event) ||
      this.#help.here?.key(event) ||
      this.#page?.key(event) ||
      ((!this.state.embed || EMBED_KEYS.test(event.key)) && runKey(this.actions(), event.key, this.state.page))
    )
      event.preventDefault();
  }

  /** Return the actions of the page and of the app; those of the page come first. */
  actions(): Action[] {
    return [...(this.#page?.actions ?? []), ...this.#always];
  }

  openHelp(): void {
    this.#help.use((help) => help.open(this.#always, this.#page?.actions ?? []));
  }

  toggleDrawer(): void {
    this.#page?.toggleDrawer?.();
  }

  toggleSidebar(): void {
    this.#page?.toggleSidebar();
  }

  focusSearch(): void {
    this.#page?.focusSearch();
  }

  contents(): string {
    return this.#page?.contents ?? "";
  }

  focusContents(): void {
    this.#page?.focusContents();
  }

  /** Open a page in its default state. */
  visit(page: "overview" | "deck", slug: string): void {
    const saved = page === "deck" && this.savedDecks.decks.some((one) => one.slug === slug);
    this.change({ page, slug, ...FRESH, windowMs: saved ? DEFAULT_WINDOW_MS : this.state.windowMs }, true);
  }

  setWindow(windowMs: number): void {
    this.change({ windowMs, zoom: null });
    this.time.live();
  }

  /** Show a message in the header for a while. */
  notify(words: string): void {
    this.session.problem = words;
    this.header.draw();
  }

  /** Return the state with its charts and colours written out, so that series published later change nothing. */
  exported(): PageState {
    const written = this.#page?.written?.();
    if (!written) return this.state;
    const shown = this.eventsShown();
    const zone = this.state.zone ?? this.savedDecks.saved?.state.zone ?? null;
    const times = { zone, compareMs: this.compareMs() || null };
    return { ...this.state, ...written, ...times, embed: false, events: shown === ALL_EVENTS ? null : shown };
  }

  /** Return the address of the page as others shall see it, also after the dashboard has started anew. */
  sharedAddress(): string {
    return new URL(this.addressOf({ colours: this.exported().colours }), location.href).href;
  }

  debug(): ReturnType<Page["debug"]> {
    return this.#page?.debug() ?? [];
  }

  destroy(): void {
    this.#loop.destroy();
    for (const undo of this.#undo) undo();
    this.#page?.destroy();
    this.header.destroy();
    this.#port.close();
    this.options.root.remove();
  }
}
