/** Writes the state of a page to a JSON file and reads it back. */
import { h } from "../base/dom";
import { formatState, type PageState, parseState } from "./url";

/** Incremented when an older deck could not read the file. */
const VERSION = 1;
const MAX_BYTES = 1_000_000;

/** Return the file's text: its kind, and the state as its URL, which already names every field. */
export function formatFile(state: PageState, name = state.slug): string {
  const charts = state.charts?.map(({ series, formula, columns, rows, facet, kind, byValue, axis }) => ({
    series,
    formula,
    columns,
    rows,
    facet,
    kind,
    byValue,
    axis,
  }));
  return `${JSON.stringify({ tidewire: "deck", version: VERSION, name, address: formatState(state, ""), charts }, null, 2)}\n`;
}

/** The state that a file's text holds.
 *
 * Throws an Error that says what is wrong with it.
 */
export function parseFile(text: string): PageState {
  let file: Record<string, unknown> | null;
  try {
    file = JSON.parse(text) as typeof file;
  } catch {
    throw new Error("This file is not JSON");
  }
  return stateOf(file);
}

/** The state that the decoded file holds.
 *
 * Throws an Error that says what is wrong with it.
 */
export function stateOf(file: Readonly<Record<string, unknown>> | null): PageState {
  if (file?.tidewire !== "deck" || typeof file.address !== "string") throw new Error("This file is not a deck");
  if (file.version !== VERSION)
    throw new Error(`This file has version ${String(file.version)}; expected version ${VERSION}`);
  const [path, search = ""] = file.address.split("?");
  return parseState(path, search, "");
}

export function download(state: PageState): void {
  saveFile(new Blob([formatFile(state)], { type: "application/json" }), `${state.slug || "overview"}.tidewire.json`);
}

/** Offer a file as a download. */
export function saveFile(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = h("a", { href: url, download: name.replace(/[^\p{L}\p{N}._-]+/gu, "-") });
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

/** Open a file that the user chooses. */
export function openFile(opened: (state: PageState) => void, failed: (reason: string) => void): void {
  const input = h("input", { type: "file", accept: ".json,application/json" });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (!file) return;
    if (file.size > MAX_BYTES) return failed("This file is too large to be a deck");
    file
      .text()
      .then((text) => opened(parseFile(text)))
      .catch((error: Error) => failed(error.message));
  });
  input.click();
}
