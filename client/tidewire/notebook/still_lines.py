"""Reads the line of a series for a still: its columns, what it holds from before them, its gaps and its corners; pure.

The deck has the same rules in `client/chart/src/model/buckets.ts` and `canvas/paths.ts`.
"""

from __future__ import annotations

import itertools
import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.gaps import gap_limit_ms, gaps_before
from tidewire.livestore.view_frame import (
    FLAG_ENDED,
    FLAG_LATE,
    FLAG_PARTIAL,
    FLAG_STEPS,
    ViewFrame,
    arrival_ms,
    exponents_of,
)
from tidewire.livestore.window import BEYOND

__all__ = ["FRACTIONS", "NO_LINE", "Cells", "StillLine", "cells_of", "line_of"]

FRACTIONS: Final = 65_535.0
"""First, last and mean of a column lie so many parts of its range above its smallest value."""
_SLOPED: Final = ("line", "bars", "points")  # kinds of which no value holds until the next one
_GOES_ON: Final = 2.0  # columns that a line below others goes on after its last reading
_EDGE: Final = -0.5  # of a window, in columns: a point lies in the middle of its own


class Cells(NamedTuple):
    """The buckets of one row of a frame, also those left of its window.

    Attributes:
        values: float64[buckets, 4]: first, min, max, last; NaN without a number.
        mean: float64[buckets].
        counts: float64[buckets]; 0 of the first if it has the value from before it, and no reading.
    """

    values: Floats
    mean: Floats
    counts: Floats


class StillLine(NamedTuple):
    """The columns of one series that have a value, oldest first.

    Attributes:
        column: float64[n], their numbers in the window; of those left of it below 0.
        values: float64[n, 4]: first, min, max, last.
        mean: float64[n].
        breaks: bool[n], whether a gap precedes each; the first has none.
        steps: a value holds until the next one.
        until: number of the column up to which the last value holds, NaN if only where it was read.
    """

    column: Floats
    values: Floats
    mean: Floats
    breaks: npt.NDArray[np.bool_]
    steps: bool
    until: float

    def corners(self) -> list[list[tuple[float, float]]]:
        """Return the corners of the line, (column, value), in runs between gaps; a run enters at the window's edge."""
        runs = []
        for run in np.split(np.arange(len(self.column)), np.flatnonzero(self.breaks)):
            corners: list[tuple[float, float]] = []
            for at, own in zip(self.column[run].tolist(), self.values[run].tolist(), strict=True):
                if self.steps and corners:
                    corners.append((at, corners[-1][1]))
                corners += [(at, value) for value, _ in itertools.groupby(own)]
            runs.append(corners)
        if not math.isnan(self.until):
            runs[-1].append((self.until, runs[-1][-1][1]))
        return [run for run in map(_entered, runs) if run]

    def extremes(self) -> Floats:
        """Return what stands for each column where there is room for one value: the extreme further from its mean."""
        low, high = self.values[:, 1], self.values[:, 2]
        return np.where(high - self.mean >= self.mean - low, high, low)

    def heights(self, column: Floats) -> Floats:
        """Return what the line is in some columns, float64[n]: between two readings where they are joined, else 0.

        Args:
            column: float64[n], ascending.
        """
        if not self.column.size:
            return np.zeros(column.size)
        after = self.column.searchsorted(column)
        last, at = np.maximum(after - 1, 0), np.minimum(after, self.column.size - 1)
        between = self.mean[last] if self.steps else np.interp(column, self.column, self.mean)
        found = np.where((after == 0) | self.breaks[at], 0.0, between)
        until = max(float(self.column[-1]) + _GOES_ON, np.nan_to_num(self.until, nan=-math.inf))
        found[after == self.column.size] = 0.0
        found[(after == self.column.size) & (column <= until)] = self.mean[-1]
        # What lies left of the window is known for two columns: a line that begins there was there before.
        found[(after == 0) & (column < 0) & (self.column[0] - column <= _GOES_ON)] = self.mean[0]
        return np.where(self.column[at] == column, self.mean[at], found)


NO_LINE: Final = StillLine(np.zeros(0), np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.bool_), False, math.nan)
"""That of a series without a value."""


def _entered(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the part of a run in the window, from its edge on where it began before it."""
    inside = next((at for at, (column, _) in enumerate(run) if column > _EDGE), len(run))
    if inside in (0, len(run)):
        return run[inside:]
    (from_column, from_value), (to_column, to_value) = run[inside - 1 : inside + 1]
    share = (_EDGE - from_column) / (to_column - from_column)
    return [(_EDGE, from_value + (to_value - from_value) * share), *run[inside:]]


def cells_of(frame: ViewFrame, row: int) -> Cells:
    """Return what the buckets of one row of a frame hold."""
    cells, record = frame.body[row], frame.records[row]
    exponent = int(exponents_of(frame.records["flags"])[row])
    low, high = (np.ldexp(cells[name].astype(np.float64), exponent) + record["base"] for name in ("min", "max"))
    first, last, mean = (low + (high - low) * (cells[name] / FRACTIONS) for name in ("first", "last", "mean"))
    if record["flags"] & FLAG_STEPS:  # few whole values come back as whole as they were
        first, last = np.rint(first), np.rint(last)
    return Cells(np.stack((first, low, high, last), axis=1), mean, cells["count"].astype(np.float64))


def line_of(frame: ViewFrame, row: int, kind: str = "") -> StillLine:
    """Return the line of one row of a frame.

    Args:
        frame: a whole one.
        row: of the series.
        kind: how it is drawn, by a name of `KINDS`, or empty.
    """
    record = frame.records[row]
    values, mean, counts = cells_of(frame, row)
    steps = kind == "steps" or (kind not in _SLOPED and bool(record["flags"] & FLAG_STEPS))
    held = np.flatnonzero(np.isfinite(values[:, 3]))
    read = held[counts[held] > 0]
    if read.size < held.size and not (steps and _goes_on(frame, row)):
        held = read
    # A silence at the start is measured from the end of the second of the last reading before the window.
    before = [(record["before_s"] + 1) * 1e3 / frame.step_ms - frame.first - 1] if record["before_s"] else []
    known = np.concatenate((before, read))
    breaks = np.zeros(held.size, dtype=np.bool_)
    if read.size:
        breaks[-read.size :] = gaps_before(known, frame.step_ms, float(record["expected_ms"]))[-read.size :]
        breaks[0] = False  # of a value from before the frame, or of the first reading
    column = held.astype(np.float64) - BEYOND
    until = _held_until(frame, row, float(known[-1]) + 1 - BEYOND if known.size else math.nan)
    holds = steps and held.size > 0 and until > column[-1]
    return StillLine(column, values[held], mean[held], breaks, steps, until if holds else math.nan)


def _goes_on(frame: ViewFrame, row: int) -> bool:
    """Tell whether a series still has the value from before the frame, and nothing is to come before that."""
    record = frame.records[row]
    over = record["flags"] & FLAG_ENDED and record["last_time_ms"] < frame.first * frame.step_ms
    return not record["flags"] & FLAG_PARTIAL and not over


def _held_until(frame: ViewFrame, row: int, ended: float) -> float:
    """Return the column up to which a last value holds, NaN if a silence since its end is a gap.

    One that is no number any more, or the last one of a series that ended, holds until that was read.
    """
    record, step_ms = frame.records[row], frame.step_ms
    flags, expected_ms = int(record["flags"]), float(record["expected_ms"])
    until = float(frame.body.shape[1] - BEYOND - 1)
    if flags & FLAG_ENDED or np.isnan(record["last_value"]):
        until = min(until, float(record["last_time_ms"]) / step_ms - frame.first - BEYOND - 0.5)
    silent_ms = frame.now_ms - float(record["last_id_ms"])
    silent = flags & FLAG_LATE or silent_ms > gap_limit_ms(arrival_ms(expected_ms, flags))
    if not flags & FLAG_ENDED and silent:
        return math.nan
    gone_ms = (until + 0.5 - ended + 1) * step_ms
    return math.nan if gone_ms > gap_limit_ms(expected_ms, step_ms) else until
