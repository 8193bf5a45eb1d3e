/**
 * Regular expressions without backtracking: no expression, and no text, takes longer than their lengths multiplied.
 *
 * The browser's own RegExp tries alternatives one after the other, so that `(a+)+$` hangs a page. Here all are followed at
 * once (K. Thompson, "Regular Expression Search Algorithm", CACM 11, 1968), and each set of states is computed once.
 * It knows literals, `.`, classes, `\d \w \s` and their opposites, groups, `|`, `* + ?`, `{m,n}`, `^` and `$`; the rest
 * (look-around, back references, `\b`) is refused by name. Upper and lower case are the same.
 */

/** Bounds: of an expression, of its states after `{m,n}` is written out, of nested groups, and of sets that are kept. */
const MAX_LENGTH = 200;
const MAX_STATES = 1_000;
const MAX_DEPTH = 20;
const MAX_REPEAT = 100;
const MAX_SETS = 2_000;

type Test = (character: string) => boolean;
/** A state: a character to read, or up to two ways on without reading, or an end of the text to be at. */
type State = { test?: Test; to: number[]; edge?: "^" | "$" };
/** A part of an expression, built again for each repetition: it gets the state after it and returns its first. */
type Part = (next: number) => number;

/** Throws an Error that says why an expression is refused. */
export function compile(expression: string): (text: string) => boolean {
  if (expression.length > MAX_LENGTH) throw new Error(`it is longer than ${MAX_LENGTH} characters`);
  const states: State[] = [{ to: [] }];
  const add = (state: State): number => {
    if (states.length >= MAX_STATES) throw new Error("its repetitions are too many");
    return states.push(state) - 1;
  };
  const first = new Parser(expression, add).whole()(0);
  return new Automaton(states, first).test;
}

function same(character: string): Test {
  const lower = character.toLowerCase();
  return (c) => c === lower;
}

const CLASSES: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["d", (c) => c >= "0" && c <= "9"],
  ["w", (c) => /[\p{L}\p{N}_]/u.test(c)],
  ["s", (c) => /\s/.test(c)],
]);

class Parser {
  #at = 0;
  readonly #text: string;
  readonly #add: (state: State) => number;

  constructor(text: string, add: (state: State) => number) {
    this.#text = text;
    this.#add = add;
  }

  whole(): Part {
    const part = this.#either(0);
    if (this.#at < this.#text.length) throw new Error("a bracket is closed that was not opened");
    return part;
  }

  #peek = (): string => this.#text[this.#at] ?? "";

  #either(depth: number): Part {
    if (depth > MAX_DEPTH) throw new Error("its groups are nested too deeply");
    const ways = [this.#row(depth)];
    while (this.#peek() === "|") {
      this.#at++;
      ways.push(this.#row(depth));
    }
    return ways.length === 1 ? ways[0] : (next) => this.#add({ to: ways.map((way) => way(next)) });
  }

  #row(depth: number): Part {
    const parts: Part[] = [];
    while (this.#at < this.#text.length && !"|)".includes(this.#peek())) parts.push(this.#repeated(depth));
    return (next) => parts.reduceRight((after, part) => part(after), next);
  }

  #repeated(depth: number): Part {
    let part = this.#atom(depth);
    for (;;) {
      const found = /^(?:[*+?]|\{(\d{1,3})(,?)(\d{0,3})\})\??/.exec(this.#text.slice(this.#at, this.#at + 12));
      if (!found) return part;
      this.#at += found[0].length;
      const sign = found[0][0];
      const least = sign === "{" ? Number(found[1]) : sign === "+" ? 1 : 0;
      const most = sign === "?" ? 1 : sign !== "{" || (found[2] && !found[3]) ? Infinity : Number(found[3] || found[1]);
      if (least > MAX_REPEAT || (most !== Infinity && (most > MAX_REPEAT || most < least)))
        throw new Error(`{m,n} counts to at most ${MAX_REPEAT}`);
      part = this.#times(part, least, most);
    }
  }

  #times(part: Part, least: number, most: number): Part {
    return (next) => {
      let at = next;
      if (most === Infinity) {
        const loop: State = { to: [] };
        at = this.#add(loop);
        loop.to.push(part(at), next);
      } else for (let i = least; i < most; i++) at = this.#add({ to: [part(at), next] });
      // A state of its own counts a repetition of nothing as well.
      for (let i = 0; i < least; i++) at = this.#add({ to: [part(at)] });
      return at;
    };
  }

  #atom(depth: number): Part {
    const character = this.#text[this.#at++];
    if (character === "(") {
      if (this.#text.startsWith("?:", this.#at)) this.#at += 2;
      else if (this.#peek() === "?") throw new Error("look-around and named groups are not known here");
      const part = this.#either(depth + 1);
      if (this.#text[this.#at++] !== ")") throw new Error("a bracket is not closed");
      return part;
    }
    if (character === "^" || character === "$") return (next) => this.#add({ to: [next], edge: character });
    if ("*+?".includes(character)) throw new Error(`nothing stands before ${character}`);
    const test = character === "[" ? this.#class() : character === "." ? () => true : this.#single(character);
    return (next) => this.#add({ test, to: [next] });
  }

  #single(character: string): Test {
    if (character !== "\\") return same(character);
    const escaped = this.#text[this.#at++];
    if (escaped === undefined) throw new Error("nothing stands after \\");
    const known = CLASSES.get(escaped.toLowerCase());
    if (known) return escaped === escaped.toLowerCase() ? known : (c) => !known(c);
    if (/[a-z0-9]/i.test(escaped)) throw new Error(`\\${escaped} is not known here`);
    return same(escaped);
  }

  #class(): Test {
    const not = this.#peek() === "^";
    if (not) this.#at++;
    const tests: Test[] = [];
    for (let begun = true; begun || this.#peek() !== "]"; begun = false) {
      if (this.#at >= this.#text.length) throw new Error("a [ is not closed");
      const from = this.#text[this.#at++];
      const to = this.#text[this.#at + 1] ?? "";
      if (from !== "\\" && this.#peek() === "-" && to && !"]\\".includes(to)) {
        this.#at += 2;
        const [least, most] = [from.toLowerCase(), to.toLowerCase()];
        tests.push((c) => c >= least && c <= most);
      } else tests.push(this.#single(from));
    }
    this.#at++;
    return (c) => tests.some((test) => test(c)) !== not;
  }
}

/** A set of states, and the sets that follow it by what was read. */
interface Place {
  states: readonly number[];
  next: Map<string, Place>;
}

class Automaton {
  readonly #states: readonly State[];
  readonly #first: number;
  #places = new Map<string, Place>();

  constructor(states: readonly State[], first: number) {
    this.#states = states;
    this.#first = first;
  }

  /** Whether the expression is found anywhere in a text. */
  test = (text: string): boolean => {
    const characters = text.toLowerCase();
    let place = this.#place([this.#first], true, characters.length === 0);
    for (let i = 0; i < characters.length; i++) {
      if (place.states[0] === 0) return true;
      const last = i === characters.length - 1;
      const key = last ? `${characters[i]}$` : characters[i];
      let next = place.next.get(key);
      if (!next) {
        const read = place.states.filter((at) => this.#states[at].test?.(characters[i]));
        next = this.#place([...read.flatMap((at) => this.#states[at].to), this.#first], false, last);
        place.next.set(key, next);
      }
      place = next;
    }
    return place.states[0] === 0;
  };

  /** The states reached without reading; 0, which is the end of the expression, comes first. */
  #place(from: readonly number[], start: boolean, end: boolean): Place {
    const seen = new Set<number>();
    const open = [...from];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const { test, edge, to } = this.#states[at];
      if (seen.has(at) || (edge === "^" && !start) || (edge === "$" && !end)) continue;
      seen.add(at);
      if (!test) open.push(...to);
    }
    const states = [...seen].sort((a, b) => a - b);
    const key = states.join();
    let place = this.#places.get(key);
    if (!place) {
      if (this.#places.size >= MAX_SETS) this.#places = new Map();
      place = { states, next: new Map() };
      this.#places.set(key, place);
    }
    return place;
  }
}
