/** What this browser keeps between visits; one that allows no storage forgets it with the page. */

/** Return the text that is kept under a key, null if none is. */
export function readKept(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Keep a text under a key. */
export function keep(key: string, text: string): void {
  try {
    localStorage.setItem(key, text);
  } catch {
    // as said
  }
}
