"""How old a reading is and how late it came, in the words of the deck (`client/chart/src/model/freshness.ts`); pure."""

from __future__ import annotations

from typing import Final

__all__ = ["span_text", "way_text"]

_NO_WAY_MS: Final = 1_000.0  # a way of this length is not worth a word, and clocks differ by as much


def span_text(span_ms: float) -> str:
    """Return 42 s, 3 min, 5 h or 2 d: whole units, rounded down."""
    seconds = int(max(0.0, span_ms) // 1_000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min"
    return f"{seconds // 3_600} h" if seconds < 172_800 else f"{seconds // 86_400} d"


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
