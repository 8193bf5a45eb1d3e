/** Reloads a page whose session is gone. The URL holds all state of the page, so nothing is lost. */

const AGAIN_AFTER_MS = 60_000;
const KEY = "tidewire-reloaded";

/** Reload at most once a minute; return true if the last reload was less than that ago. */
export function reloadOnce(): boolean {
  const before = Number(sessionStorage.getItem(KEY) ?? 0);
  if (Date.now() - before <= AGAIN_AFTER_MS) return true;
  sessionStorage.setItem(KEY, String(Date.now()));
  location.reload();
  return false;
}
