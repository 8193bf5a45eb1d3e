"""The log of all partitions: splits what is appended, and reads each metric from where it lies.

A log of one partition is a `RedisLog`, and nothing here costs it more than a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from tidewire.errors import LayoutMismatch, LogUnavailable
from tidewire.model.batch import EncodedBatch
from tidewire.model.layout import SINGLE, Layout
from tidewire.model.vector_cursor import VectorCursor
from tidewire.redislog.calls import KEPT_KEY, Appended, Entry, LastReading, Once
from tidewire.redislog.lineage import Clock
from tidewire.redislog.log import BlockingRedisLog, RedisLog

__all__ = ["Appender", "BlockingPartitionedLog", "PartitionedLog"]


def _merged(layout: Layout, batches: int, places: dict[int, list[int]], answers: dict[int, Appended]) -> Appended:
    """Return the answer to an append from those of its partitions."""
    results: list[int | str] = [""] * batches
    for number, answer in answers.items():
        for place, result in zip(places[number], answer.results, strict=True):
            results[place] = result
    vector = VectorCursor.of(layout.id, ((number, answer.own_cursor) for number, answer in answers.items()))
    duplicate = all(answer.duplicate for answer in answers.values())
    return Appended(vector.epoch, vector.id, tuple(results), duplicate, vector)


class Appender(Protocol):
    """What appends to one partition; `RedisLog` is one."""

    async def append(
        self, batches: Sequence[EncodedBatch], *, publisher: str = "", sequence: int = 0, once: Once | None = None
    ) -> Appended:
        """Append batches, see `RedisLog.append`."""


class PartitionedLog:
    """The partitions of a log, for asyncio.

    Args:
        url: of Redis, see `RedisLog`.
        layout: how the log is split; what it really is says `RedisLog.read_layout`.
        options: of each `RedisLog`.

    Attributes:
        layout: as given.
        parts: the log of each partition.
        home: where everything is that lies in no partition: documents, tokens and tickets. Of a log of one partition
            it is that one.
        away: the partitions that are known not to answer; set by whoever watches them.

    Raises (every method): LogUnavailable: a partition did not answer in time, or refused for now.
    """

    def __init__(self, url: str, *, layout: Layout = SINGLE, **options: Any) -> None:
        self.layout = layout
        self.away: Mapping[int, float] = {}
        self.parts = tuple(
            RedisLog(url, layout=layout, partition=number, **options) for number in range(layout.partitions)
        )
        self.home = self.parts[0] if not layout.id else RedisLog(url, layout=layout, partition=None, **options)
        if layout.id:
            for part in self.parts:
                part.confirm_layout = self.confirm_layout

    async def confirm_layout(self) -> None:
        """Write the layout if it is not there, as before a partition begins.

        Raises:
            LayoutMismatch: it is another.
        """
        found = await self.home.read_layout(self.layout)
        if found != self.layout:
            raise LayoutMismatch(
                f"the log at {self.url} has {found.partitions} partitions, and was taken for one of "
                f"{self.layout.partitions}: start this process again"
            )

    @classmethod
    def of_one(cls, log: RedisLog) -> PartitionedLog:
        """Return the partitioned log of one partition."""
        made = cls.__new__(cls)
        made.layout, made.parts, made.home, made.away = SINGLE, (log,), log, {}
        return made

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self.home.url

    def of(self, metric: str) -> RedisLog:
        """Return the log of the partition in which a metric lies."""
        return self.parts[self.layout.partition_of(metric)]

    async def append(
        self, batches: Sequence[EncodedBatch], *, publisher: str = "", sequence: int = 0, once: Once | None = None
    ) -> Appended:
        """Append batches as `RedisLog.append` does, to their partitions side by side.

        A part that was stored answers a repeat as a duplicate, if the repeat has the same sequence or key.

        Raises:
            LogUnavailable: a partition is away; `stored` says what others have stored.
            LogFull, PublishConflict: as `RedisLog.append` says.
        """
        return await self.append_by(self.parts, batches, publisher=publisher, sequence=sequence, once=once)

    async def append_by(
        self, appenders: Sequence[Appender], batches: Sequence[EncodedBatch], **options: Any
    ) -> Appended:
        """Append as `append` does, each partition's batches by its own appender.

        Raises:
            LogUnavailable: before anything is stored, if a partition is known to be away.
        """
        if len(appenders) == 1:
            return await appenders[0].append(batches, **options)
        places = self.layout.split(batch.metric for batch in batches) or {0: []}
        once = options.get("once")
        if gone := sorted(self.away.keys() & places):
            raise LogUnavailable(f"partition {gone[0]} of the log at {self.url} does not answer; nothing was stored")
        if once is not None and (keeper := self.layout.partition_of(once.key)) not in self.away:
            # whether the key came with another body, before anything is stored, wherever the metrics of both lie
            await self.parts[keeper].append([], once=once._replace(key=once.key + KEPT_KEY))
        answers = await asyncio.gather(
            *(appenders[number].append([batches[at] for at in own], **options) for number, own in places.items()),
            return_exceptions=True,
        )
        done: dict[int, Appended] = {}
        failed: BaseException | None = None
        stored: list[int | str | None] = [None] * len(batches)
        for number, answer in zip(places, answers, strict=True):
            if isinstance(answer, Appended):
                done[number] = answer
            elif failed is None or not isinstance(answer, LogUnavailable):
                failed = answer
            results = answer.results if isinstance(answer, Appended) else getattr(answer, "stored", ())
            for place, result in zip(places[number], results, strict=False):
                stored[place] = result
        if failed is None:
            return _merged(self.layout, len(batches), places, done)
        if isinstance(failed, LogUnavailable):
            failed.stored = () if all(result is None for result in stored) else tuple(stored)
        raise failed

    async def last_readings(self, metrics: Sequence[str]) -> tuple[list[dict[bytes, LastReading]], dict[int, Clock]]:
        """Return for each metric its series with their last readings, and the clock after them of each partition."""
        places = self.layout.split(metrics)
        read = await asyncio.gather(
            *(self.parts[number].last_readings([metrics[place] for place in own]) for number, own in places.items())
        )
        found: list[dict[bytes, LastReading]] = [{}] * len(metrics)
        clocks: dict[int, Clock] = {}
        for (number, own), (readings, clock) in zip(places.items(), read, strict=True):
            clocks[number] = clock
            for place, one in zip(own, readings, strict=True):
                found[place] = one
        return found, clocks

    async def entries_between(self, metric: str, first: int, last: int, count: int) -> tuple[list[Entry], Clock]:
        """Return entries of a metric; as `RedisLog.entries_between`."""
        return await self.of(metric).entries_between(metric, first, last, count)

    async def series_count(self, metrics: Sequence[str]) -> int:
        """Return how many series these metrics have together."""
        places = self.layout.split(metrics)
        counts = (self.parts[number].series_count([metrics[at] for at in own]) for number, own in places.items())
        return sum(await asyncio.gather(*counts))

    async def ping(self) -> float:
        """Return how long home took to answer, in seconds."""
        return await self.home.ping()

    @property
    def skipped_entries(self) -> int:
        """Entries and fields in the log's keys that no append of ours wrote, skipped so far."""
        return sum(log.skipped_entries for log in self.parts)

    @property
    def servers(self) -> Iterable[RedisLog]:
        """The logs whose servers hold something of it, home first."""
        return dict.fromkeys((self.home, *self.parts))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(log.close() for log in self.servers))


class BlockingPartitionedLog:
    """The partitions of a log, for a publisher: taken for a single one, until the log refuses that.

    So a log of one partition costs no question. Each of `parts` is for one thread.

    Args:
        url: of Redis, see `BlockingRedisLog`.
        options: of each `BlockingRedisLog`.

    Raises (every method):
        LayoutMismatch: the log is split otherwise; `forget_layout`, then repeat the call.
        LogUnavailable: a partition did not answer in time, or refused for now.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._url = url
        self._options = options
        self._home = BlockingRedisLog(url, partition=None, **options)
        self._layout = SINGLE
        self._parts: Sequence[BlockingRedisLog] = (self._home,)
        self._forgotten = False

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._home.url

    @property
    def layout(self) -> Layout:
        """How the log is split, as far as is known; asked if that was forgotten."""
        if self._forgotten:
            self.adopt_layout(self._home.read_layout(self._layout))  # one that was emptied is begun anew as it was
        return self._layout

    @property
    def parts(self) -> Sequence[BlockingRedisLog]:
        """The log of each partition."""
        return self._parts if self.layout.id else (self._home,)

    def adopt_layout(self, layout: Layout) -> None:
        """Take the log for one that is split so, as it said earlier."""
        self._forgotten = False
        if layout == self._layout:
            return
        self._close_parts()
        self._layout, self._parts = layout, (self._home,)
        if layout.id:
            self._parts = [
                BlockingRedisLog(self._url, layout=layout, partition=number, **self._options)
                for number in range(layout.partitions)
            ]

    def clock(self) -> Clock:
        """Return the clock of the first partition."""
        return self.parts[0].clock()

    def append(
        self, batches: Sequence[EncodedBatch], *, publisher: str = "", sequence: int = 0, once: Once | None = None
    ) -> Appended:
        """Append batches as `RedisLog.append` does, to one partition after another."""
        layout, parts = self.layout, self.parts
        if len(parts) == 1:
            return parts[0].append(batches, publisher=publisher, sequence=sequence, once=once)
        places = layout.split(batch.metric for batch in batches) or {0: []}
        answers = {
            number: parts[number].append(
                [batches[place] for place in own], publisher=publisher, sequence=sequence, once=once
            )
            for number, own in places.items()
        }
        return _merged(layout, len(batches), places, answers)

    def forget_layout(self) -> None:
        """Ask for the layout with the next call: the log says that it is another."""
        self._forgotten = True

    def _close_parts(self) -> None:
        for part in self._parts:
            if part is not self._home:
                part.close()

    def close(self) -> None:
        """Close the connections."""
        self._close_parts()
        self._home.close()
