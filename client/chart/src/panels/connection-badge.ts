/** The connection badge: its word, its popover with the reason, and "Retry now". */

import { h, icon, setText, show } from "../base/dom";
import type { Lazy } from "../base/lazy";
import { type Age, ageOf, freshness, isAhead } from "../model/freshness";
import type { Session } from "../model/session";
import type { Timeline } from "../model/timeline";
import { type BadgeInput, type BadgeState, badgeState, whyLost } from "./connection-state";

/** Text changes at most this often. */
const TEXT_MS = 250;
/** A series with fewer than three readings counts as live for this long. */
const YOUNG_MS = 60_000;

/** What the badge reads; the app and the notebook frame have it. */
export interface BadgeSubject {
  readonly session: Session;
  readonly timeline: Timeline;
  readonly signIn?: Lazy<{ open(): void }>;
}

export class ConnectionBadge {
  readonly element = h("div", { class: "badge-box" });
  readonly #badge = h("button", {
    type: "button",
    class: "badge",
    "data-tw": "connection-badge",
    "aria-describedby": "tw-why",
  });
  readonly #mark = h("span", { class: "badge-mark" });
  readonly #word = h("strong", {});
  readonly #value = h("span", { class: "badge-value" });
  readonly #retry = h(
    "button",
    { type: "button", class: "button retry", "data-tw": "retry" },
    icon("retry", 14),
    "Retry now",
  );
  readonly #why = h("div", { class: "popover", id: "tw-why", role: "tooltip", "data-tw": "why" });
  readonly #spoken = h("span", { class: "spoken", role: "status", "aria-live": "polite" });
  /** What it shows now. */
  state: BadgeState = { word: "CONNECTING", value: "", tone: "plain", icon: "ring", lost: null };
  #shownIcon = "";
  #whyKey = "";
  #drawnAt = -Infinity;
  #lastWord = "";
  readonly #app: BadgeSubject;

  constructor(app: BadgeSubject) {
    this.#app = app;
    this.#badge.append(this.#mark, this.#word, " ", this.#value);
    this.element.append(this.#badge, this.#retry, this.#why, this.#spoken);
    this.#retry.addEventListener("click", () => app.session.port?.retry());
    this.#badge.addEventListener("click", () => {
      if (app.session.link.state === "signed-out") app.signIn?.use((dialog) => dialog.open());
      if (app.session.link.state === "refused") location.reload();
    });
  }

  #input(): BadgeInput {
    const { session, timeline } = this.#app;
    const now = session.now();
    let newest: Age | null = null;
    let anyLive = false;
    let allFinished = true;
    for (const ring of session.views) {
      for (const [index, slot] of ring.slots) {
        if (session.directory.byIndex.get(index)?.metric === "annotations") continue; // events, which say nothing of what is measured
        if (!Number.isFinite(slot.lastIdMs)) continue;
        const age = ageOf(slot, now);
        if (!newest || isAhead(newest) || (age.ms < newest.ms && !isAhead(age))) newest = age;
        const state = freshness(slot, now);
        allFinished &&= state === "finished";
        anyLive ||= state === "live" || (state === "unknown" && now - slot.lastIdMs < YOUNG_MS);
      }
    }
    return {
      link: session.link,
      perfNow: performance.now(),
      status: session.status,
      nowMs: now,
      pausedAtMs: timeline.pausedAtMs,
      newest: newest ?? { ms: now - (session.status?.last_id_ms ?? NaN), wayMs: 0 },
      anyLive,
      anyHeard: newest !== null,
      allFinished,
      loading: session.loading.pending,
      metrics: session.directory.byMetric.size - (session.directory.byMetric.has("annotations") ? 1 : 0),
    };
  }

  draw(): void {
    const at = performance.now();
    if (at - this.#drawnAt < TEXT_MS) return;
    this.#drawnAt = at;
    const input = this.#input();
    const state = badgeState(input);
    this.state = state;
    setText(this.#word, state.word);
    this.#badge.dataset.word = state.word;
    setText(this.#value, state.value);
    if (this.#badge.dataset.tone !== state.tone) this.#badge.dataset.tone = state.tone;
    if (this.#shownIcon !== state.icon) {
      this.#shownIcon = state.icon;
      this.#mark.replaceChildren(state.icon === "dot" ? h("i", { class: "live-dot" }) : icon(state.icon, 14));
    }
    show(this.#retry, state.lost !== null);
    const why = whyLost(state, input);
    const key = JSON.stringify(why);
    if (key !== this.#whyKey) {
      this.#whyKey = key;
      this.#why.replaceChildren();
      if (why) {
        this.#why.append(h("strong", {}, why.title), h("p", {}, why.text));
        for (const [name, value] of why.rows)
          this.#why.append(h("div", { class: "why-row" }, h("span", {}, name), h("span", {}, value)));
      }
    }
    this.element.classList.toggle("has-why", why !== null);
    if (this.#lastWord !== state.word) {
      if (this.#lastWord !== "") setText(this.#spoken, `${state.word.toLowerCase()} ${state.value}`);
      this.#lastWord = state.word;
    }
  }
}
