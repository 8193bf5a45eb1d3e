/** The kinds of a chart: how a plot is drawn, and what stands in the place of one. */

/** Width of a chart, of 12 columns. */
export const DEFAULT_COLUMNS = 4;
/** How a plot is drawn: by what its readings are, or as it was told. */
export const PLOT_KINDS = ["auto", "line", "steps", "bars", "points", "stacked"] as const;
export type PlotKind = (typeof PLOT_KINDS)[number];
/** What a chart shows in the place of a plot. */
export const OTHER_KINDS = ["stat", "gauge", "bar", "hist", "table"] as const;
export type OtherKind = (typeof OTHER_KINDS)[number];
export type Kind = PlotKind | OtherKind;
export const KINDS: readonly Kind[] = [...PLOT_KINDS, ...OTHER_KINDS];
/** Columns of a chart whose address gives none, by its kind. */
const WIDTHS = new Map<Kind | undefined, number>([
  ["stat", 2],
  ["gauge", 3],
  ["bar", 3],
  ["table", 5],
]);
export const defaultColumns = (kind?: Kind): number => WIDTHS.get(kind) ?? DEFAULT_COLUMNS;

/** Return a kind if no plot is drawn of it, else null. */
export const otherKind = (kind: Kind | undefined): OtherKind | null => OTHER_KINDS.find((one) => one === kind) ?? null;
