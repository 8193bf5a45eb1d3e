/** What the card of a formula says besides its chart: how much it reads, what is doubtful or wrong, why it is empty. */

import { h } from "../base/dom";
import { formatNumber } from "../base/format";
import type { ChartFrame } from "../chart/card";
import type { ChartSpec } from "../model/url";
import type { FormulaFault, FormulaState } from "../wire/messages";

/** A link among words. */
const LINK =
  "position:relative;z-index:1;display:inline;padding:0;font:inherit;color:var(--accent);text-decoration:underline";

/** What stands in the place of a result without series. */
function nothingText(formula: string, result: FormulaState | undefined): string {
  if (!formula) return "Press q, and write a formula";
  if (!result || result.loading) return "Loading";
  if (result.error) return "No result";
  return result.reads === 0 ? "Nothing that it reads has been published yet" : "No result now";
}

/** Return a formula in whose place `instead` is written. */
export const mendedBy = (formula: string, { position, end, instead = "" }: FormulaFault): string =>
  formula.slice(0, position) + instead + formula.slice(end);

/** Return what is wrong, and the link that mends it: its text says what is written in the wrong place. */
export function faultParts(fault: FormulaFault, mend: ((instead: string) => void) | null): [string, Node | ""] {
  const { message, remedy, instead } = fault;
  if (!instead || !mend) return [[message, remedy].filter(Boolean).join("; "), ""];
  const link = h("button", { type: "button", style: LINK, "data-tw": "mend", onclick: () => mend(instead) }, instead);
  // The row is a flex box, in which a blank at an end is nothing.
  return [`${message}. Did you mean `, h("span", {}, link, "?")];
}

/** Write what there is of a formula on its card, beside the tags of how it is drawn; `mend` draws another in its place. */
export function dress(
  card: ChartFrame,
  { formula = "", series }: Pick<ChartSpec, "formula" | "series">,
  result: FormulaState | undefined,
  tags: readonly string[],
  mend: ((formula: string) => void) | null,
): void {
  const { error = null, warnings = [], hint } = result ?? {};
  card.element.classList.toggle("of-formula", series.length === 0);
  card.head.title = formula;
  card.nothing = nothingText(formula, result);
  const fault = error ?? hint;
  if (fault) card.fault(...faultParts(fault, mend && (() => mend(mendedBy(formula, fault)))));
  else card.fault("");
  const count =
    result && !error ? [`${formatNumber(result.reads, 0)} series → ${formatNumber(result.series.length, 0)}`] : [];
  const doubtful = warnings.length > 0;
  card.element.classList.toggle("doubtful", doubtful);
  card.tags([...(doubtful ? ["doubtful"] : []), ...tags, ...count], warnings.join("\n"));
}
