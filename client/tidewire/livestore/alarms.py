"""Evaluates thresholds against the newest readings of a store, at most twice a second, for all viewers at once.

The dashboard has one set of them for its viewers, a notebook chart one for itself; both read the thresholds from the
service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, TypeAlias

import msgspec

from tidewire.livestore import messages
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.pattern import compile_pattern
from tidewire.model.threshold import Alarm, Threshold

__all__ = ["Alarms", "Sees"]

Sees: TypeAlias = Callable[[str], bool] | None
"""Whether somebody may see a metric; None for who may see all."""

_EVERY_MS: Final = 500.0
_RANK: Final = {"warn": 1, "critical": 2}
_MAX_ALARMS: Final = 100_000  # pairs of a series and a threshold


class Alarms:
    """Thresholds and the alarms that they raise.

    A reading that passes a limit and is followed by one that does not within half a second may go unseen. A series
    that is silent keeps its level: what is shown then is its silence.

    Args:
        store: its newest readings are evaluated.

    Attributes:
        thresholds: in force.
        thresholds_version: rises when they change.
        version: rises when an alarm begins, changes or ends.
    """

    def __init__(self, store: Store) -> None:
        self.thresholds: tuple[Threshold, ...] = ()
        self.thresholds_version = 0
        self.version = 0
        self._store = store
        self._alarms: list[tuple[int, Alarm]] = []
        self._directory_version = -1
        self._evaluated_ms = -1e15

    def set(self, thresholds: Sequence[Threshold]) -> None:
        """Replace the thresholds; alarms of thresholds that stay go on."""
        if self.thresholds_version and tuple(thresholds) == self.thresholds:
            return
        self.thresholds = tuple(thresholds)
        self.thresholds_version += 1
        self.version += 1
        self._directory_version = -1
        self._evaluated_ms = -1e15
        if not self.thresholds:
            self._alarms = []  # nothing is evaluated from now on

    def evaluate(self, now_ms: float) -> None:
        """Evaluate every threshold against the newest readings; `now_ms` by the log's clock."""
        if not self.thresholds or now_ms - self._evaluated_ms < _EVERY_MS:
            return
        self._evaluated_ms = now_ms
        with self._store.lock:
            if self._directory_version != self._store.directory_version:
                self._match()
            values = self._store.state["last_value"][: len(self._store.series)].tolist()
        changed = False
        for index, alarm in self._alarms:
            changed |= alarm.evaluate(values[index], now_ms)
        self.version += changed

    def _match(self) -> None:
        known = {(index, _key(alarm.threshold)): alarm for index, alarm in self._alarms}
        self._alarms = []
        by_metric: dict[str, list[Series]] = {}
        for series in self._store.series:
            by_metric.setdefault(series.metric, []).append(series)
        for threshold in self.thresholds:
            pattern, key = compile_pattern(threshold.metric), _key(threshold)
            selected = (pattern.text,) if pattern.literal else filter(pattern.matches, by_metric)
            for series in chain.from_iterable(by_metric.get(metric, ()) for metric in selected):
                meant = all(series.labels.get(name) == value for name, value in threshold.labels.items())
                if meant and len(self._alarms) < _MAX_ALARMS:
                    kept = known.get((series.index, key))
                    self._alarms.append((series.index, kept or Alarm(threshold)))
        self._directory_version = self._store.directory_version

    def thresholds_message(self, sees: Sees = None) -> messages.Thresholds:
        """Return the `thresholds` message: those that are for a metric which somebody may see."""
        shown = [threshold for threshold in self.thresholds if self._meets(threshold, sees)]
        return messages.Thresholds(thresholds=shown)

    def _meets(self, threshold: Threshold, sees: Sees) -> bool:
        if sees is None:
            return True
        pattern = compile_pattern(threshold.metric)
        metrics = {series.metric for series in self._store.series}
        return any(pattern.matches(metric) and sees(metric) for metric in metrics)

    def alarms_message(self, sees: Sees = None) -> messages.Alarms:
        """Return the `alarms` message: the worst level of each series that is in alarm and may be seen."""
        worst: dict[int, messages.AlarmEntry] = {}
        for index, alarm in self._alarms:
            if alarm.level is None or not (sees is None or sees(self._store.series[index].metric)):
                continue
            before = worst.get(index)
            if before is None or _RANK[alarm.level] > _RANK[before.level]:
                worst[index] = messages.AlarmEntry(i=index, level=alarm.level, since_ms=alarm.since_ms)
        return messages.Alarms(alarms=[entry for _, entry in sorted(worst.items())])


def _key(threshold: Threshold) -> str:
    return msgspec.json.encode(threshold, order="sorted").decode()
