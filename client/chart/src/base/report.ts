/** Reports an error that cost the page no more than the part that shows one series. */

const reported = new Set<string>();
/** Names kept; a page that stays open for weeks meets new ones. */
const MOST_NAMES = 1_000;

/** Write an error to the console, once for each name: drawing is tried again several times a second. */
export function reportOnce(name: string, error: unknown): void {
  if (reported.has(name) || reported.size >= MOST_NAMES) return;
  reported.add(name);
  console.error(`${name} cannot be drawn; all others are`, error);
}
