/** What the card of a formula says besides its chart: how much it reads, what is doubtful or wrong, why it is empty. */

import { formatNumber } from "../base/format";
import type { ChartFrame } from "../chart/card";
import type { FormulaState } from "../wire/messages";

/** What stands in the place of a result without series. */
function nothingText(formula: string, result: FormulaState | undefined): string {
  if (!formula) return "Press q, and write a formula";
  if (!result || result.loading) return "Loading";
  if (result.error) return "No result";
  return result.reads === 0 ? "Nothing that it reads has been published yet" : "No result now";
}

/** Write what there is of a formula on its card, beside the tags of how it is drawn. */
export function dress(
  card: ChartFrame,
  formula: string,
  result: FormulaState | undefined,
  tags: readonly string[],
): void {
  const { error = null, warnings = [] } = result ?? {};
  card.element.classList.add("of-formula");
  card.head.title = formula;
  card.nothing = nothingText(formula, result);
  card.fault(error ? [error.message, error.remedy].filter(Boolean).join("; ") : "");
  const count =
    result && !error ? [`${formatNumber(result.reads, 0)} series → ${formatNumber(result.series.length, 0)}`] : [];
  const doubtful = warnings.length > 0;
  card.element.classList.toggle("doubtful", doubtful);
  card.tags([...(doubtful ? ["doubtful"] : []), ...tags, ...count], warnings.join("\n"));
}
