/** The tree of series by the levels of their names, with the number of series and the states below each level; pure. */
import type { Series } from "./directory";

/** States that a level tells of, the worst first; a series that is live and well is in none. */
export const WORSE = ["critical", "warn", "stale"] as const;
export type Worse = (typeof WORSE)[number];

/** A metric with more label sets than this is a level of its own among other metrics. */
const MOST_BESIDE = 12;
/** Up to this many series all levels are unfolded, if nobody said otherwise. */
const MOST_UNFOLDED = 200;
/** With more series, whole depths of levels are unfolded while no more rows than this are shown. */
const MOST_ROWS = 40;

export interface Folder {
  readonly kind: "folder";
  /** Its levels, as in the names of the metrics below it. */
  readonly path: string;
  /** What its row says: the levels below its parent; several where each but the last has one child. */
  readonly name: string;
  readonly parent: Folder | null;
  /** 1 for the first. */
  readonly depth: number;
  readonly children: readonly Branch[];
  /** Series below it. */
  readonly count: number;
  /** Series below it in each of `WORSE`. */
  readonly counts: readonly number[];
}

export interface Leaf {
  readonly kind: "leaf";
  readonly series: Series;
  /** What its row says before the labels; empty: the labels alone tell it apart. */
  readonly name: string;
  readonly parent: Folder | null;
  readonly depth: number;
}

export type Branch = Folder | Leaf;

/** A level while the tree is built. */
interface Level {
  levels: Map<string, Level>;
  series: Series[];
  count: number;
}

type Growing = { -readonly [K in keyof Folder]: Folder[K] } & { children: Branch[]; counts: number[] };

const emptyLevel = (): Level => ({ levels: new Map(), series: [], count: 0 });

/** Return the levels of the names, each with the series whose metric it is. */
function levelsOf(series: readonly Series[]): Level {
  const root = emptyLevel();
  for (const one of series) {
    let at = root;
    at.count++;
    for (const name of one.metric.split("/")) {
      let next = at.levels.get(name);
      if (!next) {
        next = emptyLevel();
        at.levels.set(name, next);
      }
      at = next;
      at.count++;
    }
    at.series.push(one);
  }
  return root;
}

export class Tree {
  readonly roots: readonly Branch[];
  readonly size: number;
  readonly folders: ReadonlyMap<string, Folder>;
  /** Where each series hangs, by its index. */
  readonly #leaves = new Map<number, Leaf>();
  /** The state that was counted of each series; absent: none of `WORSE`. */
  readonly #states = new Map<number, number>();

  /** Build the tree of series in this order, O(n) in the levels of all names. */
  constructor(series: readonly Series[]) {
    const folders = new Map<string, Folder>();
    const grow = (level: Level, path: string, parent: Growing | null, into: Branch[]): void => {
      const depth = (parent?.depth ?? 0) + 1;
      for (const [first, child] of level.levels) {
        let [name, at, below] = [first, child, path ? `${path}/${first}` : first];
        while (at.series.length === 0 && at.levels.size === 1) {
          const [[next, only]] = at.levels;
          [name, at, below] = [`${name}/${next}`, only, `${below}/${next}`];
        }
        const ends = at.levels.size === 0;
        const beside =
          ends && (at.count === 1 || (parent !== null && at.count <= MOST_BESIDE && level.levels.size > 1));
        if (beside) {
          for (const one of at.series) into.push(this.#hang(one, name, parent, depth));
          continue;
        }
        const folder: Growing = {
          kind: "folder",
          path: below,
          name,
          parent,
          depth,
          children: [],
          count: at.count,
          counts: WORSE.map(() => 0),
        };
        folders.set(below, folder);
        into.push(folder);
        const last = name.slice(name.lastIndexOf("/") + 1);
        for (const one of at.series) folder.children.push(this.#hang(one, ends ? "" : last, folder, depth + 1));
        grow(at, below, folder, folder.children);
      }
    };
    const roots: Branch[] = [];
    grow(levelsOf(series), "", null, roots);
    this.roots = roots;
    this.size = series.length;
    this.folders = folders;
  }

  #hang(series: Series, name: string, parent: Folder | null, depth: number): Leaf {
    const leaf: Leaf = { kind: "leaf", series, name, parent, depth };
    this.#leaves.set(series.index, leaf);
    return leaf;
  }

  /** Tell the levels above a series its state: O(depth) if it is another than before, else O(1). */
  mark(index: number, state: Worse | null): void {
    const now = state === null ? -1 : WORSE.indexOf(state);
    const before = this.#states.get(index) ?? -1;
    if (now === before) return;
    if (now < 0) this.#states.delete(index);
    else this.#states.set(index, now);
    for (let at = this.#leaves.get(index)?.parent ?? null; at; at = at.parent) {
      const counts = at.counts as number[];
      if (before >= 0) counts[before]--;
      if (now >= 0) counts[now]++;
    }
  }

  /** Return the state that was told of a series. */
  stateOf(index: number): Worse | null {
    return WORSE[this.#states.get(index) ?? -1] ?? null;
  }

  /** Return the worst state below a folder, and how many series are in it; null if all are well. */
  worst(folder: Folder): readonly [Worse, number] | null {
    const at = folder.counts.findIndex((count) => count > 0);
    return at < 0 ? null : [WORSE[at], folder.counts[at]];
  }

  /** Return the depth down to which levels are unfolded, if nobody said otherwise. */
  unfoldedDepth(): number {
    if (this.size <= MOST_UNFOLDED) return Infinity;
    let rows: readonly Branch[] = this.roots;
    let count = rows.length;
    for (let depth = 1; ; depth++) {
      const next = rows.flatMap((one) => (one.kind === "folder" ? one.children : []));
      count += next.length;
      if (next.length === 0 || count > MOST_ROWS) return depth - 1;
      rows = next;
    }
  }

  /** Return the rows that are shown, in order: each folder, and what is in those that are open. */
  rows(open: (folder: Folder) => boolean): Branch[] {
    const rows: Branch[] = [];
    const add = (branches: readonly Branch[]): void => {
      for (const branch of branches) {
        rows.push(branch);
        if (branch.kind === "folder" && open(branch)) add(branch.children);
      }
    };
    add(this.roots);
    return rows;
  }
}

/** Key of all levels in the folds of an address. */
export const ALL_LEVELS = "**";

/** Return whether a folder is open: as somebody left it, or else as `depth` says. */
export function isOpen(folder: Folder, folds: ReadonlyMap<string, boolean>, depth: number): boolean {
  return folds.get(folder.path) ?? folds.get(ALL_LEVELS) ?? folder.depth <= depth;
}

/** Series that lie together as tiles, and the level that they share. */
export interface Group {
  path: string;
  series: Series[];
}

/** Return series of this order in groups of at most `most`, as far as levels divide them; groups are in order of name. */
export function groupsOf(series: readonly Series[], most: number): Group[] {
  const groups: Group[] = [];
  const split = (level: Level, path: string): void => {
    const divides = level.levels.size > 1 || (level.levels.size === 1 && level.series.length === 0);
    const ends = [...level.levels.values()].every((one) => one.levels.size === 0);
    if (path && (level.count <= most || !divides || ends)) {
      groups.push({ path, series: below(level) });
      return;
    }
    if (level.series.length) groups.push({ path, series: level.series });
    for (const [name, child] of level.levels) split(child, path ? `${path}/${name}` : name);
  };
  split(levelsOf(series), "");
  return groups;
}

const below = (level: Level): Series[] => [...level.series, ...[...level.levels.values()].flatMap(below)];
