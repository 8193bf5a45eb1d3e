"""The widths that buckets may have, and which of them a span gets; pure."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["STEPS_MS", "VIEW_STEPS_MS", "step_for", "view_step_for"]

STEPS_MS: Final = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    900_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000,
)  # fmt: skip
# Of a live view: 50 ms is a tick of the dashboard's clock; 900 s gives the longest window, a day, 96 buckets.
VIEW_STEPS_MS: Final = tuple(step_ms for step_ms in STEPS_MS if 50 <= step_ms <= 900_000)
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


def view_step_for(window_ms: float, buckets: int) -> int:
    """Return the width for a live view: that of `step_for`, within `VIEW_STEPS_MS`."""
    return min(max(step_for(window_ms, buckets), VIEW_STEPS_MS[0]), VIEW_STEPS_MS[-1])
