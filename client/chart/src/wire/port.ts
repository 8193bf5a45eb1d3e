/** The port between the deck and Python: the dashboard's WebSocket with its back-off, or anywidget's comm. */

import type { DeckMessage, PythonMessage } from "./messages";

/** State of the connection to Python. Times are of performance.now(). */
export interface Link {
  state: "connecting" | "open" | "waiting" | "signed-out" | "refused" | "silent";
  /** When the connection was lost, Unix ms of this browser; NaN while it stands. */
  lostAtMs: number;
  attempts: number;
  retryAt: number;
  /** The close reason that the server gave; often empty. */
  reason: string;
}

export interface PortEvents {
  text(message: PythonMessage): void;
  frame(data: ArrayBuffer | ArrayBufferView): void;
  link(link: Link): void;
}

export interface Port {
  send(message: DeckMessage): void;
  ack(view: number, seq: number): void;
  retry(): void;
  close(): void;
}

const BACKOFF_MS = [500, 1_000, 2_000, 4_000, 8_000];
const JITTER = 0.2;
export const CLOSE_UNKNOWN_TICKET = 4401;
/** The session has expired; the page stays as it is. */
export const CLOSE_SIGNED_OUT = 4403;

/** Return the wait before attempt n (from 1), with ± 20 % jitter so that viewers do not reconnect together. */
export function backoffMs(attempt: number, random: number): number {
  const base = BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length) - 1];
  return base * (1 + JITTER * (2 * random - 1));
}

export class SocketPort implements Port {
  #socket: WebSocket | null = null;
  #timer = 0;
  #closed = false;
  readonly #link: Link = { state: "connecting", lostAtMs: NaN, attempts: 0, retryAt: NaN, reason: "" };
  readonly #address: () => string;
  readonly #events: PortEvents;
  readonly #refused: () => boolean;

  /** `address` is called at each attempt: the ticket may have changed. */
  constructor(address: () => string, events: PortEvents, refused: () => boolean) {
    this.#address = address;
    this.#events = events;
    this.#refused = refused;
    this.#open();
  }

  #open(): void {
    window.clearTimeout(this.#timer);
    const socket = new WebSocket(this.#address());
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#change("connecting");
    socket.onopen = () => {
      this.#link.attempts = 0;
      this.#link.lostAtMs = NaN;
      this.#change("open");
    };
    socket.onmessage = (event: MessageEvent) => {
      if (typeof event.data === "string") this.#events.text(JSON.parse(event.data) as PythonMessage);
      else this.#events.frame(event.data as ArrayBuffer);
    };
    socket.onclose = (event: CloseEvent) => this.#lost(socket, event);
  }

  #lost(socket: WebSocket, { code, reason }: CloseEvent): void {
    if (this.#closed || socket !== this.#socket) return;
    this.#socket = null;
    if (Number.isNaN(this.#link.lostAtMs)) this.#link.lostAtMs = Date.now();
    if (code === CLOSE_SIGNED_OUT) return this.#change("signed-out");
    if (code === CLOSE_UNKNOWN_TICKET && this.#refused()) return this.#change("refused");
    this.#link.attempts++;
    this.#link.reason = reason;
    const wait = backoffMs(this.#link.attempts, Math.random());
    this.#link.retryAt = performance.now() + wait;
    this.#timer = window.setTimeout(() => this.#open(), wait);
    this.#change("waiting");
  }

  #change(state: Link["state"]): void {
    this.#link.state = state;
    this.#events.link({ ...this.#link });
  }

  send(message: DeckMessage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  ack(view: number, seq: number): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(`a${view}:${seq}`);
  }

  retry(): void {
    if (this.#link.state === "waiting") this.#open();
    else this.send({ t: "retry" });
  }

  close(): void {
    this.#closed = true;
    window.clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#socket = null;
  }
}

/** What the deck uses of an anywidget model. */
export interface WidgetModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(message: unknown): void;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name: string, callback: (...args: never[]) => void): void;
}

/** A kernel sends something each second, also while a cell runs; after this long without, it is gone. */
const SILENT_MS = 5_000;

/** A busy kernel reads no messages: it pushes by its own clock, and frames are not acknowledged. */
export class WidgetPort implements Port {
  readonly #listener: (message: PythonMessage, buffers?: ArrayBufferView[]) => void;
  readonly #timer: number;
  #heardAt = performance.now();
  #silent = false;
  readonly #model: WidgetModel;
  readonly #events: PortEvents;

  constructor(model: WidgetModel, events: PortEvents) {
    this.#model = model;
    this.#events = events;
    this.#listener = (message, buffers) => {
      this.#heardAt = performance.now();
      if (this.#silent) this.#change(false);
      if (buffers && buffers.length > 0) for (const buffer of buffers) events.frame(buffer);
      else if (message && typeof message.t === "string") events.text(message);
    };
    model.on("msg:custom", this.#listener as (...args: never[]) => void);
    // After the listener is registered: the kernel may push at once.
    queueMicrotask(() => this.#change(false));
    this.#timer = window.setInterval(() => {
      if (!this.#silent && performance.now() - this.#heardAt > SILENT_MS) this.#change(true);
    }, 1_000);
  }

  #change(silent: boolean): void {
    this.#silent = silent;
    this.#events.link({
      state: silent ? "silent" : "open",
      lostAtMs: silent ? Date.now() - SILENT_MS : NaN,
      attempts: 0,
      retryAt: NaN,
      reason: "",
    });
  }

  send(message: DeckMessage): void {
    this.#model.send(message);
  }

  ack(): void {}

  retry(): void {
    this.#model.send({ t: "retry" });
  }

  close(): void {
    window.clearInterval(this.#timer);
    this.#model.off("msg:custom", this.#listener as (...args: never[]) => void);
  }
}
