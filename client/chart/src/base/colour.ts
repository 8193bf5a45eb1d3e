/** Which of the six series colours a series has, everywhere it is drawn. */

export const COLOURS = 6;

/** FNV-1a, 32 bits, over the UTF-8 of a name. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Index of the colour: series of one metric take neighbouring colours, so that up to six never collide. */
export function colourIndex(metric: string, rank: number): number {
  return (fnv1a(metric) + rank) % COLOURS;
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

/** A `#RRGGBB` colour with an alpha, for canvas fills. */
export function withAlpha(hex: string, alpha: number): string {
  const n = parseInt(hex.slice(1), 16);
  return `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${alpha})`;
}
