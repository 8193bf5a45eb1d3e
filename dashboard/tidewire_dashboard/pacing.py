"""Decides when the next frame of a view is sent to a viewer, by the viewer's acknowledgements; pure.

At most one frame is unacknowledged. If a tick passes before its acknowledgement, the next frame is sent with the
acknowledgement: waiting for the next tick would lose a whole one when the acknowledgement is a millisecond late.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TICKS_PER_S", "TICK_MS", "Pacing"]

TICKS_PER_S: Final = 10  # of the fastest view; slower ones use every n-th tick, the same for all, to share their bytes
# Charts use every second tick. A view that is slower uses some of these, so that a page draws both at once.
_CHART_TICKS: Final = 2
TICK_MS: Final = 1_000 / TICKS_PER_S


class Pacing:
    """The pace of one view of one viewer.

    Args:
        fps: requested frames per second, 1 to 10; below 5 it is met by 2.5, 1.7, 1.2 or 1.

    Attributes:
        since: number of the frame sent last; None before the first, so that the next one is a snapshot.
        unacknowledged: number of the frame that was sent and not acknowledged, or None.
        due: whether a tick passed while a frame was unacknowledged.
    """

    __slots__ = ("_every", "_late_ms", "_sent_ms", "due", "since", "unacknowledged")

    def __init__(self, fps: int) -> None:
        every = max(1, round(TICKS_PER_S / fps))
        self._every = every if every < _CHART_TICKS else every + every % _CHART_TICKS
        self._sent_ms = 0.0
        self._late_ms = 0.0  # of the last acknowledgement
        self.since: int | None = None
        self.unacknowledged: int | None = None
        self.due = False

    def tick(self, number: int) -> bool:
        """Record a tick and return whether to send a frame now."""
        if number % self._every:
            return False
        if self.unacknowledged is not None:
            self.due = True
            return False
        return True

    def sent(self, seq: int, now_ms: float) -> None:
        """Record that a frame was sent, at a time of any monotonic clock."""
        self.since = self.unacknowledged = seq
        self._sent_ms = now_ms
        self.due = False

    def acknowledged(self, seq: int, now_ms: float) -> bool:
        """Record an acknowledgement and return whether to send a frame now."""
        if seq != self.unacknowledged:
            return False
        self._late_ms = self._lateness(now_ms)
        self.unacknowledged = None
        return self.due

    def restart(self) -> None:
        """Forget what was sent: the next frame is a snapshot and waits for no acknowledgement."""
        self.since = self.unacknowledged = None
        self.due = False
        self._late_ms = 0.0

    def lag_ms(self, now_ms: float) -> float:
        """Return how late the last acknowledgement came or how late the missing one is by now, whichever is more."""
        return max(self._late_ms, 0.0 if self.unacknowledged is None else self._lateness(now_ms))

    def _lateness(self, now_ms: float) -> float:
        return max(0.0, now_ms - self._sent_ms - self._every * TICK_MS)
