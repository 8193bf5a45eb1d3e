"""What the pure core asks of the world: operations are generators that yield these requests and are sent answers.

The asyncio shell answers them from Redis and the socket (`hub.py`); the protocol tests answer them from an abstract
log, one at a time, in every order they can think of.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from tidewire.redislog.lineage import Watermark

__all__ = ["Drain", "Look", "ReadClock", "ReadEntries", "ReadLast", "ReadTails", "Request", "Steps", "Wait"]


class ReadClock(NamedTuple):
    """Read the clock, handing in evidence; answered by a `Clock`."""

    watermark: Watermark | None


class ReadTails(NamedTuple):
    """Read the directory; answered by a dict metric → last id that includes everything up to any clock read before."""


class ReadEntries(NamedTuple):
    """Read for each (metric, id) at most `page` entries after the id; answered by a list of lists of `Entry`.

    The metrics may be read one after another: nothing may be concluded from reading them "together". A read that began
    for another barrier must not answer this one: it may lack what was appended in between; nor one of another epoch: it
    may hold what a later lineage never had.
    """

    positions: tuple[tuple[str, int], ...]
    page: int
    barrier: int = 0
    epoch: str = ""


class ReadLast(NamedTuple):
    """Read the last readings of these metrics for a barrier; answered by dicts series key → `LastReading`."""

    metrics: tuple[str, ...]
    barrier: int = 0
    epoch: str = ""


class Look(NamedTuple):
    """Let the pump look at the clock, in a look that begins after now; answered by the `Clock` of that look."""


class Wait(NamedTuple):
    """Wait until the hub has moved; answered by None."""


class Drain(NamedTuple):
    """Wait until the socket takes bytes again and what was parked before it has been written; answered by None."""


Request: TypeAlias = ReadClock | ReadTails | ReadEntries | ReadLast | Look | Wait | Drain
T = TypeVar("T")
Steps: TypeAlias = Generator[Request, Any, T]
