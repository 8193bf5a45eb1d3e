/** Lists, reads, saves and deletes the decks that are saved by name. */
import { fnv1a } from "../base/colour";
import { LOCAL } from "../base/zone";
import type { DeckInfo } from "../wire/messages";
import type { Requests } from "../wire/requests";
import { formatFile, stateOf } from "./deck-file";
import {
  ALL_EVENTS,
  type ChartSpec,
  compareName,
  formatChart,
  formatLabels,
  formatRef,
  type PageState,
  windowName,
} from "./url";

/** A saved deck, at the version that was last read or written here. */
export interface SavedDeck {
  slug: string;
  name: string;
  etag: string;
  state: PageState;
}

/** Return the slug of a name: ASCII letters without marks, and digits; a name in another script gets a hash. */
export function slugOf(name: string): string {
  const plain = name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9_]+/g, "-")
    .slice(0, 60)
    .replace(/^[-_]+|[-_]+$/g, "");
  return plain || (/[\p{L}\p{N}]/u.test(name) ? `deck-${fnv1a(name).toString(36)}` : "");
}

/** Return the saved part of a state as text, to compare two states. */
function kept(state: PageState): string {
  const { charts, windowMs, hidden, events, labels, zone, compareMs, x, smoothing, raw, runs, by, differing } = state;
  const shown = [
    windowName(windowMs),
    zone ?? LOCAL,
    compareName(compareMs ?? 0),
    events ?? ALL_EVENTS,
    ...formatLabels(labels),
    ...(charts ?? []).map(formatChart),
    `${x ?? 0} ${smoothing ?? 0} ${raw ?? true} ${runs?.map(formatRef) ?? ""} ${by ?? ""} ${differing ?? false}`,
  ];
  return [...shown, "hide", ...hidden.map(formatRef)].join(" ");
}

export class SavedDecks {
  /** Newest first; empty until the list has arrived. */
  decks: readonly DeckInfo[] = [];
  /** The deck saved under the page's name; null: none, or not known yet. */
  saved: SavedDeck | null = null;
  /** The page's deck is being read; no other charts are shown meanwhile. */
  reading = false;
  #slug = "";
  #known = false;
  readonly #requests: Pick<Requests, "send">;
  readonly #changed: () => void;

  constructor(requests: Pick<Requests, "send">, changed: () => void) {
    this.#requests = requests;
    this.#changed = changed;
  }

  /** Switch to the deck of this slug, or to none; `arrived` is called if one is saved there. */
  open(slug: string, arrived: (saved: SavedDeck) => void): void {
    this.#slug = slugOf(slug) === slug ? slug : "";
    this.saved = null;
    this.#known = this.#slug === "";
    this.reading = !this.#known;
    this.#arrived = arrived;
  }

  #arrived: (saved: SavedDeck) => void = () => undefined;

  /** Read what is not known yet, on a new connection. */
  connected(): void {
    void this.refresh();
    if (!this.#known) void this.read();
  }

  /** Read the list of decks. */
  async refresh(): Promise<void> {
    try {
      this.decks = (await this.#requests.send({ t: "decks" })).decks;
      this.#changed();
    } catch {
      // Without the service there is no list; the badge says why, and the next connection asks again.
    }
  }

  /** Read the page's deck again, to see what others have saved. */
  async read(): Promise<SavedDeck | null> {
    const slug = this.#slug;
    try {
      const answer = await this.#requests.send({ t: "read_deck", slug });
      if (slug !== this.#slug) return null;
      this.#known = true;
      this.saved = answer.deck ? this.#savedAs(slug, answer.etag, answer.deck) : null;
      if (this.saved) this.#arrived(this.saved);
    } catch {
      // As above; until then the page shows the default charts of its slug.
    } finally {
      if (slug === this.#slug) this.reading = false;
      this.#changed();
    }
    return this.saved;
  }

  #savedAs(slug: string, etag: string, deck: Record<string, unknown>): SavedDeck | null {
    try {
      return { slug, etag, name: typeof deck.name === "string" && deck.name ? deck.name : slug, state: stateOf(deck) };
    } catch {
      return null; // Saved by something else than a deck: the name still works as a group.
    }
  }

  /** The charts of the page's saved deck. */
  get charts(): ChartSpec[] | null {
    return this.saved?.state.charts ?? null;
  }

  /** Whether a page differs from what is saved under its name. */
  differs(state: PageState): boolean {
    return this.saved !== null && kept(state) !== kept(this.saved.state);
  }

  /**
   * Save a page under a name, over the version `over` (empty: nothing, null: whatever is there).
   *
   * Returns the version that is in the way, or null when it was saved.
   */
  async save(name: string, state: PageState, over: string | null, slug = slugOf(name)): Promise<string | null> {
    const own: PageState = {
      ...state,
      page: "deck",
      slug,
      zoom: null,
      query: "",
      folds: new Map(),
      kiosk: false,
      embed: false,
      theme: null,
      drawer: null,
      only: null,
    };
    const answer = await this.#requests.send({
      t: "save_deck",
      slug,
      deck: JSON.parse(formatFile(own, name)) as Record<string, unknown>,
      over,
    });
    if (answer.conflict) return answer.etag;
    if (slug === this.#slug) this.saved = { slug, name, etag: answer.etag, state: own };
    await this.refresh();
    return null;
  }

  async remove(slug: string): Promise<void> {
    this.decks = (await this.#requests.send({ t: "delete_deck", slug })).decks;
    if (slug === this.#slug) this.saved = null;
    this.#changed();
  }
}
