/** The handle at the right edge of the sidebar: drag it, or press the arrows; its width is kept for this browser. */

import { h } from "../base/dom";

const LEAST = 220;
const MOST = 560;
const USUAL = 280;
const STEP = 20;
const KEY = "tidewire.sidebar";

/** Return the width that this browser keeps; where it keeps nothing, the usual one. */
function kept(): number {
  try {
    const width = Number(localStorage.getItem(KEY));
    return width >= LEAST && width <= MOST ? width : USUAL;
  } catch {
    return USUAL; // a browser that allows no storage
  }
}

function keep(width: number): void {
  try {
    localStorage.setItem(KEY, String(width));
  } catch {
    // a browser that allows no storage: until the next page
  }
}

/** Return a handle that sets the width of a sidebar. */
export function widthHandle(sidebar: HTMLElement): HTMLElement {
  let width = kept();
  const handle = h("div", {
    class: "side-handle",
    role: "separator",
    tabindex: "0",
    "aria-orientation": "vertical",
    "aria-label": "Width of the sidebar",
    "aria-valuemin": String(LEAST),
    "aria-valuemax": String(MOST),
    "data-tw": "sidebar-handle",
  });
  const set = (wanted: number): void => {
    width = Math.round(Math.min(MOST, Math.max(LEAST, wanted)));
    sidebar.style.setProperty("--side-width", `${width}px`);
    handle.setAttribute("aria-valuenow", String(width));
  };
  set(width);
  handle.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    const from = event.clientX - width;
    const move = ({ clientX }: PointerEvent): void => set(clientX - from);
    handle.addEventListener("pointermove", move);
    handle.addEventListener(
      "lostpointercapture",
      () => {
        handle.removeEventListener("pointermove", move);
        keep(width);
      },
      { once: true },
    );
  });
  handle.addEventListener("dblclick", () => {
    set(USUAL);
    keep(width);
  });
  handle.addEventListener("keydown", (event) => {
    const by = event.key === "ArrowLeft" ? -STEP : event.key === "ArrowRight" ? STEP : 0;
    if (by === 0) return;
    event.preventDefault();
    event.stopPropagation();
    set(width + by);
    keep(width);
  });
  return handle;
}
