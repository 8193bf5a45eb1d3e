"""Tells whether a series is drawn as steps: its readings are whole and few distinct values that count something; pure.

A door, a mode or a number of parts holds a value until the next one: a slope between two of them shows values that
never were. Decision 0020 has the reasons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewire.livestore.column_ring import Floats
from tidewire.model.units import WORDS

__all__ = ["MOST_LEVELS", "Levels", "are_levels", "counts", "distinct"]

MOST_LEVELS: Final = 8  # distinct values from which more are a line
_EXACT: Final = 2.0**53  # beyond it float64 has whole numbers only, which says nothing
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")


@lru_cache(maxsize=4_096)
def counts(unit: str) -> bool:
    """Tell whether a unit may be one of steps: none, or one that counts things, such as ``{parts}``.

    Whole degrees are rounded: between 20 and 21 the temperature was between them, and a slope says that best.
    """
    code = unit.strip()
    return code in ("", "1") or (code not in WORDS and _ANNOTATION.fullmatch(code) is not None)


def _is_whole(value: float) -> bool:
    return not value % 1.0 and -_EXACT <= value <= _EXACT


def _whole(values: Floats) -> npt.NDArray[np.bool_]:
    whole: npt.NDArray[np.bool_] = np.logical_and(values % 1.0 == 0.0, np.abs(values) <= _EXACT)
    return whole


def distinct(values: Floats) -> tuple[float, ...]:
    """Return the distinct values of float64[n] without NaN: those not whole first, at most one more than are few."""
    found = np.unique(values)
    return tuple(found[np.argsort(_whole(found), kind="stable")][: MOST_LEVELS + 1].tolist())


def are_levels(values: Floats) -> bool:
    """Tell whether values, float64[n] without NaN, are whole and few distinct ones; none at all are not."""
    found = distinct(values)
    return 0 < len(found) <= MOST_LEVELS and _is_whole(found[0])


class Levels:
    """The newest few distinct values of a series and when they were read last, for windows up to its newest reading.

    It is exact for each such window, and costs the same for each reading: what matters is when the ninth newest of the
    distinct values was last read.
    """

    __slots__ = ("_line_ms", "_seen")

    def __init__(self) -> None:
        self._seen: dict[float, float] = {}  # value to time, ascending by time
        self._line_ms = -math.inf  # of the newest reading that makes a line of each window that holds it

    def add(self, time_ms: float, number: float) -> None:
        """Add one reading newer than all before; NaN is none."""
        if not _is_whole(number):
            if number == number:  # noqa: PLR0124 - false for NaN
                self._line_ms = time_ms
            return
        seen = self._seen
        seen.pop(number, None)
        seen[number] = time_ms
        if len(seen) > MOST_LEVELS:
            self._line_ms = max(self._line_ms, seen.pop(next(iter(seen))))

    def add_all(self, rows: Floats) -> None:
        """Add readings, float64[2, n] in order of time, also some older than those before."""
        time_ms, number = rows[:, ~np.isnan(rows[1])]
        broken = np.flatnonzero(~_whole(number))
        if broken.size:
            self._line_ms = max(self._line_ms, float(time_ms[broken[-1]]))
            time_ms, number = np.delete(time_ms, broken), np.delete(number, broken)
        values, places = np.unique(number[::-1], return_index=True)  # the first of the reversed is the newest
        newest = dict(self._seen)
        for value, at in zip(values.tolist(), time_ms[::-1][places].tolist(), strict=True):
            newest[value] = max(at, newest.get(value, -math.inf))
        ordered = sorted(newest.items(), key=lambda pair: pair[1])
        self._seen = dict(ordered[-MOST_LEVELS:])
        if len(ordered) > MOST_LEVELS:
            self._line_ms = max(self._line_ms, ordered[-MOST_LEVELS - 1][1])

    def is_line(self, start_ms: float, older: Sequence[float] = ()) -> bool:
        """Tell whether a reading from a time on makes it a line: a fraction, or one distinct value too many.

        Args:
            start_ms: of the window.
            older: distinct values of the window from before what was added.
        """
        if self._line_ms >= start_ms or not older:
            return self._line_ms >= start_ms
        values = {value for value, time_ms in self._seen.items() if time_ms >= start_ms}.union(older)
        return len(values) > MOST_LEVELS or not all(map(_is_whole, values))
