/** The buttons of a chart card, shown while it is hovered or focused. */

import { h, type IconName, iconButton } from "../base/dom";
import { chartTitle } from "../base/naming";
import { changeChart, nextFacet, nextKind, removeChart, splitChart } from "../model/layout";
import type { Kind } from "../model/url";
import type { DeckCard, DeckCharts } from "./page";

const KIND_WORDS: Record<Kind, string> = {
  auto: "as its readings suggest",
  line: "as a line",
  steps: "as steps",
  bars: "as bars",
  points: "as points",
  stacked: "stacked",
};

export function cardButtons(
  deck: DeckCharts,
  { at, spec, chart }: DeckCard,
  zoomed: boolean,
  live: () => void,
): HTMLElement {
  const { title } = chart;
  const next = nextKind(spec.kind);
  const alone = deck.isAlone(at);
  const facet = nextFacet(deck.directory, spec);
  const button = (name: IconName, words: string, hook: string, press: () => void): HTMLElement =>
    iconButton(name, words, press, `chart-${hook}`, 14);
  const buttons = [
    button("deck", `Statistics, thresholds and export of ${title} (f)`, "drawer", () => deck.openDrawer(at)),
    button(alone ? "shrink" : "expand", alone ? "Show all charts (v)" : `Show ${title} alone (v)`, "alone", () =>
      deck.alone(at),
    ),
    button("steps", `Draw ${title} ${KIND_WORDS[next]} (y)`, "kind", () =>
      deck.setCharts(changeChart(deck.specs(), at, { kind: next })),
    ),
    button("table", `Data table of ${title} (d)`, "data", () => chart.toggleTable()),
    button("close", `Remove ${title} (x)`, "remove", () => deck.setCharts(removeChart(deck.specs(), at))),
  ];
  if (facet !== undefined || spec.facet !== undefined) {
    const words =
      facet === undefined ? `Join ${chartTitle([spec.series[0].metric])} (s)` : `Split ${title} by ${facet} (s)`;
    buttons.unshift(
      button("split", words, "split", () => deck.setCharts(splitChart(deck.directory, deck.specs(), at))),
    );
  }
  if (zoomed) buttons.unshift(button("unzoom", "Back to live (Esc)", "unzoom", live));
  return h("div", { class: "card-buttons" }, ...buttons);
}
