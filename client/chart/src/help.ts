/** The help overlay: the keys, and the keys that every page shares. */
import type { App } from "./app";
import { h, show } from "./dom";
import { WINDOWS } from "./url";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "Search"],
  ["Space", "Pause, or back to live"],
  ["← →", "Step the crosshair; with Shift ten steps"],
  ["Esc", "Live"],
  ["Drag", "Zoom into a stretch of time"],
  ["Click", "Lock the crosshair, or free it"],
  ["1 – 6", "Window 1m, 5m, 15m, 1h, 6h, 24h"],
  ["t", "Theme"],
  ["?", "This help"],
];

export class HelpOverlay {
  readonly element: HTMLElement;
  private readonly close = h("button", { type: "button", class: "button", onclick: () => this.hide() }, "Close");
  private before: HTMLElement | null = null;

  constructor() {
    const rows = KEYS.map(([key, text]) => h("div", { class: "help-row" }, h("kbd", {}, key), h("span", {}, text)));
    const box = h("div", { class: "help-box", role: "dialog", "aria-modal": "true", "aria-label": "Keys", "data-tw": "help" }, h("h2", {}, "Keys"), ...rows, this.close);
    this.element = h("div", { class: "help" }, box);
    this.element.addEventListener("pointerdown", (event) => {
      if (event.target === this.element) this.hide();
    });
    show(this.element, false);
  }

  open(): void {
    this.before = (this.element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
    show(this.element, true);
    this.close.focus();
  }

  hide(): void {
    show(this.element, false);
    this.before?.focus();
  }

  /** An open overlay takes all keys; Tab stays on its one button. */
  key(event: KeyboardEvent): boolean {
    if (this.element.hidden) return false;
    if (event.key === "Escape" || event.key === "?") this.hide();
    return event.key !== "Enter" && event.key !== " ";
  }
}

/** Keys that mean the same on every page. */
export function helpKeys(event: KeyboardEvent, app: App): boolean {
  switch (event.key) {
    case "?":
      app.openHelp();
      return true;
    case " ":
      app.togglePause();
      return true;
    case "Escape":
      if (!app.timeline.paused) return false;
      app.live();
      return true;
    case "t":
      app.toggleTheme();
      return true;
  }
  const preset = WINDOWS[Number(event.key) - 1];
  if (!preset) return false;
  app.change({ windowMs: preset[1] });
  app.live();
  return true;
}
