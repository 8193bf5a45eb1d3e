"""The windows of one selector's series, and functions of the readings in them; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidewire.evaluation.frame import Frame
from tidewire.evaluation.reading_table import Floats, Places
from tidewire.evaluation.vectors import Columns
from tidewire.evaluation.window_functions import FROM_THE_START, window_function
from tidewire.model.formulas.tree import Selector

__all__ = ["SelectorWindows"]


class SelectorWindows:
    """The windows of a selector.

    Args:
        selector: the selector.
        rows: int64[s], what it selects in the table, ascending.
        range_s: how long they are; None for the default ones.
    """

    def __init__(self, selector: Selector, rows: Places, range_s: float | None) -> None:
        self._rows = rows
        self._offset_ms = selector.offset_s * 1e3
        self._range_ms = None if range_s is None else range_s * 1e3
        self._key = (selector.name, selector.matchers, self._range_ms)

    def run(self, name: str, frame: Frame, extra: Sequence[Floats] = (), shift_ms: float = 0.0) -> Columns:
        """Return a function of each window, of those that end `shift_ms` earlier.

        Args:
            name: of the function.
            frame: the times.
            extra: its other arguments, float64[n] each.
            shift_ms: besides the selector's own offset.
        """
        rows, offset_ms, range_ms = self._rows, self._offset_ms + shift_ms, self._range_ms
        key = (self._key, offset_ms)
        windows = frame.once(("windows", key), lambda: frame.windows(rows, offset_ms, range_ms))
        before = None
        if name in FROM_THE_START:
            before = frame.once(("before", key), lambda: frame.before(rows, offset_ms, range_ms))
        return Columns(*window_function(name, frame.table.numbers, windows, before, extra, frame.work))

    def usual(self, frame: Frame, period_ms: float, count: int) -> Columns:
        """Return the median of the means of the same window so many periods ago, where half of them have readings."""
        passes = [self.run("avg_over_time", frame, (), turn * period_ms) for turn in range(1, count + 1)]
        values = np.array([np.where(each.here, each.value, np.inf) for each in passes])
        values.sort(axis=0)
        known = np.array([each.here for each in passes]).sum(axis=0)
        middle = [
            np.take_along_axis(values, place[None], axis=0)[0]
            for place in (np.maximum(known - 1, 0) // 2, np.minimum(known // 2, count - 1))
        ]
        return Columns((middle[0] + middle[1]) / 2, known >= (count + 1) // 2)
