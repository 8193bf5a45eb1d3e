"""Holds the newest words of a series, the texts of its readings without a number, and joins them to states; no I/O."""

from __future__ import annotations

import bisect
import math
import sys
from collections import deque
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Final, NamedTuple

__all__ = ["Run", "Words", "runs_of"]

_NEWEST: Final = 512  # readings held one by one: late ones are in their place among them
_MOST: Final = 4_096  # runs held before those: 0.5 MB
_NEIGHBOURS: Final = 5  # silences at either side that tell what was usual, as `tidewire.livestore.gaps` has it
_USUAL_TIMES: Final = 3.0
_AGAIN_MS: Final = 60_000.0  # after which the same word is news
_JOINED_MS: Final = 2_000.0  # equal words no further apart are one run: no gap is shorter


class Run(NamedTuple):
    """A state: from the reading that began it to the one that ended it, or to the last one before a gap; Unix ms.

    An empty text: nothing is known of the state, since the reading has neither a number nor a text.
    """

    from_ms: float
    to_ms: float
    text: str


class Words:
    """The newest words of one series in order of time: the last readings, each a run of its own, and runs before them.

    Attributes:
        covered_from_ms: since when all are held; -inf if none was dropped.
    """

    __slots__ = ("_newest", "_runs", "covered_from_ms")

    def __init__(self) -> None:
        self._newest: deque[Run] = deque()
        self._runs: deque[Run] = deque(maxlen=_MOST)
        self.covered_from_ms = -math.inf

    def add(self, time_ms: float, text: str) -> bool:
        """Add a reading, also an older one or one that is held.

        Returns:
            Whether it is an event: the state changed, or is the same after a minute.
        """
        newest = self._newest
        reading = Run(time_ms, time_ms, sys.intern(text))
        if newest and time_ms <= newest[-1].from_ms:
            return self._add_late(reading)
        changed = not newest or newest[-1].text != text or time_ms - newest[-1].to_ms > _AGAIN_MS
        newest.append(reading)
        if len(newest) > _NEWEST:
            self._join(newest.popleft())
        return changed

    def _add_late(self, reading: Run) -> bool:
        """Add a reading that is not newer than all; inside a run it holds for the rest of that, if it is of another."""
        if reading.from_ms < self.covered_from_ms:
            return False
        held = self._runs if self._runs and reading.from_ms < self._newest[0].from_ms else self._newest
        at = bisect.bisect_right(held, reading.from_ms, key=lambda run: run.from_ms)
        before = held[at - 1] if at else None
        if before is not None and before.text == reading.text and before.to_ms >= reading.from_ms:
            return False
        if before is not None and before.to_ms > reading.from_ms:
            held[at - 1] = before._replace(to_ms=reading.from_ms)
            reading = reading._replace(to_ms=before.to_ms)
        if len(held) == held.maxlen:
            self.covered_from_ms = held.popleft().to_ms
            at -= 1
        held.insert(max(0, at), reading)
        return before is None or before.text != reading.text

    def _join(self, reading: Run) -> None:
        runs = self._runs
        if runs and runs[-1].text == reading.text and reading.from_ms - runs[-1].to_ms <= _JOINED_MS:
            runs[-1] = runs[-1]._replace(to_ms=reading.to_ms)
            return
        if len(runs) == _MOST:
            self.covered_from_ms = runs[1].from_ms
        runs.append(reading)

    def since(self, time_ms: float) -> list[Run]:
        """Return the readings, and runs of them, from a time on, and those before it that tell what a gap is."""
        found: list[Run] = []
        before = 0
        for run in chain(reversed(self._newest), reversed(self._runs)):
            found.append(run)
            before += run.from_ms < time_ms
            if before > _NEIGHBOURS:
                break
        return found[::-1]


def runs_of(parts: Sequence[Run], limit_ms: float) -> list[Run]:
    """Return the states of readings and of runs of them, in order of time.

    Args:
        parts: equal neighbours are one state, unless a gap lies between them.
        limit_ms: the longest silence that is no gap, NaN if nobody can tell: then there is none. As of numbers, a gap
            is as well so many times as long as the silences around it.
    """
    silences = [after.from_ms - before.to_ms for before, after in pairwise(parts)]
    states: list[Run] = []
    for at, part in enumerate(parts):
        if states and not (silences[at - 1] > limit_ms and silences[at - 1] > _USUAL_TIMES * _usual(silences, at - 1)):
            before = states[-1]
            if before.text == part.text:
                states[-1] = before._replace(to_ms=part.to_ms)
                continue
            states[-1] = before._replace(to_ms=part.from_ms)
        states.append(part)
    return [state for state in states if state.text]


def _usual(silences: Sequence[float], at: int) -> float:
    """Return the median of the silences around one; 0 if there are fewer than two."""
    around = sorted([*silences[max(0, at - _NEIGHBOURS) : at], *silences[at + 1 : at + 1 + _NEIGHBOURS]])
    return around[len(around) // 2] if len(around) >= 2 else 0.0
