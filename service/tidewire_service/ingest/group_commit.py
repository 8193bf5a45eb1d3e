"""Appends the batches of requests that wait at the same time in one call of the log: a group commit.

A call costs a round trip, and Redis about 60 µs before its first batch. While two are on their way, the requests that
come wait, and the next call takes all of them; else a request does not wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import redis

from tidewire.errors import LogUnavailable
from tidewire.model.batch import EncodedBatch
from tidewire.redislog.calls import MAX_BATCHES, MAX_CALL_BYTES, Appended, Once
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog

__all__ = ["GroupCommit", "GroupCommits"]

_PATIENCE_S: Final = 0.1  # so long the first that waits does; then it is called beside the call that is on its way
_CALLS: Final = 2  # on their way at a time: while Redis does one, the next is made
_MOST_CALLS: Final = 8  # if some hang; the log has 16 connections


class _Waiting(NamedTuple):
    batches: Sequence[EncodedBatch]
    size: int
    appended: asyncio.Future[Appended]


class GroupCommit:
    """Appends to one partition for one process.

    What has a publisher's sequence or an idempotency key, or is large, has a call of its own: Redis remembers a call by
    them.

    Args:
        log: to append to.
    """

    def __init__(self, log: RedisLog) -> None:
        self._log = log
        self._waiting: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._patience: asyncio.TimerHandle | None = None

    async def append(
        self, batches: Sequence[EncodedBatch], *, publisher: str = "", sequence: int = 0, once: Once | None = None
    ) -> Appended:
        """Append batches as `RedisLog.append` does; its answer is about these batches alone.

        Raises:
            LogFull, LogUnavailable, PublishConflict: as `RedisLog.append` says.
        """
        size = sum(len(batch.body) for batch in batches)
        if publisher or once is not None or len(batches) > MAX_BATCHES or size > MAX_CALL_BYTES:
            return await self._log.append(batches, publisher=publisher, sequence=sequence, once=once)
        loop = asyncio.get_running_loop()
        appended: asyncio.Future[Appended] = loop.create_future()
        self._waiting.append(_Waiting(batches, size, appended))
        if len(self._calls) < _CALLS:
            self._begin()
        else:
            self._be_patient()
        return await appended

    def _be_patient(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(_PATIENCE_S, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        if self._waiting and len(self._calls) < _MOST_CALLS:
            self._begin()

    def _begin(self) -> None:
        self._calls.add(asyncio.create_task(self._run(), name="tidewire-group-commit"))

    async def _run(self) -> None:
        try:
            await self._append_waiting()
        finally:  # at once: who comes in this turn of the loop must not take it for one that is on its way
            self._calls.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _append_waiting(self) -> None:
        while self._waiting:
            group = self._group()
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            if self._waiting:
                self._be_patient()
            try:
                await self._append(group)
            except asyncio.CancelledError:
                for waiting in group:
                    waiting.appended.cancel()
                raise
            except Exception as error:  # each request raises it
                _fail(group, error)

    def _group(self) -> list[_Waiting]:
        """Return those who wait longest and fit into one call."""
        group: list[_Waiting] = []
        count = size = 0
        while self._waiting:
            first = self._waiting[0]
            count += len(first.batches)
            size += first.size
            if group and (count > MAX_BATCHES or size > MAX_CALL_BYTES):
                break
            group.append(self._waiting.popleft())
        return group

    async def _append(self, group: Sequence[_Waiting]) -> None:
        """Append for a group; for each half of it if Redis refuses the call for what is in it: one may be why."""
        try:
            appended = await self._log.append([batch for waiting in group for batch in waiting.batches])
        except LogUnavailable as error:
            if len(group) > 1 and _may_be_of_one(error):
                middle = len(group) // 2
                await self._append(group[:middle])
                await self._append(group[middle:])
                return
            _fail(group, error)
            return
        first = 0
        for waiting in group:
            end = first + len(waiting.batches)
            if not waiting.appended.done():  # whoever waited for it may have gone
                waiting.appended.set_result(appended._replace(results=appended.results[first:end]))
            first = end


class GroupCommits:
    """Appends to all partitions for one process: those who wait for the same partition share its calls.

    Args:
        log: to append to.
    """

    def __init__(self, log: PartitionedLog) -> None:
        self._log = log
        self._commits = tuple(GroupCommit(part) for part in log.parts)

    async def append(
        self, batches: Sequence[EncodedBatch], *, publisher: str = "", sequence: int = 0, once: Once | None = None
    ) -> Appended:
        """Append batches as `PartitionedLog.append` does; its answer is about these batches alone.

        Raises:
            LogFull, LogUnavailable, PublishConflict: as `PartitionedLog.append` says.
        """
        return await self._log.append_by(self._commits, batches, publisher=publisher, sequence=sequence, once=once)


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for waiting in group:
        if not waiting.appended.done():
            waiting.appended.set_exception(_copied(error) if isinstance(error, LogUnavailable) else error)


def _may_be_of_one(error: LogUnavailable) -> bool:
    """Tell whether Redis refused a call, and so stored nothing of it, for a reason that may lie in one of its batches.

    Such as a key that its user may not write, or one that another program has overwritten.
    """
    cause = error.__cause__
    return type(cause) in (redis.ResponseError, redis.exceptions.NoPermissionError)


def _copied(error: LogUnavailable) -> LogUnavailable:
    """Return an error for one of several that wait: each adds its own traceback."""
    copy = type(error)(error.reason, error.retry_after_s)
    copy.__cause__ = error.__cause__
    return copy
