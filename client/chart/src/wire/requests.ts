/** Requests of the deck to Python: each resolves with its answer or rejects with a reason. */
import { ANSWER_TAGS, type Answer, type Answers, type PythonMessage, type ViewerRequest } from "./messages";
import type { Port } from "./port";

/** A request before it has its number, if it is one of those that are numbered. */
export type Unnumbered = ViewerRequest extends infer One
  ? One extends ViewerRequest
    ? Omit<One, "id">
    : never
  : never;

interface Waiting {
  tag: ViewerRequest["t"];
  answer: Answer["t"];
  id: number | undefined;
  resolve: (message: Answer) => void;
  reject: (reason: Error) => void;
}

/** Whether a message is an answer to a request. */
const isAnswer = (message: PythonMessage): message is Answer =>
  (Object.values(ANSWER_TAGS) as string[]).includes(message.t);

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
  send<One extends Unnumbered>(request: One, numbered = false): Promise<Answers[One["t"]]> {
    const id = numbered ? ++this.#id : undefined;
    return new Promise((resolve, reject) => {
      const one: Waiting = {
        tag: request.t,
        answer: ANSWER_TAGS[request.t],
        id,
        resolve: resolve as Waiting["resolve"],
        reject,
      };
      this.#waiting.push(one);
      while (this.#waiting.length > MOST) this.#waiting.shift()?.reject(new Error("Too many requests at once"));
      window.setTimeout(() => this.#giveUp(one, "The dashboard did not answer"), LIMIT_MS);
      this.#port()?.send((id === undefined ? request : { ...request, id }) as ViewerRequest);
    });
  }

  #giveUp(one: Waiting, reason: string): void {
    if (!this.#waiting.includes(one)) return;
    this.#waiting = this.#waiting.filter((other) => other !== one);
    one.reject(new Error(reason));
  }

  /** Settle the request that a message answers; false: the message is no answer. */
  settle(message: PythonMessage): boolean {
    const refused = message.t === "refused";
    if (!refused && !isAnswer(message)) return false;
    const one = this.#waiting.find(
      (each) =>
        (refused ? each.tag === message.to : each.answer === message.t) && each.id === (message as { id?: number }).id,
    );
    if (!one) return true;
    this.#waiting = this.#waiting.filter((other) => other !== one);
    if (refused) one.reject(new Error(message.reason));
    else one.resolve(message);
    return true;
  }

  /** Reject all: the connection is lost. */
  rejectAll(): void {
    for (const one of this.#waiting) this.#giveUp(one, "The connection was lost");
  }
}
