"""Buckets anchored to the epoch: readings or finer buckets grouped into them; pure.

Bucket `b` of width `step_ms` covers `[b * step_ms, (b + 1) * step_ms)`: buckets do not shimmer as a window slides.
A table of buckets is float64[6, n], ascending by number; its rows are the constants below. It holds what a chart draws,
so all rows are of readings that are numbers: `NUMERIC` is how many, the divisor of `SUM`, and a bucket without one is
left out. The `count` of the service's buckets is of all readings.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tidewire.livestore.column_ring import Floats

__all__ = [
    "BUCKET_ROWS",
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

NUMBER, LAST, MIN, MAX, SUM, NUMERIC = range(6)
BUCKET_ROWS: Final = 6


def bucket_readings(time_ms: Floats, value: Floats, step_ms: float) -> Floats:
    """Return the buckets of readings.

    Args:
        time_ms: float64[n], ascending.
        value: float64[n]; readings that are NaN are in no bucket.
        step_ms: width.

    Returns:
        A table of buckets; `LAST` is the later in order of two readings at one time.
    """
    numeric = ~np.isnan(value)
    if not numeric.all():
        time_ms, value = time_ms[numeric], value[numeric]
    rows = np.empty((BUCKET_ROWS, value.size))
    np.floor_divide(time_ms, step_ms, out=rows[NUMBER])
    rows[LAST : SUM + 1] = value
    rows[NUMERIC] = 1.0
    return _grouped(rows)


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
    """Return two tables of buckets as one; where both hold a bucket, `LAST` is that of `later`."""
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
    joined[NUMBER] = number[starts]
    joined[LAST, :-1] = rows[LAST, starts[1:] - 1]
    joined[LAST, -1] = rows[LAST, -1]
    joined[MIN] = np.minimum.reduceat(rows[MIN], starts)
    joined[MAX] = np.maximum.reduceat(rows[MAX], starts)
    joined[SUM:] = np.add.reduceat(rows[SUM:], starts, axis=1)
    return joined
