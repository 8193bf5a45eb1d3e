"""Finds the readings that count at each time: the value of a series, and the window before it; pure.

A `Frame` is some times over one table. What several formulas ask of it, such as the windows of one selector, it finds
once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tidewire.evaluation.reading_table import PACE_OF, Floats, Places, ReadingTable, Segments

__all__ = ["LEAST_LOOK_BACK_MS", "Bools", "Edge", "Frame", "Windows", "Work"]

Bools = npt.NDArray[np.bool_]
Edge = Literal["at", "before"]
"""Whether a reading at a time itself counts for it, (t - r, t], or not any more, [t - r, t), as in buckets."""
LEAST_LOOK_BACK_MS: Final = 10_000.0
_MOST_LOOK_BACK_MS: Final = 3_600_000.0
_UNKNOWN_LOOK_BACK_MS: Final = 300_000.0
_PACES: Final = 3.0  # of the median interval
_FEW_TIMES: Final = 8  # up to which all series are searched at once, not one by one
_FEW_ROWS: Final = 32  # up to which series are searched one by one
_MERGED: Final = 3  # readings for each place that is looked for, up to which all are counted
_SEARCHED: Final = 16  # readings at the end of a segment that are searched first
_Found = TypeVar("_Found")


class Work:
    """Counts what an evaluation looks at.

    Args:
        limit: about nanoseconds; `over` is called beyond them, and does not return.
    """

    def __init__(self, limit: float, over: Callable[[], Any]) -> None:
        self.done = 0.0
        self.limit = limit
        self._over = over

    def add(self, amount: float) -> None:
        """Count, and end the evaluation if it is too much."""
        self.done += amount
        if self.done > self.limit:
            self._over()


class Windows(NamedTuple):
    """The numbers in the windows of some series before some times.

    Attributes:
        low, high: int64[series, times]; the places in `ReadingTable.numbers` of the first number and behind the last.
        time_ms: float64[times], the ends of the windows.
    """

    low: Places
    high: Places
    time_ms: Floats


class Frame:
    """Some times over a table.

    Args:
        table: the readings; it must not change while the frame is in use.
        time_ms: float64[n], ascending.
        step_ms: the default window is no shorter.
        edge: which readings count at a time.
        work: counts what is looked at.
    """

    def __init__(self, table: ReadingTable, time_ms: Floats, step_ms: float, edge: Edge, work: Work) -> None:
        self.table = table
        self.time_ms = time_ms
        self.step_ms = step_ms
        self.work = work
        self._right = edge == "at"
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], _Found]) -> _Found:
        """Return what was found for a key, or find it."""
        found: _Found | None = self._known.get(key)
        if found is None:
            found = self._known[key] = find()
        return found

    def values(self, rows: Places, offset_ms: float) -> tuple[Places, Bools]:
        """Return which reading is the value of each series at each time.

        Args:
            rows: int64[s], ascending.
            offset_ms: so much earlier.

        Returns:
            Places in `ReadingTable.all`, int64[s, n], and where there is one.
        """
        return self._values_at(rows, self._shifted(offset_ms))

    def windows(self, rows: Places, offset_ms: float, range_ms: float | None) -> Windows:
        """Return the windows before each time; without a range the default ones."""
        time_ms = self._shifted(offset_ms)
        ends = np.broadcast_to(time_ms, (rows.size, time_ms.size))
        high = self._places(self.table.numbers, rows, ends)
        starts = self._starts(rows, time_ms, range_ms)
        return Windows(self._places(self.table.numbers, rows, starts), high, time_ms)

    def before(self, rows: Places, offset_ms: float, range_ms: float | None) -> Bools:
        """Return where a reading is the value at the start of a window: it is the number before its first one."""
        starts = self._starts(rows, self._shifted(offset_ms), range_ms)
        return self._values_at(rows, starts)[1]

    # -- times ---------------------------------------------------------------------------------------------------

    def _shifted(self, offset_ms: float) -> Floats:
        return self.time_ms - offset_ms if offset_ms else self.time_ms

    def _starts(self, rows: Places, time_ms: Floats, range_ms: float | None) -> Floats:
        """Return where the windows begin, float64[s, n]."""
        if range_ms is not None:
            return np.broadcast_to(time_ms - range_ms, (rows.size, time_ms.size))
        newest = self._places(self.table.all, rows, np.broadcast_to(time_ms, (rows.size, time_ms.size))) - 1
        look_back = np.full(newest.shape, _UNKNOWN_LOOK_BACK_MS)
        there = newest >= self.table.all.start[rows][:, None]
        look_back[there] = self._look_back(newest[there])
        starts: Floats = time_ms - np.maximum(self.step_ms, look_back)
        return starts

    def _values_at(self, rows: Places, time_ms: Floats) -> tuple[Places, Bools]:
        segments = self.table.all
        times = np.broadcast_to(time_ms, (rows.size, time_ms.shape[-1]))
        place = self._places(segments, rows, times) - 1
        there = place >= segments.start[rows][:, None]
        place = np.where(there, place, 0)
        read = segments.time[place]
        there &= self._within(read, times, _MOST_LOOK_BACK_MS)
        doubtful = there & ~self._within(read, times, LEAST_LOOK_BACK_MS)
        if doubtful.any():
            there[doubtful] = self._within(read[doubtful], times[doubtful], self._look_back(place[doubtful]))
        if self.table.numbers is not segments:
            there &= ~np.isnan(segments.value[place])
        return place, there

    def _within(self, read: Floats, times: Floats, look_back: Floats | float) -> Bools:
        found: Bools = read > times - look_back if self._right else read >= times - look_back
        return found

    def _look_back(self, places: Places) -> Floats:
        """Return how long these readings are the value: three times their pace, within bounds."""
        segments = self.table.all
        found = segments.look_back[places]
        unknown = np.isnan(found)
        if unknown.any():
            wanted = np.unique(places[unknown])
            self.work.add(wanted.size * 500.0)
            segments.look_back[wanted] = _look_back(segments, wanted)
            found = segments.look_back[places]
        return found

    # -- places --------------------------------------------------------------------------------------------------

    def _places(self, segments: Segments, rows: Places, times: Floats) -> Places:
        """Return behind which reading each time lies, int64[s, n]."""
        self.work.add(times.size * 30.0)
        if times.shape[1] <= _FEW_TIMES:
            return _searched(segments, rows, times, right=self._right)
        if rows.size > _FEW_ROWS and times.strides[0] == 0:  # the same times for all
            span = _searched(segments, rows, times[:, [0, -1]], right=self._right)
            if (span[:, 1] - span[:, 0]).sum() <= _MERGED * times.size:
                return _merged(segments, span, times[0], right=self._right)
        side: Literal["left", "right"] = "right" if self._right else "left"
        found = np.empty(times.shape, dtype=np.int64)
        starts, stops = segments.start[rows].tolist(), segments.stop[rows].tolist()
        for at, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            found[at] = segments.time[start:stop].searchsorted(times[at], side)
            found[at] += start
        return found


def _merged(segments: Segments, span: Places, times: Floats, *, right: bool) -> Places:
    """Count the readings of all series between the same times.

    Args:
        segments: the readings.
        span: int64[s, 2], the places of the first and the last time.
        times: float64[n].
        right: a reading at a time lies before it.
    """
    count = span[:, 1] - span[:, 0]
    starts = np.cumsum(count) - count
    place = np.arange(int(count.sum())) + np.repeat(span[:, 0] - starts, count)
    column = times.searchsorted(segments.time[place], "left" if right else "right")
    cell = np.repeat(np.arange(count.size) * times.size, count) + column
    found: Places = np.bincount(cell, minlength=count.size * times.size).reshape(count.size, times.size)
    np.cumsum(found, axis=1, out=found)
    found += span[:, :1]
    return found


def _searched(segments: Segments, rows: Places, times: Floats, *, right: bool) -> Places:
    """Search all series at once: first their newest readings, then four times as many, and so on."""
    start = segments.start[rows][:, None]
    high = np.broadcast_to(segments.stop[rows][:, None], times.shape)
    time = segments.time
    before = np.less_equal if right else np.less
    width = _SEARCHED
    while True:
        low = np.maximum(high - width, start)
        if not ((low > start) & ~before(time[low], times)).any():
            break
        width *= 4
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        later = before(time[middle], times) & (low < high)
        low = np.where(later, middle + 1, low)
        high = np.where(later, high, middle)
    return low


def _look_back(segments: Segments, places: Places) -> Floats:
    start = segments.start[segments.rows_of(places)][:, None]
    back = places[:, None] - np.arange(PACE_OF)
    there = back >= start
    times = segments.time[np.maximum(back, start)]
    there &= times >= times[:, :1] - _MOST_LOOK_BACK_MS
    intervals = np.where(there[:, 1:], times[:, :-1] - times[:, 1:], np.inf)
    intervals.sort(axis=1)
    count = there.sum(axis=1) - 1
    at = np.arange(places.size)
    lower = np.maximum(count - 1, 0) // 2
    median = (intervals[at, lower] + intervals[at, np.maximum(count, 1) // 2]) / 2
    paced = np.where(count >= 2, _PACES * median, _UNKNOWN_LOOK_BACK_MS)
    return np.clip(paced, LEAST_LOOK_BACK_MS, _MOST_LOOK_BACK_MS)
