"""The directory as a read needs it: the metrics that match, complete up to a position of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from tidewire.cursor import Cursor
from tidewire.pattern import Pattern
from tidewire.redis_log import RedisLog

if TYPE_CHECKING:
    from tidewire_service.hub import Hub

__all__ = ["Reading", "read_directory"]

_WAIT_S: Final = 0.25  # the hub is within a millisecond of the clock unless it is mending a hole
_POLL_S: Final = 0.002


class Reading(NamedTuple):
    """What a read is about.

    Attributes:
        upto: the log's position when the request came: everything acknowledged before is in it.
        now_ms: the log's clock, Unix ms.
        tails: the metrics that match, each with its last id.
    """

    upto: Cursor
    now_ms: float
    tails: dict[str, int]


async def read_directory(hub: Hub, log: RedisLog, patterns: Sequence[Pattern]) -> Reading:
    """Return the metrics that match, with everything that was acknowledged before the call.

    The hub knows the directory up to its position. It is waited for, shortly; else the directory is read from Redis.

    Raises:
        LogUnavailable: Redis does not answer.
    """
    clock = await log.clock()
    upto = Cursor(clock.epoch, clock.id)
    deadline = monotonic() + _WAIT_S
    while True:
        position = hub.position
        if hub.ready and position.epoch == upto.epoch and position.id >= upto.id:
            tails = hub.tails
            return Reading(upto, clock.now_ms, {metric: tails[metric] for metric in hub.metrics_matching(patterns)})
        if monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    every = await log.tails()
    found = {metric: last for metric, last in every.items() if any(pattern.matches(metric) for pattern in patterns)}
    return Reading(upto, clock.now_ms, found)
