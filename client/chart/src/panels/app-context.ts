/** What panels and pages use of the app that holds them: its state, its parts, and what they can ask it to do. */

import type { Dialog } from "../base/dialog";
import type { Tokens } from "../base/tokens";
import type { SavedDecks } from "../model/saved-decks";
import type { Session } from "../model/session";
import type { Timeline } from "../model/timeline";
import type { PageState, Span } from "../model/url";
import type { Action } from "./action";
import type { Alerts } from "./alerts";
import type { BadgeState } from "./connection-state";

/** Something that opens over the page. */
export interface Opener {
  open(): void;
}

/** What a person does with the time that a page shows. */
export interface TimeControls {
  /** The stretch of time that the page shows. */
  shown(): Span;
  live(): void;
  toggle(): void;
  /** Show a stretch of time; `step` makes it a step of the browser's history, so that Back undoes it. */
  zoomTo(span: Span, step?: boolean): void;
  /** Show a stretch on the way to another: nothing is asked for, and the address waits. */
  preview(span: Span): void;
  /** Move by a share of the shown stretch; past now means live. */
  pan(share: number): void;
  /** Make the stretch `factor` times as long around its middle. */
  scale(factor: number): void;
}

/** What the header does for others. */
export interface HeaderControls {
  openDecks(): void;
  copyLink(): Promise<void>;
  share(): Promise<void>;
  badgeState(): BadgeState;
}

export interface AppContext {
  readonly options: { readonly prefix: string };
  readonly state: PageState;
  readonly tokens: Tokens;
  readonly session: Session;
  readonly timeline: Timeline;
  readonly savedDecks: SavedDecks;
  readonly alerts: Alerts;
  readonly dialog: Dialog;
  readonly header: HeaderControls;
  readonly time: TimeControls;
  readonly saving: Opener;
  readonly latest: Opener;
  readonly signIn: Opener;
  /** Change the state and its address; `push` makes it a step of the browser's history. */
  change(part: Partial<PageState>, push?: boolean): void;
  addressOf(part: Partial<PageState>): string;
  /** The stretch of time changed by itself, without a new layout: its address says so. */
  timeChanged(zoom: Span | null): void;
  /** Go to a page as it is by itself. */
  visit(page: "overview" | "deck", slug: string): void;
  setWindow(windowMs: number): void;
  theme(): "dark" | "light";
  toggleTheme(): void;
  toggleDrawer(): void;
  focusSearch(): void;
  openHelp(): void;
  /** All that the keys do here; a page's own win. */
  actions(): Action[];
  /** Say something for a while, in the header. */
  notify(words: string): void;
  /** Nothing new can arrive: this browser lost the dashboard, or the dashboard lost the service. */
  offline(): boolean;
  /** Draw at the next animation frame. */
  requestDraw(): void;
  /** Draw the page although no reading is new. */
  redraw(): void;
  /** Series whose new readings are counted while the page is paused. */
  watched(): Iterable<number>;
  /** The state with its charts named, whatever will be published later. */
  exported(): PageState;
  /** The page was saved: its charts are those of its name from now on. */
  savedAs(slug: string): void;
  /** Show what is saved under a name, in place of what was changed here. */
  reopen(slug: string): void;
}
