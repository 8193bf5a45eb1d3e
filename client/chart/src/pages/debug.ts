/** Describes a page for browser tests. */

import type { AppContext } from "../panels/app-context";

/** Return the state of the app; `charts` describes the charts of the page. */
export function debugState(
  { session, timeline, state, time, header }: AppContext,
  charts: Record<string, unknown>[],
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
    charts,
  };
}
