"""The widths that buckets may have, and which of them a span gets; pure."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["FINE_MS", "STEPS_MS", "column_step_for", "step_for"]

STEPS_MS: Final = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    900_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000,
)  # fmt: skip
FINE_MS: Final = 900_000
"""Longest window whose columns have a width in milliseconds; the columns of longer ones are whole seconds."""
_SECOND_MS: Final = 1_000
_DAY_MS: Final = STEPS_MS[-1]


def step_for(span_ms: float, buckets: int) -> int:
    """Return the smallest width with which a span needs no more than this many buckets.

    A span that does not start on a bucket's edge touches one more than that.

    Args:
        span_ms: length of the span.
        buckets: how many are wanted at most.

    Returns:
        Milliseconds: one of `STEPS_MS`, or whole days if even a day is too short.
    """
    for step_ms in STEPS_MS:
        if span_ms <= buckets * step_ms:
            return step_ms
    return math.ceil(span_ms / buckets / _DAY_MS) * _DAY_MS


def column_step_for(window_ms: float, columns: int) -> int:
    """Return the width of a column of pixels with which `columns` of them hold a window.

    Of whole seconds a column is a union of buckets of one second, which are kept for longer than the readings.

    Returns:
        Whole milliseconds; whole seconds for a window of more than `FINE_MS`.
    """
    unit_ms = 1 if window_ms <= FINE_MS else _SECOND_MS
    return max(1, math.ceil(window_ms / (columns * unit_ms))) * unit_ms
