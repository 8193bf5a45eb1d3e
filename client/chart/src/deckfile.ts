/** A page as a JSON file: the whole state of its address, to be kept, sent and opened again. */
import { h } from "./dom";
import { formatState, parseState, type PageState } from "./url";

/** Raised when a file of today could not be read by the deck of before. */
const VERSION = 1;
const MAX_BYTES = 1_000_000;

/** The file's text: what it is, and the state as the address has it, which already names every field. */
export function formatFile(state: PageState): string {
  const charts = state.charts?.map(({ series, columns, rows, facet }) => ({ series, columns, rows, facet }));
  return `${JSON.stringify({ tidewire: "deck", version: VERSION, name: state.slug, address: formatState(state, ""), charts }, null, 2)}\n`;
}

/** The state that a file's text holds.
 *
 * Throws an Error that says what is wrong with it.
 */
export function parseFile(text: string): PageState {
  let file: { tidewire?: unknown; version?: unknown; address?: unknown } | null;
  try {
    file = JSON.parse(text) as typeof file;
  } catch {
    throw new Error("This file is not JSON");
  }
  if (file?.tidewire !== "deck" || typeof file.address !== "string") throw new Error("This file holds no deck");
  if (file.version !== VERSION) throw new Error(`This file is of version ${String(file.version)}; version ${VERSION} can be read`);
  const [path, search = ""] = file.address.split("?");
  return parseState(path, search, "");
}

export function download(state: PageState): void {
  const url = URL.createObjectURL(new Blob([formatFile(state)], { type: "application/json" }));
  const name = (state.slug || "overview").replace(/[^\p{L}\p{N}_-]+/gu, "-");
  const link = h("a", { href: url, download: `${name}.tidewire.json` });
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

/** Let the person choose a file and open it. */
export function openFile(opened: (state: PageState) => void, failed: (reason: string) => void): void {
  const input = h("input", { type: "file", accept: ".json,application/json" });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (!file) return;
    if (file.size > MAX_BYTES) return failed("This file is too large to be a deck");
    file.text().then((text) => opened(parseFile(text))).catch((error: Error) => failed(error.message));
  });
  input.click();
}
