/** The buttons of a chart card, shown while it is hovered or focused. */

import { h, type IconName, iconButton } from "../base/dom";
import { chartTitle } from "../base/naming";
import { nextFacet, removeChart, splitChart } from "../model/layout";
import type { DeckCard, DeckCharts } from "./page";

export function cardButtons(
  deck: DeckCharts,
  { at, spec, chart }: DeckCard,
  zoomed: boolean,
  live: () => void,
): HTMLElement {
  const { title } = chart;
  const alone = deck.isAlone(at);
  const facet = nextFacet(deck.directory, spec);
  const button = (name: IconName, words: string, hook: string, press: () => void): HTMLElement =>
    iconButton(name, words, press, `chart-${hook}`, 14);
  const buttons = [
    button("axis", `y axis of ${title}: range, scale, kind (y)`, "axis", () => deck.openAxis()),
    button("formula", `Formula of ${title} (q)`, "formula", () => deck.openFormula()),
    button("deck", `Statistics, thresholds and export of ${title} (f)`, "drawer", () => deck.openDrawer(at)),
    button(alone ? "shrink" : "expand", alone ? "Show all charts (v)" : `Show ${title} alone (v)`, "alone", () =>
      deck.alone(at),
    ),
    button("table", `Data table of ${title} (d)`, "data", () => chart.toggleTable()),
    button("close", `Remove ${title} (x)`, "remove", () => deck.setCharts(removeChart(deck.specs(), at))),
  ];
  if (facet !== undefined || spec.facet !== undefined) {
    const words =
      facet === undefined
        ? `Join ${spec.formula ?? chartTitle([spec.series[0].metric])} (s)`
        : `Split ${title} by ${facet} (s)`;
    buttons.unshift(
      button("split", words, "split", () => deck.setCharts(splitChart(deck.directory, deck.specs(), at))),
    );
  }
  if (zoomed) buttons.unshift(button("unzoom", "Back to live (Esc)", "unzoom", live));
  return h("div", { class: "card-buttons" }, ...buttons);
}
