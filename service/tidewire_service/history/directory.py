"""Lists the metrics that match a request, complete up to a position of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

from tidewire.errors import LogUnavailable
from tidewire.model.cursor import Cursor
from tidewire.model.pattern import Pattern
from tidewire.redislog.lineage import Clock, Fork
from tidewire.redislog.log import RedisLog
from tidewire_service.hub.hub import Hub

__all__ = ["Reading", "confirm", "read_directory"]

_WAIT_S: Final = 0.25  # the hub is within a millisecond of the clock unless it is mending a hole
_POLL_S: Final = 0.002


class Reading(NamedTuple):
    """What a read is about.

    Attributes:
        upto: the log's position when the request came: everything acknowledged before is in it.
        now_ms: the log's clock, Unix ms.
        tails: the metrics that match, sorted, each with its last id.
        chain: the lineage of the log.
    """

    upto: Cursor
    now_ms: float
    tails: dict[str, int]
    chain: tuple[Fork, ...] = ()


def confirm(clock: Clock, upto: Cursor, log: RedisLog) -> None:
    """Check by the clock that came with a read that it was of the lineage of a position.

    Raises:
        LogUnavailable: it was of another one, so it may lack what lies below the position.
    """
    if clock.epoch != upto.epoch:
        raise LogUnavailable(f"Redis at {log.url} changed its lineage during the read; read again")


async def read_directory(
    hub: Hub, log: RedisLog, patterns: Sequence[Pattern], narrowed_to: tuple[str, ...] = ()
) -> Reading:
    """Return the metrics that match, with everything that was acknowledged before the call.

    Args:
        hub: knows the directory.
        log: the log itself.
        patterns: one of them has to match.
        narrowed_to: one of these too, unless there are none.

    The hub knows the directory up to its position. It is waited for, shortly; else the directory is read from Redis.

    Raises:
        LogUnavailable: Redis does not answer, or another server than a moment ago.
        LimitExceeded: matching takes too long.
    """
    clock = await log.clock()
    upto = Cursor(clock.epoch, clock.id)
    deadline = monotonic() + _WAIT_S
    while True:
        if hub.ready and hub.epoch == upto.epoch and hub.position.id >= upto.id:
            return Reading(upto, clock.now_ms, await hub.tails_matching(patterns, narrowed_to), clock.chain)
        if monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    every, confirming = await log.tails()
    confirm(confirming, upto, log)
    found = await hub.tails_matching(patterns, narrowed_to, every)
    return Reading(upto, clock.now_ms, found, clock.chain)
