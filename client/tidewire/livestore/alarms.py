"""Evaluates thresholds against every reading of a store, twice a second, for all viewers at once.

The dashboard has one set of them for its viewers, a notebook chart one for itself; both read the thresholds from the
service. A reading counts at its own time, also if it came and went between two looks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, TypeAlias

import msgspec
import numpy as np

from tidewire.livestore import messages
from tidewire.livestore.column_ring import Floats
from tidewire.livestore.series import Series
from tidewire.livestore.store import EventMark, Store
from tidewire.livestore.watched_series import RANK, Excursion, WatchedSeries
from tidewire.model.pattern import compile_pattern
from tidewire.model.threshold import Threshold

__all__ = ["Alarms", "EventsVersion", "Sees"]

Sees: TypeAlias = Callable[[str], bool] | None
"""Whether somebody may see a metric; None for who may see all."""

EventsVersion: TypeAlias = tuple[int, int]

_EVERY_MS: Final = 500.0
_MAX_WATCHED: Final = 100_000  # pairs of a series and a threshold
_PAIRS_A_LOOK: Final = 4_000  # whose new readings are taken at once: about 30 ms; the others have the next turn
_MAX_EXCURSIONS: Final = 1_000  # kept as events, the newest


_News: TypeAlias = tuple[WatchedSeries, Floats | tuple[float, float], Floats | None]
"""Newer readings, float64[2, n] or one alone, and the readings since the oldest late one."""


class Alarms:
    """Thresholds, the alarms that they raise, and the excursions that are over, as events.

    A series that is silent keeps its level: what is shown then is its silence. A late reading changes no level, and is
    an excursion where it passed a limit.

    Args:
        store: its readings are evaluated, from the oldest that it holds.

    Attributes:
        thresholds: in force.
        thresholds_version: rises when they change.
        version: rises when an alarm begins, changes or ends.
        excursions_version: rises with each excursion that ends, and when a threshold is gone with its excursions.
    """

    def __init__(self, store: Store) -> None:
        self.thresholds: tuple[Threshold, ...] = ()
        self.thresholds_version = 0
        self.version = 0
        self.excursions_version = 0
        self._store = store
        self._watched: list[WatchedSeries] = []
        self._rising: set[WatchedSeries] = set()
        self._turn = 0
        self._excursions: deque[tuple[Threshold, EventMark]] = deque(maxlen=_MAX_EXCURSIONS)
        self._fewer_since = 0  # the version at which excursions were last taken away
        self._directory_version = -1
        self._evaluated_ms = -1e15

    @property
    def excursions(self) -> list[EventMark]:
        """Return the excursions that are over, in order of their end."""
        return [event for _, event in self._excursions]

    def set(self, thresholds: Sequence[Threshold]) -> None:
        """Replace the thresholds; alarms of thresholds that stay go on."""
        if self.thresholds_version and tuple(thresholds) == self.thresholds:
            return
        self.thresholds = tuple(thresholds)
        self.thresholds_version += 1
        self.version += 1
        self._directory_version = -1
        self._evaluated_ms = -1e15
        kept = [(threshold, event) for threshold, event in self._excursions if threshold in self.thresholds]
        if len(kept) < len(self._excursions):
            self._excursions = deque(kept, maxlen=_MAX_EXCURSIONS)
            self.excursions_version += 1
            self._fewer_since = self.excursions_version
        if not self.thresholds:
            self._watched, self._rising = [], set()  # nothing is evaluated from now on

    def evaluate(self, now_ms: float) -> None:
        """Evaluate every threshold against the readings since the last look; `now_ms` by the log's clock."""
        if not self.thresholds or now_ms - self._evaluated_ms < _EVERY_MS:
            return
        self._evaluated_ms = now_ms
        with self._store.lock:
            if self._directory_version != self._store.directory_version:
                self._match()
            news = self._news()
        for watched, fresh, late in news:
            level, since_ms = watched.alarm.level, watched.alarm.since_ms
            watched.seen_ms = now_ms
            ended = watched.take_one(*fresh) if isinstance(fresh, tuple) else watched.take(fresh)
            if late is not None:
                ended += watched.take_late(late)
            if ended:
                self._note(watched, ended)
            self.version += (level, since_ms) != (watched.alarm.level, watched.alarm.since_ms)
            if watched.alarm.rising:
                self._rising.add(watched)
        for watched in tuple(self._rising):  # time passes for them without a reading too
            level = watched.alarm.level
            watched.wait(watched.time_ms + now_ms - watched.seen_ms)
            self.version += level != watched.alarm.level
            if not watched.alarm.rising:
                self._rising.discard(watched)

    def _news(self) -> list[_News]:
        """Return what is new of the pairs whose series changed."""
        state, count = self._store.state, len(self._store.series)
        versions, totals = state["version"][:count].tolist(), state["total"][:count].tolist()
        times, values = state["last_time_ms"][:count].tolist(), state["last_value"][:count].tolist()
        news: list[_News] = []
        for at in chain(range(self._turn, len(self._watched)), range(self._turn)):
            watched = self._watched[at]
            index = watched.index
            if watched.version == versions[index]:
                continue
            if len(news) == _PAIRS_A_LOOK:
                self._turn, self._evaluated_ms = at, -1e15  # go on with the next call
                break
            newest = times[index], values[index]
            if totals[index] == watched.total + 1 and newest[0] > watched.time_ms:
                news.append((watched, newest, None))
            else:
                news.append((watched, *self._rows(watched, newest)))
            watched.version, watched.total = versions[index], totals[index]
        return news

    def _rows(
        self, watched: WatchedSeries, newest: tuple[float, float]
    ) -> tuple[Floats | tuple[float, float], Floats | None]:
        """Return the readings newer than those evaluated, and all since the oldest late one if there is one."""
        series = self._store.series[watched.index]
        late_each = [time_ms for version, time_ms in series.late if version > watched.version]
        # with more than the series can tell apart, there may have been older ones
        late_ms = -math.inf if len(late_each) == series.late.maxlen else min(late_each, default=math.inf)
        rows = series.readings_from(max(min(late_ms, watched.time_ms), series.unit_since_ms))
        newer = int(np.searchsorted(rows[0], watched.time_ms, "right"))
        late = rows[:, :newer] if late_ms <= watched.time_ms else None
        if newer == rows.shape[1]:
            return newest, late  # of the same time, or without its block
        fresh = rows[:, newer:]
        if (fresh[0, -1], fresh[1, -1]) != newest:  # of equal times the later id counts, whatever came first
            fresh = np.column_stack((fresh, newest))
        return fresh, late

    def _note(self, watched: WatchedSeries, ended: Sequence[Excursion]) -> None:
        series, threshold = self._store.series[watched.index], watched.alarm.threshold
        for excursion in ended:
            text = excursion.text(series.unit)
            event = EventMark(
                time_ms=excursion.from_ms,
                text=text,
                metric=series.metric,
                labels=series.labels,
                level=excursion.level,
            )
            self._excursions.append((threshold, event))
        self.excursions_version += len(ended)

    def _match(self) -> None:
        known = {(watched.index, _key(watched.alarm.threshold)): watched for watched in self._watched}
        self._watched, self._turn = [], 0
        by_metric: dict[str, list[Series]] = {}
        for series in self._store.series:
            by_metric.setdefault(series.metric, []).append(series)
        for threshold in self.thresholds:
            pattern, key = compile_pattern(threshold.metric), _key(threshold)
            selected = (pattern.text,) if pattern.literal else filter(pattern.matches, by_metric)
            for series in chain.from_iterable(by_metric.get(metric, ()) for metric in selected):
                meant = all(series.labels.get(name) == value for name, value in threshold.labels.items())
                if meant and len(self._watched) < _MAX_WATCHED:
                    self._watched.append(known.get((series.index, key)) or WatchedSeries(series.index, threshold))
        self._rising &= set(self._watched)
        self._directory_version = self._store.directory_version

    @property
    def events_version(self) -> EventsVersion:
        """Return the versions of the store's events and of the excursions."""
        return self._store.events_version, self.excursions_version

    def events_message(self, seen: EventsVersion | None, sees: Sees = None) -> messages.Events:
        """Return the `events` message for somebody who has those of a version, or none: what came since, else all.

        To be called with the lock of the store.
        """
        events, excursions = self._store.events, [event for _, event in self._excursions]
        new, ended = (now - then for now, then in zip(self.events_version, seen or (-1, -1), strict=True))
        full = seen is None or seen[1] < self._fewer_since or new > len(events) or ended > len(excursions)
        since = chain(events, excursions) if full else chain(_last(events, new), _last(excursions, ended))
        return messages.events_message((event for event in since if sees is None or sees(event.metric)), full=full)

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
        for watched in self._watched:
            index, alarm = watched.index, watched.alarm
            if alarm.level is None or not (sees is None or sees(self._store.series[index].metric)):
                continue
            before = worst.get(index)
            if before is None or RANK[alarm.level] > RANK[before.level]:
                worst[index] = messages.AlarmEntry(i=index, level=alarm.level, since_ms=alarm.since_ms)
        return messages.Alarms(alarms=[entry for _, entry in sorted(worst.items())])


def _last(events: Sequence[EventMark], count: int) -> Sequence[EventMark]:
    return [events[at] for at in range(-count, 0)]


def _key(threshold: Threshold) -> str:
    return msgspec.json.encode(threshold, order="sorted").decode()
