/** The room of the sidebar, which a page keeps free before the sidebar is here: its width is kept for this browser. */

export const LEAST = 220;
export const MOST = 560;
export const USUAL = 280;
const KEY = "tidewire.sidebar";

/** Of its sparklines, and of the tiles of a wall. */
export const SIDEBAR_WINDOW_MS = 120_000;
/** Px of its sparklines. */
export const SPARK_WIDTH = 40;

/** Return the width that this browser keeps; where it keeps nothing, the usual one. */
export function keptWidth(): number {
  try {
    const width = Number(localStorage.getItem(KEY));
    return width >= LEAST && width <= MOST ? width : USUAL;
  } catch {
    return USUAL; // a browser that allows no storage
  }
}

export function keepWidth(width: number): void {
  try {
    localStorage.setItem(KEY, String(width));
  } catch {
    // a browser that allows no storage: until the next page
  }
}
