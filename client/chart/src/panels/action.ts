/** One thing that a person can do, and the key that does it. */

export interface Action {
  /** `KeyboardEvent.key`, of which any runs it. */
  keys: readonly string[];
  /** How the help writes the keys; absent: as they are. */
  shown?: string;
  words: string;
  /** Where it applies; absent: on both pages. */
  page?: "deck" | "overview";
  /** Listed in the "more" menu under its words. */
  menu?: boolean;
  /** False: not now, the key goes on to the browser. */
  run(key: string): boolean | void;
}

/** The first of these actions that a key runs. */
export function runKey(actions: readonly Action[], key: string, page: "deck" | "overview"): boolean {
  const action = actions.find((one) => one.keys.includes(key) && (one.page ?? page) === page);
  return action !== undefined && action.run(key) !== false;
}
