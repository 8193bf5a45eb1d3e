"""Keeps one series of a run: its lines over steps and over time, and what a table says of it; no I/O."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.run_line import RunLine
from tidewire.model.units import unit_key

__all__ = ["RunSeries"]


class RunSeries:
    """The readings of one series so far.

    Args:
        version: of its lines to begin with.

    Attributes:
        steps: its line over its steps; a reading without a step is not on it.
        times: its line over time, Unix ms.
        first_ms, last_ms: times of its first and newest reading, ±inf without one.
        last: the newest by its own time, NaN if it has no number.
        step: the highest, NaN without one.
        least, greatest: of all numbers, NaN without one.
        count: readings.
        unit: of all of them; empty until one has a unit.
    """

    __slots__ = ("count", "first_ms", "greatest", "last", "last_ms", "least", "step", "steps", "times", "unit")

    def __init__(self, version: int = 0) -> None:
        self.unit = ""
        self._begin(version)

    def _begin(self, version: int) -> None:
        self.steps = RunLine(version)
        self.times = RunLine(version)
        self.first_ms, self.last_ms = math.inf, -math.inf
        self.last = self.step = self.least = self.greatest = math.nan
        self.count = 0

    def add(
        self,
        time: Floats,
        value: Floats,
        step: Floats | None,
        ends: npt.NDArray[np.bool_] | None,
        unit: str = "",
    ) -> None:
        """Add readings. Those of another unit than before begin the lines anew; older ones of another are dropped.

        Args:
            time: float64[n], Unix ms.
            value: float64[n], NaN where a reading has no number.
            step: float64[n], NaN where a reading has none; None if none has one.
            ends: bool[n], whether a reading says that its series has ended; None if none does. One that repeats the
                reading before it counts once.
            unit: of all these readings; empty for that of those before.
        """
        if unit and time.size:
            if unit_key(unit) != unit_key(self.unit or unit):
                if time.max() < self.last_ms:
                    return
                self._begin(max(self.steps.version, self.times.version))
            self.unit = unit
        if ends is not None:
            before = np.concatenate(([self.last_ms], time[:-1]))
            value_before = np.concatenate(([self.last], value[:-1]))
            kept = ~(ends & (time == before) & (value == value_before))
            time, value, step = time[kept], value[kept], None if step is None else step[kept]
        if not time.size:
            return
        self.count += time.size
        self.first_ms = min(self.first_ms, float(time.min()))
        newest = len(time) - 1 - int(np.argmax(time[::-1]))  # of equal times the later one
        if time[newest] >= self.last_ms:
            self.last_ms, self.last = float(time[newest]), float(value[newest])
        if np.isfinite(value).any():
            self.least = float(np.nanmin(np.append(value, self.least)))
            self.greatest = float(np.nanmax(np.append(value, self.greatest)))
        self.times.add(time, value)
        if step is not None:
            if np.isfinite(step).any():
                self.step = float(np.nanmax(np.append(step, self.step)))
            self.steps.add(step, value)

    @property
    def interval_ms(self) -> float:
        """Return the mean interval of its readings, NaN with fewer than three."""
        return (self.last_ms - self.first_ms) / (self.count - 1) if self.count > 2 else math.nan
