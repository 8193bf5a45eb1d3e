"""Says how many series are late because their partition of the log does not answer; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tidewire.livestore.messages import Late
from tidewire.livestore.store import Store
from tidewire.model.states import Stalled

__all__ = ["LateSeries"]


class LateSeries:
    """Counts them once for all viewers.

    Args:
        store: where the series are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counted: tuple[Sequence[Stalled], int] = (), 0
        self._by_metric: Counter[str] = Counter()

    def message(self, stalled: Sequence[Stalled], may_see: Callable[[str], bool]) -> Late | None:
        """Return what a viewer is told, None if nothing that they may see is late.

        Args:
            stalled: the partitions that do not answer.
            may_see: tells which metrics the viewer may see.
        """
        if not stalled:
            return None
        series = self._store.series
        if self._counted != (stalled, len(series)):
            self._counted = stalled, len(series)
            self._by_metric = Counter(one.metric for one in list(series) if self._store.is_late(one))
        late, what = sum(count for metric, count in self._by_metric.items() if may_see(metric)), ("series", "series")
        if not late:  # none was ever here: it was away when this began
            late, what = sum(may_see(metric) for one in stalled for metric in one.metrics), ("metric", "metrics")
        if not late:
            return None
        who = "One partition of the log does" if len(stalled) == 1 else f"{len(stalled)} partitions of the log do"
        which = f"1 {what[0]} is late, and" if late == 1 else f"{late:,} {what[1]} are late, and"
        text = f"{who} not answer: {which} will be filled in."
        return Late(since_ms=min(one.since_ms for one in stalled), text=text)
