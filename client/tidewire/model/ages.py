"""Spans of time, how old a reading is and how late it came, in the words of the deck; pure.

The deck has them in `client/chart/src/base/format.ts` and `model/freshness.ts`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["long_span_text", "span_text", "way_text"]

_NO_WAY_MS: Final = 1_000.0  # a way of this length is not worth a word, and clocks differ by as much


def span_text(span_ms: float) -> str:
    """Return 42 s, 3 min, 5 h or 2 d: whole units, rounded down."""
    seconds = int(max(0.0, span_ms) // 1_000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min"
    return f"{seconds // 3_600} h" if seconds < 172_800 else f"{seconds // 86_400} d"


def long_span_text(span_ms: float) -> str:
    """Return 42 s, 3 min 20 s, 5 h 4 min or 2 d 3 h: two units, rounded to seconds."""
    seconds = int(max(0.0, span_ms) / 1_000 + 0.5)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60} s" if seconds % 60 else f"{seconds // 60} min"
    hours, minutes = seconds // 3_600, seconds % 3_600 // 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def way_text(time_ms: float, came_ms: float) -> str:
    """Return how late a reading came, such as ``45 s late``, or how far its clock is ahead; empty within a second.

    Args:
        time_ms: its own time, Unix ms.
        came_ms: the log's time at which it was appended, Unix ms.
    """
    way_ms = came_ms - time_ms
    if way_ms > _NO_WAY_MS:
        return f"{span_text(way_ms)} late"
    return f"{span_text(-way_ms)} ahead" if way_ms < -_NO_WAY_MS else ""
