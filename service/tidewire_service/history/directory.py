"""Lists the metrics that match a request, complete up to a position of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

from tidewire.errors import LogUnavailable
from tidewire.model.cursor import Cursor
from tidewire.model.layout import Layout
from tidewire.model.pattern import Pattern
from tidewire.model.vector_cursor import AnyCursor, VectorCursor
from tidewire.redislog.lineage import Clock
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.hub.hub import Hub, PartitionHub
from tidewire_service.turns import Turns, sorted_in_turns

__all__ = ["Reading", "read_directory"]

_WAIT_S: Final = 0.25  # the hub is within a millisecond of the clock unless it is mending a hole
_POLL_S: Final = 0.002


class Reading(NamedTuple):
    """What a read is about.

    Attributes:
        layout: of the log.
        clocks: of each partition when the request came: everything acknowledged before is in it.
        tails: the metrics that match, sorted, each with its last id.
        missing: the partitions that do not answer, if the request does without them.
    """

    layout: Layout
    clocks: dict[int, Clock]
    tails: dict[str, int]
    missing: tuple[int, ...] = ()

    @property
    def upto(self) -> AnyCursor:
        """The log's position when the request came."""
        known = {number: Cursor(clock.epoch, clock.id) for number, clock in self.clocks.items()}
        return VectorCursor.of(self.layout.id, sorted(known.items())) if self.layout.id else known[0]

    @property
    def now_ms(self) -> float:
        """The log's clock, Unix ms."""
        return max(clock.now_ms for clock in self.clocks.values())

    def clock_of(self, metric: str) -> Clock:
        """Return the clock of the partition in which a metric lies."""
        return self.clocks[self.layout.partition_of(metric)]

    def confirm(self, number: int, clock: Clock, log: PartitionedLog) -> None:
        """Check by the clock that came with a read of a partition that it was of the lineage of the reading.

        Raises:
            LogUnavailable: it was of another one, so it may lack what lies below the position.
        """
        _confirm(clock, self.clocks[number], log.parts[number])


def _confirm(clock: Clock, before: Clock, log: RedisLog) -> None:
    if clock.epoch != before.epoch:
        raise LogUnavailable(f"Redis at {log.url} changed its lineage during the read; read again")


async def read_directory(
    hub: Hub, patterns: Sequence[Pattern], narrowed_to: tuple[str, ...] = (), *, partial: bool = False
) -> Reading:
    """Return the metrics that match, with everything that was acknowledged before the call.

    Args:
        hub: knows the directory.
        patterns: one of them has to match.
        narrowed_to: one of these too, unless there are none.
        partial: do without the partitions that do not answer, unless that are all that are asked for.

    The hub knows the directory up to its position. It is waited for, shortly; else the directory is read from Redis.

    Raises:
        LogUnavailable: Redis does not answer, or another server than a moment ago.
        LimitExceeded: matching takes too long.
    """
    parts = [hub.parts[number] for number in hub.touched(patterns)]
    asked = [part for part in parts if part.partition.number not in hub.away]
    if not asked or (len(asked) < len(parts) and not partial):
        gone = next(part.partition.number for part in parts if part.partition.number in hub.away)
        raise LogUnavailable(f"partition {gone} of the log at {hub.log.url} does not answer")
    reads = (_read_part(hub, part, patterns, narrowed_to) for part in asked)
    found = await asyncio.gather(*reads, return_exceptions=partial)
    clocks, tails = dict[int, Clock](), dict[str, int]()
    for part, one in zip(asked, found, strict=True):
        if isinstance(one, BaseException):
            if not isinstance(one, LogUnavailable) or len(asked) == 1:
                raise one
            continue
        clocks[part.partition.number] = one[0]
        tails |= one[1]
    if not clocks:
        raise LogUnavailable(f"Redis at {hub.log.url} does not answer")
    missing = tuple(part.partition.number for part in parts if part.partition.number not in clocks)
    if len(parts) > 1:
        tails = {metric: tails[metric] for metric in await sorted_in_turns(tuple(tails), Turns())}
    return Reading(hub.layout, clocks, tails, missing)


async def _read_part(
    hub: Hub, part: PartitionHub, patterns: Sequence[Pattern], narrowed_to: tuple[str, ...]
) -> tuple[Clock, dict[str, int]]:
    clock = await part.log.clock()
    partition, deadline = part.partition, monotonic() + _WAIT_S
    while True:
        if part.feed.ready and partition.epoch == clock.epoch and partition.flushed >= clock.id:
            return clock, await hub.matching(patterns, narrowed_to, partition.tails)
        if monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    every, confirming = await part.log.tails()
    _confirm(confirming, clock, part.log)
    return clock, await hub.matching(patterns, narrowed_to, every)
