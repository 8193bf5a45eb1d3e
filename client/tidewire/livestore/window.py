"""Builds the matrix of buckets of some series over one stretch of time, as a view frame carries it; no I/O."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from tidewire.livestore.buckets import FIRST, LAST, MAX, MIN, NUMBER, NUMERIC, SUM
from tidewire.livestore.column_ring import Floats
from tidewire.livestore.gaps import gap_limit_ms
from tidewire.livestore.levels import are_levels, counts, distinct
from tidewire.livestore.series import SECOND_MS, Series
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import (
    BLOCKS_SHIFT,
    BUCKET,
    EMPTY,
    EXPONENT_SHIFT,
    FLAG_ENDED,
    FLAG_LATE,
    FLAG_PARTIAL,
    FLAG_STEPS,
    RANGE,
    RECORD,
    ViewFrame,
    base_for,
    blocks_flag,
    exponent_for,
    pack_frame,
)
from tidewire.livestore.words import Run, runs_of

__all__ = ["BEYOND", "NO_OLDER", "Older", "Window", "pack_range"]

BEYOND: Final = 2
"""Buckets left of a window: a line enters from the first, and its width reaches over the second."""
_FLAGS: Final = FLAG_PARTIAL | FLAG_STEPS | FLAG_ENDED | FLAG_LATE | 0xFF << BLOCKS_SHIFT
_FRACTIONS: Final = 65_535  # first, last and mean lie so many parts of (max - min) above min
_MOST_COUNTED: Final = 65_535
_CELL: Final = np.complex128  # 16 bytes too: NumPy moves these 30 times as fast as the fields of `BUCKET`
_FEW: Final = 4  # buckets up to which plain numbers are faster than arrays
_SLACK_MS: Final = 2_000.0  # a window may lack so much at its start and still be covered, or three intervals
_LARGEST_CHANGE: Final = 1e6  # beyond it the mean before was as good as zero, and the ratio says nothing


class Older(NamedTuple):
    """Buckets of a window that memory does not hold, from the history.

    Attributes:
        tables: buckets by index of the series, of the width of the view.
        texts: (start of a bucket, text of its newest reading that has one) by index of the series.
        from_ms: since when (log time) they hold everything; a series without a table then has no reading.
        to_ms: until when.
        other_units: units of readings that are not in the tables, since their series have another one now.
    """

    tables: Mapping[int, Floats]
    from_ms: float
    to_ms: float
    other_units: tuple[str, ...] = ()
    texts: Mapping[int, Sequence[tuple[float, str]]] = {}


NO_OLDER: Final = Older({}, np.inf, -np.inf)


class Window:
    """The matrix of one window, `count` buckets from `first` on, over some series.

    Args:
        store: where the series are.
        indices: of the series, in the order of the records.
        step_ms: width of a bucket.
        count: how many there are.
        lines: indices of series that stay a line: they were one before, and what is drawn does not flicker.
    """

    def __init__(
        self, store: Store, indices: Sequence[int], step_ms: int, count: int, lines: set[int] | None = None
    ) -> None:
        self.store = store
        self.indices = np.asarray(indices, dtype=np.intp)
        self.series: list[Series] = [store.series[index] for index in indices]
        self.step_ms = step_ms
        self.count = count
        self.first = 0
        n = len(self.series)
        self.data = np.full((n, count), EMPTY, dtype=BUCKET)
        self.records = np.zeros(n, dtype=RECORD)
        self.records["index"] = self.indices
        self.records["change"] = np.nan
        self.lines: set[int] = set() if lines is None else lines
        self._exponents = [0] * n
        self.older = NO_OLDER
        self._older_values: dict[int, tuple[float, ...]] = {}

    @property
    def last(self) -> int:
        """Return the number of the last bucket."""
        return self.first + self.count - 1

    def rows(self, at: int, start: int) -> Floats:
        """Return the buckets of one series from `start` on: from memory, and what came before it from the history."""
        series = self.series[at]
        older = self.older.tables.get(series.index)
        if older is None:
            return series.buckets(self.step_ms, start, self.last)
        covered = int(np.ceil(min(self.store.covered(series, self.step_ms) / self.step_ms, self.last + 1)))
        rows = series.buckets(self.step_ms, max(start, covered), self.last)
        start = max(start, math.ceil(max(series.unit_since_ms, 0.0) / self.step_ms))
        low, high = np.searchsorted(older[NUMBER], (start, max(start, covered)), "left")
        return np.concatenate((older[:, low:high], rows), axis=1) if high > low else rows

    def states(self, start: int) -> dict[int, list[Run]]:
        """Return the states of each series from the start of a bucket on, and what tells of those before it.

        After the first bucket of the window only of series with a word since.
        """
        start_ms = float(start * self.step_ms)
        found: dict[int, list[Run]] = {}
        for at, series in enumerate(self.series):
            older = self.older.texts.get(series.index, ())
            if series.words is None and not older:
                continue
            runs = [] if series.words is None else series.words.since(start_ms)
            runs = [run for run in runs if run.from_ms >= series.known_from_ms]
            if older and (not runs or runs[0].from_ms >= start_ms):
                until_ms = min(self.store.covered(series, self.step_ms), runs[0].from_ms if runs else math.inf)
                texts = older[: bisect.bisect_left(older, until_ms, key=lambda text: text[0])]
                first = max(0, bisect.bisect_left(texts, start_ms, key=lambda text: text[0]) - 1)
                runs = [*(Run(time_ms, time_ms, text) for time_ms, text in texts[first:]), *runs]
            runs = [run for run in runs if run.from_ms < (self.last + 1) * self.step_ms]
            if runs and (start == self.first or runs[-1].to_ms >= start_ms):
                limit_ms = gap_limit_ms(float(self.records[at]["expected_ms"]), self.step_ms if older else 0.0)
                found[series.index] = runs_of(runs, limit_ms)
        return found

    def slide(self, shift: int) -> None:
        """Move the window by so many buckets, fewer than it has; the new ones are empty."""
        cells = self.data.view(_CELL)
        cells[:, :-shift] = cells[:, shift:]
        cells[:, -shift:] = EMPTY.view(_CELL)
        self.first += shift

    def fill(self, at: int, start: int, *, choose_base: bool) -> bool:
        """Write the buckets of one series from `start` on.

        Args:
            at: which series.
            start: number of the first bucket.
            choose_base: choose its base and its exponent by these buckets, which are all of the window.

        Returns:
            False if a value needs another exponent; these buckets are empty then.
        """
        rows = self.rows(at, start)
        target = self.data[at, start - self.first :]
        target.view(_CELL)[:] = EMPTY.view(_CELL)
        if not rows.shape[1]:
            return True
        low, high = float(rows[MIN].min()), float(rows[MAX].max())
        if choose_base:
            self._choose_base(at, low, high)
        base, exponent = float(self.records[at]["base"]), self._exponents[at]
        if not choose_base and exponent_for(low, high, base) > max(exponent, 0):
            return False
        if rows.shape[1] <= _FEW:
            for number, *figures in rows.T.tolist():
                target[int(number) - start] = _packed(figures, base, exponent)
            return True
        packed = np.empty(rows.shape[1], dtype=BUCKET)
        packed["min"], packed["max"] = np.ldexp(rows[MIN] - base, -exponent), np.ldexp(rows[MAX] - base, -exponent)
        with np.errstate(all="ignore"):  # a sum or a range beyond float64
            share = rows[MAX] - rows[MIN]
            np.divide(_FRACTIONS, share, out=share, where=share > 0)
            for name, value in (("first", rows[FIRST]), ("last", rows[LAST]), ("mean", rows[SUM] / rows[NUMERIC])):
                parts = np.rint((value - rows[MIN]) * share)
                packed[name] = np.nan_to_num(parts.clip(0, _FRACTIONS), nan=0)
        packed["count"] = np.minimum(rows[NUMERIC], _MOST_COUNTED)
        target[(rows[NUMBER] - start).astype(np.intp)] = packed
        return True

    def review_base(self, at: int) -> bool:
        """Choose base and exponent of one series for what its window holds now; tell whether that is a change."""
        series = self.series[at]
        start_ms = max(float(self.first * self.step_ms), series.unit_since_ms)
        low, high = series.extent(start_ms, (self.last + 1) * self.step_ms)
        older = self.older.tables.get(series.index)
        if older is not None and older.shape[1]:
            low, high = float(np.fmin(low, older[MIN].min())), float(np.fmax(high, older[MAX].max()))
        return self._choose_base(at, low, high)

    def _choose_base(self, at: int, low: float, high: float) -> bool:
        record = self.records[at]
        before = (float(record["base"]), self._exponents[at])
        base = base_for(low, high, before[0])
        exponent = exponent_for(low, high, base)
        record["base"], self._exponents[at] = base, exponent
        record["flags"] = int(record["flags"]) & _FLAGS | (exponent & 0xFFFF) << EXPONENT_SHIFT
        return (base, exponent) != before

    def describe(self, now_ms: float, start_ms: float) -> None:
        """Update the records, except change and expected interval."""
        records, state = self.records, self.store.state[self.indices]
        for name in ("last_value", "last_time_ms", "last_id_ms", "total"):
            records[name] = state[name]
        records["rate"] = self.store.rates(self.indices, now_ms)
        flags = records["flags"] & ~np.uint32(_FLAGS)
        older = self.older
        for at, series in enumerate(self.series):
            covered_ms = self.store.covered(series, self.step_ms)
            if covered_ms > start_ms and (older.from_ms > start_ms or older.to_ms < covered_ms):
                flags[at] |= np.uint32(FLAG_PARTIAL)
            if series.seconds.size and counts(series.unit) and not self._is_line(series, start_ms):
                flags[at] |= np.uint32(FLAG_STEPS)
            if series.ended:
                flags[at] |= np.uint32(FLAG_ENDED)
            if self.store.is_late(series):
                flags[at] |= np.uint32(FLAG_LATE)
            if series.deliveries is not None:
                flags[at] |= np.uint32(blocks_flag(series.deliveries.interval_ms(float(records["last_id_ms"][at]))))
        records["flags"] = flags

    def _is_line(self, series: Series, start_ms: float) -> bool:
        """Tell whether the readings from a time on, up to the newest, are a line or were one in this view."""
        if series.index not in self.lines:
            known_ms = max(start_ms, series.unit_since_ms, series.known_from_ms)
            if series.levels.is_line(known_ms, self._older_levels(series)):
                self.lines.add(series.index)
        return series.index in self.lines

    def _older_levels(self, series: Series) -> tuple[float, ...]:
        """Return the distinct values of the buckets from the history, computed once."""
        older = self.older.tables.get(series.index)
        if older is None:
            return ()
        if series.index not in self._older_values:
            self._older_values[series.index] = distinct(_values(older))
        return self._older_values[series.index]

    def set_steps(self) -> None:
        """Mark the series that are steps by what this window holds, which may have ended long ago.

        One without a number in it is judged by the value that it holds from before it.
        """
        start_ms, end_ms = self.first * self.step_ms, (self.last + 1) * self.step_ms
        self.records["flags"] &= ~np.uint32(FLAG_STEPS)
        for at, series in enumerate(self.series):
            if not counts(series.unit):
                continue
            since_ms = max(start_ms, series.unit_since_ms, series.known_from_ms)
            readings = series.readings_between(since_ms, end_ms)[1]
            whole = readings.size and self.store.covered(series, 1) <= start_ms  # else by the buckets of it
            values = readings[~np.isnan(readings)] if whole else _values(self.rows(at, self.first))
            if not values.size and not math.isnan(held := series.value_before(start_ms)):
                values = np.array([held])
            if are_levels(values):
                self.records[at]["flags"] |= np.uint32(FLAG_STEPS)

    def set_last_before(self) -> None:
        """Set each series' newest time before the window, so that a silence at its start is known.

        And the value that it had then, of which steps go on: in the first bucket, if that holds no reading. A fraction
        that enters makes a line of it, since a chart shows steps as whole as they are.
        """
        start = self.first * self.step_ms / SECOND_MS
        for at, series in enumerate(self.series):
            seconds = series.seconds.rows()[NUMBER]
            before = int(seconds.searchsorted(start))
            known = before and seconds[before - 1] >= series.known_from_s
            self.records[at]["before_s"] = seconds[before - 1] if known else 0
            if self.data[at, 0]["count"]:
                continue
            held = series.value_before(self.first * self.step_ms)
            base, exponent = float(self.records[at]["base"]), self._exponents[at]
            if math.isnan(held) or exponent_for(held, held, base) > max(exponent, 0):
                self.data[at, 0] = EMPTY
            else:
                level = math.ldexp(held - base, -exponent)
                self.data[at, 0] = (level, level, 0, 0, 0, 0)
                if held % 1:
                    self.lines.add(series.index)
                    self.records[at]["flags"] = int(self.records[at]["flags"]) & ~FLAG_STEPS

    def set_change(self, at: int, now_ms: float, window_ms: float) -> None:
        """Compare the mean of a window that ends now with the mean of the one before, where both are covered.

        A share of nothing, and one across zero, say nothing: NaN.
        """
        series, record = self.series[at], self.records[at]
        end_ms = (now_ms // SECOND_MS + 1) * SECOND_MS
        middle_ms, start_ms = end_ms - window_ms, end_ms - 2 * window_ms
        record["change"] = np.nan
        if max(self.store.covered(series, SECOND_MS), series.unit_since_ms) > start_ms:
            return
        before, first_ms = series.mean(start_ms, middle_ms)
        slack_ms = max(3 * np.nan_to_num(record["expected_ms"]), _SLACK_MS)
        if before and first_ms <= start_ms + slack_ms:
            after = series.mean(middle_ms, end_ms)[0]
            change = (after - before) / abs(before)
            if after * before >= 0 and abs(change) < _LARGEST_CHANGE:
                record["change"] = change


def _values(rows: Floats) -> Floats:
    """Return what a table of buckets holds of the values of readings, float64[4 n]."""
    return rows[FIRST : MAX + 1].ravel()


def _packed(figures: Sequence[float], base: float, exponent: int) -> tuple[float, float, int, int, int, int]:
    """Return a bucket as a frame has it: first, last, min, max, sum and how many as `BUCKET`."""
    first, last, low, high, total, count = figures
    share = _FRACTIONS / (high - low) if high > low else 0.0

    def part(value: float) -> int:
        parts = (value - low) * share
        return round(min(max(parts, 0.0), _FRACTIONS)) if parts == parts else 0  # noqa: PLR0124 - false for NaN

    return (
        math.ldexp(low - base, -exponent), math.ldexp(high - base, -exponent),
        part(first), part(last), part(total / count), int(min(count, _MOST_COUNTED)),
    )  # fmt: skip


def pack_range(
    store: Store,
    indices: Sequence[int],
    first: int,
    count: int,
    step_ms: int,
    *,
    request_id: int,
    seq: int,
    now_ms: float,
    older: Older = NO_OLDER,
) -> bytes:
    """Return the frame of one fixed window of the history.

    Args:
        store: where the series are.
        indices: of the series, in the order of the records.
        first: number of the first bucket.
        count: how many buckets.
        step_ms: their width.
        request_id: what the answer is known by.
        seq: number of the tick.
        now_ms: the log's clock.
        older: what memory does not hold.
    """
    with store.lock:
        window = Window(store, indices, step_ms, count)
        window.first, window.older = first, older
        for at, series in enumerate(window.series):
            window.fill(at, first, choose_base=True)
            window.records[at]["expected_ms"] = series.expected_ms()
        window.describe(now_ms, first * step_ms)
        window.set_steps()
        window.set_last_before()
        states = window.states(first)
    frame = ViewFrame(RANGE, seq, now_ms, first, request_id, step_ms, window.records, window.data, states)
    return pack_frame(frame)
