"""Reads the times of line protocol, which say nothing of their unit; pure."""

from __future__ import annotations

from typing import Final

from tidewire.errors import InvalidInput
from tidewire.model.batch import is_plausible_time

__all__ = ["PRECISIONS", "Precision", "line_time_ms"]

Precision = str
"""A key of `PRECISIONS`, or ``auto``: told from each time's size."""

PRECISIONS: Final = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3_600e3}
"""Milliseconds in one unit of a time."""
_PER_MS: Final = {"ns": 1_000_000, "us": 1_000}  # exact: a time in ns has more digits than float64
# Smaller times are of that precision: `auto` of InfluxDB 3.
_AUTO: Final = ((5_000_000_000, "s"), (5_000_000_000_000, "ms"), (5_000_000_000_000_000, "us"))


def line_time_ms(time: int, precision: Precision, now_ms: float) -> float:
    """Return a line's time as Unix ms.

    Args:
        time: as the line has it.
        precision: its unit.
        now_ms: the time now, Unix ms.

    Raises:
        InvalidInput: before 1990 or too far ahead; says of which precision it would be plausible.
    """
    if precision == "auto":
        precision = next((unit for below, unit in _AUTO if abs(time) < below), "ns")
    time_ms = _as_ms(time, precision)
    if is_plausible_time(time_ms, now_ms):
        return time_ms
    meant = [unit for unit in PRECISIONS if is_plausible_time(_as_ms(time, unit), now_ms)]
    hint = f"; did you mean precision={meant[0]}?" if meant else ""
    raise InvalidInput("time", time, f"is not between 1990 and 65 min from now, in {precision}{hint}")


def _as_ms(time: int, precision: Precision) -> float:
    per_ms = _PER_MS.get(precision)
    return time / per_ms if per_ms else time * PRECISIONS[precision]
