/** The header: mark, pages, connection chip, pause strip, windows, and the icon buttons. */
import type { App } from "./app";
import { Chip } from "./chip";
import { h, icon, iconButton, mark, Segments, setAttribute, setText, show } from "./dom";
import { PauseStrip } from "./strip";
import { WINDOWS, windowName } from "./url";

const NOTICE_MS = 8_000;

export class Header {
  readonly element: HTMLElement;
  private readonly chip: Chip;
  private readonly strip: PauseStrip;
  private readonly overview: HTMLAnchorElement;
  private readonly decks = h("span", {});
  private readonly decksButton: HTMLButtonElement;
  private readonly menu = h("div", { class: "menu", role: "menu", "data-tw": "decks-menu" });
  private readonly windows: Segments<string>;
  private readonly pause: HTMLButtonElement;
  private readonly theme: HTMLButtonElement;
  private readonly link: HTMLButtonElement;
  private readonly said = h("div", { class: "spoken", role: "status", "aria-live": "polite" });
  private readonly notice = h("span", { class: "notice", role: "status", "data-tw": "notice" });
  private noticeShown = "";
  private menuKey = "";
  private readonly away = (event: Event): void => {
    if (!event.composedPath().includes(this.decksButton.parentElement as HTMLElement)) this.closeMenu();
  };

  constructor(private readonly app: App) {
    this.chip = new Chip(app);
    this.strip = new PauseStrip(app);
    this.overview = h("a", { class: "nav", "data-tw": "nav-overview", href: "#" }, "Overview");
    this.overview.addEventListener("click", (event) => this.navigate(event, "overview", ""));
    this.decksButton = h("button", { type: "button", class: "nav", "aria-haspopup": "menu", "aria-expanded": "false", "data-tw": "nav-decks", onclick: () => this.toggleMenu() }, this.decks, icon("chevron", 14));
    show(this.menu, false);
    this.windows = new Segments("Window", "windows", WINDOWS.map(([name]) => [name, name] as const), (name) => {
      const found = WINDOWS.find(([own]) => own === name);
      if (found) app.change({ windowMs: found[1] });
      app.live();
    });
    this.pause = iconButton("pause", "Pause", () => app.togglePause(), "pause");
    this.link = iconButton("link", "Copy link", () => void this.copyLink(), "share");
    this.theme = iconButton("sun", "Toggle theme", () => app.toggleTheme(), "theme");
    this.element = h(
      "header",
      { class: "header" },
      h("span", { class: "brand" }, mark(), h("span", {}, "Tidewire")),
      h("span", { class: "sep" }),
      h("nav", { class: "pages", "aria-label": "Pages" }, this.overview, h("span", { class: "anchor" }, this.decksButton, this.menu)),
      this.chip.element,
      h("div", { class: "centre" }, this.strip.element, this.notice),
      this.windows.element,
      h("div", { class: "icons" }, this.pause, this.link, this.theme),
      this.said,
    );
    document.addEventListener("pointerdown", this.away);
    this.pageChanged();
    this.stateChanged();
  }

  private navigate(event: MouseEvent, page: "overview" | "deck", slug: string): void {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    this.closeMenu();
    this.app.change({ page, slug, charts: null, query: "" }, true);
  }

  pageChanged(): void {
    const { page, slug } = this.app.state;
    setAttribute(this.overview, "aria-current", page === "overview" ? "page" : "false");
    setAttribute(this.decksButton, "aria-current", page === "deck" ? "page" : "false");
    setText(this.decks, page === "deck" ? slug : "Decks");
    this.stateChanged();
  }

  stateChanged(): void {
    this.overview.href = this.app.addressOf({ page: "overview", slug: "", charts: null, query: "" });
    this.windows.select(windowName(this.app.state.windowMs));
    const dark = this.app.theme() === "dark";
    this.theme.replaceChildren(icon(dark ? "sun" : "moon"));
    setAttribute(this.theme, "aria-label", dark ? "Light theme" : "Dark theme");
    this.theme.title = dark ? "Light theme (t)" : "Dark theme (t)";
    this.menuKey = "";
  }

  directoryChanged(): void {
    show(this.decksButton, this.app.session.directory.list.length > 0 || this.app.state.page === "deck");
    this.menuKey = "";
  }

  private toggleMenu(): void {
    if (!this.menu.hidden) {
      this.closeMenu();
      return;
    }
    const groups = this.app.session.directory.groups().filter((name) => name !== "annotations");
    if (this.menuKey !== groups.join("\n")) {
      this.menuKey = groups.join("\n");
      this.menu.replaceChildren(
        ...groups.map((name) => {
          const item = h("a", { role: "menuitem", class: "menu-item", href: this.app.addressOf({ page: "deck", slug: name, charts: null, query: "" }), "data-tw": "deck-link" }, name);
          item.addEventListener("click", (event) => this.navigate(event, "deck", name));
          return item;
        }),
      );
    }
    show(this.menu, true);
    setAttribute(this.decksButton, "aria-expanded", "true");
    (this.menu.firstElementChild as HTMLElement | null)?.focus();
  }

  private closeMenu(): boolean {
    if (this.menu.hidden) return false;
    const inside = this.menu.contains((this.menu.getRootNode() as ShadowRoot | Document).activeElement);
    show(this.menu, false);
    setAttribute(this.decksButton, "aria-expanded", "false");
    if (inside) this.decksButton.focus();
    return true;
  }

  private async copyLink(): Promise<void> {
    try {
      await navigator.clipboard.writeText(location.href);
      this.link.replaceChildren(icon("check"));
      setText(this.said, "Link copied");
      window.setTimeout(() => {
        this.link.replaceChildren(icon("link"));
        setText(this.said, "");
      }, 1_500);
    } catch {
      setText(this.said, "The link could not be copied; it is in the address bar");
    }
  }

  /** What Python says that the person should see; for a while, or until something else is said. */
  private drawNotice(): void {
    const { problem } = this.app.session;
    if (problem === this.noticeShown) return;
    this.noticeShown = problem;
    setText(this.notice, problem);
    this.notice.title = problem;
    window.setTimeout(() => {
      if (this.app.session.problem === problem) this.app.session.problem = "";
    }, NOTICE_MS);
  }

  draw(): void {
    this.drawNotice();
    this.chip.draw();
    this.strip.draw();
    const paused = this.app.timeline.paused;
    if (this.pause.getAttribute("aria-pressed") !== String(paused)) {
      this.pause.replaceChildren(icon(paused ? "play" : "pause"));
      setAttribute(this.pause, "aria-pressed", String(paused));
      setAttribute(this.pause, "aria-label", paused ? "Back to live" : "Pause");
      this.pause.title = paused ? "Back to live (space)" : "Pause (space)";
    }
    this.windows.select(this.app.timeline.zoom ? null : windowName(this.app.state.windowMs));
  }

  key(event: KeyboardEvent): boolean {
    if (event.key === "Escape" && this.closeMenu()) return true;
    const items = Array.from(this.menu.children) as HTMLElement[];
    if (!this.menu.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const at = items.indexOf((this.menu.getRootNode() as ShadowRoot | Document).activeElement as HTMLElement);
      items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
      return true;
    }
    return false;
  }

  destroy(): void {
    document.removeEventListener("pointerdown", this.away);
  }
}
