"""Buckets anchored to the epoch: last and count of the readings in each; first, min, max, mean of its numbers; pure."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bucketed", "Buckets"]

Floats = NDArray[np.float64]


class Bucketed(NamedTuple):
    """The buckets of one series that hold a reading, oldest first; arrays of equal length.

    Attributes:
        time: where each bucket starts, Unix ms, a multiple of the step.
        last: value of its latest reading by time; NaN if that is not a number.
        first: its earliest value by time; NaN if no reading is a number.
        min: smallest value; NaN if no reading is a number.
        max: largest value.
        mean: mean of the values that are numbers.
        counts: int64, readings in each, those without a number too.
    """

    time: Floats
    last: Floats
    first: Floats
    min: Floats
    max: Floats
    mean: Floats
    counts: NDArray[np.int64]


class _Bucket:
    __slots__ = ("count", "first", "first_time", "last", "last_time", "max", "min", "numbers", "sum")

    def __init__(self) -> None:
        self.last_time, self.last = -math.inf, math.nan
        self.first_time, self.first = math.inf, math.nan
        self.min, self.max, self.sum = math.inf, -math.inf, 0.0
        self.numbers = self.count = 0


class Buckets:
    """The buckets of one series, filled from columns in any order of time.

    Attributes:
        step_ms: their width.
    """

    def __init__(self, step_ms: int) -> None:
        self.step_ms = step_ms
        self._buckets: dict[int, _Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def add(self, time: Floats, value: Floats) -> None:
        """Take readings.

        Args:
            time: float64[n], Unix ms, in any order; among equal times the later entry is the later reading.
            value: float64[n]; NaN is a reading that is not a number.
        """
        if not time.size:
            return
        order = np.argsort(time, kind="stable")
        time, value = time[order], value[order]
        number = np.floor_divide(time, self.step_ms).astype(np.int64)
        starts = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
        ends = np.r_[starts[1:], number.size]
        isnan = np.isnan(value)
        low = np.minimum.reduceat(np.where(isnan, np.inf, value), starts)
        high = np.maximum.reduceat(np.where(isnan, -np.inf, value), starts)
        total = np.add.reduceat(np.where(isnan, 0.0, value), starts)
        numbers = np.add.reduceat((~isnan).astype(np.int64), starts)
        place_of = np.arange(number.size)
        firsts = np.minimum.reduceat(np.where(isnan, number.size - 1, place_of), starts)  # where there is none: any
        columns = zip(
            number[starts].tolist(), time[ends - 1].tolist(), value[ends - 1].tolist(), low.tolist(), high.tolist(),
            time[firsts].tolist(), value[firsts].tolist(), total.tolist(), numbers.tolist(), (ends - starts).tolist(),
            strict=True,
        )  # fmt: skip
        for place, last_time, last, low_, high_, first_time, first, total_, numbers_, count in columns:
            bucket = self._buckets.get(place)
            if bucket is None:
                bucket = self._buckets[place] = _Bucket()
            if last_time >= bucket.last_time:
                bucket.last_time, bucket.last = last_time, last
            if numbers_ and first_time < bucket.first_time:
                bucket.first_time, bucket.first = first_time, first
            bucket.min, bucket.max = min(bucket.min, low_), max(bucket.max, high_)
            bucket.sum += total_
            bucket.numbers += numbers_
            bucket.count += count

    def columns(self) -> Bucketed:
        """Return the buckets so far."""
        places = sorted(self._buckets)
        buckets = [self._buckets[place] for place in places]
        return Bucketed(
            np.array(places, np.float64) * self.step_ms,
            np.array([bucket.last for bucket in buckets], np.float64),
            np.array([bucket.first for bucket in buckets], np.float64),
            np.array([bucket.min if bucket.numbers else math.nan for bucket in buckets], np.float64),
            np.array([bucket.max if bucket.numbers else math.nan for bucket in buckets], np.float64),
            np.array([bucket.sum / bucket.numbers if bucket.numbers else math.nan for bucket in buckets], np.float64),
            np.array([bucket.count for bucket in buckets], np.int64),
        )
