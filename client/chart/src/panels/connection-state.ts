/** Decides what the connection badge says, from the link, the service's status and the age of the newest reading. */
import type { IconName } from "../base/dom";
import { clock, formatNumber, liveAge, plural, span } from "../base/format";
import { type Age, chartWords, wayWords } from "../model/freshness";
import type { Status } from "../wire/messages";
import type { Link } from "../wire/port";

export interface BadgeInput {
  link: Link;
  /** performance.now() */
  perfNow: number;
  status: Status | null;
  nowMs: number;
  pausedAtMs: number;
  /** Of the newest reading of all series by its own time. */
  newest: Age;
  /** Some series is live, or too young to tell. */
  anyLive: boolean;
  /** The page has readings of a series; none before its first frame. */
  anyHeard: boolean;
  /** All series have ended. */
  allFinished: boolean;
  /** The past of some chart is still to come. */
  loading: boolean;
  metrics: number;
}

export type Tone = "live" | "plain" | "ok" | "warn" | "critical";

export interface BadgeState {
  word: string;
  value: string;
  tone: Tone;
  icon: IconName | "dot";
  /** Which of the two connections is lost; null: none. */
  lost: "dashboard" | "service" | null;
}

/** A viewer that acknowledges later than this sees LAGGING. */
const LAG_MS = 1_000;

export function seconds(ms: number): string {
  return `${Math.max(0, Math.ceil(ms / 1000))} s`;
}

export function badgeState(input: BadgeInput): BadgeState {
  const { link, status, nowMs } = input;
  const state = (
    word: string,
    value: string,
    tone: Tone,
    icon: BadgeState["icon"],
    lost: BadgeState["lost"] = null,
  ): BadgeState => ({ word, value, tone, icon, lost });
  if (link.state === "signed-out") return state("SIGNED OUT", "log in", "critical", "critical");
  if (link.state === "refused") return state("SIGNED OUT", "reload", "critical", "critical");
  if (link.state === "silent") return state("DISCONNECTED", "", "critical", "critical");
  if (link.state === "waiting")
    return state("RECONNECTING", seconds(link.retryAt - input.perfNow), "warn", "ring", "dashboard");
  if (link.state === "connecting" && link.attempts > 0)
    return state("RECONNECTING", "now", "warn", "ring", "dashboard");
  if (link.state === "connecting" || !status) return state("CONNECTING", "", "plain", "ring");
  if (status.behind_ms !== null) return state("CATCHING UP", span(status.behind_ms), "live", "ring");
  if (status.state === "reconnecting" || status.state === "ended") {
    const wait = (status.retry_at_ms ?? nowMs) - nowMs;
    return state("RECONNECTING", wait > 0 ? seconds(wait) : "now", "warn", "ring", "service");
  }
  if (status.state === "connecting") return state("CONNECTING", "", "plain", "ring");
  if (!Number.isNaN(input.pausedAtMs)) return state("PAUSED", clock(input.pausedAtMs), "plain", "pause");
  if (status.gap) return state("GAP", `${clock(status.gap.from_ms)} – ${clock(status.gap.to_ms)}`, "warn", "warn");
  const age = input.newest;
  const unknown = Number.isNaN(age.ms);
  if (input.loading && !status.past_reason) return state("CATCHING UP", unknown ? "" : liveAge(age.ms), "live", "ring");
  if ((status.recovered ?? 0) > 0)
    return state("RECOVERED", plural(status.recovered ?? 0, "reading", "readings"), "ok", "check");
  if ((status.lag_ms ?? 0) > LAG_MS)
    return state("LAGGING", `${((status.lag_ms ?? 0) / 1000).toFixed(1)} s`, "warn", "clock");
  if (input.metrics === 0) return state("CONNECTED", `${formatNumber(0, 0)} metrics`, "live", "dot");
  if (unknown || !input.anyHeard) return state("CONNECTED", plural(input.metrics, "metric", "metrics"), "live", "dot");
  const shown = input.allFinished ? "finished" : input.anyLive ? "live" : "stale";
  const { word } = chartWords(shown, age);
  const value = shown === "live" ? wayWords(age) || liveAge(age.ms) : span(age.ms);
  const mark = { finished: "check", live: "dot", stale: "clock" } as const;
  return state(word, value, shown === "live" ? "live" : "plain", mark[shown]);
}

/** The popover that explains a badge. */
export interface Why {
  title: string;
  text: string;
  rows: [string, string][];
}

export function whyLost(badge: BadgeState, input: BadgeInput): Why | null {
  const { status, link, nowMs } = input;
  const why = (title: string, text: string, rows: Why["rows"] = []): Why => ({ title, text, rows });
  if (badge.word === "LAGGING")
    return why("This viewer is slow", "Frames are reduced until it keeps up. No reading is lost.");
  if (badge.word === "CATCHING UP") return why("The past is being read", "Charts fill from their newest part on.");
  if (badge.word === "GAP")
    return why("Some readings are lost", "They are older than the log keeps and cannot be replayed.");
  if (badge.word === "SIGNED OUT")
    return why(
      badge.value === "reload" ? "Reload the page" : "Log in again",
      "Nothing on this page is lost; the charts resume where they stopped.",
    );
  if (badge.word === "DISCONNECTED")
    return why(
      `No message since ${clock(link.lostAtMs)}`,
      "The kernel that fed this chart was restarted, has ended, or is busy. Run the cell again for a live chart.",
    );
  if (!badge.lost) return status?.late ? why(`Late since ${clock(status.late.since_ms)}`, status.late.text) : null;
  const kept = "The charts stay as they are; new readings are kept in the log and will be filled in.";
  const last = Number.isNaN(input.newest.ms)
    ? "none yet"
    : `${clock(nowMs - input.newest.ms, "ms")} · ${span(input.newest.ms)} ago`;
  const next = badge.value === "now" ? "trying now" : `next in ${badge.value}`;
  const ofDashboard = badge.lost === "dashboard";
  const rows: Why["rows"] = [
    ["Last reading", last],
    ["Attempts", `${(ofDashboard ? link : status)?.attempts ?? 0} · ${next}`],
  ];
  if (ofDashboard)
    return why(
      `Dashboard lost at ${clock(link.lostAtMs)}`,
      `This browser lost the dashboard at ${location.host}${link.reason ? ` (${link.reason})` : ""}. ${kept}`,
      rows,
    );
  if (status?.retention_ms) rows.push(["Log keeps", span(status.retention_ms).replace(/^2 d$/, "48 h")]);
  const where = (status?.service ?? "").replace(/^https?:\/\//, "");
  const reason = status?.reason ? ` (${status.reason})` : "";
  return why(
    `Connection lost at ${clock(status?.since_ms ?? NaN)}`,
    `The service at ${where} closed the stream${reason}. ${kept}`,
    rows,
  );
}

/** Return the sentence that a notebook frame shows while it has no charts. */
export function waitingFor(pattern: string, status: Status | null): string {
  const first = `Waiting for the first reading of ${pattern || "**"}`;
  if (!status || status.state === "live") return first;
  const where = status.service ?? "the service";
  if (status.state === "ended") return `${where} refuses this chart: ${status.reason ?? ""}`;
  if (!status.reason) return first;
  return `No stream from ${where} yet (${status.reason}). Is the service running? "tidewire doctor" checks it. The chart starts by itself.`;
}
