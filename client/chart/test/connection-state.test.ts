/** The badge says one true thing, and tells the two connections apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type BadgeInput, badgeState, waitingFor, whyLost } from "../src/panels/connection-state";
import type { Status } from "../src/wire/messages";
import { backoffMs } from "../src/wire/port";

const now = new Date(2026, 0, 5, 14, 3, 20).getTime();
const status = (part: Partial<Status>): Status => ({
  t: "status",
  state: "live",
  since_ms: now,
  retry_at_ms: null,
  attempts: 0,
  service: "",
  reason: "",
  last_id_ms: null,
  recovered: 0,
  gap: null,
  metrics: 38,
  readings_per_s: 0,
  listening_since_ms: null,
  retention_ms: null,
  behind_ms: null,
  past_reason: "",
  late: null,
  now_ms: now,
  ...part,
});
const input = (part: Partial<BadgeInput> = {}): BadgeInput => ({
  link: { state: "open", lostAtMs: NaN, attempts: 0, retryAt: NaN, reason: "" },
  perfNow: 10_000,
  status: status({}),
  nowMs: now,
  pausedAtMs: NaN,
  newest: { ms: 118, wayMs: 2 },
  anyLive: true,
  anyHeard: true,
  allFinished: false,
  loading: false,
  metrics: 38,
  ...part,
});
const words = (part: Partial<BadgeInput>): string => {
  const { word, value, lost } = badgeState(input(part));
  return `${word} ${value}${lost ? ` (${lost})` : ""}`.trim();
};

test("each state has its word", () => {
  assert.equal(words({}), "LIVE 120 ms");
  assert.equal(words({ metrics: 0, newest: { ms: NaN, wayMs: NaN } }), "CONNECTED 0 metrics");
  assert.equal(words({ anyLive: false, newest: { ms: 8_200, wayMs: 10 } }), "STALE 8 s");
  assert.match(words({ anyLive: false, anyHeard: false }), /^CONNECTED \d+ metrics?$/);
  assert.equal(words({ newest: { ms: 45_300, wayMs: 45_100 } }), "LIVE 45 s late", "short: it stands in a header");
  assert.equal(words({ newest: { ms: -3_000, wayMs: -3_200 } }), "LIVE 3 s ahead");
  const finished = { anyLive: false, allFinished: true, newest: { ms: 190_000, wayMs: 10 } };
  assert.equal(words(finished), "FINISHED 3 min");
  assert.equal(words({ pausedAtMs: now }), "PAUSED 14:03:20");
  assert.equal(words({ status: status({ state: "live", recovered: 412 }) }), "RECOVERED 412 readings");
  assert.equal(words({ status: status({ state: "live", lag_ms: 2_100 }) }), "LAGGING 2.1 s");
  assert.equal(
    words({ status: status({ state: "live", gap: { from_ms: now - 198_000, to_ms: now - 156_000 } }) }),
    "GAP 14:00:02 – 14:00:44",
  );
});

test("a page that lacks the past says how far it is behind, and never that all is live", () => {
  assert.equal(words({ loading: true }), "CATCHING UP 120 ms");
  assert.equal(words({ loading: true, status: status({ recovered: 412 }) }), "CATCHING UP 120 ms");
  assert.equal(words({ loading: true, status: status({ past_reason: "HTTP 403" }) }), "LIVE 120 ms");
  for (const state of ["connecting", "reconnecting"] as const)
    assert.equal(words({ status: status({ state, behind_ms: 252_000 }) }), "CATCHING UP 4 min");
});

test("series whose partition of the log does not answer are late, and the badge says why", () => {
  const text = "One partition of the log does not answer: 14 series are late, and will be filled in.";
  const late = input({ status: status({ late: { since_ms: new Date(2026, 0, 5, 14, 3, 5).getTime(), text } }) });
  const badge = badgeState(late);
  assert.equal(`${badge.word} ${badge.value}`, "LIVE 120 ms", "the others are");
  assert.deepEqual(whyLost(badge, late), { title: "Late since 14:03:05", text, rows: [] });
  assert.equal(whyLost(badge, input()), null);
});

test("the lost service and the lost dashboard are told apart", () => {
  assert.equal(
    words({ status: status({ state: "reconnecting", retry_at_ms: now + 2_400, attempts: 4 }) }),
    "RECONNECTING 3 s (service)",
  );
  assert.equal(
    words({ link: { state: "waiting", lostAtMs: now, attempts: 2, retryAt: 11_900, reason: "" } }),
    "RECONNECTING 2 s (dashboard)",
  );
  assert.equal(
    words({ link: { state: "connecting", lostAtMs: now, attempts: 2, retryAt: 0, reason: "" } }),
    "RECONNECTING now (dashboard)",
  );
  assert.equal(
    words({ link: { state: "signed-out", lostAtMs: NaN, attempts: 0, retryAt: NaN, reason: "" } }),
    "SIGNED OUT log in",
  );
});

test("a kernel that says nothing any more is disconnected, whatever it said last", () => {
  const link = { state: "silent" as const, lostAtMs: now, attempts: 0, retryAt: NaN, reason: "" };
  assert.equal(words({ link }), "DISCONNECTED");
  assert.equal(words({ link, pausedAtMs: now }), "DISCONNECTED");
  assert.match(whyLost(badgeState(input({ link })), input({ link }))?.text ?? "", /Run the cell again/);
});

test("a lost connection outranks a pause, and a pause outranks good news", () => {
  assert.equal(
    words({ pausedAtMs: now, status: status({ state: "reconnecting", retry_at_ms: now + 1_000 }) }),
    "RECONNECTING 1 s (service)",
  );
  assert.equal(words({ pausedAtMs: now, status: status({ state: "live", recovered: 5 }) }), "PAUSED 14:03:20");
});

test("attempts back off to eight seconds and are spread", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(attempt, 0.5)),
    [500, 1_000, 2_000, 4_000, 8_000, 8_000],
  );
  assert.equal(backoffMs(1, 0), 400);
  assert.equal(backoffMs(1, 1), 600);
});

test("an empty notebook frame says what it waits for", () => {
  const service = "http://127.0.0.1:8000";
  assert.equal(waitingFor("furnace/**", null), "Waiting for the first reading of furnace/**");
  assert.equal(
    waitingFor("furnace/**", status({ state: "live", service })),
    "Waiting for the first reading of furnace/**",
  );
  assert.match(
    waitingFor("a", status({ state: "connecting", service, reason: "ConnectError: refused" })),
    /^No stream from http:\/\/127\.0\.0\.1:8000 yet \(ConnectError: refused\)\. .*tidewire doctor/,
  );
  assert.equal(
    waitingFor("a", status({ state: "ended", service, reason: "HTTP 401: no token" })),
    "http://127.0.0.1:8000 refuses this chart: HTTP 401: no token",
  );
});
