/** The room of the sidebar, which a page keeps free before the sidebar is here: its width is kept for this browser. */

import { keep, readKept } from "../base/kept";

export const LEAST = 220;
export const MOST = 560;
export const USUAL = 280;
const KEY = "tidewire.sidebar";
const HIDDEN_KEY = "tidewire.sidebar.hidden";

/** Of its sparklines, and of the tiles of a wall. */
export const SIDEBAR_WINDOW_MS = 120_000;
/** Px of its sparklines. */
export const SPARK_WIDTH = 40;

/** Return the width that this browser keeps; where it keeps nothing, the usual one. */
export function keptWidth(): number {
  const width = Number(readKept(KEY));
  return width >= LEAST && width <= MOST ? width : USUAL;
}

export const keepWidth = (width: number): void => keep(KEY, String(width));

/** Show the list at the left of a page, or hide it, as this browser keeps it. */
export function applySidebar(page: HTMLElement): void {
  page.classList.toggle("bare", readKept(HIDDEN_KEY) === "1");
}

/** Show the list, or hide it, and keep that. */
export function toggleSidebar(page: HTMLElement): void {
  keep(HIDDEN_KEY, page.classList.toggle("bare") ? "1" : "0");
}
