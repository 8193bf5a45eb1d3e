"""Long work in turns with everything else that the event loop does, and with a bound."""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeVar

from tidewire.errors import LimitExceeded

__all__ = ["Turns", "at_once", "ordering", "sorted_in_turns"]

T = TypeVar("T")
_TURN_S: Final = 0.005
_SORTED: Final = 8_192  # sorted at once, 4 ms for names; 100,000 take 50 ms, and 15 ms where they come in runs
_SAMPLED: Final = 16  # items of each run


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


def ordering(items: Sequence[T], key: Callable[[T], Any]) -> Generator[None, None, list[T]]:
    """Yield between the parts of the work, each a few milliseconds; return the items in order.

    Sorts runs, then what all of them hold of one range after another; the ranges are cut where a regular sample of the
    runs says that they hold about as much as a run (Shi and Schaeffer, "Parallel sorting by regular sampling", 1992).
    """
    runs = []
    for first in range(0, len(items), _SORTED):
        if first:
            yield
        runs.append(sorted(items[first : first + _SORTED], key=key))
    if len(runs) <= 1:
        return runs[0] if runs else []
    sample = sorted((item for run in runs for item in run[:: _SORTED // _SAMPLED]), key=key)
    ordered: list[T] = []
    taken = [0] * len(runs)
    for bound in [*map(key, sample[_SAMPLED::_SAMPLED]), None]:
        yield
        part: list[T] = []
        for number, run in enumerate(runs):
            end = len(run) if bound is None else bisect_left(run, bound, taken[number], key=key)
            part += run[taken[number] : end]
            taken[number] = end
        part.sort(key=key)
        ordered += part
    return ordered


def at_once(work: Generator[None, None, T]) -> T:
    """Do work that yields between its parts, without a turn for anybody; return its result."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # the generator's return type is lost in StopIteration


async def sorted_in_turns(names: Sequence[str], turns: Turns) -> list[str]:
    """Return names in order, in turns with everything else.

    Raises:
        LimitExceeded: it takes too long.
    """
    ordered: list[str] = []

    def work() -> Generator[None, None, None]:
        ordered.extend((yield from ordering(names, key=str)))

    for _ in work():
        await turns.take()
    return ordered
