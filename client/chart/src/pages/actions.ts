/** Everything a person can do, once: what the keys, the help and the "more" menu are made of. */
import type { App } from "./app";
import type { DeckPage } from "./deck";
import { download, openFile } from "../model/deck-file";
import { h } from "../base/dom";
import { changeChart, moveChart, removeChart, splitChart } from "../model/layout";
import { DEFAULT_ROWS, MAX_COLUMNS, MAX_ROWS, MIN_COLUMNS, MIN_ROWS, WINDOWS } from "../model/url";

export interface Action {
  /** `KeyboardEvent.key`, of which any runs it. */
  keys: readonly string[];
  /** How the help writes the keys; absent: as they are. */
  shown?: string;
  words: string;
  /** Where it applies; absent: on both pages. */
  page?: "deck" | "overview";
  /** Listed in the "more" menu under its words. */
  menu?: boolean;
  /** False: not now, the key goes on to the browser. */
  run(key: string): boolean | void;
}

/** What the keys do on a page. */
export function pageActions(app: App): Action[] {
  return [
    { keys: ["/"], words: "Search", run: () => app.focusSearch() },
    { keys: [" "], shown: "Space", words: "Pause, or back to live", run: () => app.time.toggle() },
    { keys: ["Escape"], shown: "Esc", words: "Live; or close the drawer; or all charts", run: () => (app.timeline.paused ? app.time.live() : app.state.drawer !== null ? app.change({ drawer: null }) : app.state.only !== null ? app.change({ only: null }) : false) },
    { keys: ["[", "]"], words: "Half a window earlier, later", page: "deck", run: (key) => app.time.pan(key === "[" ? -0.5 : 0.5) },
    { keys: ["+", "=", "-"], shown: "+ −", words: "Zoom in, out", page: "deck", run: (key) => app.time.scale(key === "-" ? 2 : 0.5) },
    { keys: WINDOWS.map((_, i) => String(i + 1)), shown: "1 – 6", words: "Window 1m, 5m, 15m, 1h, 6h, 24h", run: (key) => app.setWindow(WINDOWS[Number(key) - 1][1]) },
    { keys: ["o"], words: "Overview", run: () => app.visit("overview", "") },
    { keys: ["g"], words: "List of decks", run: () => app.header.openDecks() },
    { keys: ["c"], words: "Copy link", run: () => void app.header.copyLink() },
    { keys: ["t"], words: "Theme", run: () => app.toggleTheme() },
    { keys: ["S"], words: "Save this deck by name", page: "deck", menu: true, run: () => app.saving.open() },
    { keys: ["l"], words: "Table of the latest values", menu: true, run: () => app.latest.open() },
    { keys: ["k"], words: "Wall: only tiles and charts", menu: true, run: () => app.change({ kiosk: !app.state.kiosk }, true) },
    { keys: ["e"], words: "Download this page as a file", menu: true, run: () => download(app.exported()) },
    { keys: ["i"], words: "Open a file", menu: true, run: () => openFile((state) => app.change(state, true), (problem) => app.say(problem)) },
    { keys: ["?"], words: "Keys", menu: true, run: () => app.openHelp() },
  ];
}

/** What the keys do with the chart under the pointer, or with the focus. */
export function chartActions(deck: DeckPage): Action[] {
  const step = (key: string, less: string): number => (key === less ? -1 : 1);
  const resize = (field: "columns" | "rows", by: number): void => {
    const { at, spec } = deck.current() ?? {};
    if (at === undefined || !spec) return;
    const value = field === "rows" ? (spec.rows ?? DEFAULT_ROWS) + by : spec.columns + by;
    const [least, most] = field === "rows" ? [MIN_ROWS, MAX_ROWS] : [MIN_COLUMNS, MAX_COLUMNS];
    deck.setCharts(changeChart(deck.specs(), at, { [field]: Math.min(most, Math.max(least, value)) }));
  };
  const withCurrent = (run: (at: number) => void) => (): boolean => {
    const at = deck.current()?.at;
    if (at !== undefined) run(at);
    return at !== undefined;
  };
  return [
    { keys: ["ArrowLeft", "ArrowRight"], shown: "← →", words: "Step the crosshair; with Shift ten steps", run: () => false },
    { keys: ["w", "W"], shown: "w W", words: "Wider, narrower", page: "deck", run: (key) => resize("columns", step(key, "W")) },
    { keys: ["h", "H"], shown: "h H", words: "Higher, lower", page: "deck", run: (key) => resize("rows", step(key, "H")) },
    {
      keys: ["<", ">"],
      words: "Move before, behind its neighbour",
      page: "deck",
      run: (key) => withCurrent((at) => deck.setCharts(moveChart(deck.specs(), at, Math.max(0, at + step(key, "<")))))(),
    },
    { keys: ["s"], words: "Split by the next label, or join", page: "deck", run: withCurrent((at) => deck.setCharts(splitChart(deck.directory, deck.specs(), at))) },
    { keys: ["v"], words: "Alone on the page, or all again", page: "deck", run: withCurrent((at) => deck.alone(at)) },
    { keys: ["f"], words: "Drawer: statistics, thresholds, export", page: "deck", run: () => deck.toggleDrawer() },
    { keys: ["d"], words: "Data table", page: "deck", run: () => deck.current()?.chart.toggleTable() },
    { keys: ["x", "Delete"], shown: "x", words: "Remove", page: "deck", run: withCurrent((at) => deck.setCharts(removeChart(deck.specs(), at))) },
  ];
}

/** The first of these actions that a key runs. */
export function runKey(actions: readonly Action[], key: string, page: "deck" | "overview"): boolean {
  const action = actions.find((one) => one.keys.includes(key) && (one.page ?? page) === page);
  return action !== undefined && action.run(key) !== false;
}

/** Rows of the help: what the pointer does, then the keys. */
export function helpRows(actions: readonly Action[]): HTMLElement[] {
  return actions.map((action) => h("div", { class: "help-row" }, h("kbd", {}, action.shown ?? action.keys.join(" ")), h("span", {}, action.words)));
}
