"""Builds the float32 matrix of some series over one stretch of time, as a view frame carries it; no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from tidewire.livestore.buckets import LAST, MAX, MIN, NUMBER, NUMERIC, SUM
from tidewire.livestore.column_ring import Floats
from tidewire.livestore.series import SECOND_MS, Series
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import (
    FLAG_MEAN,
    FLAG_PARTIAL,
    RANGE,
    RECORD,
    ViewFrame,
    as_float32,
    base_for,
    pack_frame,
)

__all__ = ["NO_OLDER", "Older", "Window", "pack_range"]

_MEAN_FROM: Final = 2.0  # readings per bucket from which the line is their mean …
_LAST_BELOW: Final = 1.5  # … and below which it is the last one again
_SLACK_MS: Final = 2_000.0  # a window may lack so much at its start and still be covered, or three intervals
_LARGEST_CHANGE: Final = 1e6  # beyond it the mean before was as good as zero, and the ratio says nothing


class Older(NamedTuple):
    """Buckets of a window that memory does not hold, from the history.

    Attributes:
        tables: buckets by index of the series, of the width of the view.
        from_ms: since when (log time) they hold everything; a series without a table then has no reading.
        to_ms: until when.
        other_units: units of readings that are not in the tables, since their series have another one now.
    """

    tables: Mapping[int, Floats]
    from_ms: float
    to_ms: float
    other_units: tuple[str, ...] = ()


NO_OLDER: Final = Older({}, np.inf, -np.inf)


class Window:
    """The matrix of one window, `count` buckets from `first` on, over some series."""

    def __init__(self, store: Store, indices: Sequence[int], step_ms: int, count: int) -> None:
        self.store = store
        self.indices = np.asarray(indices, dtype=np.intp)
        self.series: list[Series] = [store.series[index] for index in indices]
        self.step_ms = step_ms
        self.count = count
        self.first = 0
        n = len(self.series)
        self.newest = np.full(n, np.inf)  # number of the newest bucket drawn, whose line is its last value
        self.data = np.full((n, count, 3), np.nan, dtype=np.float32)
        self.records = np.zeros(n, dtype=RECORD)
        self.records["index"] = self.indices
        self.records["change"] = np.nan
        self.older = NO_OLDER

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

    def fill(self, at: int, start: int, *, choose_base: bool) -> None:
        """Write the buckets of one series from `start` on; with `choose_base`, choose its base and its kind of line."""
        rows = self.rows(at, start)
        record = self.records[at]
        if choose_base:
            self.choose_base(at, rows)
        base = record["base"]
        target = self.data[at, start - self.first :]
        target[:] = np.nan
        if not rows.shape[1]:
            return
        lines = np.empty((rows.shape[1], 3))
        lines[:, 0] = rows[SUM] / rows[NUMERIC] if record["flags"] & FLAG_MEAN else rows[LAST]
        lines[-1, 0] = rows[LAST, -1]
        self.newest[at] = rows[NUMBER, -1]
        lines[:, 1] = rows[MIN]
        lines[:, 2] = rows[MAX]
        target[(rows[NUMBER] - start).astype(np.intp)] = as_float32(lines - base)
        state = self.store.state[self.series[at].index]
        newest = state["last_time_ms"] // self.step_ms
        if np.isnan(state["last_value"]) and start <= newest <= self.last:
            target[int(newest) - start, 0] = np.nan  # the newest reading is not a number, and the line ends with it

    def choose_base(self, at: int, rows: Floats) -> bool:
        """Choose base and line of one series for a window of these buckets; tell whether that is a change."""
        record = self.records[at]
        before = (record["flags"] & FLAG_MEAN, record["base"])
        base, mean = 0.0, False
        if rows.shape[1]:
            base = base_for(rows[MIN].min(), rows[MAX].max(), record["base"])
            mean = rows[NUMERIC].mean() >= (_LAST_BELOW if before[0] else _MEAN_FROM)
        record["base"] = base
        record["flags"] = record["flags"] & ~np.uint32(FLAG_MEAN) | np.uint32(mean * FLAG_MEAN)
        return bool(before != (record["flags"] & FLAG_MEAN, base))

    def describe(self, now_ms: float, start_ms: float) -> None:
        """Update the records, except change and expected interval."""
        records, state = self.records, self.store.state[self.indices]
        for name in ("last_value", "last_time_ms", "last_id_ms", "total"):
            records[name] = state[name]
        records["rate"] = self.store.rates(self.indices, now_ms)
        flags = records["flags"] & np.uint32(FLAG_MEAN)
        older = self.older
        for at, series in enumerate(self.series):
            covered_ms = self.store.covered(series, self.step_ms)
            if covered_ms > start_ms and (older.from_ms > start_ms or older.to_ms < covered_ms):
                flags[at] |= np.uint32(FLAG_PARTIAL)
        records["flags"] = flags

    def set_last_before(self) -> None:
        """Set each series' newest time before the window, so that a silence at its start is known."""
        start = self.first * self.step_ms / SECOND_MS
        for at, series in enumerate(self.series):
            seconds = series.seconds.rows()[NUMBER]
            before = int(np.searchsorted(seconds, start, "left"))
            known = before and seconds[before - 1] >= series.known_from_s
            self.records[at]["before_s"] = seconds[before - 1] if known else 0

    def set_change(self, at: int, now_ms: float, window_ms: float) -> None:
        """Compare the mean of a window that ends now with the mean of the one before, where both are covered."""
        series, record = self.series[at], self.records[at]
        end_ms = (now_ms // SECOND_MS + 1) * SECOND_MS
        middle_ms, start_ms = end_ms - window_ms, end_ms - 2 * window_ms
        record["change"] = np.nan
        if max(self.store.covered(series, SECOND_MS), series.unit_since_ms) > start_ms:
            return
        before, first_ms = series.mean(start_ms, middle_ms)
        slack_ms = max(3 * np.nan_to_num(record["expected_ms"]), _SLACK_MS)
        if before and first_ms <= start_ms + slack_ms:
            change = series.mean(middle_ms, end_ms)[0] / before - 1
            record["change"] = change if abs(change) < _LARGEST_CHANGE else np.nan


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
        window.set_last_before()
    return pack_frame(ViewFrame(RANGE, seq, now_ms, first, request_id, step_ms, window.records, window.data))
