"""What the pure core asks of the outside: operations are generators that yield effects and are sent their results.

The asyncio shell runs them against Redis and the socket (`partition_feed.py`, `hub.py`); the protocol tests run them
against an abstract log, one effect at a time, in every order they can think of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from tidewire.redislog.lineage import Watermark

__all__ = [
    "Drain",
    "Effect",
    "Effects",
    "ReadClock",
    "ReadEntries",
    "ReadLast",
    "ReadTails",
    "SyncClock",
    "Turn",
    "Wait",
    "run_effects",
]


class ReadClock(NamedTuple):
    """Read the clock, handing in evidence of lost writes; the result is a `Clock`."""

    watermark: Watermark | None


class ReadTails(NamedTuple):
    """Read the directory, then the clock, down the same connection; the result is both.

    The directory maps metric → last id and includes everything up to any clock read before.
    """


class ReadEntries(NamedTuple):
    """Read for each (metric, id) at most `page` entries after the id, then the clock, down the same connection.

    The result is a list of lists of `Entry`, and the `Clock`. The metrics may be read one after another: nothing may be
    concluded from reading them "together". A read that began
    for another barrier must not answer this one: it may lack what was appended in between; nor one of another epoch: it
    may hold what a later lineage never had.
    """

    positions: tuple[tuple[str, int], ...]
    page: int
    barrier: int = 0
    epoch: str = ""


class ReadLast(NamedTuple):
    """Read the last readings of these metrics for a barrier, then the clock, down the same connection.

    The result is a list of dicts series key → `LastReading`, and the `Clock`.
    """

    metrics: tuple[str, ...]
    barrier: int = 0
    epoch: str = ""


class SyncClock(NamedTuple):
    """Compare the position with the clock, in a read that begins later than this; the result is a `Clock`."""


class Wait(NamedTuple):
    """Wait until the hub has moved; the result is None."""


class Turn(NamedTuple):
    """Let everything else run between two parts of one long step; the result is None."""


class Drain(NamedTuple):
    """Wait until the socket accepts bytes again and what was parked before has been written; the result is None."""


Effect: TypeAlias = ReadClock | ReadTails | ReadEntries | ReadLast | SyncClock | Wait | Turn | Drain
T = TypeVar("T")
Effects: TypeAlias = Generator[Effect, Any, T]


async def run_effects(
    effects: Effects[T], perform: Callable[[Effect], Awaitable[Any]], pending: Effect | None = None
) -> T:
    """Run an operation to its end and return its value.

    Args:
        effects: the operation.
        perform: performs one effect and returns its result.
        pending: the effect that the operation has already yielded, if it has begun.
    """
    result: Any = None if pending is None else await perform(pending)
    while True:
        try:
            effect = effects.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return type is lost in StopIteration
        result = await perform(effect)
