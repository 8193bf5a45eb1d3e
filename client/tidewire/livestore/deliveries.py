"""Tells how far apart the blocks come in which a producer publishes what it collected; pure.

Readings of each second that are published once a minute are not silent in between, though the pace of their own times
says so.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final

__all__ = ["LEAST_SILENCE_MS", "Deliveries"]

LEAST_SILENCE_MS: Final = 2_000.0  # a shorter one never counts as silence
_KEPT: Final = 8
_FROM: Final = 3  # silences that make a habit: one or two may be outages of which a publisher's outbox made up


class Deliveries:
    """The silences of one series that its next block of readings accounted for, the newest eight."""

    __slots__ = ("_silences",)

    def __init__(self) -> None:
        self._silences: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def note(self, silence_ms: float, until_ms: float) -> None:
        """Note a silence, longer than `LEAST_SILENCE_MS`, and the log time of the block that ended it."""
        self._silences.append((silence_ms, until_ms))

    def interval_ms(self, last_ms: float) -> float:
        """Return how far apart blocks usually come.

        Args:
            last_ms: log time at which the newest reading came.

        Returns:
            Milliseconds; 0 unless at least three silences fill more than half of the time since the first, and none
            is missing since the last.
        """
        if len(self._silences) < _FROM:
            return 0.0
        silences = [silence_ms for silence_ms, _ in self._silences]
        first_ms, newest_ms = self._silences[0][1] - silences[0], self._silences[-1][1]
        usual_ms = statistics.median(silences)
        if 2 * math.fsum(silences) < newest_ms - first_ms or last_ms - newest_ms > usual_ms:
            return 0.0
        return usual_ms
