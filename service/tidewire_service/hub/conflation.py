"""Conflation: per series, unit and interval one batch with the last reading, min, max, mean and count, by log id.

Intervals are anchored to the Unix epoch, so a repeat is identical. One interval is one SSE event with one id, the last
id in it: a cut between two events can lose or double nothing. An interval is closed when no id of it can follow.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import repeat
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from tidewire.model.batch import Batch, series_key
from tidewire.model.cursor import id_ms
from tidewire.model.states import ConflatedBatches, StreamBatch
from tidewire.model.units import unit_key
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.turns import ordering

__all__ = ["MAX_SERIES", "ConflatedEvent", "Conflator", "Skipped", "Thinner", "interval_of"]

MAX_SERIES: Final = 2_000  # of one conflated stream
_AT_ONCE: Final = 4_096  # series between two turns: 3 ms


class ConflatedEvent(NamedTuple):
    """One closed interval: the last id in it and the event's data."""

    id: int
    data: bytes


class _Sum:
    """The running aggregate of one series in one interval."""

    __slots__ = ("count", "labels", "maximum", "metric", "minimum", "numbers", "text", "time", "total", "unit", "value")

    def __init__(self, batch: Batch) -> None:
        self.metric = batch.metric
        self.labels = batch.labels
        self.unit = batch.unit
        self.time = float("-inf")
        self.value: float | None = None
        self.text: str | None = None
        self.minimum = float("inf")
        self.maximum = float("-inf")
        self.total = 0.0
        self.numbers = self.count = 0

    def add(self, batch: Batch) -> None:
        self.unit = batch.unit or self.unit
        for time, value, text in zip(batch.time, batch.value, batch.text or repeat(None), strict=False):
            if time >= self.time:
                self.time, self.value, self.text = time, value, text
            if value is not None:
                self.numbers += 1
                self.total += value
                self.minimum = min(self.minimum, value)
                self.maximum = max(self.maximum, value)
        self.count += len(batch.time)

    def batch(self) -> StreamBatch:
        some = self.numbers > 0
        return StreamBatch(
            metric=self.metric,
            labels=self.labels,
            unit=self.unit,
            time=[self.time],
            value=[self.value],
            text=None if self.text is None else [self.text],
            min=[self.minimum if some else None],
            max=[self.maximum if some else None],
            mean=[self.total / self.numbers if some else None],
            count=[self.count],
        )


class _Interval:
    __slots__ = ("last_id", "sums", "units")

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str, str], _Sum] = {}
        self.units: dict[tuple[str, str], str] = {}  # of each series, the last
        self.last_id = 0

    def key_of(self, batch: Batch) -> tuple[str, str, str]:
        """Return under which key a batch is summed up: that of its series and unit, or of the last if it has none."""
        series = (batch.metric, series_key(batch.labels))
        unit, last = unit_key(batch.unit), self.units.get(series, "")
        if unit and not last and (sum_ := self.sums.pop((*series, ""), None)) is not None:
            self.sums[(*series, unit)] = sum_  # what came before without a unit
        self.units[series] = unit or last
        return (*series, unit or last)


def interval_of(id_: int, every_ms: int) -> int:
    """Return the number of the interval in which an id was minted."""
    return id_ms(id_) // every_ms


class Conflator:
    """Sums up batches, in id order, by interval and series.

    Args:
        every_ms: length of an interval.

    Attributes:
        left_out: batches of series beyond `MAX_SERIES` of one interval.
    """

    def __init__(self, every_ms: int) -> None:
        self.every_ms = every_ms
        self.left_out = 0
        self._intervals: dict[int, _Interval] = {}

    def __bool__(self) -> bool:
        return bool(self._intervals)

    def add(self, entry: RingEntry) -> None:
        """Add one batch; one that cannot be decoded is left out and counted."""
        batch = entry.batch
        if batch is None:
            self.left_out += 1
            return
        number = interval_of(entry.id, self.every_ms)
        interval = self._intervals.get(number)
        if interval is None:
            interval = self._intervals[number] = _Interval()
        key = interval.key_of(batch)
        found = interval.sums.get(key)
        if found is None:
            if len(interval.sums) >= MAX_SERIES:
                self.left_out += 1
                return
            found = interval.sums[key] = _Sum(batch)
        found.add(batch)
        interval.last_id = entry.id

    def pop_closed(self, before: int | None = None) -> Iterator[ConflatedEvent]:
        """Yield and forget the intervals with a number below `before`, oldest first; all of them if None."""
        for number in [n for n in self._intervals if before is None or n < before]:
            interval = self._intervals.pop(number)
            payload = ConflatedBatches(self.every_ms, [found.batch() for found in interval.sums.values()])
            yield ConflatedEvent(interval.last_id, msgspec.json.encode(payload))

    def clear(self) -> None:
        """Forget everything."""
        self._intervals.clear()


class Skipped(NamedTuple):
    """Batches of a metric that a slow subscriber was spared: how many, and between which ids."""

    metric: str
    batches: int
    first: int
    last: int


class Thinner:
    """Keeps of each series the batch with its newest reading."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], tuple[float, RingEntry]] = {}
        self._skipped: dict[str, Skipped] = {}

    def add(self, entries: Iterable[RingEntry]) -> None:
        """Take batches, in id order."""
        newest, skipped = self._newest, self._skipped
        for entry in entries:
            key = (entry.metric, series_key(entry.labels))
            time = float("-inf") if entry.batch is None else max(entry.batch.time)
            entry.release()
            left_out: RingEntry | None = entry
            if key not in newest or time >= newest[key][0]:
                left_out = newest[key][1] if key in newest else None
                newest[key] = time, entry
            if left_out is not None:
                known = skipped.get(entry.metric, Skipped(entry.metric, 0, left_out.id, left_out.id))
                skipped[entry.metric] = Skipped(
                    entry.metric, known.batches + 1, min(known.first, left_out.id), max(known.last, left_out.id)
                )

    def thinning(self) -> Generator[None, None, tuple[list[RingEntry], list[Skipped]]]:
        """Yield between parts; return, once, what was kept, in id order, and what was left out, per metric."""
        kept = list[RingEntry]()
        while self._newest:
            kept += [self._newest.popitem()[1][1] for _ in range(min(len(self._newest), _AT_ONCE))]
            if self._newest:
                yield
        kept = yield from ordering(kept, key=attrgetter("id"))
        return kept, list(self._skipped.values())
