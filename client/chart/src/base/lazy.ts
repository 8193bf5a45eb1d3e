/** A part of the page whose module is fetched when it is first asked for. */

export class Lazy<T> {
  /** The part; null until it is here. */
  here: T | null = null;
  #loading: Promise<T> | null = null;
  #asked = 0;
  readonly #load: () => Promise<T>;
  readonly #failed: () => void;

  /** `load` imports and makes the part; `failed` tells the user that it cannot be fetched. */
  constructor(load: () => Promise<T>, failed: () => void) {
    this.#load = load;
    this.#failed = failed;
  }

  /**
   * Run with the part, now if it is here. If it cannot be fetched, say so. The next call tries again, though some
   * browsers remember until the page is loaded anew that a module could not be fetched.
   */
  use(run: (part: T) => void): void {
    if (this.here) run(this.here);
    else {
      this.#asked++;
      void this.#fetch()
        .then(run, this.#failed)
        .finally(() => this.#asked--);
    }
  }

  /** Whether somebody waits for it: what is typed meanwhile is meant for it. */
  get awaited(): boolean {
    return this.#asked > 0;
  }

  /** Fetch it before it is asked for, so that it is here when the network is not. */
  warm(): void {
    // What cannot be fetched now is said when somebody asks for it.
    this.#fetch().catch(() => undefined);
  }

  #fetch(): Promise<T> {
    this.#loading ??= this.#load().then(
      (part) => {
        this.here = part;
        return part;
      },
      (error) => {
        this.#loading = null;
        throw error;
      },
    );
    return this.#loading;
  }
}
