"""The hub's reads of the log: each within a deadline, bounded in number, and shared by all that need the same one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from tidewire.errors import LogUnavailable
from tidewire.redislog.calls import Entry, LastReading
from tidewire.redislog.lineage import Clock, Watermark
from tidewire_service.hub.effects import Effect, ReadClock, ReadEntries, ReadLast, ReadTails

__all__ = ["LogReads", "ReadableLog"]

_READERS: Final = 8  # concurrent reads for subscriptions: half of the pool, the rest is the tracker's and the routes'
_DEADLINE_S: Final = 2.0  # of one read: half of the 5 s in which readiness must answer


class ReadableLog(Protocol):
    """What the hub reads from; `RedisLog` is one."""

    url: str

    async def clock(self, watermark: Watermark | None = None) -> Clock:
        """Return one atomic reply of the clock."""

    async def tails(self, watermark: Watermark | None = None) -> tuple[dict[str, int], Clock]:
        """Return the directory, and the clock after it."""

    async def entries_after(
        self, positions: Sequence[tuple[str, int]], count: int | None = None, watermark: Watermark | None = None
    ) -> tuple[list[list[Entry]], Clock]:
        """Return the entries after an id, for each metric, and the clock after them."""

    async def last_readings(
        self, metrics: Sequence[str], watermark: Watermark | None = None
    ) -> tuple[list[dict[bytes, LastReading]], Clock]:
        """Return the last readings, for each metric, and the clock after them."""

    def give_up(self) -> None:
        """Use no connection of now again."""


class LogReads:
    """Performs the read effects of the pure core.

    Args:
        log: what to read from.
        counters: counts ``reads``, ``reads_late`` and ``reads_shared``.
        watermark: returns the hub's highest id with its lineage, handed in with each read of the clock.

    Attributes:
        clock_offset_ms: the log's clock minus this process's, milliseconds.
    """

    def __init__(self, log: ReadableLog, counters: Counter[str], watermark: Callable[[], Watermark | None]) -> None:
        self.clock_offset_ms = 0.0
        self._looked = False
        self._log = log
        self._counters = counters
        self._watermark = watermark
        self._shared: dict[ReadEntries | ReadLast, asyncio.Task[Any]] = {}
        self._readers = asyncio.Semaphore(_READERS)

    async def read(self, effect: Effect) -> Any:
        """Perform one read effect.

        Raises:
            LogUnavailable: Redis did not answer within 2 s, or refused.
        """
        log = self._log
        try:
            async with asyncio.timeout(_DEADLINE_S):
                match effect:
                    case ReadClock(watermark):
                        started = time.time() * 1e3
                        clock = await log.clock(watermark)
                        self._bound_offset(clock.now_ms - time.time() * 1e3, clock.now_ms + 1 - started)
                        return clock
                    case ReadTails():
                        return await log.tails(self._watermark())
                    case ReadEntries(positions, page):
                        return await log.entries_after(positions, page, self._watermark())
                    case ReadLast(metrics):
                        return await log.last_readings(metrics, self._watermark())
        except TimeoutError as error:
            self._counters["reads_late"] += 1
            log.give_up()
            raise LogUnavailable(f"Redis at {log.url} did not answer within {_DEADLINE_S:g} s") from error
        raise TypeError(f"not a read: {effect!r}")

    def _bound_offset(self, least_ms: float, most_ms: float) -> None:
        """Move the clock's offset as little as one look at the clock demands.

        A look that took long says little. Were each believed, the default times of two readings that came one after the
        other could be in another order than they.
        """
        if not self._looked:
            self._looked, self.clock_offset_ms = True, (least_ms + most_ms) / 2
        self.clock_offset_ms = min(max(self.clock_offset_ms, least_ms), most_ms)

    async def shared(self, effect: ReadEntries | ReadLast) -> Any:
        """Read for a subscription; those that ask for the same while it is being read share the result.

        The same includes the barrier and the epoch. A read that began before this barrier was fixed may lack what lies
        below it (docs/protocol.md row 3), which would never be read again; one that began in another lineage may hold
        what this one never had, and the clock that confirms the page would not show it.
        """
        reading = self._shared.get(effect)
        if reading is None:
            reading = asyncio.create_task(self._bounded(effect))
            self._shared[effect] = reading
            reading.add_done_callback(lambda task: self._forget(effect, task))
        else:
            self._counters["reads_shared"] += 1
        return await asyncio.shield(reading)

    def _forget(self, effect: ReadEntries | ReadLast, task: asyncio.Task[Any]) -> None:
        self._shared.pop(effect, None)
        if not task.cancelled():
            task.exception()  # those that waited got it; if all are gone, it is of no use

    async def _bounded(self, effect: ReadEntries | ReadLast) -> Any:
        async with self._readers:
            self._counters["reads"] += 1
            return await self.read(effect)

    async def close(self) -> None:
        """Cancel the reads in flight."""
        tasks = list(self._shared.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
