"""Keeps the readings that open formulas need side by side, as the store gets them; no I/O.

All formulas share one table, so that a reading is copied once for all of them, and so are what several formulas ask of
one selector. Readings of the last minutes are the store's own; what is older are its buckets of one second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import MAX_READINGS
from tidewire.evaluation.frame import Frame, Work
from tidewire.evaluation.reading_table import PACE_OF, Floats, ReadingTable, SeriesReadings
from tidewire.livestore.buckets import LAST, MAX, MIN, NUMBER, NUMERIC, SUM
from tidewire.livestore.series import SECOND_MS, Series
from tidewire.livestore.store import Store
from tidewire.model.formulas.reads import labels_of, reads
from tidewire.model.formulas.tree import Node, Selector

__all__ = ["FormulaReadings"]

_MOST: Final = 2  # times `max_readings` that open formulas may grow to
_SHARED_TIMES: Final = 8
_BEFORE: Final = 32  # buckets before the readings that tell the value and the pace of a slow series


class FormulaReadings:
    """The readings of the series that some formulas select.

    Args:
        store: where the series are.
        reach_ms: how far back they are kept: the window of the charts and what their formulas read before it.
        max_readings: how many it may have; what is open may grow to twice as many.
        may_see: tells which metrics its formulas may read; logins that may see others need readings of their own.

    Attributes:
        table: the readings; the row of a series never changes.
        full: it has too many, or series were born that would not fit; it takes no more until all formulas are closed.
        births: rises when the table gets a series, or one gets another unit: formulas are laid out anew.
        changed_from_ms: float64[rows], since when the last `refresh` changed each; inf for nothing.
    """

    def __init__(
        self,
        store: Store,
        reach_ms: float,
        max_readings: int = MAX_READINGS,
        may_see: Callable[[str], bool] = lambda metric: True,
    ) -> None:
        self.store = store
        self.reach_ms = reach_ms
        self.max_readings = max_readings
        self._may_see = may_see
        self._deep = reach_ms > store.raw_ms
        self._selectors: dict[Selector, int] = {}  # how many formulas have each
        self.births = 0
        self._frames: dict[tuple[bytes, float], Frame] = {}
        self._clear()

    def _clear(self) -> None:
        self.full = False
        self.table = ReadingTable(buckets=self._deep)
        self.changed_from_ms: Floats = np.zeros(0)
        self._rows: dict[int, int] = {}  # row by index of the series
        self._indices: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._seen = self.store.state[:0].copy()
        self._looked = 0  # series of the store that were looked at
        self._frames.clear()

    @property
    def indices(self) -> npt.NDArray[np.intp]:
        """Return which series of the store each row is: those whose past is wanted are `indices[plan.used]`."""
        return self._indices

    def open(self, node: Node) -> None:
        """Keep what a formula reads from now on.

        Raises:
            InvalidFormula: of kind ``cost``: it would need too many readings.
        """
        for read in reads(node):
            self._selectors[read.selector] = self._selectors.get(read.selector, 0) + 1
        try:
            with self.store.lock:
                self._enter(self.store.series, node)
        except InvalidFormula:
            self.close(node)
            raise

    def close(self, node: Node) -> None:
        """Note that a formula is gone; when the last one is, all readings are dropped."""
        for read in reads(node):
            left = self._selectors.get(read.selector, 0) - 1
            if left > 0:
                self._selectors[read.selector] = left
            else:
                self._selectors.pop(read.selector, None)
        if not self._selectors:
            self._clear()

    def refresh(self, now_ms: float) -> None:
        """Take what came since the last time; call once per tick.

        Args:
            now_ms: the log's clock.
        """
        self._frames.clear()
        keep_from_ms = now_ms - self.reach_ms
        with self.store.lock:
            count = len(self.store.series)
            if count > self._looked:
                try:
                    self._enter(self.store.series[self._looked : count])
                except InvalidFormula:
                    self.full = True
                self._looked = count
            self.changed_from_ms.fill(np.inf)
            if not self.full:
                self._take(keep_from_ms)
                self.full = self.table.size > _MOST * self.max_readings

    def frame(self, time_ms: Floats, step_ms: float, work: Work) -> Frame:
        """Return a frame over the table, the same for all formulas at these times until the next `refresh`."""
        if time_ms.size > _SHARED_TIMES:  # of the past: kept, it would take megabytes
            return Frame(self.table, time_ms, step_ms, "before", work)
        key = (time_ms.tobytes(), step_ms)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = Frame(self.table, time_ms, step_ms, "before", work)
        frame.work = work
        return frame

    # -- the store -----------------------------------------------------------------------------------------------

    def _enter(self, series: Iterable[Series], node: Node | None = None) -> None:
        """Add those of some series that a formula selects."""
        selectors = [read.selector for read in reads(node)] if node is not None else list(self._selectors)
        found = [
            each
            for each in series
            if each.index not in self._rows
            and self._may_see(each.metric)
            and any(labels_of(selector, each.metric, each.labels) is not None for selector in selectors)
        ]
        if not found:
            return
        readings = [self._readings_of(each) for each in found]
        size = self.table.size + sum(each.value.size for each in readings)
        if size > self.max_readings:
            at = node or selectors[0]
            raise InvalidFormula(
                "cost", at.position, at.end, f"{size} readings of all open formulas, at most {self.max_readings}",
                "fewer series, or a shorter range",
            )  # fmt: skip
        for each in found:
            self._rows[each.index] = len(self._rows)
        self.table.add(readings)
        self._frames.clear()  # the places of all readings are others
        self.births += 1
        indices = np.array([each.index for each in found], dtype=np.intp)
        self._indices = np.concatenate((self._indices, indices))
        self._seen = np.concatenate((self._seen, self.store.state[indices]))
        self.changed_from_ms = np.concatenate((self.changed_from_ms, np.full(indices.size, -np.inf)))

    def _readings_of(self, series: Series) -> SeriesReadings:
        since_ms = max(float(self.store.state[series.index]["last_time_ms"]) - self.reach_ms, _drawn_from(series))
        held = series.readings_between(_drawn_from(series), np.inf)
        first = max(0, int(np.searchsorted(held[0], since_ms, "left")) - PACE_OF)
        time_ms, value = held[:, first:].copy()
        seconds = series.seconds.rows()
        until_s = time_ms[0] // SECOND_MS if time_ms.size else np.inf
        known_s = math.ceil(_drawn_from(series) / SECOND_MS) if math.isfinite(_drawn_from(series)) else 0
        from_s = since_ms / SECOND_MS if self._deep else np.inf
        known, low, high = np.searchsorted(seconds[NUMBER], (known_s, from_s, until_s), "left")
        low = max(known, min(low, high) - _BEFORE)
        older = seconds[:, low:high]
        figures = None
        if self._deep:
            numeric = (~np.isnan(value)).astype(np.float64)
            figures = np.concatenate(
                (older[[MIN, MAX, SUM, NUMERIC]], np.array([value, value, value, numeric])), axis=1
            )
        return SeriesReadings(
            series.metric, series.labels, series.unit, np.concatenate((older[NUMBER] * SECOND_MS, time_ms)),
            np.concatenate((older[LAST], value)), figures,
        )  # fmt: skip

    def _take(self, keep_from_ms: float) -> None:
        """Copy the readings that came since the last time."""
        state, seen = self.store.state[self._indices], self._seen
        changed = np.flatnonzero(state["version"] != seen["version"])
        if not changed.size:
            return
        now, before = state[changed], seen[changed]
        single = now["version"] == before["version"] + 1
        single &= now["total"] == before["total"] + 1
        single &= now["last_time_ms"] > before["last_time_ms"]
        single &= now["changed_at"] == before["changed_at"]
        single &= ~np.isnan(now["last_value"])
        rows = changed[single]
        if rows.size:
            times = now["last_time_ms"][single]
            self.table.append_each(rows, times, now["last_value"][single], keep_from_ms=keep_from_ms)
            self.changed_from_ms[rows] = times
        for row in changed[~single].tolist():
            self._copy(row, keep_from_ms)
        self._seen = state

    def _copy(self, row: int, keep_from_ms: float) -> None:
        """Copy what came of one series, which may be late."""
        series, before = self.store.series[int(self._indices[row])], self._seen[row]
        if self.store.state[series.index]["changed_at"] != before["changed_at"]:
            self.table.units[row] = series.unit
            self.table.drop_before(row, _drawn_from(series))
            self.births += 1
        late = [time_ms for version, time_ms in series.late if version > before["version"]]
        from_ms = min([series.first_after(float(before["last_time_ms"])), *late])
        if len(late) == series.late.maxlen:
            from_ms = -np.inf
        from_ms = max(from_ms, _drawn_from(series), keep_from_ms)
        time_ms, value = series.readings_from(from_ms)
        if time_ms.size:
            self.table.put(row, time_ms, value, keep_from_ms=keep_from_ms)
            self.changed_from_ms[row] = float(time_ms[0])


def _drawn_from(series: Series) -> float:
    """Return since when the readings of a series are known, and in its unit."""
    return max(series.unit_since_ms, series.known_from_ms)
