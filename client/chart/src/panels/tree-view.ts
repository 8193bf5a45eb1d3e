/**
 * A tree of series as rows, of which only those in view exist as elements.
 *
 * It is one Tab stop: the focus stays on the tree, and the arrows move the row that it speaks of.
 */

import { h, icon, setAttribute, setText, show } from "../base/dom";
import { shorterForms } from "../base/elision";
import { formatNumber } from "../base/format";
import { tileState } from "../canvas/tile";
import type { BucketRing } from "../model/bucket-ring";
import type { Series } from "../model/directory";
import type { Alarms } from "../model/session";
import { ALL_LEVELS, type Branch, type Folder, isOpen, type Leaf, Tree, type Worse } from "../model/tree";
import { LEVEL_TYPE } from "./rearrange";
import css from "./tree-view.css";

const ROW = 26;
/** On a phone, where rows are touched. */
const TOUCH_ROW = 40;
const rowHeight = (): number => (window.matchMedia("(max-width: 767px)").matches ? TOUCH_ROW : ROW);
/** Rows kept beyond the visible ones. */
const SPARE = 4;
/** States are counted this often. */
const MARK_MS = 1_000;
export const INDENT = 14;

const STATE_ICONS = { critical: "critical", warn: "warn", stale: "clock" } as const;
const STATE_WORDS = { critical: "critical", warn: "in warning", stale: "stale" } as const;

/** The row of a series, made once and filled with one after the other. */
export interface LeafRow {
  readonly element: HTMLElement;
  fill(leaf: Leaf): void;
  /** It shows nothing now. */
  clear(): void;
}

export interface TreeOwner {
  /** Its accessible name. */
  readonly label: string;
  leafRow(): LeafRow;
  folds(): ReadonlyMap<string, boolean>;
  setFolds(folds: ReadonlyMap<string, boolean>): void;
  /** Enter, or with Shift. */
  enterFolder(folder: Folder, shift: boolean): void;
  chooseLeaf(leaf: Leaf, shift: boolean): void;
  /** A click on the name of a folder. */
  clickFolder(folder: Folder): void;
  selected(branch: Branch): boolean;
  /** What is in view, after each drawing. */
  seen(series: readonly Series[]): void;
}

interface FolderRow {
  element: HTMLElement;
  name: HTMLElement;
  state: HTMLElement;
  count: HTMLElement;
  shown: Folder | null;
}

let rowIds = 0;

export class TreeView {
  readonly element: HTMLElement;
  readonly #spacer: HTMLElement;
  readonly #folders: FolderRow[] = [];
  readonly #leaves: (LeafRow & { shown: Leaf | null })[] = [];
  readonly #owner: TreeOwner;
  readonly #forms = new WeakMap<object, ReadonlyMap<string, readonly string[]>>();
  #series: readonly Series[] = [];
  #tree = new Tree([]);
  #depth = 0;
  #rows: readonly Branch[] = [];
  /** The row that the keys act on. */
  #at = 0;
  #markedAt = -Infinity;

  constructor(owner: TreeOwner) {
    this.#owner = owner;
    this.#spacer = h("div", {
      class: "tree",
      role: "tree",
      tabindex: "0",
      "aria-label": owner.label,
      "aria-multiselectable": "true",
      "data-tw": "tree",
    });
    this.element = h("div", { class: "side-scroll" }, h("style", {}, css), this.#spacer);
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.#spacer.addEventListener("keydown", (event) => this.#key(event));
    this.#spacer.addEventListener("focus", () => this.draw());
  }

  get tree(): Tree {
    return this.#tree;
  }

  /** Show series of this order; the same array is the same tree. */
  setSeries(series: readonly Series[]): void {
    if (series !== this.#series) {
      this.#series = series;
      this.#tree = new Tree(series);
      this.#depth = this.#tree.unfoldedDepth();
      this.#markedAt = -Infinity;
    }
    this.layout();
  }

  /** List the rows anew, as after a fold. */
  layout(): void {
    const folds = this.#owner.folds();
    const current = this.#rows[this.#at];
    this.#rows = this.#tree.rows((folder) => isOpen(folder, folds, this.#depth));
    const same = (row: Branch): boolean =>
      row === current || (row.kind === "folder" ? current?.kind === "folder" && row.path === current.path : false);
    this.#at = current ? Math.max(0, this.#rows.findIndex(same)) : 0;
    this.#spacer.style.height = `${this.#rows.length * rowHeight()}px`;
    this.draw();
  }

  /** Tell the levels the states of their series, once a second. */
  mark(ring: BucketRing, alarms: Alarms, nowMs: number): void {
    if (performance.now() - this.#markedAt < MARK_MS) return;
    this.#markedAt = performance.now();
    for (const series of this.#series) {
      const state = tileState(ring.slots.get(series.index), series, { nowMs, alarms });
      this.#tree.mark(series.index, state === "nodata" ? "stale" : state in STATE_ICONS ? (state as Worse) : null);
    }
  }

  /** Return shorter texts of the name of a series among its siblings, longest first. */
  namesOf(leaf: Leaf): readonly string[] {
    if (!leaf.name) return [leaf.series.name];
    const key = leaf.parent ?? this.#tree;
    let forms = this.#forms.get(key);
    if (!forms) {
      const siblings = leaf.parent?.children ?? this.#tree.roots;
      forms = shorterForms(
        siblings.flatMap((one) => (one.kind === "leaf" ? [one.name] : [])),
        "/",
      );
      this.#forms.set(key, forms);
    }
    return forms.get(leaf.name) ?? [leaf.name];
  }

  /** Place and fill the rows in view. */
  draw(): void {
    const height = rowHeight();
    const { scrollTop, clientHeight } = this.element;
    const from = Math.max(0, Math.floor(scrollTop / height) - SPARE);
    const to = Math.min(this.#rows.length, Math.ceil((scrollTop + (clientHeight || 900)) / height) + SPARE);
    const folds = this.#owner.folds();
    let folders = 0;
    let leaves = 0;
    let current = "";
    const seen: Series[] = [];
    for (let i = from; i < to; i++) {
      const branch = this.#rows[i];
      let element: HTMLElement;
      if (branch.kind === "folder") {
        const row = this.#folders[folders++] ?? this.#createFolder();
        this.#fillFolder(row, branch, isOpen(branch, folds, this.#depth));
        element = row.element;
      } else {
        const row = this.#leaves[leaves++] ?? this.#createLeaf();
        row.shown = branch;
        row.fill(branch);
        element = row.element;
        seen.push(branch.series);
      }
      show(element, true);
      element.style.transform = `translateY(${i * height}px)`;
      element.style.setProperty("--indent", `${(branch.depth - 1) * INDENT}px`);
      setAttribute(element, "aria-level", String(branch.depth));
      setAttribute(element, "aria-selected", String(this.#owner.selected(branch)));
      element.classList.toggle("at", i === this.#at);
      if (i === this.#at) current = element.id;
    }
    for (let i = folders; i < this.#folders.length; i++) show(this.#folders[i].element, false);
    for (let i = leaves; i < this.#leaves.length; i++) {
      show(this.#leaves[i].element, false);
      this.#leaves[i].shown = null;
      this.#leaves[i].clear();
    }
    if (current) setAttribute(this.#spacer, "aria-activedescendant", current);
    else this.#spacer.removeAttribute("aria-activedescendant");
    this.#owner.seen(seen);
  }

  /** Fill all rows anew, as after another width. */
  refill(): void {
    for (const row of this.#leaves) row.clear();
    this.draw();
  }

  #adopt(element: HTMLElement, shown: () => Branch | null, click: (branch: Branch, shift: boolean) => void): void {
    element.id = `tree-row-${rowIds++}`;
    setAttribute(element, "role", "treeitem");
    element.classList.add("tree-row");
    element.addEventListener("click", (event) => {
      const branch = shown();
      if (!branch) return;
      this.#at = this.#rows.indexOf(branch);
      this.#spacer.focus({ preventScroll: true });
      click(branch, event.shiftKey);
    });
    this.#spacer.append(element);
  }

  #createLeaf(): LeafRow & { shown: Leaf | null } {
    const row = Object.assign(this.#owner.leafRow(), { shown: null as Leaf | null });
    this.#adopt(
      row.element,
      () => row.shown,
      (leaf, shift) => this.#owner.chooseLeaf(leaf as Leaf, shift),
    );
    this.#leaves.push(row);
    return row;
  }

  #createFolder(): FolderRow {
    const fold = h("span", { class: "tree-fold" }, icon("chevron", 14));
    const name = h("span", { class: "tree-name" });
    const state = h("span", { class: "tree-state" });
    const count = h("span", { class: "tree-count" });
    const element = h(
      "div",
      { class: "tree-folder", draggable: "true", "data-tw": "tree-folder" },
      fold,
      name,
      " ",
      state,
      " ",
      count,
    );
    const row: FolderRow = { element, name, state, count, shown: null };
    this.#adopt(
      element,
      () => row.shown,
      (folder) => this.#owner.clickFolder(folder as Folder),
    );
    fold.addEventListener("click", (event) => {
      event.stopPropagation();
      if (row.shown) this.fold(row.shown);
    });
    element.addEventListener("dragstart", (event) => {
      if (row.shown) event.dataTransfer?.setData(LEVEL_TYPE, row.shown.path);
    });
    this.#folders.push(row);
    return row;
  }

  #fillFolder(row: FolderRow, folder: Folder, open: boolean): void {
    row.shown = folder;
    setText(row.name, folder.name);
    setAttribute(row.element, "title", folder.path);
    setAttribute(row.element, "aria-expanded", String(open));
    const count = formatNumber(folder.count, 0);
    if (row.count.dataset.shown !== count) {
      row.count.dataset.shown = count;
      row.count.replaceChildren(count, h("span", { class: "spoken" }, " series"));
    }
    const worst = this.#tree.worst(folder);
    const key = worst ? `${worst[0]} ${worst[1]}` : "";
    if (row.state.dataset.shown === key) return;
    row.state.dataset.shown = key;
    row.state.className = `tree-state ${worst?.[0] ?? ""}`;
    const words = worst ? h("span", { class: "spoken" }, ` ${STATE_WORDS[worst[0]]} `) : null;
    row.state.replaceChildren(
      ...(worst && words ? [icon(STATE_ICONS[worst[0]], 12), formatNumber(worst[1], 0), words] : []),
    );
  }

  /** Fold a level, or unfold it. */
  fold(folder: Folder, open = !isOpen(folder, this.#owner.folds(), this.#depth)): void {
    const folds = new Map(this.#owner.folds());
    // The latest comes last: an address keeps those.
    folds.delete(folder.path);
    folds.set(folder.path, open);
    this.#owner.setFolds(folds);
  }

  #unfoldAll(): void {
    const folds = this.#owner.folds();
    const groups = [...folds].filter(([path]) => path.endsWith("/"));
    this.#owner.setFolds(new Map(folds.get(ALL_LEVELS) ? groups : [...groups, [ALL_LEVELS, true]]));
  }

  #move(to: number): void {
    this.#at = Math.min(this.#rows.length - 1, Math.max(0, to));
    const height = rowHeight();
    const top = this.#at * height;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) this.element.scrollTop = top + height - clientHeight;
    this.draw();
  }

  #key(event: KeyboardEvent): void {
    const row = this.#rows[this.#at];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const folder = row.kind === "folder" ? row : null;
    const open = folder !== null && isOpen(folder, this.#owner.folds(), this.#depth);
    const page = Math.max(1, Math.floor(this.element.clientHeight / rowHeight()) - 1);
    switch (event.key) {
      case "ArrowDown":
        this.#move(this.#at + 1);
        break;
      case "ArrowUp":
        this.#move(this.#at - 1);
        break;
      case "PageDown":
        this.#move(this.#at + page);
        break;
      case "PageUp":
        this.#move(this.#at - page);
        break;
      case "Home":
        this.#move(0);
        break;
      case "End":
        this.#move(this.#rows.length - 1);
        break;
      case "ArrowRight":
        if (folder && !open) this.fold(folder, true);
        else if (folder) this.#move(this.#at + 1);
        break;
      case "ArrowLeft":
        if (folder && open) this.fold(folder, false);
        else if (row.parent) this.#move(this.#rows.indexOf(row.parent));
        break;
      case "Enter":
        if (folder) this.#owner.enterFolder(folder, event.shiftKey);
        else this.#owner.chooseLeaf(row as Leaf, event.shiftKey);
        break;
      case "*":
        this.#unfoldAll();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
