"""The acknowledgement machine: when the next frame of one view goes to one viewer; pure.

At most one frame is out. If a tick passes meanwhile, the next frame goes out on the acknowledgement: waiting for the
next tick would lose a whole one when the acknowledgement is a millisecond late.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TICKS_PER_S", "TICK_MS", "Pacing"]

TICKS_PER_S: Final = 10  # the fastest view; slower ones take every n-th tick, all the same ones, to share their bytes
TICK_MS: Final = 1_000 / TICKS_PER_S


class Pacing:
    """The frames of one view of one viewer.

    Args:
        fps: frames per second wanted, 1 to 10.

    Attributes:
        since: the frame sent last, None before the first: the next one is a snapshot.
        out: the frame that was sent and not acknowledged, or None.
        due: a tick passed while a frame was out.
    """

    __slots__ = ("_every", "_late_ms", "_sent_ms", "due", "out", "since")

    def __init__(self, fps: int) -> None:
        self._every = max(1, round(TICKS_PER_S / fps))
        self._sent_ms = 0.0
        self._late_ms = 0.0  # of the acknowledgement before
        self.since: int | None = None
        self.out: int | None = None
        self.due = False

    def tick(self, number: int) -> bool:
        """Take note of a tick; tell whether to send a frame now."""
        if number % self._every:
            return False
        if self.out is not None:
            self.due = True
            return False
        return True

    def sent(self, seq: int, now_ms: float) -> None:
        """Take note that a frame was sent; of any clock that rises."""
        self.since = self.out = seq
        self._sent_ms = now_ms
        self.due = False

    def acknowledged(self, seq: int, now_ms: float) -> bool:
        """Take note of an acknowledgement; tell whether to send a frame now."""
        if seq != self.out:
            return False
        self._late_ms = self._lateness(now_ms)
        self.out = None
        return self.due

    def restart(self) -> None:
        """Forget what was sent: the next frame is a snapshot and is not held back."""
        self.since = self.out = None
        self.due = False
        self._late_ms = 0.0

    def lag_ms(self, now_ms: float) -> float:
        """Return how late the last acknowledgement came, or the next one is by now, whichever is more."""
        return max(self._late_ms, 0.0 if self.out is None else self._lateness(now_ms))

    def _lateness(self, now_ms: float) -> float:
        return max(0.0, now_ms - self._sent_ms - self._every * TICK_MS)
