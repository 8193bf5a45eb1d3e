"""Holds the readings of many series side by side, so that one NumPy expression serves all of them; no I/O.

Each series has a segment of flat arrays, with room behind it. The windows of a thousand series are then two matrices
of places. A table with readings that are no numbers has two sets of segments: all readings, and the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PACE_OF", "Floats", "Places", "ReadingTable", "Segments", "SeriesReadings"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
FIGURES: Final = 4
LOW, HIGH, TOTAL, COUNT = range(FIGURES)
PACE_OF: Final = 20
"""Readings that tell the pace of the last of them."""
_ROOM: Final = 16  # readings that a segment can take at least …
_MORE: Final = 0.25  # … and as a share of those it has


class SeriesReadings(NamedTuple):
    """One series and its readings.

    Attributes:
        metric: its metric.
        labels: its labels.
        unit: its unit, ``""`` if it is not known.
        time_ms: float64[n], in the order of the log; of two at one time the later is the later. Of buckets their start.
        value: float64[n], NaN for a reading without a number. Of buckets the last number.
        figures: float64[4, n], only of buckets: smallest, largest, sum and number of the readings that are numbers.
    """

    metric: str
    labels: Mapping[str, str]
    unit: str
    time_ms: Floats
    value: Floats
    figures: Floats | None = None


class Segments:
    """Flat columns of readings, a segment for each series.

    Attributes:
        time, value: float64[capacity]; of a series from `start` to before `stop`, in order of time.
        growth: by how much a counter grew with a reading, NaN in the first of a segment; after a fall it is the value.
        look_back: how long a reading is the value, in milliseconds; NaN until somebody asked.
        figures: float64[4, capacity]; None if no series has buckets.
        start, stop: int64[series]; the starts ascend.
    """

    def __init__(self, counts: Sequence[int], *, figures: bool) -> None:
        rooms = np.asarray(counts, dtype=np.int64)
        rooms = rooms + np.maximum(_ROOM, (rooms * _MORE).astype(np.int64))
        ends = np.cumsum(rooms)
        capacity = int(ends[-1]) + 1 if ends.size else 1  # one more, so that a place behind the last one can be read
        self.start: Places = ends - rooms
        self.stop: Places = self.start.copy()
        self._limit: Places = ends
        self.time: Floats = np.zeros(capacity)
        self.value: Floats = np.zeros(capacity)
        self.growth: Floats = np.zeros(capacity)
        self.look_back: Floats = np.full(capacity, np.nan)
        self.figures: Floats | None = np.zeros((FIGURES, capacity)) if figures else None

    @property
    def size(self) -> int:
        """Return how many readings there are."""
        return int((self.stop - self.start).sum())

    def room(self, row: int) -> int:
        """Return how many more readings a segment can take."""
        return int(self._limit[row] - self.stop[row])

    def put(self, row: int, place: int, time: Floats, value: Floats, figures: Floats | None = None) -> None:
        """Write the readings of a series from a place on, at most behind its last; there must be room.

        Args:
            row: which series.
            place: of the first; what was there and behind it is dropped.
            time: float64[n], ascending, no older than the reading before the place.
            value: float64[n].
            figures: float64[4, n]; None for readings.
        """
        end = place + time.size
        self.time[place:end] = time
        self.value[place:end] = value
        self.look_back[place:end] = np.nan
        if self.figures is not None:
            if figures is None:
                self.figures[:COUNT, place:end] = value
                self.figures[COUNT, place:end] = ~np.isnan(value)
            else:
                self.figures[:, place:end] = figures
        if place == self.start[row]:
            self.growth[place : place + 1] = np.nan
            first = place + 1
        else:
            first = place
        if end > first:
            now, before = self.value[first:end], self.value[first - 1 : end - 1]
            self.growth[first:end] = np.where(now < before, now, now - before)
        self.stop[row] = end

    def append_each(self, rows: Places, time: Floats, value: Floats) -> None:
        """Write one number behind the last of each of some series, int64[k]; there must be room, none twice."""
        place = self.stop[rows]
        self.time[place] = time
        self.value[place] = value
        self.look_back[place] = np.nan
        if self.figures is not None:
            self.figures[:COUNT, place] = value
            self.figures[COUNT, place] = 1.0
        before = np.where(place > self.start[rows], self.value[place - 1], np.nan)
        self.growth[place] = np.where(value < before, value, value - before)
        self.stop[rows] = place + 1

    def has_room(self, rows: Places) -> npt.NDArray[np.bool_]:
        """Return which of some segments can take one more reading."""
        found: npt.NDArray[np.bool_] = self.stop[rows] < self._limit[rows]
        return found

    def rows_of(self, places: Places) -> Places:
        """Return which series some places belong to."""
        return np.searchsorted(self.start, places, "right") - 1


class ReadingTable:
    """The readings of some series.

    Args:
        series: what there is at first.
        buckets: some series of it, now or later, have buckets.

    Attributes:
        metrics, labels, units: of each series, in the order in which they came.
        all, numbers: its readings, and those that are numbers: one object as long as all are.
    """

    def __init__(self, series: Iterable[SeriesReadings] = (), *, buckets: bool = False) -> None:
        given = tuple(series)
        self.metrics: list[str] = []
        self.labels: list[dict[str, str]] = []
        self.units: list[str] = []
        self._figures = buckets or any(each.figures is not None for each in given)
        self.all = Segments([], figures=self._figures)
        self.numbers = self.all
        self.add(given)

    def __len__(self) -> int:
        return len(self.metrics)

    @property
    def size(self) -> int:
        """Return how many readings there are."""
        return self.all.size

    def add(self, series: Iterable[SeriesReadings], *, keep_from_ms: float = -np.inf) -> None:
        """Add series behind those that there are, whose rows stay.

        Args:
            series: in any order.
            keep_from_ms: readings from before may be dropped.
        """
        given = [_in_order(each) for each in series]
        first = len(self)
        self.metrics += [each.metric for each in given]
        self.labels += [dict(each.labels) for each in given]
        self.units += [each.unit for each in given]
        apart = self.numbers is not self.all
        numeric = [~np.isnan(each.value) for each in given]
        self.all = self._moved(self.all, keep_from_ms, added=[each.value.size for each in given])
        for row, each in enumerate(given, first):
            self.all.put(row, int(self.all.start[row]), each.time_ms, each.value, each.figures)
        if not apart:
            self.numbers = self.all
            if not all(each.all() for each in numeric):
                self._split()
            return
        self.numbers = self._moved(self.numbers, keep_from_ms, added=[int(each.sum()) for each in numeric])
        for row, (each, kept) in enumerate(zip(given, numeric, strict=True), first):
            figures = None if each.figures is None else each.figures[:, kept]
            self.numbers.put(row, int(self.numbers.start[row]), each.time_ms[kept], each.value[kept], figures)

    def append_each(self, rows: Places, time_ms: Floats, value: Floats, *, keep_from_ms: float = -np.inf) -> None:
        """Write one number each behind all readings of some series: much faster than `put`.

        Args:
            rows: int64[k], which series, none twice.
            time_ms: float64[k], each no older than what the series has.
            value: float64[k], numbers.
            keep_from_ms: readings of any series from before may be dropped, if room is needed.
        """
        apart = self.numbers is not self.all
        self.all = self._appended(self.all, rows, time_ms, value, keep_from_ms)
        self.numbers = self._appended(self.numbers, rows, time_ms, value, keep_from_ms) if apart else self.all

    def _appended(
        self, segments: Segments, rows: Places, time_ms: Floats, value: Floats, keep_from_ms: float
    ) -> Segments:
        if not segments.has_room(rows).all():
            segments = self._moved(segments, keep_from_ms)
        segments.append_each(rows, time_ms, value)
        return segments

    def drop_before(self, row: int, time_ms: float) -> None:
        """Drop the readings of a series from before a time."""
        for segments in {id(self.all): self.all, id(self.numbers): self.numbers}.values():
            start, stop = int(segments.start[row]), int(segments.stop[row])
            segments.start[row] = start + int(np.searchsorted(segments.time[start:stop], time_ms, "left"))

    def put(self, row: int, time_ms: Floats, value: Floats, *, keep_from_ms: float = -np.inf) -> None:
        """Write readings of a series; those held at or after the first of them are dropped.

        Args:
            row: which series.
            time_ms: float64[n], n ≥ 1, ascending.
            value: float64[n], NaN for a reading without a number.
            keep_from_ms: readings of any series from before may be dropped, if room is needed.
        """
        numeric = ~np.isnan(value)
        if self.numbers is self.all and not numeric.all():
            self._split()
        first_ms = float(time_ms[0])
        apart = self.numbers is not self.all
        self.all = self._write(self.all, row, time_ms, value, first_ms, keep_from_ms)
        if apart:
            self.numbers = self._write(self.numbers, row, time_ms[numeric], value[numeric], first_ms, keep_from_ms)
        else:
            self.numbers = self.all

    def _write(
        self, segments: Segments, row: int, time: Floats, value: Floats, first_ms: float, keep_from_ms: float
    ) -> Segments:
        """Write readings in place of those from a time on; return the segments that have them."""
        if time.size > segments.room(row):
            segments = self._moved(segments, keep_from_ms, row=row, extra=time.size)
        start, stop = int(segments.start[row]), int(segments.stop[row])
        place = stop
        if stop > start and segments.time[stop - 1] >= first_ms:
            place = start + int(np.searchsorted(segments.time[start:stop], first_ms, "left"))
        segments.put(row, place, time, value)
        return segments

    def _moved(
        self, segments: Segments, keep_from_ms: float, *, row: int = 0, extra: int = 0, added: Sequence[int] = ()
    ) -> Segments:
        """Return the segments with new room.

        Args:
            segments: what there is.
            keep_from_ms: readings from before are left out, but those that tell the value and the pace then.
            row: which series needs room …
            extra: … for so many more readings.
            added: readings of new series.
        """
        starts, stops = segments.start.tolist(), segments.stop.tolist()
        for at, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            kept = start + int(np.searchsorted(segments.time[start:stop], keep_from_ms, "left"))
            starts[at] = max(start, kept - PACE_OF)
        counts = [stop - start for start, stop in zip(starts, stops, strict=True)]
        if extra:
            counts[row] += extra
        moved = Segments([*counts, *added], figures=self._figures)
        for at, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            figures = None if segments.figures is None else segments.figures[:, start:stop]
            place = int(moved.start[at])
            moved.put(at, place, segments.time[start:stop], segments.value[start:stop], figures)
            moved.look_back[place : place + stop - start] = segments.look_back[start:stop]
        moved.stop[len(starts) :] = moved.start[len(starts) :]
        return moved

    def _split(self) -> None:
        """Keep the numbers apart from now on."""
        every = self.all
        parts = []
        for start, stop in zip(every.start.tolist(), every.stop.tolist(), strict=True):
            parts.append(start + np.flatnonzero(~np.isnan(every.value[start:stop])))
        self.numbers = Segments([part.size for part in parts], figures=self._figures)
        for row, part in enumerate(parts):
            figures = None if every.figures is None else every.figures[:, part]
            self.numbers.put(row, int(self.numbers.start[row]), every.time[part], every.value[part], figures)


def _in_order(series: SeriesReadings) -> SeriesReadings:
    time, value = np.asarray(series.time_ms, dtype=np.float64), np.asarray(series.value, dtype=np.float64)
    if time.size < 2 or (time[1:] >= time[:-1]).all():
        return series._replace(time_ms=time, value=value)
    order = np.argsort(time, kind="stable")
    figures = None if series.figures is None else series.figures[:, order]
    return series._replace(time_ms=time[order], value=value[order], figures=figures)
