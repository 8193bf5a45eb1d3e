"""Keeps one partition current: feeds live frames to its continuity tracker, and runs the tracker against Redis.

One operation of the tracker runs at a time; frames that arrive meanwhile wait in a bounded queue. A process that serves
several partitions has one feed for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog

from tidewire.errors import LayoutMismatch, LogUnavailable
from tidewire.redislog.keys import Keys
from tidewire.redislog.lineage import Clock
from tidewire.redislog.locator import Locator
from tidewire_service.errors import FrameMalformed
from tidewire_service.hub.continuity import ContinuityTracker, Listener
from tidewire_service.hub.effects import Effect, Effects, ReadTails, run_effects
from tidewire_service.hub.live_connection import LiveConnection
from tidewire_service.hub.live_frame import LiveFrame, parse_frame
from tidewire_service.hub.log_reads import LogReads, ReadableLog
from tidewire_service.hub.partition import Partition

__all__ = ["CHECK_S", "PartitionFeed", "wait_at_most"]

CHECK_S: Final = 0.5
_GRACE_S: Final = 0.2  # a frame that the clock knows of may still be on its way
_READY_S: Final = 3.0  # without a successful read of the clock for longer, the partition is not ready
_MAX_QUEUED_BYTES: Final = 64 << 20  # of live frames that wait for a fill; dropped together past it, found as a hole

logger = structlog.get_logger("tidewire.hub")


class PartitionFeed:
    """Runs the continuity tracker of one partition.

    Args:
        partition: what is kept current.
        listener: told of each change of the partition.
        log: the Redis log.
        locator: where Redis is, for the live connection.
        keys: names of the partition's channels.
        changed: called when applied batches may be waiting for a flush.
        moved: called after each operation of the tracker.
        layout_changed: called when the log is split otherwise than this process takes it.
        beside: how many feeds the process has.

    Attributes:
        reads: of the log, for the tracker and for subscriptions.
        on_inbox: called with (channel, payload) for each message on an inbox channel; None: ignored.
        trouble: why the last read of the log failed; empty if it did not.
    """

    def __init__(
        self,
        partition: Partition,
        listener: Listener,
        log: ReadableLog,
        locator: Locator,
        keys: Keys,
        *,
        changed: Callable[[], None],
        moved: Callable[[], None],
        layout_changed: Callable[[LayoutMismatch], None] = lambda _: None,
        beside: int = 1,
    ) -> None:
        self.reads = LogReads(log, partition.counters, lambda: partition.watermark)
        self.on_inbox: Callable[[str, bytes], None] | None = None
        self.trouble = ""
        self._partition = partition
        self._counters = partition.counters
        self._listener = listener
        self._tracker = ContinuityTracker(partition, listener)
        self._connection = LiveConnection(locator, keys, self._on_message, beside)
        self._live_channel = keys.live.encode()
        self._redis = log.url
        self._changed = changed
        self._moved = moved
        self._layout_changed = layout_changed
        self._queue: deque[LiveFrame] = deque()
        self._queued_bytes = 0
        self._busy = True  # until the first position is known
        self._syncs: list[asyncio.Future[Clock]] = []
        self._wake = asyncio.Event()
        self._last_clock_s = float("-inf")
        self._reachable = True

    @property
    def clock_age_s(self) -> float:
        """Seconds since the clock was last read."""
        return time.monotonic() - self._last_clock_s

    @property
    def ready(self) -> bool:
        """Whether the position is known and was lately compared with the clock, and live frames can arrive."""
        return bool(self._partition.epoch) and self.clock_age_s < _READY_S and self._connection.up

    def gauges(self) -> dict[str, float]:
        """Return what waits, and how often the live connection was made."""
        return {
            "frames_queued": len(self._queue),
            "live_connects": self._connection.connects,
            "look_age_s": min(self.clock_age_s, 1e6),
        }

    def reconnect(self) -> None:
        """Make the live connection anew: the server behind the URL may be another one."""
        self._connection.rebuild()

    def move(self) -> None:
        """Make the live connection anew at once, also if it waits before its next attempt: the primary is another."""
        self._connection.move()

    async def listen(self) -> None:
        """Keep the live connection up; until cancelled."""
        await self._connection.run()

    async def sync_clock(self) -> Clock:
        """Return the clock of a sync of the tracker that begins later than this call.

        Raises:
            LogUnavailable: the sync failed.
        """
        future: asyncio.Future[Clock] = asyncio.get_running_loop().create_future()
        self._syncs.append(future)
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Cancel the waiting syncs and the reads in flight."""
        for future in self._syncs:
            future.cancel()
        await self.reads.close()

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        if channel != self._live_channel:
            if self.on_inbox is not None:
                self.on_inbox(channel.decode(errors="surrogateescape"), payload)
            return
        try:
            frame = parse_frame(payload)
        except FrameMalformed:
            self._counters["frames_garbled"] += 1
            return
        if not self._busy and self._tracker.continues(frame) and self._listener.knows(frame.entries):
            self._tracker.apply_next(frame)
            self._changed()
            return
        self._queue.append(frame)
        self._queued_bytes += len(payload)
        if self._queued_bytes > _MAX_QUEUED_BYTES:
            self._counters["frames_dropped"] += len(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        self._wake.set()

    async def run(self) -> None:
        """Run one operation of the tracker after another; until cancelled."""
        tracker, next_check = self._tracker, 0.0
        while True:
            now = time.monotonic()
            try:
                if not self._partition.epoch:
                    await self._operate(tracker.start())
                elif self._syncs:
                    await self._sync()
                elif self._queue:
                    await self._apply_queued()
                elif now >= next_check:
                    await self._operate(tracker.check())
                    next_check = time.monotonic() + (_GRACE_S if tracker.behind else CHECK_S)
                    if tracker.deaf:
                        tracker.deaf = False
                        self._counters["connections_deaf"] += 1
                        self._connection.rebuild()
                else:
                    self._busy = False
                    await wait_at_most(self._wake, next_check - now)
                    self._wake.clear()
                    continue  # waiting says nothing about Redis
                self._note_reachable(None)
            except LogUnavailable as error:
                self._note_reachable(error)
                if isinstance(error, LayoutMismatch):
                    self._layout_changed(error)
                next_check = time.monotonic() + CHECK_S
                await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - jitter
            except Exception:
                # the top of a task: one bad operation must not end the proof of continuity; the next check goes on
                self._counters["tracker_errors"] += 1
                logger.exception("tracker_operation_failed")
                next_check = time.monotonic() + CHECK_S
                await asyncio.sleep(CHECK_S)

    async def _apply_queued(self) -> None:
        tracker = self._tracker
        while self._queue:
            frame = self._queue.popleft()
            if frame.epoch == self._partition.epoch and not self._listener.knows(frame.entries):
                self._busy = True
                await self._listener.expect(entry.metric for entry in frame.entries)
            if tracker.continues(frame):
                tracker.apply_next(frame)
            else:
                await self._operate(tracker.on_frame(frame))
            if not self._queue:
                self._queued_bytes = 0
        self._changed()

    async def _sync(self) -> None:
        waiting, self._syncs = self._syncs, []
        try:
            await self._operate(self._tracker.sync())
        except BaseException as error:  # whatever it was: none may wait for ever; those that wait ask again
            for future in waiting:
                if not future.done():
                    future.set_exception(
                        LogUnavailable(f"could not read the log's clock: {error or type(error).__name__}")
                    )
            raise
        clock = self._partition.clock
        for future in waiting:
            if not future.done() and clock is not None:
                future.set_result(clock)

    async def _operate(self, effects: Effects[None]) -> None:
        self._busy = True
        try:
            await run_effects(effects, self._read)
        finally:
            effects.close()
        self._last_clock_s = time.monotonic()
        self._changed()
        self._moved()

    async def _read(self, effect: Effect) -> Any:
        """Perform a read of the tracker; what is new in a directory is expected before the tracker has it."""
        found = await self.reads.read(effect)
        if isinstance(effect, ReadTails):
            await self._listener.expect(found[0])
        return found

    def _note_reachable(self, error: LogUnavailable | None) -> None:
        self.trouble = "" if error is None else str(error)
        if (error is None) == self._reachable:
            return
        self._reachable = error is None
        self._counters["redis_lost" if error else "redis_back"] += 1
        if error is None:
            logger.info("redis_came_back", redis=self._redis)
        else:
            logger.warning("redis_was_lost", redis=self._redis, error=str(error))


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
