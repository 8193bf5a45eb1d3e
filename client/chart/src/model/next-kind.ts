/** Steps through the kinds of a chart. */
import { KINDS, type Kind } from "./kinds";

/** Return the kind after the one that a chart has, of those that fit it. */
export function nextKind(kind: Kind = "auto", fits: (kind: Kind) => boolean = () => true): Kind {
  const at = KINDS.indexOf(kind);
  return [...KINDS.slice(at + 1), ...KINDS.slice(0, at)].find(fits) ?? kind;
}
