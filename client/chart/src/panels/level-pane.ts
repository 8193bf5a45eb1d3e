/** The tree of levels at the left of the overview, where there are many series: a level narrows the tiles to its own. */

import { h, setText, show } from "../base/dom";
import { formatNumber, formatRate } from "../base/format";
import { fullName } from "../base/naming";
import { chartsOfLevel } from "../model/layout";
import { Searched } from "../model/search";
import { LIST } from "../model/session";
import type { Folder, Leaf } from "../model/tree";
import { FRESH } from "../model/url";
import type { AppContext } from "./app-context";
import { keptWidth } from "./side-room";
import { type LeafRow, TreeView } from "./tree-view";
import { widthHandle } from "./width-handle";

export class LevelPane {
  readonly element: HTMLElement = h("nav", {
    class: "sidebar",
    "aria-label": "Levels",
    "data-tw": "levels",
    style: `--side-width:${keptWidth()}px`,
  });
  readonly #tree: TreeView;
  readonly #foot = h("span", { class: "grow" });
  readonly #searched = new Searched();
  readonly #app: AppContext;

  constructor(app: AppContext) {
    this.#app = app;
    this.#tree = new TreeView({
      label: "Levels",
      leafRow: () => this.#leafRow(),
      folds: () => app.state.folds,
      setFolds: (folds) => app.change({ folds }),
      enterFolder: (folder, shift) => (shift ? this.#openDeck(folder) : app.change({ query: `${folder.path}/**` })),
      clickFolder: (folder) => app.change({ query: `${folder.path}/**` }),
      chooseLeaf: ({ series }) => app.change({ query: `${series.metric}/**` }),
      selected: (branch) => app.state.query === `${branch.kind === "folder" ? branch.path : branch.series.metric}/**`,
      seen: () => undefined,
    });
    this.element.append(
      this.#tree.element,
      h("div", { class: "side-foot" }, this.#foot, h("kbd", { title: "Hide this tree" }, "m")),
      widthHandle(this.element),
    );
    show(this.element, false);
  }

  /** Open the deck of a level, with its charts. */
  #openDeck(folder: Folder): void {
    const charts = chartsOfLevel(this.#app.session.directory, folder.path);
    this.#app.change({ page: "deck", slug: folder.path.split("/")[0], ...FRESH, charts }, true);
  }

  /** Show the levels of the series that have the chosen labels, whatever is searched for. */
  update(shown: boolean): void {
    show(this.element, shown);
    if (!shown) return;
    const { session, state } = this.#app;
    this.#tree.setSeries(this.#searched.of(session.directory, "", state.labels).found);
  }

  draw(): void {
    if (this.element.hidden) return;
    const { session } = this.#app;
    this.#tree.mark(session.views[LIST], session.alarms, session.now());
    this.#tree.draw();
    const rate = formatRate(session.status?.readings_per_s ?? 0);
    setText(this.#foot, `${formatNumber(session.directory.measured.length, 0)} series · ${rate} readings/s`);
  }

  #leafRow(): LeafRow {
    const name = h("span", { class: "tree-name" });
    const short = h("span", { class: "side-short" });
    const element = h("div", { class: "tree-leaf", "data-tw": "tree-leaf" }, name, " ", short);
    return {
      element,
      fill: (leaf: Leaf) => {
        setText(name, leaf.name || leaf.series.short || leaf.series.name);
        setText(short, leaf.name ? leaf.series.short : "");
        element.title = fullName(leaf.series);
      },
      clear: () => undefined,
    };
  }
}
