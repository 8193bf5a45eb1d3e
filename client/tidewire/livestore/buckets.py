"""Buckets anchored to the epoch: readings or finer buckets grouped into them; pure.

Bucket `b` of width `step_ms` covers `[b * step_ms, (b + 1) * step_ms)`: buckets do not shimmer as a window slides.
A table of buckets is float64[7, n], ascending by number; its rows are the constants below. It holds what a chart draws
of a column of pixels (M4: first, min, max, last), so all rows are of readings that are numbers: `NUMERIC` is how many,
the divisor of `SUM`, and a bucket without one is left out. The `count` of the service's buckets is of all readings.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tidewire.livestore.column_ring import Floats

__all__ = [
    "BUCKET_ROWS",
    "FIRST",
    "LAST",
    "MAX",
    "MIN",
    "NUMBER",
    "NUMERIC",
    "SUM",
    "bucket_readings",
    "merge_buckets",
    "regroup",
]

NUMBER, FIRST, LAST, MIN, MAX, SUM, NUMERIC = range(7)
BUCKET_ROWS: Final = 7
_FEW: Final = 16  # readings up to which plain numbers are faster than arrays


def bucket_readings(time_ms: Floats, value: Floats, step_ms: float) -> Floats:
    """Return the buckets of readings.

    Args:
        time_ms: float64[n], ascending.
        value: float64[n]; readings that are NaN are in no bucket.
        step_ms: width.

    Returns:
        A table of buckets; of readings at one time the earlier in order is before the later.
    """
    if value.size <= _FEW:
        return _few(time_ms, value, step_ms)
    numeric = ~np.isnan(value)
    if not numeric.all():
        time_ms, value = time_ms[numeric], value[numeric]
    rows = np.empty((BUCKET_ROWS, value.size))
    np.floor_divide(time_ms, step_ms, out=rows[NUMBER])
    rows[FIRST : SUM + 1] = value
    rows[NUMERIC] = 1.0
    return _grouped(rows)


def _few(time_ms: Floats, value: Floats, step_ms: float) -> Floats:
    """Do as `bucket_readings`, reading by reading."""
    found: list[list[float]] = []
    for at, number in zip((time_ms // step_ms).tolist(), value.tolist(), strict=True):
        if math.isnan(number):
            continue
        if found and found[-1][NUMBER] == at:
            bucket = found[-1]
            bucket[LAST] = number
            bucket[MIN], bucket[MAX] = min(bucket[MIN], number), max(bucket[MAX], number)
            bucket[SUM] += number
            bucket[NUMERIC] += 1.0
        else:
            found.append([at, number, number, number, number, number, 1.0])
    return np.array(found, dtype=np.float64).T if found else np.empty((BUCKET_ROWS, 0))


def regroup(rows: Floats, step_ms: float, wider_ms: float) -> Floats:
    """Return a table of buckets as one of wider buckets.

    Args:
        rows: a table of buckets of width `step_ms`.
        step_ms: their width.
        wider_ms: the width wanted; a bucket belongs to the one that holds its start.
    """
    wider = rows.copy()
    if wider_ms != step_ms:
        np.floor_divide(rows[NUMBER] * step_ms, wider_ms, out=wider[NUMBER])
    return _grouped(wider)


def merge_buckets(earlier: Floats, later: Floats) -> Floats:
    """Return two tables of buckets as one; of a bucket in both, `FIRST` is that of `earlier` and `LAST` of `later`."""
    rows = np.concatenate((earlier, later), axis=1)
    return _grouped(rows[:, np.argsort(rows[NUMBER], kind="stable")])


def _grouped(rows: Floats) -> Floats:
    """Return rows with neighbours of one number joined; `rows` is ours to change."""
    number = rows[NUMBER]
    if number.size < 2:
        return rows
    first = np.empty(number.size, dtype=np.bool_)
    first[0] = True
    np.not_equal(number[1:], number[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    if starts.size == number.size:
        return rows
    joined = np.empty((BUCKET_ROWS, starts.size))
    joined[: FIRST + 1] = rows[: FIRST + 1, starts]
    joined[LAST, :-1] = rows[LAST, starts[1:] - 1]
    joined[LAST, -1] = rows[LAST, -1]
    joined[MIN] = np.minimum.reduceat(rows[MIN], starts)
    joined[MAX] = np.maximum.reduceat(rows[MAX], starts)
    joined[SUM:] = np.add.reduceat(rows[SUM:], starts, axis=1)
    return joined
