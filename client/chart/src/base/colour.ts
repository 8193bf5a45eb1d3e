/** Styles of series: one of twelve colours, and a dash where one chart needs more. */

const COLOURS = 12;
/** In px: on and off in turn. */
const DASHES: readonly (readonly number[])[] = [[], [6, 3], [2, 3], [9, 3, 2, 3]];
export const STYLES = COLOURS * DASHES.length;

/** A dash for each style of one chart, empty for a solid line: one line of each colour needs none. */
export function dashesOf(styles: readonly number[]): (readonly number[])[] {
  const least = new Map<number, number>();
  for (const style of styles) least.set(style % COLOURS, Math.min(style, least.get(style % COLOURS) ?? Infinity));
  return styles.map((style) => (style === least.get(style % COLOURS) ? [] : DASHES[Math.floor(style / COLOURS)]));
}

/** The CSS background of a swatch: a colour, broken as a line of this dash at half its size. */
export function swatch(colour: string, dash: readonly number[]): string {
  if (dash.length === 0) return colour;
  let at = 0;
  const stops = dash.map((px, i) => {
    const from = at;
    at += px / 2;
    return `${i % 2 ? "transparent" : colour} ${from}px ${at}px`;
  });
  return `repeating-linear-gradient(90deg,${stops.join()})`;
}

/** FNV-1a, 32 bits, over the UTF-8 of a name. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** A colour at 70 % of its saturation, as the CSS filter `saturate(.7)` gives it. */
export function paler(hex: string): string {
  const n = parseInt(hex.slice(1), 16);
  const [r, g, b] = [n >> 16, (n >> 8) & 255, n & 255];
  const luma = 0.213 * r + 0.715 * g + 0.072 * b;
  const mix = (c: number): string =>
    Math.round(luma + 0.7 * (c - luma))
      .toString(16)
      .padStart(2, "0");
  return `#${mix(r)}${mix(g)}${mix(b)}`;
}

/** A `#RRGGBB` colour with so much of another in it, 0 … 1. */
export function mix(hex: string, other: string, share: number): string {
  const [a, b] = [hex, other].map((text) => parseInt(text.slice(1), 16));
  const channel = (shift: number): number =>
    Math.round(((a >> shift) & 255) * (1 - share) + ((b >> shift) & 255) * share) << shift;
  return `#${(channel(16) | channel(8) | channel(0)).toString(16).padStart(6, "0")}`;
}

/** Colours of the two themes by alpha: drawings ask for the same ones thousands of times a second. */
const made = new Map<number, Map<string, string>>();

/** A `#RRGGBB` colour with an alpha, for canvas fills. */
export function withAlpha(hex: string, alpha: number): string {
  const same = made.get(alpha) ?? new Map<string, string>();
  const before = same.get(hex);
  if (before) return before;
  const n = parseInt(hex.slice(1), 16);
  const colour = `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${alpha})`;
  made.set(alpha, same.set(hex, colour));
  return colour;
}
