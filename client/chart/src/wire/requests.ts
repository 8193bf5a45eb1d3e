/** Requests of the deck to Python: each resolves with its answer or rejects with a reason. */
import type { Port } from "./port";

export type Message = Record<string, unknown>;

interface Waiting {
  tag: string;
  answer: string;
  id: number | undefined;
  resolve: (message: Message) => void;
  reject: (reason: Error) => void;
}

/** Request → the message that answers it. */
const ANSWERS: Readonly<Record<string, string>> = {
  statistics: "statistics",
  table: "table",
  export: "export",
  decks: "decks",
  read_deck: "deck",
  save_deck: "saved",
  delete_deck: "decks",
  save_thresholds: "thresholds_saved",
};

/** Requests under way at a time; the oldest is rejected first. */
const MOST = 8;
const LIMIT_MS = 40_000;

export class Requests {
  #waiting: Waiting[] = [];
  #id = 0;
  readonly #port: () => Port | null;

  constructor(port: () => Port | null) {
    this.#port = port;
  }

  /**
   * Send a request, and resolve with its answer.
   *
   * Rejects with an Error whose message is for the person: it was refused, the connection was lost, or nothing came.
   */
  send(request: Message & { t: string }, numbered = false): Promise<Message> {
    const id = numbered ? ++this.#id : undefined;
    return new Promise((resolve, reject) => {
      const one: Waiting = { tag: request.t, answer: ANSWERS[request.t], id, resolve, reject };
      this.#waiting.push(one);
      while (this.#waiting.length > MOST) this.#waiting.shift()?.reject(new Error("Too many requests at once"));
      window.setTimeout(() => this.#giveUp(one, "The dashboard did not answer"), LIMIT_MS);
      this.#port()?.send(id === undefined ? request : { ...request, id });
    });
  }

  #giveUp(one: Waiting, reason: string): void {
    if (!this.#waiting.includes(one)) return;
    this.#waiting = this.#waiting.filter((other) => other !== one);
    one.reject(new Error(reason));
  }

  /** Settle the request that a message answers; false: the message is no answer. */
  settle(message: Message): boolean {
    const refused = message.t === "refused";
    const one = this.#waiting.find(
      (each) =>
        (refused ? each.tag === message.to : each.answer === message.t) &&
        each.id === (message.id as number | undefined),
    );
    if (!one) return refused || Object.values(ANSWERS).includes(String(message.t));
    this.#waiting = this.#waiting.filter((other) => other !== one);
    if (refused) one.reject(new Error(String(message.reason)));
    else one.resolve(message);
    return true;
  }

  /** Reject all: the connection is lost. */
  rejectAll(): void {
    for (const one of this.#waiting) this.#giveUp(one, "The connection was lost");
  }
}
