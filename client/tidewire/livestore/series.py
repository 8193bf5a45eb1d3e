"""Holds one series in memory: its readings of the last minutes and its buckets of one second, in time order; no I/O.

Readings come mostly in order and are appended. Late ones are merged in place, and the seconds from there on are counted
anew from the readings, as far back as these reach.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from tidewire.livestore.buckets import (
    BUCKET_ROWS,
    LAST,
    MAX,
    MIN,
    NUMBER,
    NUMERIC,
    SUM,
    bucket_readings,
    merge_buckets,
    regroup,
)
from tidewire.livestore.column_ring import FIRST_ROWS, ColumnRing, Floats
from tidewire.livestore.deliveries import Deliveries
from tidewire.livestore.gaps import expected_interval_ms
from tidewire.livestore.levels import Levels
from tidewire.livestore.words import Words
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.positions import Ids

__all__ = ["SECOND_MS", "Series"]

SECOND_MS: Final = 1_000
_EXPECTED_OF: Final = 300  # intervals by which readings are expected …
_EXPECTED_AGAIN: Final = 16  # … anew after so many parts of them: a sixteenth of the work changes as little
_LATE_KEPT: Final = 64  # late arrivals a reader can tell apart; with more, it must take everything anew
_RAW_COLUMNS: Final = 2
_NOT_EXPECTED: Final = (-math.inf, 0, math.nan)  # of which readings: time of the newest, how many; what they tell


class Series:
    """Identity and memory blocks of one series.

    Attributes:
        index: for the life of the store.
        colour: its style in charts, 0 to 47, see `ColourRegister`.
        logged_unit: of the last batch in the log that had one: a batch without one goes on in it.
        unit_ms: time of its newest reading that came with a unit, -inf if none did.
        unit_since_ms: what is before is not drawn: it may be in another unit; -inf if it had no other.
        known_from_ms: since when (its own time) its readings are known; what is held from before is not drawn, since
            there may be more. -inf if nothing is missing.
        pace_ms: the interval at which its readings are expected as far as the service tells, while it has too few here;
            NaN if nobody knows.
        ended: its newest reading says that no other is to come.
        journal: while its past is read, the batches that came meanwhile, (id, readings); else None.
        partition: of the log, in which all its batches lie; None before the stream has brought one.
        past_ids: the past that was read holds its batches up to these ids, of which that of its partition counts.
        last_id: highest id of its batches, 0 if none had one.
        reading_id: of the batch that brought its newest reading, 0 if unknown.
        doubtful_id: batches up to this id may hold readings that came in a snapshot.
        raw: readings (time, value).
        levels: which of its values tell whether it is drawn as steps.
        seconds: buckets of one second.
        evicted_ms: log time before which readings were last taken from it or not kept, -inf if never.
        deliveries: the silences for which blocks of readings made up; None if there was none.
        late: (version, oldest time) of arrivals that were not newer than all before.
        words: texts of its readings without a number; None if it never had one.
    """

    __slots__ = (
        "_expected",
        "colour",
        "deliveries",
        "doubtful_id",
        "ended",
        "evicted_ms",
        "index",
        "journal",
        "known_from_ms",
        "labels",
        "last_id",
        "late",
        "levels",
        "logged_unit",
        "metric",
        "pace_ms",
        "partition",
        "past_ids",
        "raw",
        "reading_id",
        "seconds",
        "unit",
        "unit_ms",
        "unit_since_ms",
        "words",
    )

    def __init__(self, index: int, metric: str, labels: dict[str, str], colour: int = 0) -> None:
        self.index = index
        self.colour = colour
        self.metric = metric
        self.labels = labels
        self.unit = ""
        self.logged_unit = ""
        self.unit_ms = -math.inf
        self.unit_since_ms = -math.inf
        self.known_from_ms = -math.inf
        self.pace_ms = math.nan
        self.ended = False
        self._expected = _NOT_EXPECTED
        self.journal: list[tuple[int, Floats]] | None = None
        self.partition: int | None = None
        self.past_ids: Ids = {}
        self.last_id = 0
        self.reading_id = 0
        self.doubtful_id = 0
        self.raw = ColumnRing(_RAW_COLUMNS, 0)
        self.levels = Levels()
        self.seconds = ColumnRing(BUCKET_ROWS, 0)
        self.evicted_ms = -np.inf
        self.deliveries: Deliveries | None = None
        self.late: deque[tuple[int, float]] = deque(maxlen=_LATE_KEPT)
        self.words: Words | None = None

    # -- ids -----------------------------------------------------------------------------------------------------

    def id_among(self, ids: Ids) -> int:
        """Return the id of its partition; as long as that is not known, the lowest. 0 for none."""
        if self.partition is None:
            return min(ids.values(), default=0)
        return ids.get(self.partition, 0)

    # -- blocks --------------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Return the bytes of its blocks."""
        return self.raw.nbytes + self.seconds.nbytes

    @property
    def known_from_s(self) -> float:
        """Return the second of its oldest known reading, which is drawn though it may lack others; -inf if all are."""
        return self.known_from_ms // SECOND_MS if math.isfinite(self.known_from_ms) else self.known_from_ms

    def growth(self, count: int, oldest_raw_ms: float, oldest_second_ms: float) -> tuple[int, int, int]:
        """Return the growth for `count` more readings: rows of the raw ring, rows of the seconds, additional bytes.

        A ring grows only where it would otherwise overwrite rows that are still wanted.
        """
        raw = _wanted_rows(self.raw, count, oldest_raw_ms)
        seconds = _wanted_rows(self.seconds, count, oldest_second_ms // SECOND_MS)
        extra = 0
        if raw > self.raw.capacity:
            extra += ColumnRing.bytes_of(_RAW_COLUMNS, raw) - self.raw.nbytes
        if seconds > self.seconds.capacity:
            extra += ColumnRing.bytes_of(BUCKET_ROWS, seconds) - self.seconds.nbytes
        return raw, seconds, extra

    def grow(self, raw_rows: int, second_rows: int) -> None:
        """Grow the rings to this capacity."""
        if raw_rows > self.raw.capacity:
            self.raw.grow(raw_rows)
        if second_rows > self.seconds.capacity:
            self.seconds.grow(second_rows)

    def evict(self, log_ms: float) -> None:
        """Drop the blocks; later readings are kept again."""
        self.raw = ColumnRing(_RAW_COLUMNS, 0)
        self.seconds = ColumnRing(BUCKET_ROWS, 0)
        self._expected = _NOT_EXPECTED
        self.evicted_ms = log_ms

    def replace(self, rows: Floats, most_bytes: int) -> None:
        """Replace everything that is held; of more readings than fit into `most_bytes` the newest stay.

        Args:
            rows: float64[2, n] in order of time.
            most_bytes: of both rings.
        """
        buckets = bucket_readings(rows[0], rows[1], SECOND_MS)
        for name, columns, all_rows in (("raw", _RAW_COLUMNS, rows), ("seconds", BUCKET_ROWS, buckets)):
            capacity = FIRST_ROWS
            while capacity < all_rows.shape[1] and ColumnRing.bytes_of(columns, 2 * capacity) <= most_bytes // 2:
                capacity *= 2
            ring = ColumnRing(columns, capacity)
            ring.append(all_rows)
            setattr(self, name, ring)
        self._expected = _NOT_EXPECTED
        self.evicted_ms = -np.inf
        self.levels = Levels()
        self.levels.add_all(rows)

    # -- writing -------------------------------------------------------------------------------------------------

    def append_one(self, time_ms: float, number: float) -> None:
        """Append one reading newer than all before; there must be room."""
        self.raw.append_row((time_ms, number))
        self.levels.add(time_ms, number)
        if math.isnan(number):
            return
        second, seconds = time_ms // SECOND_MS, self.seconds
        if seconds.size:
            was, first, _, low, high, total, count = seconds.last_row()
            if was == second:
                low, high = min(low, number), max(high, number)
                seconds.set_last_row((second, first, number, low, high, total + number, count + 1.0))
                return
        seconds.append_row((second, number, number, number, number, number, 1.0))

    def append(self, rows: Floats) -> None:
        """Append readings newer than all before, float64[2, n] in order of time; there must be room."""
        self.raw.append(rows)
        self.levels.add_all(rows)
        buckets = bucket_readings(rows[0], rows[1], SECOND_MS)
        if not buckets.shape[1]:
            return
        if self.seconds.size:
            was, first, _, low, high, total, count = self.seconds.last_row()
            more = buckets[:, 0].tolist()
            if was == more[NUMBER]:
                low, high = min(low, more[MIN]), max(high, more[MAX])
                self.seconds.set_last_row((was, first, more[LAST], low, high, total + more[SUM], count + more[NUMERIC]))
                buckets = buckets[:, 1:]
        self.seconds.append(buckets)

    def unknown(self, rows: Floats) -> Floats:
        """Return those of the readings (float64[2, n], in order of time) that are not held: another time or value."""
        held = self.raw.rows()
        low = np.searchsorted(held[0], rows[0, 0], "left")
        high = np.searchsorted(held[0], rows[0, -1], "right")
        there = {pair.tobytes() for pair in held[:, low:high].T}
        return rows[:, [pair.tobytes() not in there for pair in rows.T]]

    def merge(self, rows: Floats, version: int, oldest_raw_ms: float, oldest_second_ms: float) -> None:
        """Merge readings of which some are not newer than all before, float64[2, n] in order of time, n ≥ 1.

        Args:
            rows: of those before `oldest_second_ms` only that they are in the history.
            version: the version of the series that holds them.
            oldest_raw_ms: readings before it go to the seconds only.
            oldest_second_ms: bound of the seconds.
        """
        self.levels.add_all(rows)
        self._expected = _NOT_EXPECTED
        held = self.raw.rows()
        if self.raw.dropped and self.raw.size:
            oldest_raw_ms = max(oldest_raw_ms, held[0, 0])
        recent = rows[:, rows[0] >= oldest_raw_ms]
        if recent.shape[1]:
            at = int(np.searchsorted(held[0], recent[0, 0], "right"))
            tail = np.concatenate((held[:, at:], recent), axis=1)
            self.raw.replace_tail(self.raw.size - at, tail[:, np.argsort(tail[0], kind="stable")])
        self._merge_seconds(rows[:, rows[0] >= oldest_second_ms], oldest_raw_ms)
        if rows[0, 0] < oldest_second_ms:
            self.evicted_ms = max(self.evicted_ms, oldest_second_ms)
        self.late.append((version, float(rows[0, 0])))

    def _merge_seconds(self, rows: Floats, oldest_raw_ms: float) -> None:
        late = bucket_readings(rows[0], rows[1], SECOND_MS)
        if not late.shape[1]:
            return
        held = self.seconds.rows()
        low = int(np.searchsorted(held[NUMBER], late[NUMBER, 0], "left"))
        tail = merge_buckets(late, held[:, low:])  # where no readings are held, late ones begin their second
        exact_from_ms = max(np.ceil(oldest_raw_ms / SECOND_MS), late[NUMBER, 0]) * SECOND_MS
        readings = self.raw.rows()
        readings = readings[:, np.searchsorted(readings[0], exact_from_ms, "left") :]
        exact = bucket_readings(readings[0], readings[1], SECOND_MS)
        if exact.shape[1]:
            inexact = np.searchsorted(tail[NUMBER], exact[NUMBER, 0], "left")
            tail = np.concatenate((tail[:, :inexact], exact), axis=1)
        self.seconds.replace_tail(self.seconds.size - low, tail)

    # -- reading -------------------------------------------------------------------------------------------------

    def expected_ms(self) -> float:
        """Return the interval at which its readings are expected (`expected_interval_ms`), from the last 300.

        With fewer than 3 readings it is `pace_ms`. It may be that of some readings ago, a sixteenth of them.
        """
        times = self.raw.rows()[0]
        if times.size < 3:
            return self.pace_ms
        newest_ms, count, expected_ms = self._expected
        since = times.size - int(np.searchsorted(times, newest_ms, "right"))
        if not 0 <= since <= count // _EXPECTED_AGAIN:
            times = times[-_EXPECTED_OF - 1 :]
            expected_ms = expected_interval_ms(np.diff(times))
            self._expected = float(times[-1]), times.size, expected_ms
        return expected_ms

    def arrival_ms(self, came_ms: float) -> float:
        """Return how long it is silent between two arrivals: between readings, or the blocks in which they come.

        Args:
            came_ms: log time at which its newest reading came.

        Returns:
            Milliseconds; NaN if nobody can tell.
        """
        expected_ms = self.expected_ms()
        if self.deliveries is None or math.isnan(expected_ms):
            return expected_ms
        return max(expected_ms, self.deliveries.interval_ms(came_ms))

    def note_silence(self, silence_ms: float, until_ms: float) -> None:
        """Note a silence for which the batch that ended it, at this log time, made up."""
        if self.deliveries is None:
            self.deliveries = Deliveries()
        self.deliveries.note(silence_ms, until_ms)

    def buckets(self, step_ms: int, first: float, last: float) -> Floats:
        """Return the buckets of a window from the tier that serves this width.

        Args:
            step_ms: whole milliseconds.
            first: number of the first bucket.
            last: number of the last bucket, inclusive.

        Returns:
            A table of buckets, a copy.
        """
        start_ms, end_ms = max(first * step_ms, self.unit_since_ms, self.known_from_ms), (last + 1) * step_ms
        if step_ms % SECOND_MS:
            readings = self.readings_between(start_ms, end_ms)
            return bucket_readings(readings[0], readings[1], step_ms)
        held = self.seconds.rows()
        first_s = float(math.ceil(max(first * step_ms, self.unit_since_ms) / SECOND_MS))
        first_s = max(first_s, self.known_from_s)
        low, high = held[NUMBER].searchsorted(first_s), held[NUMBER].searchsorted(end_ms / SECOND_MS)
        return regroup(held[:, low:high], SECOND_MS, step_ms)

    def readings_between(self, start_ms: float, end_ms: float) -> Floats:
        """Return the readings held of [start, end), float64[2, n]; a view."""
        held = self.raw.rows()
        return held[:, held[0].searchsorted(start_ms) : held[0].searchsorted(end_ms)]

    def readings_from(self, time_ms: float) -> Floats:
        """Return a copy of the readings held from a time on, float64[2, n]."""
        held = self.raw.rows()
        return held[:, np.searchsorted(held[0], time_ms, "left") :].copy()

    def first_after(self, time_ms: float) -> float:
        """Return the time of the first reading newer than `time_ms`, +inf if there is none."""
        times = self.raw.rows()[0]
        at = np.searchsorted(times, time_ms, "right")
        return float(times[at]) if at < times.size else np.inf

    def value_before(self, time_ms: float) -> float:
        """Return the newest number known from before a time in the unit of the series; NaN if there is none."""
        since_ms = max(self.unit_since_ms, self.known_from_ms)
        times, values = self.raw.rows()
        at = int(times.searchsorted(time_ms))
        while at and times[at - 1] >= since_ms:
            at -= 1
            if not math.isnan(values[at]):
                return float(values[at])
        seconds = self.seconds.rows()
        before = int(seconds[NUMBER].searchsorted(time_ms // SECOND_MS))
        return (
            float(seconds[LAST, before - 1])
            if before and seconds[NUMBER, before - 1] >= since_ms / SECOND_MS
            else math.nan
        )

    def covered_from_ms(self, step_ms: int) -> float:
        """Return since when the tier that serves this width holds everything it was given, -inf if always."""
        ring, unit_ms = (self.raw, 1) if step_ms % SECOND_MS else (self.seconds, SECOND_MS)
        covered_ms = self.evicted_ms
        if self.words is not None and not step_ms % SECOND_MS:  # finer windows have no other source
            covered_ms = max(covered_ms, self.words.covered_from_ms)
        if ring.dropped and ring.size:
            return max(covered_ms, float(ring.rows()[0, 0]) * unit_ms)
        return covered_ms

    @property
    def has_states(self) -> bool:
        """Return whether texts of this series are states: it has no number, and is not the one of all charts."""
        return not self.seconds.size and self.metric != ANNOTATIONS

    def add_word(self, time_ms: float, text: str) -> bool:
        """Add the text of a reading without a number; tell whether it is an event."""
        if self.words is None:
            self.words = Words()
        return self.words.add(time_ms, text)

    def extent(self, start_ms: float, end_ms: float) -> tuple[float, float]:
        """Return the smallest and largest value of the seconds of [start, end]; NaN for none."""
        held = self.seconds.rows()
        low, high = np.searchsorted(held[NUMBER], (start_ms // SECOND_MS, end_ms // SECOND_MS + 1), "left")
        if low == high:
            return np.nan, np.nan
        return float(held[MIN, low:high].min()), float(held[MAX, low:high].max())

    def mean(self, start_ms: float, end_ms: float) -> tuple[float, float]:
        """Return the mean over the whole seconds of [start, end) and the time of the first; NaN and inf for none."""
        held = self.seconds.rows()
        low, high = np.searchsorted(held[NUMBER], (start_ms / SECOND_MS, end_ms / SECOND_MS), "left")
        if low == high:
            return np.nan, np.inf
        total, count = held[SUM:, low:high].sum(axis=1)
        return float(total / count), float(held[NUMBER, low]) * SECOND_MS


def _wanted_rows(ring: ColumnRing, count: int, oldest: float) -> int:
    """Return the capacity that `count` more rows need: doubled until no row after `oldest` is overwritten."""
    capacity, size = ring.capacity, ring.size
    if size + count <= capacity:
        return capacity
    if size:
        rows = ring.rows()[0]
        size -= int(np.searchsorted(rows, oldest, "left"))
    wanted = max(capacity, FIRST_ROWS)
    while wanted < size + count:
        wanted *= 2
    return wanted
