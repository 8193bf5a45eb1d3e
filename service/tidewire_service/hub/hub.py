"""The hub: the asyncio shell of the pump and the fan-out; one per service process, on one Pub/Sub connection.

It answers what the pure core asks for from Redis, flushes at an adaptive tick (idle: at once; busy: once a tick), and
runs one task for each subscription that is catching up, and none for those that are live.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from tidewire.errors import LogUnavailable
from tidewire.model.cursor import Cursor, id_ms
from tidewire.model.pattern import Pattern
from tidewire.redislog.lineage import Clock
from tidewire.redislog.log import RedisLog
from tidewire_service.errors import FrameMalformed
from tidewire_service.hub.continuity import LiveFrame, parse_frame
from tidewire_service.hub.counters import Latencies, Lateness
from tidewire_service.hub.effects import Drain, Look, ReadClock, ReadEntries, ReadLast, Request, Steps, Wait
from tidewire_service.hub.event_ring import Ring, RingEntry
from tidewire_service.hub.fanout import Fanout
from tidewire_service.hub.live_connection import LiveConnection
from tidewire_service.hub.log_reads import LogReads
from tidewire_service.hub.subscription import OnSlow, Replay, Sink, Subscription

__all__ = ["Hub", "HubSettings"]

CHECK_S: Final = 0.5
EDGE_MS: Final = 3.0  # after the edge of an interval: what was appended before it has arrived
_FLUSH_SHARE: Final = 1.0  # of the last flush's time before the next: writing leaves half of the core to reading
_MAX_GAP_S: Final = 0.05
GRACE_S: Final = 0.2  # a frame that the clock knows of may still be on its way
_READY_S: Final = 3.0  # without a successful look for longer, the hub is not ready
_MAX_QUEUED_BYTES: Final = 64 << 20  # of live frames that wait for a fill; dropped together past it, found as a hole

logger = structlog.get_logger("tidewire.hub")
T = TypeVar("T")


class HubSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The tick and the ring's bound; declared with their meaning in `settings.ServiceSettings`."""

    tick_ms: float = 10.0
    ring_bytes: int = 64 << 20


class Hub:
    """The fan-out of one process.

    Args:
        log: the Redis log.
        url: of Redis, for the live connection (with its password).
        settings: tick and bounds.
        limits: shown in each hello.

    Attributes:
        log: the Redis log.
        fanout: the pure core.
        reads: of the log, for the pump and for subscriptions.
        connection: the live connection.
        latencies: from the append to the write of the newest batch of each flush.
        lateness: of the event loop.
        on_inbox: called with (channel, payload) for each message on an inbox channel; None: ignored.
    """

    def __init__(
        self, log: RedisLog, url: str, settings: HubSettings | None = None, *, limits: Mapping[str, Any] | None = None
    ) -> None:
        self.log = log
        self.settings = settings or HubSettings()
        self.fanout = Fanout(
            Ring(0, self.settings.ring_bytes),
            log_time_ms=self.log_time_ms,
            hello={"tick_ms": self.settings.tick_ms, "limits": dict(limits or {})},
            fell_back=self._fell_back,
        )
        self.reads = LogReads(log, self.fanout.pump.counters, self.fanout.pump.seen)
        self.connection = LiveConnection(url, log.keys, self._on_message)
        self.on_inbox: Callable[[str, bytes], None] | None = None
        self.on_fall_back: Callable[[Subscription], None] | None = None
        self.latencies = Latencies()
        self.lateness = Lateness()
        self._live_channel = log.keys.live.encode()
        self._tick_s = self.settings.tick_ms / 1e3
        self._queue: deque[LiveFrame] = deque()
        self._queued_bytes = 0
        self._busy = True  # until the first position is known
        self._looks: list[asyncio.Future[Clock]] = []
        self._wake = asyncio.Event()
        self._intervals_wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self._flush_due: asyncio.Handle | None = None
        self._last_flush = self._flush_s = 0.0
        self._last_look = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []
        self._reachable = True

    # -- what routes may ask

    @property
    def position(self) -> Cursor:
        """The position that live subscribers have."""
        return self.fanout.pump.cursor(self.fanout.flushed) if self.fanout.pump.epoch else Cursor("", 0)

    @property
    def epoch(self) -> str:
        """The epoch of the clock as last seen; the position's own is the one in which its id was minted."""
        return self.fanout.pump.epoch

    @property
    def tails(self) -> Mapping[str, int]:
        """The directory: metric → last id."""
        return self.fanout.pump.tails

    @property
    def counters(self) -> Counter[str]:
        """What happened how often."""
        counters = self.fanout.pump.counters
        counters["ring_evicted"] = self.fanout.pump.ring.evicted
        return counters

    @property
    def last_look_age_s(self) -> float:
        """Seconds since the clock was last read."""
        return time.monotonic() - self._last_look

    @property
    def ready(self) -> bool:
        """The position is known and was compared with the clock lately, and live frames can arrive."""
        return bool(self.fanout.pump.epoch) and self.last_look_age_s < _READY_S and self.connection.up

    def metrics_matching(self, patterns: Sequence[Pattern]) -> list[str]:
        """Return the metrics of the directory that any pattern selects, sorted."""
        return sorted(metric for metric in self.tails if any(pattern.matches(metric) for pattern in patterns))

    def add_observer(self, callback: Callable[[RingEntry], None]) -> None:
        """Call back for each applied live batch; must be quick."""
        self.fanout.observe(callback)

    def log_time_ms(self) -> float:
        """Return the log's clock now: Redis time, milliseconds since the Unix epoch."""
        return time.time() * 1e3 + self.reads.clock_offset_ms

    def gauges(self) -> dict[str, float]:
        """Return what is held right now."""
        subscriptions = self.fanout.subscriptions
        live = sum(subscription.live for subscription in subscriptions)
        ring = self.fanout.pump.ring
        return {
            "subscriptions_live": live,
            "subscriptions_catching_up": len(subscriptions) - live,
            "subscriptions_slow": sum(subscription.slow for subscription in subscriptions),
            "subscriptions_parked": sum(subscription.parked is not None for subscription in subscriptions),
            "selections": self.fanout.selection_count,
            "ring_bytes": ring.bytes,
            "ring_batches": len(ring),
            "metrics": len(self.tails),
            "frames_queued": len(self._queue),
            "log_skipped_entries": self.log.skipped_entries,
            "live_connects": self.connection.connects,
            "position_ms": id_ms(self.fanout.flushed),
            "look_age_s": min(self.last_look_age_s, 1e6),
            "loop_late_s": self.lateness.seconds,
            "loop_tasks": len(asyncio.all_tasks()),
        }

    # -- life

    async def start(self) -> None:
        """Start the pump and the live connection; returns at once, also without Redis."""
        self._tasks = [
            asyncio.create_task(self.connection.run(), name="tidewire-live"),
            asyncio.create_task(self._run(), name="tidewire-pump"),
            asyncio.create_task(self._close_intervals(), name="tidewire-intervals"),
            asyncio.create_task(self._watch_loop(), name="tidewire-lateness"),
        ]
        for task in self._tasks:
            task.add_done_callback(_report)

    async def close(self) -> None:
        """Stop both."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in self._looks:
            future.cancel()
        await self.reads.close()
        if self._flush_due is not None:
            self._flush_due.cancel()

    async def _watch_loop(self) -> None:
        """Time how late a timer is called: what a flood or a slow callback costs everybody."""
        while True:
            due = time.monotonic() + CHECK_S
            await asyncio.sleep(CHECK_S)
            self.lateness.add(time.monotonic() - due)

    # -- the pump

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        if channel != self._live_channel:
            if self.on_inbox is not None:
                self.on_inbox(channel.decode(errors="replace"), payload)
            return
        pump = self.fanout.pump
        try:
            frame = parse_frame(payload)
        except FrameMalformed:
            pump.counters["frames_garbled"] += 1
            return
        if not self._busy and pump.continues(frame):
            pump.frames += 1
            pump.apply(frame)
            self._schedule_flush()
            return
        self._queue.append(frame)
        self._queued_bytes += len(payload)
        if self._queued_bytes > _MAX_QUEUED_BYTES:
            pump.counters["frames_dropped"] += len(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        self._wake.set()

    async def _run(self) -> None:
        """Run one operation of the pump after another."""
        pump, next_check = self.fanout.pump, 0.0
        while True:
            now = time.monotonic()
            try:
                if not pump.epoch:
                    await self._operate(pump.start())
                elif self._looks:
                    await self._look()
                elif self._queue:
                    await self._judge_queued()
                elif now >= next_check:
                    await self._operate(pump.check())
                    next_check = time.monotonic() + (GRACE_S if pump.behind else CHECK_S)
                    if pump.deaf:
                        pump.deaf = False
                        pump.counters["connections_deaf"] += 1
                        self.connection.rebuild()
                else:
                    self._busy = False
                    await _wait(self._wake, next_check - now)
                    self._wake.clear()
                    continue  # waiting says nothing about Redis
                self._note_reachable(None)
            except LogUnavailable as error:
                self._note_reachable(error)
                next_check = time.monotonic() + CHECK_S
                await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - jitter
            except Exception:
                # the top of a task: one bad operation must not end the proof of continuity; the next check goes on
                pump.counters["pump_errors"] += 1
                logger.exception("pump_operation_failed")
                next_check = time.monotonic() + CHECK_S
                await asyncio.sleep(CHECK_S)

    async def _judge_queued(self) -> None:
        pump = self.fanout.pump
        while self._queue:
            frame = self._queue.popleft()
            if pump.continues(frame):
                pump.frames += 1
                pump.apply(frame)
            else:
                await self._operate(pump.on_frame(frame))
            if not self._queue:
                self._queued_bytes = 0
        self._schedule_flush()

    async def _look(self) -> None:
        waiting, self._looks = self._looks, []
        try:
            await self._operate(self.fanout.pump.look())
        except BaseException as error:  # whatever it was: nobody may wait for ever; those who wait ask again
            for future in waiting:
                if not future.done():
                    future.set_exception(
                        LogUnavailable(f"the look at the clock failed: {error or type(error).__name__}")
                    )
            raise
        clock = self.fanout.pump.clock
        for future in waiting:
            if not future.done() and clock is not None:
                future.set_result(clock)

    async def _operate(self, steps: Steps[None]) -> None:
        self._busy = True
        try:
            await self._drive(steps, self.reads.read)
        finally:
            steps.close()
        self._last_look = time.monotonic()
        if self.fanout.dirty:
            self._schedule_flush()
        self._tell_moved()

    async def _drive(
        self,
        steps: Steps[T],
        answer: Callable[[Request], Coroutine[Any, Any, Any]],
        waiting: Request | None = None,
    ) -> T:
        reply: Any = None if waiting is None else await answer(waiting)
        while True:
            try:
                request = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = await answer(request)

    def _note_reachable(self, error: LogUnavailable | None) -> None:
        if (error is None) == self._reachable:
            return
        self._reachable = error is None
        self.counters["redis_lost" if error else "redis_back"] += 1
        if error is None:
            logger.info("redis_came_back", redis=self.log.url)
        else:
            logger.warning("redis_was_lost", redis=self.log.url, error=str(error))

    # -- flush

    def _schedule_flush(self) -> None:
        if self._flush_due is not None or not self.fanout.dirty:
            return
        loop = asyncio.get_running_loop()
        due = self._last_flush + max(self._tick_s, min(_FLUSH_SHARE * self._flush_s, _MAX_GAP_S))
        self._flush_due = loop.call_soon(self._flush) if loop.time() >= due else loop.call_at(due, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        began = time.monotonic()
        self.fanout.flush()
        self._last_flush = time.monotonic()
        self._flush_s = self._last_flush - began
        self.latencies.add((self.log_time_ms() - id_ms(self.fanout.flushed)) / 1e3)
        self._tell_moved()

    def _tell_moved(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    # -- subscriptions

    def attach(
        self,
        patterns: Sequence[str],
        labels: Mapping[str, str],
        sink: Sink,
        replay: Replay,
        resume: Cursor | None,
        *,
        every_ms: int = 0,
        on_slow: OnSlow = OnSlow.CATCHUP,
        narrowed_to: tuple[str, ...] = (),
    ) -> Subscription:
        """Return a new subscription, catching up; the caller drives it with `catch_up`."""
        subscription = self.fanout.attach(
            tuple(patterns),
            labels,
            sink,
            replay,
            resume,
            every_ms=every_ms,
            on_slow=on_slow,
            narrowed_to=narrowed_to,
        )
        if every_ms:
            self._intervals_wanted.set()
        return subscription

    def detach(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self.fanout.detach(subscription)

    def _fell_back(self, subscription: Subscription) -> None:
        if self.on_fall_back is not None:
            self.on_fall_back(subscription)

    async def _close_intervals(self) -> None:
        """Look at the clock just after each edge of an interval, and hand out what it closes."""
        while True:
            if not self.fanout.conflated:
                self._intervals_wanted.clear()
                await self._intervals_wanted.wait()
            every = {selection.every_ms for selection in self.fanout.conflated}
            now_ms = self.log_time_ms()
            due_ms = min(((int(now_ms) // every_ms + 1) * every_ms for every_ms in every), default=now_ms + 100)
            await asyncio.sleep((due_ms - now_ms + EDGE_MS) / 1e3)
            try:
                await self.look()
            except LogUnavailable:
                continue
            self.fanout.close_intervals(self.fanout.pump.watermark_ms)
            self._tell_moved()

    async def look(self) -> Clock:
        """Return the clock of a look of the pump that begins after now."""
        future: asyncio.Future[Clock] = asyncio.get_running_loop().create_future()
        self._looks.append(future)
        self._wake.set()
        return await future

    async def moved(self) -> None:
        """Wait until the hub may have moved, at most one check interval."""
        await _wait(self._moved, CHECK_S)

    async def catch_up(
        self, steps: Steps[None], drained: Callable[[], Coroutine[Any, Any, None]], waiting: Request | None = None
    ) -> None:
        """Drive one subscription until it is live; reads that fail are tried again until Redis is back.

        Args:
            steps: of `Subscription.run` or `Subscription.catch_up`.
            drained: waits until the socket takes bytes again.
            waiting: what the steps have asked for already, if they have begun.
        """

        async def answer(request: Request) -> Any:
            pause_s = 0.1
            while True:
                try:
                    match request:
                        case Look():
                            return await self.look()
                        case ReadClock():
                            return await self.reads.fresh_clock()
                        case ReadEntries() | ReadLast():
                            return await self.reads.shared(request)
                        case Wait():
                            return await self.moved()
                        case Drain():
                            return await drained()
                except LogUnavailable:
                    self.counters["reads_repeated"] += 1
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                    pause_s = min(1.0, pause_s * 2)

        await self._drive(steps, answer, waiting)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.critical("hub_task_died", task=task.get_name(), exc_info=task.exception())
