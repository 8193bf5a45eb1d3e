/** All actions of the pages; keys, help and the "more" menu use this list. */

import { download, openFile } from "../model/deck-file";
import { changeChart, moveChart, removeChart, splitChart } from "../model/layout";
import { boundColumns, boundRows, DEFAULT_ROWS, WINDOWS } from "../model/url";
import type { Action } from "../panels/action";
import type { AppContext } from "../panels/app-context";
import type { DeckCharts } from "./page";

/** Return the actions of every page. */
export function pageActions(app: AppContext): Action[] {
  return [
    { keys: ["/"], words: "Search", run: () => app.focusSearch() },
    { keys: [" "], shown: "Space", words: "Pause, or back to live", run: () => app.time.toggle() },
    {
      keys: ["Escape"],
      shown: "Esc",
      words: "Back to live, close the drawer, or show all charts",
      run: () =>
        app.timeline.paused
          ? app.time.live()
          : app.state.drawer !== null
            ? app.change({ drawer: null })
            : app.state.only !== null
              ? app.change({ only: null })
              : false,
    },
    {
      keys: ["[", "]"],
      words: "Half a window back, forward",
      page: "deck",
      run: (key) => app.time.pan(key === "[" ? -0.5 : 0.5),
    },
    {
      keys: ["+", "=", "-"],
      shown: "+ −",
      words: "Zoom in, out",
      page: "deck",
      run: (key) => app.time.scale(key === "-" ? 2 : 0.5),
    },
    {
      keys: WINDOWS.map((_, i) => String(i + 1)),
      shown: "1 – 6",
      words: "Window 1m, 5m, 15m, 1h, 6h, 24h",
      run: (key) => app.setWindow(WINDOWS[Number(key) - 1][1]),
    },
    { keys: ["p"], words: "Time: span, zone, comparison", menu: true, run: () => app.picker.use((one) => one.open()) },
    { keys: ["m"], words: "Show or hide the list of series", run: () => app.toggleSidebar() },
    { keys: ["o"], words: "Overview", run: () => app.visit("overview", "") },
    { keys: ["g"], words: "List of decks", run: () => app.header.openDecks() },
    { keys: ["c"], words: "Copy link", run: () => void app.header.copyLink() },
    { keys: ["t"], words: "Theme: light or dark", run: () => app.toggleTheme() },
    { keys: [], shown: "Ctrl Z", words: "Undo the last change of the deck", page: "deck", run: () => false },
    {
      keys: ["X"],
      words: "x axis: compare runs by step, or back to live",
      page: "deck",
      menu: true,
      run: () => app.change({ x: app.state.x && app.state.x !== "0" ? "0" : "step" }, true),
    },
    { keys: ["n"], words: "Show or hide events", page: "deck", menu: true, run: () => app.switchEvents() },
    {
      keys: ["S"],
      words: "Save this deck by name",
      page: "deck",
      menu: true,
      run: () => app.saving.use((dialog) => dialog.open()),
    },
    {
      keys: ["l"],
      words: "Table of the latest values",
      menu: true,
      run: () => app.latest.use((dialog) => dialog.open()),
    },
    {
      keys: ["k"],
      words: "Wall mode: only tiles and charts",
      menu: true,
      run: () => app.change({ kiosk: !app.state.kiosk }, true),
    },
    { keys: ["e"], words: "Download this page as a file", menu: true, run: () => download(app.exported()) },
    {
      keys: ["i"],
      words: "Open a file",
      menu: true,
      run: () =>
        openFile(
          (state) => app.change(state, true),
          (problem) => app.notify(problem),
        ),
    },
    { keys: ["?"], words: "Keys", menu: true, run: () => app.openHelp() },
  ];
}

/** Return the actions on the focused chart, or else on the one under the pointer. */
export function chartActions(deck: DeckCharts): Action[] {
  const direction = (key: string, backKey: string): number => (key === backKey ? -1 : 1);
  const resize = (field: "columns" | "rows", by: number): void => {
    const { at, spec } = deck.current() ?? {};
    if (at === undefined || !spec) return;
    const size =
      field === "rows"
        ? { rows: boundRows((spec.rows ?? DEFAULT_ROWS) + by) }
        : { columns: boundColumns(spec.columns + by) };
    deck.setCharts(changeChart(deck.specs(), at, size));
  };
  const withCurrent = (run: (at: number) => void) => (): boolean => {
    const at = deck.current()?.at;
    if (at !== undefined) run(at);
    return at !== undefined;
  };
  return [
    {
      keys: ["ArrowLeft", "ArrowRight"],
      shown: "← →",
      words: "Move the crosshair a step; with Shift, ten steps",
      run: () => false,
    },
    {
      keys: ["w", "W"],
      shown: "w W",
      words: "Wider, narrower",
      page: "deck",
      run: (key) => resize("columns", direction(key, "W")),
    },
    {
      keys: ["h", "H"],
      shown: "h H",
      words: "Higher, lower",
      page: "deck",
      run: (key) => resize("rows", direction(key, "H")),
    },
    {
      keys: ["<", ">"],
      words: "Swap with the chart before, after it",
      page: "deck",
      run: (key) =>
        withCurrent((at) => deck.setCharts(moveChart(deck.specs(), at, Math.max(0, at + direction(key, "<")))))(),
    },
    {
      keys: ["s"],
      words: "Split by the next label, or join",
      page: "deck",
      run: withCurrent((at) => deck.setCharts(splitChart(deck.directory, deck.specs(), at))),
    },
    {
      keys: ["b"],
      words: "Of many series: lines, band, heat map, top 10",
      page: "deck",
      run: () => deck.current()?.chart.many?.step() ?? false,
    },
    {
      keys: ["y"],
      words: "y axis: range, scale, kind",
      page: "deck",
      run: withCurrent(() => deck.openAxis()),
    },
    {
      keys: ["q"],
      words: "Formula of the chart, or of a new one",
      page: "deck",
      menu: true,
      run: () => deck.openFormula(),
    },
    {
      keys: ["V"],
      words: "Legend by value, or as it was",
      page: "deck",
      run: withCurrent((at) => {
        const byValue = deck.specs()[at].byValue ? undefined : true;
        deck.setCharts(changeChart(deck.specs(), at, { byValue }));
      }),
    },
    { keys: ["a"], words: "Add an event at the crosshair", page: "deck", menu: true, run: () => deck.addEvent() },
    { keys: ["v"], words: "Show alone, or show all charts", page: "deck", run: withCurrent((at) => deck.alone(at)) },
    { keys: ["f"], words: "Drawer: statistics, thresholds, export", page: "deck", run: () => deck.toggleDrawer() },
    { keys: ["d"], words: "Data table", page: "deck", run: () => deck.current()?.chart.toggleTable() },
    {
      keys: ["x", "Delete"],
      shown: "x",
      words: "Remove",
      page: "deck",
      run: withCurrent((at) => deck.setCharts(removeChart(deck.specs(), at))),
    },
  ];
}
