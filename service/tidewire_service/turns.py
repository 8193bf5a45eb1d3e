"""Long work in turns with everything else that the event loop does, and with a bound."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Final

from tidewire.errors import LimitExceeded

__all__ = ["Turns", "sorted_in_turns"]

_TURN_S: Final = 0.005
_SORTED: Final = 8_192  # sorted at once; sorting 100,000 names takes 50 ms, and 15 ms where they come in runs


class Turns:
    """Lets others run after each 5 ms of work, and bounds the work of one request.

    Args:
        max_s: largest work, seconds of CPU time: a busy machine refuses nobody.
        remedy: how to ask for less.
    """

    def __init__(
        self, max_s: float = math.inf, remedy: str = "name fewer metrics, or use fewer patterns with * or **"
    ) -> None:
        self._max_s = max_s
        self._remedy = remedy
        self._spent_s = 0.0
        self._began = time.thread_time()

    async def take(self) -> None:
        """Let others run if it is their turn.

        Raises:
            LimitExceeded: the work has taken too long.
        """
        worked_s = time.thread_time() - self._began
        if worked_s < _TURN_S:
            return
        self._spent_s += worked_s
        if self._spent_s > self._max_s:
            raise LimitExceeded("max_matching_s", self._max_s, self._spent_s, self._remedy)
        await asyncio.sleep(0)
        self._began = time.thread_time()


async def sorted_in_turns(names: Sequence[str], turns: Turns) -> list[str]:
    """Return names in order; takes a turn after each run of them.

    Raises:
        LimitExceeded: it takes too long.
    """
    runs: list[str] = []
    for first in range(0, len(names), _SORTED):
        runs += sorted(names[first : first + _SORTED])
        await turns.take()
    runs.sort()
    return runs
