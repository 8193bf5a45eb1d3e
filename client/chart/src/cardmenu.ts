/** The buttons that a chart shows while it is in hand. */
import type { DeckPage, Held } from "./deck";
import { h, iconButton, type IconName } from "./dom";
import { changeChart, nextFacet, removeChart, splitChart } from "./layout";
import { chartTitle } from "./naming";
import { COLUMNS } from "./url";

export function cardButtons(deck: DeckPage, { at, spec, chart }: Held, zoomed: boolean, live: () => void): HTMLElement {
  const { title } = chart;
  const next = COLUMNS.find((wider) => wider > spec.columns) ?? COLUMNS[0];
  const facet = nextFacet(deck.directory, spec);
  const button = (name: IconName, words: string, hook: string, press: () => void): HTMLElement => iconButton(name, words, press, `chart-${hook}`, 14);
  const buttons = [
    button("table", `Data table of ${title} (d)`, "data", () => chart.toggleTable()),
    button(next > spec.columns ? "wide" : "narrow", `${next > spec.columns ? "Widen" : "Narrow"} ${title} to ${next} of 12 columns`, "resize", () => deck.setCharts(changeChart(deck.specs(), at, { columns: next }))),
    button("close", `Remove ${title} (x)`, "remove", () => deck.setCharts(removeChart(deck.specs(), at))),
  ];
  if (facet !== undefined || spec.facet !== undefined) {
    const words = facet === undefined ? `Join ${chartTitle([spec.series[0].metric])} (s)` : `Split ${title} by ${facet} (s)`;
    buttons.unshift(button("split", words, "split", () => deck.setCharts(splitChart(deck.directory, deck.specs(), at))));
  }
  if (zoomed) buttons.unshift(button("unzoom", "Back to live (Esc)", "unzoom", live));
  return h("div", { class: "card-buttons" }, ...buttons);
}
