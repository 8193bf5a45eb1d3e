"""Keeps one line of a run over its steps, or over time, in at most 1,024 points, whatever its readings are; no I/O.

Readings come in any order and in any number. While they have few different places each place is a point; then points
are buckets, whose width is a power of two and doubles when there are too many. A bucket keeps the smallest, largest,
first and last of its readings (M4), so no spike is lost.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.messages import RunPoints

__all__ = ["MOST_POINTS", "RunLine"]

MOST_POINTS: Final = 1_024

_POINT: Final = np.dtype(
    [
        ("key", np.float64),  # the place itself, or the number of the bucket
        ("x", np.float64),  # the greatest place of its readings, so that a line ends where its run does
        ("min", np.float64),
        ("max", np.float64),
        ("first", np.float64),
        ("last", np.float64),
        ("mean", np.float64),
        ("count", np.float64),
        ("stamp", np.int64),  # version in which it changed last
    ]
)
_LEAST_POWER, _MOST_POWER = -1_060, 1_020  # of the width of a bucket


class RunLine:
    """The points of one line.

    Args:
        version: to begin with.

    Attributes:
        width: of a bucket; 0 while each place is a point.
        version: rises with each change.
    """

    __slots__ = ("_points", "version", "width")

    def __init__(self, version: int = 0) -> None:
        self.width = 0.0
        self.version = version
        self._points: npt.NDArray[np.void] = np.empty(0, _POINT)

    def __len__(self) -> int:
        return len(self._points)

    def add(self, x: Floats, value: Floats) -> None:
        """Add readings, in the order in which they were taken; those without a finite place or value are left out.

        Args:
            x: float64[n], the places: steps, or times.
            value: float64[n].
        """
        known = np.isfinite(x) & np.isfinite(value)
        if not known.any():
            return
        x, value = x[known], value[known]
        self.version += 1
        fresh = np.empty(len(x), _POINT)
        fresh["x"], fresh["stamp"], fresh["count"] = x, self.version, 1.0
        for name in ("min", "max", "first", "last", "mean"):
            fresh[name] = value
        self._points = self._merged(np.concatenate((self._points, fresh)))
        while len(self._points) > MOST_POINTS:
            self._widen()

    def since(self, version: int, i: int = 0) -> RunPoints:
        """Return the points from the first that changed after a version on, 0 for all; `i` is the series' index."""
        changed = np.flatnonzero(self._points["stamp"] > version)
        start = int(changed[0]) if len(changed) else len(self._points)
        part = self._points[start:]
        single = bool((part["count"] == 1.0).all())
        extremes = {name: [] if single else part[name].tolist() for name in ("min", "max", "first", "last")}
        return RunPoints(
            i=i, version=self.version, start=start, x=part["x"].tolist(), mean=part["mean"].tolist(), **extremes
        )

    def _merged(self, points: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """Return points of which those of one place are one; older ones come before newer ones of the same place."""
        points["key"] = np.floor(points["x"] / self.width) if self.width else points["x"]
        points = points[np.argsort(points["key"], kind="stable")]
        starts = np.flatnonzero(np.concatenate(([True], points["key"][1:] != points["key"][:-1])))
        if len(starts) == len(points):
            return points
        merged = points[starts]
        count = np.add.reduceat(points["count"], starts)
        share = points["count"] / np.repeat(count, np.diff(np.append(starts, len(points))))
        merged["x"] = np.maximum.reduceat(points["x"], starts)
        merged["min"] = np.minimum.reduceat(points["min"], starts)
        merged["max"] = np.maximum.reduceat(points["max"], starts)
        merged["last"] = points["last"][np.append(starts[1:], len(points)) - 1]
        mean = np.add.reduceat(points["mean"] * share, starts)
        merged["mean"] = np.clip(mean, merged["min"], merged["max"])
        merged["count"] = count
        merged["stamp"] = np.maximum.reduceat(points["stamp"], starts)
        return merged

    def _widen(self) -> None:
        """Make the buckets wider, the first time as wide as so many points need; all of them have changed then."""
        x = self._points["x"]
        if self.width:
            self.width *= 2
        else:
            each = x[-1] / MOST_POINTS - x[0] / MOST_POINTS
            power = math.ceil(math.log2(each)) if 0 < each < math.inf else _LEAST_POWER
            self.width = 2.0 ** min(_MOST_POWER, max(_LEAST_POWER, power))
        self._points["stamp"] = self.version
        self._points = self._merged(self._points)
