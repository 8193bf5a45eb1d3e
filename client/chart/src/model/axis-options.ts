/** How the y axis of a chart, or the order of its rows, is set by hand, and its options in the address. Absent fields are automatic. */

import { type Kind, otherKind } from "./kinds";

export interface AxisOptions {
  /** Ends of the left axis, in the unit of its readings. */
  lo?: number;
  hi?: number;
  zero?: true;
  log?: true;
  inverted?: true;
  /** The references of the chart, counted from 1, whose series stand on the right axis; absent: a second unit does. */
  right?: readonly number[];
  /** The unit that the left axis shows. */
  unit?: string;
  /** By what the rows of a table or the bars are sorted: see `ORDERS`; after a minus the other way around. */
  order?: string;
}

/** Names first in the order of the alphabet, numbers from the greatest on, ages from the newest on. */
export const ORDERS = ["name", "last", "mean", "max", "age"] as const;

const FLAGS = [
  ["zero", "zero"],
  ["log", "log"],
  ["inv", "inverted"],
] as const;

const numberOf = (text: string): number => (/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i.test(text) ? Number(text) : NaN);

/** Take up one option of a chart, without its `;`; false if it is none of an axis, or no axis can have it. */
export function takeAxisOption(axis: AxisOptions, option: string, decoded: (text: string) => string): boolean {
  const flag = FLAGS.find(([name]) => name === option);
  if (flag) axis[flag[1]] = true;
  const [, name, value] = /^([yruo])=(.+)$/s.exec(option) ?? [];
  if (name === "u") axis.unit = decoded(value);
  if (name === "o") {
    if (!ORDERS.some((one) => value === one || value === `-${one}`)) return false;
    axis.order = value;
  }
  if (name === "r") {
    if (!/^[1-9]\d?(,[1-9]\d?)*$/.test(value)) return false;
    axis.right = [...new Set(value.split(",").map(Number))];
  }
  if (name === "y") {
    const ends = value.split("..");
    const [lo, hi] = ends.map((end) => (end === "" ? undefined : numberOf(end)));
    if (ends.length !== 2 || rangeFault({ ...axis, lo, hi }) !== "") return false;
    if (lo !== undefined) axis.lo = lo;
    if (hi !== undefined) axis.hi = hi;
  }
  return flag !== undefined || name !== undefined;
}

/** Return the options of an axis as they stand in the address, without their `;`. */
export function axisOptions(axis: AxisOptions, encoded: (text: string) => string): string[] {
  const { lo, hi, right, unit, order } = axis;
  return [
    ...(lo === undefined && hi === undefined ? [] : [`y=${lo ?? ""}..${hi ?? ""}`]),
    ...FLAGS.flatMap(([name, field]) => (axis[field] ? [name] : [])),
    ...(right?.length ? [`r=${right.join()}`] : []),
    ...(unit ? [`u=${encoded(unit)}`] : []),
    ...(order ? [`o=${order}`] : []),
  ];
}

/** Return why no axis can have a range, empty if one can. */
export function rangeFault({ lo, hi }: { lo?: number | undefined; hi?: number | undefined }): string {
  if (Number.isNaN(lo) || Number.isNaN(hi)) return "A range is made of numbers, such as 118 or 1e-9";
  if (lo !== undefined && hi !== undefined && !(lo < hi)) return "The range must begin below its end";
  return "";
}

/** Return what the card of a chart says of how it is drawn. */
export function tagsOf(kind: Kind, { lo, hi, zero, log, inverted }: AxisOptions): string[] {
  if (otherKind(kind)) return [];
  const [from, to] = [lo, hi].map((end) => (end === undefined ? "" : String(end).replace("-", "−")));
  return [
    kind === "auto" ? "" : kind,
    log ? "log" : "",
    lo === undefined && hi === undefined
      ? ""
      : hi === undefined
        ? `from ${from}`
        : lo === undefined
          ? `up to ${to}`
          : `${from} – ${to}`,
    zero ? "from 0" : "",
    inverted ? "upside down" : "",
  ].filter(Boolean);
}

/** Change some options of an axis; one of undefined goes. */
export function changedAxis(
  axis: AxisOptions | undefined,
  part: { [Key in keyof AxisOptions]?: AxisOptions[Key] | undefined },
): AxisOptions {
  const all = Object.entries({ ...axis, ...part }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(all) as AxisOptions;
}
