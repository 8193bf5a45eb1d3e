/** The app as its panels and pages see it: state, parts and commands. */

import type { Dialog } from "../base/dialog";
import type { Lazy } from "../base/lazy";
import type { Tokens } from "../base/tokens";
import type { SavedDecks } from "../model/saved-decks";
import type { Session } from "../model/session";
import type { Timeline } from "../model/timeline";
import type { KeptColour, PageState, Span } from "../model/url";
import type { Action } from "./action";
import type { Alerts } from "./alerts";
import type { BadgeState } from "./connection-state";

/** A dialog that can be opened. */
export interface Opener {
  open(): void;
}

/** Commands for the time that a page shows. */
export interface TimeControls {
  /** The span that the page shows. */
  shown(): Span;
  live(): void;
  toggle(): void;
  /** Show a span; `step` adds it to the browser's history, so that Back undoes it. */
  zoomTo(span: Span, step?: boolean): void;
  /** Show a span while a gesture goes on: request nothing, and leave the URL. */
  preview(span: Span): void;
  /** Move by a share of the span; go live if that ends after now. */
  pan(share: number): void;
  /** Make the span `factor` times as long around its middle. */
  scale(factor: number): void;
}

/** Commands of the header. */
export interface HeaderControls {
  openDecks(): void;
  copyLink(): Promise<void>;
  share(): Promise<void>;
  badgeState(): BadgeState;
  /** The button under which the time picker opens. */
  readonly timeButton: HTMLButtonElement;
}

export interface AppContext {
  readonly options: { readonly prefix: string; readonly viewer: string };
  readonly state: PageState;
  readonly tokens: Tokens;
  readonly session: Session;
  readonly timeline: Timeline;
  readonly savedDecks: SavedDecks;
  readonly alerts: Alerts;
  readonly dialog: Dialog;
  readonly header: HeaderControls;
  readonly time: TimeControls;
  readonly saving: Lazy<Opener>;
  readonly latest: Lazy<Opener>;
  readonly signIn: Lazy<Opener>;
  /** The time picker. */
  readonly picker: Lazy<Opener>;
  /** At the foot of a wall: which of its parts is shown. */
  readonly turns: HTMLElement;
  /** Change the state and the URL; `push` adds a step to the browser's history. */
  change(part: Partial<PageState>, push?: boolean): void;
  /** Say that the deck has so many charts more, or 0: others, and offer to undo it. */
  undoable(more: number): void;
  /** Say what was done, and offer to undo it. */
  offerUndo(words: string, undo: () => void): void;
  addressOf(part: Partial<PageState>): string;
  /** Return the address of the page as others shall see it, also after the dashboard has started anew. */
  sharedAddress(): string;
  /** Return which events the page shows, see `PageState`. */
  eventsShown(): string;
  /** Return how much earlier the span is with which the charts are compared, ms; 0: none. */
  compareMs(): number;
  /** Show events, or hide them. */
  switchEvents(): void;
  /** Keep the colours of a deck in state and URL. */
  coloursChanged(colours: readonly KeptColour[]): void;
  /** Set the span in state and URL, without a new layout. */
  timeChanged(zoom: Span | null): void;
  /** Open a page in its default state. */
  visit(page: "overview" | "deck", slug: string): void;
  setWindow(windowMs: number): void;
  theme(): "dark" | "light";
  toggleTheme(): void;
  toggleDrawer(): void;
  toggleSidebar(): void;
  focusSearch(): void;
  /** What the page shows. */
  contents(): string;
  focusContents(): void;
  openHelp(): void;
  /** Return the actions of the page and of the app; those of the page come first. */
  actions(): Action[];
  /** Show a message in the header for a while. */
  notify(words: string): void;
  /** Return a part of the page that is fetched when it is first used. */
  part<T>(load: () => Promise<T>): Lazy<T>;
  /** Tell whether nothing new can arrive: the browser lost the dashboard, or the dashboard lost the service. */
  offline(): boolean;
  /** Draw at the next animation frame. */
  requestDraw(): void;
  /** Draw the page without new readings. */
  redraw(): void;
  /** Return the series whose new readings are counted while paused. */
  watched(): Iterable<number>;
  /** Return the state with its charts written out, so that series published later change nothing. */
  exported(): PageState;
  /** Go on with the saved deck after saving. */
  savedAs(slug: string): void;
  /** Open a saved deck and drop the changes made here. */
  reopen(slug: string): void;
}
