/** All kinds of charts that are no plot, and which of them draws a chart now. Loaded for the first chart that needs it. */

import { unitKey } from "../../base/units";
import { openApart } from "../../model/apart";
import type { OtherKind } from "../../model/kinds";
import { bar } from "./bar";
import { gauge } from "./gauge";
import { hist } from "./hist";
import type { ChartKind, Drawing, Shown } from "./kind";
import { stat } from "./stat";
import { table } from "./table";

/** In the order of the menu. */
export const CHART_KINDS: ReadonlyMap<OtherKind, ChartKind> = new Map(
  [stat, gauge, bar, hist, table].map((kind) => [kind.name, kind]),
);

/**
 * Return what draws a chart in the place of its plot: `before` while that is of the kind, null if it is a plot. A kind that
 * cannot show what there is says so, and the plot is drawn.
 */
export function drawingOf(chart: Shown, before: Drawing | null): Drawing | null {
  const kind = chart.other && CHART_KINDS.get(chart.other);
  const misfit = kind ? kind.misfit(chart) : "";
  const fits = kind && misfit === "" ? kind : null;
  const { card } = chart;
  card.element.classList.toggle("of-kind", fits !== null);
  card.element.dataset.kind = fits?.name ?? "";
  if (misfit) card.third(misfit, null);
  else if (fits) card.third("", null);
  else sayThird(chart);
  if (!fits) return null;
  return before?.kind === fits.name ? before : fits.make(chart);
}

/** Say which units have no axis in a plot, and offer their series a chart of their own. */
function sayThird({ card, codes, series, sides, changeDeck }: Shown): void {
  const rest = series.filter((_, i) => sides[i] < 0);
  const names = (units: readonly string[], between: string): string =>
    [...new Set(units.map((unit) => unitKey(unit) || "no unit"))].join(between);
  // Series of one metric that lost their unit are named in the legend.
  if (codes.length < 2 || rest.length === 0) return card.third("", null);
  const absent = names(
    rest.map(({ unit }) => unit),
    ", ",
  );
  card.third(
    `This chart has room for two units: ${names(codes, " and ")} are drawn, ${absent} ${changeDeck ? "opens beside it" : "is not"}`,
    changeDeck && (() => changeDeck((directory, charts, at) => openApart(directory, charts, at, rest))),
  );
}
