/** The header: mark, pages, connection badge, pause bar, windows, and the icon buttons. */

import { h, icon, iconButton, mark, onFollow, Segments, setAttribute, setText, show } from "../base/dom";
import { compareText, longSpan } from "../base/format";
import type { Lazy } from "../base/lazy";
import { Menu, type MenuItem } from "../base/menu";
import { byName } from "../base/naming";
import { zoneText } from "../base/zone";
import { FRESH, WINDOWS, windowName } from "../model/url";
import type { AppContext } from "./app-context";
import { ConnectionBadge } from "./connection-badge";
import type { BadgeState } from "./connection-state";
import type { PauseBar } from "./pause-bar";

const NOTICE_MS = 8_000;

export class Header {
  readonly element: HTMLElement;
  readonly #badge: ConnectionBadge;
  readonly #centre: HTMLElement;
  readonly #pauseBar: Lazy<PauseBar>;
  readonly #overview: HTMLAnchorElement;
  readonly #deckName = h("span", {});
  readonly #windowName = h("span", {});
  readonly #decks: Menu;
  readonly #more: Menu;
  /** The windows as a menu, for narrow screens. */
  readonly #window: Menu;
  readonly #windows: Segments<string>;
  readonly timeButton: HTMLButtonElement;
  readonly #timeText = h("span", {});
  readonly #pause: HTMLButtonElement;
  /** The first stop of the Tab key, seen only while it is focused. */
  readonly #skip: HTMLButtonElement;
  readonly #theme: HTMLButtonElement;
  readonly #drawer: HTMLButtonElement;
  readonly #link: HTMLButtonElement;
  readonly #message = h("div", { class: "spoken", role: "status", "aria-live": "polite" });
  readonly #notice = h("span", { class: "notice", role: "status", "data-tw": "notice" });
  #noticeShown = "";
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#badge = new ConnectionBadge(app);
    this.#centre = h("div", { class: "centre" }, this.#notice);
    this.#pauseBar = app.part(async () => {
      const bar = new (await import("./pause-bar")).PauseBar(app);
      this.#centre.prepend(bar.element);
      return bar;
    });
    this.#overview = h("a", { class: "nav", "data-tw": "nav-overview", href: "#" }, "Overview");
    onFollow(this.#overview, () => app.visit("overview", ""));
    this.#decks = new Menu(
      h("button", { type: "button", class: "nav", "data-tw": "nav-decks" }, this.#deckName, icon("chevron", 14)),
      () => this.#deckItems(),
      "decks-menu",
    );
    this.#more = new Menu(
      iconButton("more", "More", () => undefined, "more"),
      () => this.#moreItems(),
      "more-menu",
    );
    this.#window = new Menu(
      h(
        "button",
        { type: "button", class: "button window-button", "data-tw": "window-menu" },
        this.#windowName,
        icon("chevron", 14),
      ),
      () => this.#windowItems(),
      "windows-menu",
    );
    this.#windows = new Segments(
      "Window",
      "windows",
      WINDOWS.map(([name]) => [name, name] as const),
      (name) => {
        const found = WINDOWS.find(([own]) => own === name);
        if (found) app.setWindow(found[1]);
      },
    );
    this.timeButton = h(
      "button",
      {
        type: "button",
        class: "button time-button",
        title: "Time: span, zone, comparison (p)",
        "aria-haspopup": "dialog",
        "aria-expanded": "false",
        "data-tw": "time-button",
        onclick: () => app.picker.use((picker) => picker.open()),
      },
      icon("calendar", 14),
      this.#timeText,
      icon("chevron", 14),
    );
    this.#skip = h("button", {
      type: "button",
      class: "button skip",
      "data-tw": "skip",
      onclick: () => app.focusContents(),
    });
    this.#pause = iconButton("pause", "Pause", () => app.time.toggle(), "pause");
    this.#link = iconButton("link", "Copy link", () => void this.copyLink(), "share");
    this.#drawer = iconButton(
      "deck",
      "Statistics, thresholds and export (f)",
      () => app.toggleDrawer(),
      "drawer-toggle",
    );
    this.#theme = iconButton("sun", "Toggle theme", () => app.toggleTheme(), "theme");
    this.element = h(
      "header",
      { class: "header" },
      this.#skip,
      h("span", { class: "brand" }, mark(), h("span", {}, "Tidewire")),
      h("span", { class: "sep" }),
      h("nav", { class: "pages", "aria-label": "Pages" }, this.#overview, this.#decks.element),
      this.#badge.element,
      this.#centre,
      this.#windows.element,
      this.#window.element,
      this.timeButton,
      h("div", { class: "icons" }, this.#pause, this.#link, this.#drawer, this.#theme, this.#more.element),
      this.#message,
    );
    this.pageChanged();
    this.stateChanged();
  }

  pageChanged(): void {
    const { page, slug } = this.#app.state;
    setAttribute(this.#overview, "aria-current", page === "overview" ? "page" : "false");
    setAttribute(this.#decks.button, "aria-current", page === "deck" ? "page" : "false");
    setText(this.#deckName, page === "deck" ? slug : "Decks");
    show(this.#drawer, page === "deck");
    setText(this.#skip, `Skip to the ${this.#app.contents()}`);
    this.stateChanged();
  }

  stateChanged(): void {
    const { savedDecks, state } = this.#app;
    if (state.page === "deck") {
      const unsaved = savedDecks.differs(this.#app.exported());
      setText(this.#deckName, (savedDecks.saved?.name ?? state.slug) + (unsaved ? " *" : ""));
      this.#decks.button.title = unsaved ? "Changed since it was saved (S: save)" : "";
    }
    setAttribute(this.#drawer, "aria-pressed", String(state.drawer !== null));
    this.#overview.href = this.#app.addressOf({ page: "overview", slug: "", ...FRESH });
    this.#windows.select(windowName(this.#app.state.windowMs));
    const dark = this.#app.theme() === "dark";
    this.#theme.replaceChildren(icon(dark ? "sun" : "moon"));
    setAttribute(this.#theme, "aria-label", dark ? "Light theme" : "Dark theme");
    this.#theme.title = dark ? "Light theme (t)" : "Dark theme (t)";
  }

  directoryChanged(): void {
    const some = this.#app.session.directory.list.length > 0 || this.#app.savedDecks.decks.length > 0;
    show(this.#decks.element, some || this.#app.state.page === "deck");
  }

  #deckItems(): MenuItem[] {
    const { session, state } = this.#app;
    const { decks } = this.#app.savedDecks;
    const taken = new Set(decks.map(({ slug }) => slug));
    const groups = session.directory.groups().filter((name) => name !== "annotations" && !taken.has(name));
    const link = (slug: string, text: string): MenuItem => ({
      text,
      href: this.#app.addressOf({ page: "deck", slug, ...FRESH }),
      choose: () => this.#app.visit("deck", slug),
      chosen: state.page === "deck" && state.slug === slug,
      hook: "deck-link",
    });
    const save: MenuItem[] =
      state.page === "deck"
        ? [
            {
              text: "Save this deck…",
              key: "S",
              choose: () => this.#app.saving.use((dialog) => dialog.open()),
              hook: "deck-save",
            },
          ]
        : [];
    const own = decks.length
      ? [
          { text: "Saved" },
          ...[...decks].sort((a, b) => byName(a.name, b.name)).map(({ slug, name }) => link(slug, name)),
        ]
      : [];
    const named = groups.length
      ? [...(decks.length ? [{ text: "By metric group" }] : []), ...groups.map((name) => link(name, name))]
      : [];
    return [...own, ...named, ...save];
  }

  #moreItems(): MenuItem[] {
    const { page } = this.#app.state;
    const actions = this.#app
      .actions()
      .filter((action) => action.menu && (action.page ?? page) === page)
      .map(({ keys, words, run }) => ({
        text: words,
        key: keys[0],
        choose: () => void run(keys[0]),
        hook: `more-${keys[0]}`,
      }));
    const { viewer } = this.#app.options;
    if (viewer === "") return actions;
    return [
      ...actions,
      { text: `Logged in as ${viewer}` },
      { text: "Log out", choose: () => this.#logOut(), hook: "log-out" },
    ];
  }

  /** Leave for the log-in page; a form, since a link of another site could log nobody out either. */
  #logOut(): void {
    const form = h("form", { method: "post", action: `${this.#app.options.prefix}/logout` });
    this.element.append(form);
    form.submit();
  }

  #windowItems(): MenuItem[] {
    return WINDOWS.map(([name, ms]) => ({
      text: name,
      choose: () => this.#app.setWindow(ms),
      chosen: ms === this.#app.state.windowMs,
    }));
  }

  openDecks(): void {
    this.#decks.open();
  }

  async copyLink(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.#app.sharedAddress());
      this.#link.replaceChildren(icon("check"));
      setText(this.#message, "Link copied");
      window.setTimeout(() => {
        this.#link.replaceChildren(icon("link"));
        setText(this.#message, "");
      }, 1_500);
    } catch {
      setText(this.#message, "Cannot copy the link; copy it from the address bar");
    }
  }

  /** Share the link by the system's dialog if there is one, or else copy it. */
  async share(): Promise<void> {
    if (typeof navigator.share !== "function") return this.copyLink();
    try {
      await navigator.share({ title: document.title, url: this.#app.sharedAddress() });
    } catch (error) {
      if ((error as Error).name !== "AbortError") await this.copyLink();
    }
  }

  badgeState(): BadgeState {
    return this.#badge.state;
  }

  /** Show a message for a while, or until the next one. */
  #drawNotice(): void {
    const { loading, status } = this.#app.session;
    const problem = this.#app.session.problem || loading.notice(status);
    if (problem === this.#noticeShown) return;
    this.#noticeShown = problem;
    setText(this.#notice, problem);
    this.#notice.title = problem;
    if (problem !== this.#app.session.problem) return;
    window.setTimeout(() => {
      if (this.#app.session.problem === problem) this.#app.session.problem = "";
    }, NOTICE_MS);
  }

  draw(): void {
    this.#drawNotice();
    this.#badge.draw();
    const paused = this.#app.timeline.paused;
    if (this.#pauseBar.here || paused) this.#pauseBar.use((bar) => bar.draw());
    if (this.#pause.getAttribute("aria-pressed") !== String(paused)) {
      this.#pause.replaceChildren(icon(paused ? "play" : "pause"));
      setAttribute(this.#pause, "aria-pressed", String(paused));
      setAttribute(this.#pause, "aria-label", paused ? "Back to live" : "Pause");
      this.#pause.title = paused ? "Back to live (space)" : "Pause (space)";
    }
    const name = this.#app.timeline.zoom ? null : windowName(this.#app.state.windowMs);
    this.#windows.select(name);
    setText(this.#windowName, name ?? "–");
    this.#drawTime(name);
  }

  /** Name the window if it is none of the segments, the zone, and what is compared with. */
  #drawTime(name: string | null): void {
    const compareMs = this.#app.state.page === "deck" ? this.#app.compareMs() : 0;
    const own = name && !WINDOWS.some(([preset]) => preset === name) ? longSpan(this.#app.state.windowMs) : "";
    const zone = zoneText(this.#app.timeline.now());
    const text = [own, zone, compareMs ? `vs ${compareText(compareMs)}` : ""].filter(Boolean).join(" · ");
    setText(this.#timeText, text);
    setAttribute(this.timeButton, "aria-label", `Time: ${text}`);
  }

  /** Fetch what a key may show. */
  warm(): void {
    this.#pauseBar.warm();
  }

  destroy(): void {
    for (const menu of [this.#decks, this.#more, this.#window]) menu.destroy();
  }
}
