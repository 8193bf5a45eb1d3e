/** The handle at the right edge of the sidebar: drag it, or press the arrows; its width is kept for this browser. */

import { h } from "../base/dom";
import { keepWidth, keptWidth, LEAST, MOST, USUAL } from "./side-room";

const STEP = 20;

/** Return a handle that sets the width of a sidebar. */
export function widthHandle(sidebar: HTMLElement): HTMLElement {
  let width = keptWidth();
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
        keepWidth(width);
      },
      { once: true },
    );
  });
  handle.addEventListener("dblclick", () => {
    set(USUAL);
    keepWidth(width);
  });
  handle.addEventListener("keydown", (event) => {
    const by = event.key === "ArrowLeft" ? -STEP : event.key === "ArrowRight" ? STEP : 0;
    if (by === 0) return;
    event.preventDefault();
    event.stopPropagation();
    set(width + by);
    keepWidth(width);
  });
  return handle;
}
