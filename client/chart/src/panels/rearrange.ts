/** Moves a chart by its title, resizes it by its corner, and accepts a series dropped on a chart. */
import { h } from "../base/dom";

/** Data type of a dragged sidebar row: the index of the series. */
export const SERIES_TYPE = "application/x-tidewire-series";

/** Data type of a dragged level: its path. */
export const LEVEL_TYPE = "application/x-tidewire-level";

const DRAG_PX = 6;
/** Height of a row of the grid, and the gap between rows and columns, px: as in deck.css. */
const ROW_PX = 44;
const GAP_PX = 12;
const COLUMNS = 12;

/** What to do with the result. Cards are given by their place in the grid; -1 is outside all of them. */
export interface RearrangeActions {
  move(from: number, to: number): void;
  drop(card: number, series: number): void;
  dropLevel(path: string): void;
  resize(card: number, columns: number, rows: number): void;
}

export class Rearrange {
  readonly #grid: HTMLElement;
  readonly #actions: RearrangeActions;

  constructor(grid: HTMLElement, around: HTMLElement, actions: RearrangeActions) {
    this.#grid = grid;
    this.#actions = actions;
    // A series dropped beside the charts gets its own chart.
    this.#target(around, () => -1);
  }

  attach(handle: HTMLElement, card: HTMLElement): void {
    handle.addEventListener("pointerdown", (event) => this.#grab(event, handle, card));
    const grip = h("div", { class: "grip", "data-tw": "chart-grip", "aria-hidden": "true" });
    grip.addEventListener("pointerdown", (event) => this.#stretch(event, grip, card));
    card.append(grip);
    this.#target(card, () => this.#indexOf(card));
  }

  /** Accept a dropped series on an element. */
  #target(element: HTMLElement, card: () => number): void {
    const clear = (): void => element.classList.remove("drop", "drop-series");
    element.addEventListener("dragover", (event) => {
      const types = event.dataTransfer?.types ?? [];
      if (!types.includes(SERIES_TYPE) && !types.includes(LEVEL_TYPE)) return;
      event.preventDefault();
      event.stopPropagation();
      element.classList.add("drop", "drop-series");
    });
    element.addEventListener("dragleave", (event) => {
      if (!element.contains(event.relatedTarget as Node | null)) clear();
    });
    element.addEventListener("drop", (event) => {
      clear();
      const series = event.dataTransfer?.getData(SERIES_TYPE);
      const level = event.dataTransfer?.getData(LEVEL_TYPE);
      if (!series && !level) return;
      event.preventDefault();
      event.stopPropagation();
      if (level) this.#actions.dropLevel(level);
      else this.#actions.drop(card(), Number(series));
    });
    // Over a card the card is the target, and not the area around it.
    element.addEventListener("dragenter", (event) => {
      if (event.target !== element && (event.target as HTMLElement).closest(".card")) clear();
    });
  }

  #indexOf(card: HTMLElement): number {
    return Array.prototype.indexOf.call(this.#grid.children, card);
  }

  #grab(down: PointerEvent, handle: HTMLElement, card: HTMLElement): void {
    if (down.button !== 0 || (down.target as HTMLElement).closest("button")) return;
    let moving = false;
    let target: HTMLElement | null = null;
    handle.setPointerCapture(down.pointerId);
    const onMove = (event: PointerEvent): void => {
      const dx = event.clientX - down.clientX;
      const dy = event.clientY - down.clientY;
      if (!moving && Math.hypot(dx, dy) < DRAG_PX) return;
      moving = true;
      card.classList.add("dragging");
      card.style.transform = `translate(${dx}px,${dy}px)`;
      const over = this.#cardAt(event.clientX, event.clientY, card);
      if (over === target) return;
      target?.classList.remove("drop");
      over?.classList.add("drop");
      target = over;
    };
    const end = (): void => {
      handle.removeEventListener("pointermove", onMove);
      card.classList.remove("dragging");
      card.style.transform = "";
      target?.classList.remove("drop");
      if (moving && target) this.#actions.move(this.#indexOf(card), this.#indexOf(target));
    };
    handle.addEventListener("pointermove", onMove);
    handle.addEventListener("lostpointercapture", end, { once: true });
  }

  #stretch(down: PointerEvent, grip: HTMLElement, card: HTMLElement): void {
    if (down.button !== 0) return;
    down.preventDefault();
    grip.setPointerCapture(down.pointerId);
    const box = card.getBoundingClientRect();
    const column = (this.#grid.clientWidth + GAP_PX) / COLUMNS;
    let size: readonly [number, number] | null = null;
    const cells = (px: number, unit: number): number => Math.max(1, Math.round((px + GAP_PX) / unit));
    const onMove = (event: PointerEvent): void => {
      const columns = Math.min(COLUMNS, cells(box.width + event.clientX - down.clientX, column));
      const rows = cells(box.height + event.clientY - down.clientY, ROW_PX + GAP_PX);
      size = [columns, rows];
      card.style.gridColumn = `span ${columns}`;
      card.style.gridRow = `span ${rows}`;
    };
    grip.addEventListener("pointermove", onMove);
    grip.addEventListener(
      "lostpointercapture",
      () => {
        grip.removeEventListener("pointermove", onMove);
        if (size) this.#actions.resize(this.#indexOf(card), ...size);
      },
      { once: true },
    );
  }

  #cardAt(x: number, y: number, except: HTMLElement): HTMLElement | null {
    for (const card of Array.from(this.#grid.children) as HTMLElement[]) {
      if (card === except) continue;
      const box = card.getBoundingClientRect();
      if (x >= box.left && x <= box.right && y >= box.top && y <= box.bottom) return card;
    }
    return null;
  }
}
