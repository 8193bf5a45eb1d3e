/** Actions: what a user can do, and the keys for it. */

export interface Action {
  /** Values of `KeyboardEvent.key`; each runs it. */
  keys: readonly string[];
  /** How the help shows the keys; absent: as they are. */
  shown?: string;
  words: string;
  /** Where it applies; absent: on both pages. */
  page?: "deck" | "overview";
  /** Listed in the "more" menu under its words. */
  menu?: boolean;
  /** Returns false if it does not apply now: the browser handles the key. */
  run(key: string): boolean | void;
}

/** Run the first action of a key; false if there is none. */
export function runKey(actions: readonly Action[], key: string, page: "deck" | "overview"): boolean {
  const action = actions.find((one) => one.keys.includes(key) && (one.page ?? page) === page);
  return action !== undefined && action.run(key) !== false;
}
