/** Describes a page for browser tests; loaded once it is drawn. */

import type { Chart } from "../chart/chart";
import { chartFreshness } from "../model/reading";
import type { AppContext } from "../panels/app-context";

/** Return the state of the app; `charts` are those of the page, or what it says of them. */
export function debugState(
  { session, timeline, state, time, header }: AppContext,
  charts: readonly (Chart | Record<string, unknown>)[],
): Record<string, unknown> {
  return {
    counters: { ...session.counters },
    series: session.directory.list.length,
    paused: timeline.paused,
    settled: timeline.settled,
    link: session.link.state,
    page: state.page,
    shown: time.shown(),
    badge: header.badgeState(),
    lastValues: Object.fromEntries(
      session.directory.list.flatMap(({ index }) => {
        const slot = session.slot(index);
        return slot ? [[index, slot.lastValue]] : [];
      }),
    ),
    charts: charts.map((one) => ("inside" in one ? describe(one as Chart) : one)),
  };
}

/** What a chart ends with. */
function describe(chart: Chart): Record<string, unknown> {
  const { moment, drawn } = chart.inside;
  const ticks = chart.plot?.ticks[0];
  return {
    title: chart.title,
    plot: chart.plot?.box,
    columns: chart.columns,
    window: moment && drawn ? [moment.startMs, moment.endMs] : null,
    shown: [chart.shown.startMs, chart.shown.endMs],
    range: drawn ? [drawn.axes[0].lo, drawn.axes[0].hi] : null,
    axes: drawn?.axes.map(({ lo, hi, inverted, unit }) => ({ lo, hi, inverted, unit: unit.text })) ?? [],
    foot: drawn?.foot ?? "",
    ticks: ticks?.ticks.map(({ text }) => text) ?? [],
    base: ticks?.base ?? "",
    ink: drawn?.ink ? chart.kind : "",
    gaps: drawn?.gaps ?? [],
    tailMs: drawn?.tailMs ?? null,
    empty: drawn?.emptyText[0] ?? "",
    loading: drawn?.loading ?? null,
    state: drawn && moment ? chartFreshness(chart.heard, moment.nowMs).state : null,
    events: chart.events.shown ? chart.events.within(chart.shown) : [],
    kind: chart.other ?? chart.kind,
    says: chart.words,
    many: chart.many?.debug() ?? null,
    series: chart.series.map((one, i) => ({
      key: one.key,
      style: one.style,
      buckets: chart.traces[i]?.n ?? 0,
      steps: chart.traces[i]?.steps ?? false,
      heldMs: chart.traces[i]?.heldMs || null,
      bands: chart.bands?.[i] ?? [],
      last: chart.slots[i]?.lastValue ?? null,
      end: chart.traces[i]?.n ? chart.traces[i].last[chart.traces[i].n - 1] : null,
    })),
  };
}
