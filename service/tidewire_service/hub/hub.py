"""The hub: the asyncio shell of the fan-out and of the partition's feed; one per service process.

It flushes at an adaptive tick (idle: at once; busy: once a tick), and runs one task for each subscription that is
catching up, and none for those that are live.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, Final

import msgspec
import structlog

from tidewire.errors import LogUnavailable
from tidewire.model.cursor import Cursor, id_ms
from tidewire.model.pattern import Pattern
from tidewire.redislog.lineage import Clock
from tidewire.redislog.log import RedisLog
from tidewire_service.hub.counters import Latencies
from tidewire_service.hub.effects import (
    Drain,
    Effect,
    Effects,
    ReadEntries,
    ReadLast,
    SyncClock,
    Turn,
    Wait,
    run_effects,
)
from tidewire_service.hub.event_ring import EventRing, RingEntry
from tidewire_service.hub.fanout import Fanout, Matched
from tidewire_service.hub.matching import part_of
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.partition_feed import CHECK_S, PartitionFeed, wait_at_most
from tidewire_service.hub.subscription import Replay, Sink, Subscription, SubscriptionRequest, start_id
from tidewire_service.settings import ServiceSettings
from tidewire_service.turns import Turns

__all__ = ["Hub"]

_EDGE_MS: Final = 3.0  # after the edge of an interval: what was appended before it has arrived
_FLUSH_SHARE: Final = 1.0  # of the last flush's time before the next: writing leaves half of the core to reading
_MAX_GAP_S: Final = 0.05

logger = structlog.get_logger("tidewire.hub")


class Hub:
    """The fan-out of one process.

    Args:
        log: the Redis log.
        settings: tick and bounds; each hello shows the limits.

    Attributes:
        log: the Redis log.
        on_fall_back: called with each subscription that was live and now has to catch up.
        latencies: from the append to the write of the newest batch of each flush.
        late_s: how late the event loop calls its timers: the largest recent value, fading by a tenth a sample.
    """

    def __init__(self, log: RedisLog, settings: ServiceSettings) -> None:
        self.log = log
        self.on_fall_back: Callable[[Subscription], None] | None = None
        self.latencies = Latencies()
        self.late_s = 0.0
        self._partition = Partition(EventRing(0, settings.ring_bytes))
        limits = msgspec.structs.asdict(settings.limits) | {"retention_ms": round(settings.retention_age_s * 1e3)}
        self._fanout = Fanout(
            self._partition,
            log_time_ms=self.log_time_ms,
            hello={"tick_ms": settings.tick_ms, "limits": limits},
            fell_back=self._fell_back,
        )
        self._feed = PartitionFeed(
            self._partition,
            self._fanout,
            log,
            log.locator,
            log.keys,
            changed=self._schedule_flush,
            moved=self._tell_moved,
        )
        self._reads = self._feed.reads
        log.on_given_up = self._feed.reconnect
        log.on_moved = self._feed.move
        self._tick_s = settings.tick_ms / 1e3
        self._max_matching_s = settings.max_matching_s
        self._intervals_wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self._flush_due: asyncio.Handle | None = None
        self._last_flush = self._flush_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._forgetting: asyncio.Task[None] | None = None

    # -- what routes may ask

    @property
    def position(self) -> Cursor:
        """The position that live subscribers have."""
        return self._partition.flushed_cursor

    @property
    def epoch(self) -> str:
        """The epoch of the clock as last read; the position's own is the one in which its id was minted."""
        return self._partition.epoch

    @property
    def tails(self) -> Mapping[str, int]:
        """The directory: metric → last id."""
        return self._partition.tails

    @property
    def counters(self) -> Counter[str]:
        """What happened how often."""
        return self._partition.totals()

    @property
    def clock_age_s(self) -> float:
        """Seconds since the clock was last read."""
        return self._feed.clock_age_s

    @property
    def trouble(self) -> str:
        """Why the last read of the log failed; empty if it did not."""
        return self._feed.trouble

    @property
    def ready(self) -> bool:
        """Whether the position is known and was lately compared with the clock, and live frames can arrive."""
        return self._feed.ready

    async def tails_matching(
        self, patterns: Collection[Pattern], narrowed_to: Iterable[str], tails: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Return the part of the directory, or of the one given, that is selected and may be seen; see `part_of`."""
        every = self.tails if tails is None else tails
        return await part_of(every, patterns, narrowed_to, Turns(self._max_matching_s))

    def add_observer(self, callback: Callable[[RingEntry], None]) -> None:
        """Call back for each applied live batch; must be quick."""
        self._fanout.observe(callback)

    def on_inbox(self, callback: Callable[[str, bytes], None]) -> None:
        """Call back with (channel, payload) for each message on an inbox channel; must be quick."""
        self._feed.on_inbox = callback

    def log_time_ms(self) -> float:
        """Return the log's clock now: Redis time, milliseconds since the Unix epoch."""
        return time.time() * 1e3 + self._reads.clock_offset_ms

    def start_id(self, replay: Replay) -> int:
        """Return the id after which a subscription starts that attaches now without a cursor."""
        return start_id(replay, self._partition.flushed, self.log_time_ms())

    def gauges(self) -> dict[str, float]:
        """Return what is held right now."""
        subscriptions = self._fanout.subscriptions
        live = sum(subscription.live for subscription in subscriptions)
        return {
            "subscriptions_live": live,
            "subscriptions_catching_up": len(subscriptions) - live,
            "subscriptions_slow": sum(subscription.slow for subscription in subscriptions),
            "subscriptions_parked": sum(subscription.parked is not None for subscription in subscriptions),
            "selections": self._fanout.selection_count,
            "log_skipped_entries": self.log.skipped_entries,
            "loop_late_s": self.late_s,
            "loop_tasks": len(asyncio.all_tasks()),
            **self._partition.gauges(),
            **self._feed.gauges(),
        }

    # -- life

    async def start(self) -> None:
        """Start the feed and the timers; returns at once, also without Redis."""
        self._tasks = [
            asyncio.create_task(self._feed.listen(), name="tidewire-live"),
            asyncio.create_task(self._feed.run(), name="tidewire-continuity"),
            asyncio.create_task(self._close_intervals(), name="tidewire-intervals"),
            asyncio.create_task(self._watch_loop(), name="tidewire-lateness"),
        ]
        for task in self._tasks:
            task.add_done_callback(_report)

    async def close(self) -> None:
        """Stop all of it."""
        tasks = [*self._tasks, *filter(None, [self._forgetting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._feed.close()
        if self._flush_due is not None:
            self._flush_due.cancel()

    async def _watch_loop(self) -> None:
        """Time how late a timer is called: what a flood or a slow callback costs everybody."""
        while True:
            due = time.monotonic() + CHECK_S
            await asyncio.sleep(CHECK_S)
            self.late_s = max(0.0, time.monotonic() - due, self.late_s * 0.9)

    # -- flush

    def _schedule_flush(self) -> None:
        if self._flush_due is not None or not self._fanout.dirty:
            return
        loop = asyncio.get_running_loop()
        due = self._last_flush + max(self._tick_s, min(_FLUSH_SHARE * self._flush_s, _MAX_GAP_S))
        self._flush_due = loop.call_soon(self._flush) if loop.time() >= due else loop.call_at(due, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        began = time.monotonic()
        self._fanout.flush()
        self._last_flush = time.monotonic()
        self._flush_s = self._last_flush - began
        self.latencies.add((self.log_time_ms() - id_ms(self._partition.flushed)) / 1e3)
        self._tell_moved()

    def _tell_moved(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _close_intervals(self) -> None:
        """Sync the clock just after each edge of an interval, and hand out what that closes."""
        while True:
            if not self._fanout.conflated:
                self._intervals_wanted.clear()
                await self._intervals_wanted.wait()
            every = {selection.every_ms for selection in self._fanout.conflated}
            now_ms = self.log_time_ms()
            due_ms = min(((int(now_ms) // every_ms + 1) * every_ms for every_ms in every), default=now_ms + 100)
            await asyncio.sleep((due_ms - now_ms + _EDGE_MS) / 1e3)
            try:
                await self.sync_clock()
            except LogUnavailable:
                continue
            await self._fanout.close_intervals_in_turns()
            self._tell_moved()

    # -- subscriptions

    def attaches_at_once(self, request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> bool:
        """Tell whether `attach` needs no `match` before it, since it holds the event loop for a moment only."""
        return self._fanout.attaches_at_once(request, narrowed_to)

    async def match(self, request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> Matched | None:
        """Match the patterns of a subscription that is to be attached next; None where that takes no time.

        Raises:
            LimitExceeded: matching takes too long.
        """
        if self._fanout.attaches_at_once(request, narrowed_to):
            return None
        return await self._fanout.match(request, narrowed_to, Turns(self._max_matching_s))

    def attach(
        self, request: SubscriptionRequest, sink: Sink, *, narrowed_to: tuple[str, ...], matched: Matched | None = None
    ) -> Subscription:
        """Return a new subscription, catching up; the caller drives it with `catch_up`."""
        subscription = self._fanout.attach(request, sink, narrowed_to=narrowed_to, matched=matched)
        if request.every_ms:
            self._intervals_wanted.set()
        return subscription

    def detach(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._fanout.detach(subscription)
        if self._fanout.leaving and (self._forgetting is None or self._forgetting.done()):
            self._forgetting = asyncio.create_task(self._fanout.forget_leaving(), name="tidewire-leaving")
            self._forgetting.add_done_callback(_report)

    def fall_back(self, subscription: Subscription) -> None:
        """Let a live subscription whose socket is full catch up from what it was handed."""
        self._fanout.fall_back(subscription)

    def _fell_back(self, subscription: Subscription) -> None:
        if self.on_fall_back is not None:
            self.on_fall_back(subscription)

    async def sync_clock(self) -> Clock:
        """Return the clock of a sync that begins later than this call.

        Raises:
            LogUnavailable: Redis did not answer.
        """
        return await self._feed.sync_clock()

    async def moved(self) -> None:
        """Wait until the hub may have moved, at most one check interval."""
        await wait_at_most(self._moved, CHECK_S)

    async def catch_up(
        self, effects: Effects[None], drained: Callable[[], Coroutine[Any, Any, None]], pending: Effect | None = None
    ) -> None:
        """Drive one subscription until it is live; reads that fail are repeated until Redis is back.

        Args:
            effects: of `Subscription.run` or `Subscription.catch_up`.
            drained: waits until the socket accepts bytes again.
            pending: the effect that it has already yielded, if it has begun.
        """

        async def perform(effect: Effect) -> Any:
            pause_s = 0.1
            while True:
                try:
                    match effect:
                        case SyncClock():
                            return await self.sync_clock()
                        case ReadEntries() | ReadLast():
                            return await self._reads.shared(effect)
                        case Wait():
                            return await self.moved()
                        case Turn():
                            return await asyncio.sleep(0)
                        case Drain():
                            return await drained()
                except LogUnavailable:
                    self._partition.counters["reads_repeated"] += 1
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                    pause_s = min(1.0, pause_s * 2)

        await run_effects(effects, perform, pending)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.critical("hub_task_died", task=task.get_name(), exc_info=task.exception())
