"""Counts readings per second of each series over the last 60 s, as this process saw them; no batch is decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final

import msgspec

from tidewire.model.batch import series_key

__all__ = ["Rates"]

_SLOT_S: Final = 5.0
_SLOTS: Final = 12  # 60 s
_SETTLED_S: Final = 10.0  # younger than that a rate would say more about the start than about the series
_TIME: Final = b',"time":['
_Slot = dict[bytes, int]


class _Head(msgspec.Struct):
    metric: str
    labels: dict[str, str] = {}


class Rates:
    """Readings counted in slots of 5 s, the last 60 s; memory for the series that were heard of in them.

    A batch is one canonical line whose head, up to its times, is the same for each batch of a series: it is the
    key, and the number of readings the number of commas between the times. Quotes in names and labels are escaped in
    JSON, so the first ``,"time":[`` is the column's.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Start counting, by a clock in seconds."""
        self._clock = clock
        self._started = clock()
        self._slots: deque[tuple[int, _Slot]] = deque([(0, {})], maxlen=_SLOTS)
        self._slot = self._slots[-1][1]
        self._slot_ends = self._started + _SLOT_S

    def observe(self, body: bytes) -> None:
        """Count one batch; about 1 µs."""
        found = body.find(_TIME)
        end = body.find(b"]", found)
        if found < 0 or end < 0:
            return  # not written by Tidewire; readers skip and count it
        if self._clock() >= self._slot_ends:
            self._next_slot()
        slot, head = self._slot, body[:found]
        slot[head] = slot.get(head, 0) + body.count(b",", found + len(_TIME), end) + 1

    def _next_slot(self) -> None:
        place = int((self._clock() - self._started) / _SLOT_S)
        if place > self._slots[-1][0]:
            self._slots.append((place, {}))
        self._slot = self._slots[-1][1]
        self._slot_ends = self._started + (place + 1) * _SLOT_S

    def per_second(self) -> Callable[[str, str], float | None]:
        """Return a function (metric, series key) → readings per second; None while it is too early to say.

        Its first call sums up what was counted until now, up to 0.1 s for 100,000 series; any thread may make it.
        """
        watched_s = self._clock() - self._started
        if watched_s < _SETTLED_S:
            return lambda metric, series: None
        first = max(0, int(watched_s / _SLOT_S) - _SLOTS + 1)
        covered_s = watched_s - first * _SLOT_S
        slots = [slot for place, slot in self._slots if place >= first]
        slots[-1:] = map(dict, slots[-1:])  # the last one still counts
        counts: dict[tuple[str, str], int] | None = None

        def rate(metric: str, series: str) -> float:
            nonlocal counts
            if counts is None:
                counts = _sums(slots)
            return counts.get((metric, series), 0) / covered_s

        return rate


def _sums(slots: Iterable[_Slot]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for slot in slots:
        for head, count in slot.items():
            try:
                series = msgspec.json.decode(head + b"}", type=_Head)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # written by another program
            key = (series.metric, series_key(series.labels))
            counts[key] = counts.get(key, 0) + count
    return counts
