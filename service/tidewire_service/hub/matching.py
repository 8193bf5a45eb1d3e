"""Selects metrics by patterns, taking turns with everything else that the event loop does."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from tidewire.errors import LimitExceeded
from tidewire.model.pattern import Pattern, compile_patterns

__all__ = ["Turns", "part_of"]

V = TypeVar("V")

_TURN_S: Final = 0.005
_NAMES: Final = 64  # matched with one pattern between two looks at the time: 10 ms at 150 us, the costliest match
_SORTED: Final = 8_192  # sorted at once; sorting 100,000 names takes 50 ms, and 15 ms where they come in runs


class Turns:
    """Lets others run after each 5 ms of work, and bounds the work of one request.

    Args:
        max_s: largest work, seconds of CPU time: a busy machine refuses nobody.
    """

    def __init__(self, max_s: float = math.inf) -> None:
        self._max_s = max_s
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
            remedy = "name fewer metrics, or use fewer patterns with * or **"
            raise LimitExceeded("max_matching_s", self._max_s, self._spent_s, remedy)
        await asyncio.sleep(0)
        self._began = time.thread_time()


async def part_of(
    directory: Mapping[str, V], patterns: Collection[Pattern], narrowed_to: Iterable[str], turns: Turns
) -> dict[str, V]:
    """Return the part of a directory that some patterns select, sorted by name, as it was at the call.

    Args:
        directory: by metric.
        patterns: one of them has to match.
        narrowed_to: one of these has to match as well, unless there are none.
        turns: bounds the work.

    Raises:
        LimitExceeded: it takes too long.
    """
    every = dict(directory)
    names = list(every)
    allowed = compile_patterns(narrowed_to)
    found: list[str] = []
    for first in range(0, len(names), _SORTED):
        some = await _selected(names[first : first + _SORTED], patterns, turns)
        if allowed:
            some = await _selected(some, allowed, turns)
        found += sorted(some)
        await turns.take()
    found.sort()
    part: dict[str, V] = {}
    for first in range(0, len(found), _SORTED):
        part.update((name, every[name]) for name in found[first : first + _SORTED])
        await turns.take()
    return part


async def _selected(names: Sequence[str], patterns: Collection[Pattern], turns: Turns) -> Sequence[str]:
    selected = {pattern.text for pattern in patterns if pattern.literal}.intersection(names)
    for pattern in patterns:
        if pattern.text == "**":
            return names
        if pattern.literal:
            continue
        pattern.matches("")  # compiles it, also where there is no metric yet
        for first in range(0, len(names), _NAMES):
            selected.update(filter(pattern.matches, names[first : first + _NAMES]))
            await turns.take()
    return list(selected)
