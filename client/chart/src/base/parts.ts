/**
 * The parts of a notebook chart that few charts need: the kernel sends their text with the widget, since a page in a
 * notebook has nowhere to load a module from, and a busy kernel cannot be asked.
 *
 * `build.mjs` writes each part so that it takes what it shares with the first module from `core`, and turns each
 * `import()` in the notebook's modules into a call of `load`.
 */

interface Core {
  /** What parts share with the first module, by the names that the build gave it. */
  core: object;
  load(name: string): Promise<unknown>;
}

/** What is asked of the widget's model. */
interface Widget {
  get(name: string): unknown;
  on(name: string, callback: () => void): void;
  off(name: string, callback: () => void): void;
}

/** The names of all parts; the kernel has a trait of the widget for each, so that it sends none twice. */
const NAMES = ["kinds", "many", "runs"];

/** In the text of a part: where its module finds this. */
const PLACE = "TIDEWIRE_PLACE";

class Parts implements Core {
  core: object = {};
  readonly #texts = new Map<string, string>();
  readonly #loaded = new Map<string, Promise<unknown>>();
  #numbers = 0;

  /** Take what the kernel has sent so far, and from now on what comes; return how to end that. */
  follow(model: Widget, came: () => void): () => void {
    const ends = NAMES.map((name) => {
      const take = (): void => {
        const text = model.get(`part_${name}`);
        if (text) this.#texts.set(name, String(text));
      };
      const change = (): void => {
        take();
        came();
      };
      take();
      model.on(`change:part_${name}`, change);
      return () => model.off(`change:part_${name}`, change);
    });
    return () => {
      for (const end of ends) end();
    };
  }

  /** Return the module of a part. */
  load(name: string): Promise<unknown> {
    const known = this.#loaded.get(name);
    if (known) return known;
    const loading = this.#import(name);
    this.#loaded.set(name, loading);
    loading.catch(() => this.#loaded.delete(name)); // its text may come later
    return loading;
  }

  async #import(name: string): Promise<unknown> {
    const text = this.#texts.get(name);
    if (text === undefined) throw new Error(`the kernel has not sent the part ${name}`);
    const place = `tidewire ${Math.random()} ${this.#numbers++}`;
    const shared = globalThis as unknown as Record<string, Core | undefined>;
    shared[place] = this;
    const source = text.replace(PLACE, place);
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      return await import(url);
    } finally {
      URL.revokeObjectURL(url);
      delete shared[place];
    }
  }
}

export const parts = new Parts();
