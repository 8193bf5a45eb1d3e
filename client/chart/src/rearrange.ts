/** Dragging a chart by its title to another place, and dropping a series of the sidebar on a chart. */

/** Carried by a dragged sidebar row: the series' index. */
export const SERIES_TYPE = "application/x-tidewire-series";

const DRAG_PX = 6;

export class Rearrange {
  constructor(
    private readonly grid: HTMLElement,
    private readonly move: (from: number, to: number) => void,
    private readonly drop: (at: number, series: number) => void,
  ) {}

  attach(handle: HTMLElement, card: HTMLElement): void {
    handle.addEventListener("pointerdown", (event) => this.grab(event, handle, card));
    card.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes(SERIES_TYPE)) return;
      event.preventDefault();
      card.classList.add("drop", "drop-series");
    });
    card.addEventListener("dragleave", (event) => {
      if (!card.contains(event.relatedTarget as Node | null)) card.classList.remove("drop", "drop-series");
    });
    card.addEventListener("drop", (event) => {
      card.classList.remove("drop", "drop-series");
      const series = event.dataTransfer?.getData(SERIES_TYPE);
      if (!series) return;
      event.preventDefault();
      this.drop(this.indexOf(card), Number(series));
    });
  }

  private indexOf(card: HTMLElement): number {
    return Array.prototype.indexOf.call(this.grid.children, card);
  }

  private grab(down: PointerEvent, handle: HTMLElement, card: HTMLElement): void {
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
      const over = this.cardAt(event.clientX, event.clientY, card);
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
      if (moving && target) this.move(this.indexOf(card), this.indexOf(target));
    };
    handle.addEventListener("pointermove", onMove);
    handle.addEventListener("lostpointercapture", end, { once: true });
  }

  private cardAt(x: number, y: number, except: HTMLElement): HTMLElement | null {
    for (const card of Array.from(this.grid.children) as HTMLElement[]) {
      if (card === except) continue;
      const box = card.getBoundingClientRect();
      if (x >= box.left && x <= box.right && y >= box.top && y <= box.bottom) return card;
    }
    return null;
  }
}
