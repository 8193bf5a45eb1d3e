"""The hub: the asyncio shell of the fan-outs and feeds of all partitions; one per service process.

It flushes at an adaptive tick (idle: at once; busy: once a tick), and runs one task for each subscription that is
catching up, and none for those that are live.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from tidewire.errors import LayoutMismatch, LogUnavailable
from tidewire.model.cursor import Cursor, id_ms
from tidewire.model.pattern import Pattern, compile_patterns
from tidewire.model.vector_cursor import AnyCursor, VectorCursor
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.hub.counters import Latencies, summed
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
from tidewire_service.hub.joint_subscription import Cork, JointSubscription
from tidewire_service.hub.matching import part_of
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.partition_feed import CHECK_S, PartitionFeed, wait_at_most
from tidewire_service.hub.subscription import NOWHERE, Replay, Sink, Subscription, SubscriptionRequest, start_id
from tidewire_service.settings import ServiceSettings
from tidewire_service.turns import Turns

__all__ = ["Hub", "PartitionHub"]

_EDGE_MS: Final = 3.0  # after the edge of an interval: what was appended before it has arrived
_FLUSH_SHARE: Final = 1.0  # of the last flush's time before the next: writing leaves half of the core to reading
_MAX_GAP_S: Final = 0.05
_CONFIRM_S: Final = 2.0  # between two looks at the layout
_AWAY_S: Final = 2.0  # without a read of its clock a partition counts as away, and its subscribers are told

logger = structlog.get_logger("tidewire.hub")


class PartitionHub(NamedTuple):
    """What the hub has of one partition: its state, who is handed it, what keeps it current, and where it is logged."""

    partition: Partition
    fanout: Fanout
    feed: PartitionFeed
    log: RedisLog

    @property
    def caught_up(self) -> bool:
        """Whether live subscribers have been handed everything up to the clock as it was last read."""
        clock = self.partition.clock
        return clock is not None and self.partition.flushed >= clock.id

    def log_time_ms(self) -> float:
        """Return the clock of this partition's log now: Redis time, milliseconds since the Unix epoch."""
        return time.time() * 1e3 + self.feed.reads.clock_offset_ms


class Hub:
    """The fan-outs of one process.

    Args:
        log: the log; one that is not partitioned counts as one of one partition.
        settings: tick and bounds; each hello shows the limits.

    Attributes:
        log: the log.
        parts: what it has of each partition.
        away: the partitions that do not answer, of a log of several; each with the Unix time of its last answer, ms.
        on_layout_changed: called when the log is split otherwise than this process takes it; or None.
        on_fall_back: called with each subscription to a partition that was live and now has to catch up.
        latencies: from the append to the write of the newest batch of each flush.
        late_s: how late the event loop calls its timers: the largest recent value, fading by a tenth a sample.
    """

    def __init__(self, log: PartitionedLog | RedisLog, settings: ServiceSettings) -> None:
        self.log = PartitionedLog.of_one(log) if isinstance(log, RedisLog) else log
        self.layout = self.log.layout
        self.away: dict[int, float] = {}
        self.log.away = self.away
        self.on_fall_back: Callable[[Subscription], None] | None = None
        self.on_layout_changed: Callable[[], None] | None = None
        self.latencies = Latencies()
        self.late_s = 0.0
        limits = msgspec.structs.asdict(settings.limits) | {"retention_ms": round(settings.retention_age_s * 1e3)}
        self._hello = {"tick_ms": settings.tick_ms, "limits": limits}
        self.parts = tuple(self._part(number, one, settings) for number, one in enumerate(self.log.parts))
        self._joints: set[JointSubscription] = set()
        self._cork = Cork()
        self._tick_s = settings.tick_ms / 1e3
        self._max_matching_s = settings.max_matching_s
        self._intervals_wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self._flush_due: asyncio.Handle | None = None
        self._last_flush = self._flush_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._forgetting: asyncio.Task[None] | None = None

    def _part(self, number: int, log: RedisLog, settings: ServiceSettings) -> PartitionHub:
        partition = Partition(EventRing(0, settings.ring_bytes // self.layout.partitions), number, self.layout.id)
        fanout = Fanout(
            partition,
            log_time_ms=lambda: self.parts[number].log_time_ms(),  # noqa: PLW0108 - it does not exist yet
            hello=self._hello,
            fell_back=self._fell_back,
        )
        feed = PartitionFeed(
            partition,
            fanout,
            log,
            log.locator,
            log.keys,
            changed=self._schedule_flush,
            moved=self._tell_moved,
            layout_changed=self.layout_changed,
            beside=self.layout.partitions,
        )
        log.on_given_up = feed.reconnect
        log.on_moved = feed.move
        return PartitionHub(partition, fanout, feed, log)

    # -- what routes may ask

    @property
    def position(self) -> AnyCursor:
        """The position that live subscribers have; empty until a clock was read for the first time."""
        known = [(part.partition.number, part.partition.flushed_cursor) for part in self.parts if part.partition.epoch]
        if not self.layout.id or not known:
            return self.parts[0].partition.flushed_cursor
        return VectorCursor.of(self.layout.id, known)

    @property
    def metric_count(self) -> int:
        """How many metrics the directories hold."""
        return sum(len(part.partition.tails) for part in self.parts)

    @property
    def metrics(self) -> Iterable[str]:
        """The metrics of the directories."""
        return chain.from_iterable(part.partition.tails for part in self.parts)

    @property
    def counters(self) -> Counter[str]:
        """What happened how often, over all partitions; see `count`."""
        if len(self.parts) == 1:
            return self.parts[0].partition.totals()
        return summed(part.partition.totals() for part in self.parts)

    def count(self, name: str) -> None:
        """Count one more of what happened."""
        self.parts[0].partition.counters[name] += 1

    @property
    def clock_age_s(self) -> float:
        """Seconds since a clock was last read."""
        return min(part.feed.clock_age_s for part in self.parts)

    @property
    def trouble(self) -> str:
        """Why the last read of the log failed; empty if it did not."""
        return next((part.feed.trouble for part in self.parts if part.feed.trouble), "")

    @property
    def ready(self) -> bool:
        """Whether the position of some partition is known and was lately compared with its clock; see `degraded`."""
        return any(part.feed.ready for part in self.parts)

    @property
    def degraded(self) -> list[int]:
        """The partitions that are not ready, if others are."""
        missing = [part.partition.number for part in self.parts if not part.feed.ready]
        return missing if len(missing) < len(self.parts) else []

    async def tails_matching(self, patterns: Collection[Pattern], narrowed_to: Iterable[str]) -> dict[str, int]:
        """Return the part of the directories that is selected and may be seen; see `part_of`."""
        allowed, turns = tuple(narrowed_to), Turns(self._max_matching_s)
        found: dict[str, int] = {}
        for part in self.parts:
            found |= await part_of(part.partition.tails, patterns, allowed, turns)
        return found

    async def matching(
        self, patterns: Collection[Pattern], narrowed_to: Iterable[str], tails: Mapping[str, int]
    ) -> dict[str, int]:
        """Return the part of a directory that is selected and may be seen; see `part_of`."""
        return await part_of(tails, patterns, narrowed_to, Turns(self._max_matching_s))

    def add_observer(self, callback: Callable[[RingEntry], None]) -> None:
        """Call back for each applied live batch; must be quick."""
        for part in self.parts:
            part.fanout.observe(callback)

    def on_inbox(self, callback: Callable[[str, bytes], None], number: int = 0) -> None:
        """Call back with (channel, payload) for each message on an inbox channel, heard at a partition's server."""
        self.parts[number].feed.on_inbox = callback

    async def ping(self) -> float:
        """Return how long Redis took to answer, in seconds: at the partition that was heard of last."""
        ready = (part for part in self.parts if part.feed.ready)
        last = min(ready, key=lambda part: part.feed.clock_age_s, default=None)
        return await (self.log.home if last is None else last.log).ping()

    def log_time_ms(self) -> float:
        """Return the log's clock now: Redis time, milliseconds since the Unix epoch."""
        known = next((part for part in self.parts if part.partition.epoch), self.parts[0])
        return known.log_time_ms()

    def start_ids(self, replay: Replay) -> list[int]:
        """Return for each partition the id after which a subscription starts that attaches now without a cursor."""
        return [start_id(replay, part.partition.flushed, part.log_time_ms()) for part in self.parts]

    def look_ages(self) -> dict[str, float]:
        """Return for each partition the seconds since its clock was last read."""
        return {str(part.partition.number): min(part.feed.clock_age_s, 1e6) for part in self.parts}

    def gauges(self) -> dict[str, float]:
        """Return what is held right now, over all partitions."""
        gauges: Counter[str] = Counter()
        position_ms = 0.0
        for part in self.parts:
            live = sum(subscription.live for subscription in part.fanout.subscriptions)
            of_one = part.partition.gauges() | part.feed.gauges()
            position_ms = max(position_ms, of_one["position_ms"])
            for name, value in of_one.items():
                gauges[name] = max(gauges[name], value) if name == "look_age_s" else gauges[name] + value  # type: ignore[assignment]
            gauges["subscriptions_live"] += live
            gauges["subscriptions_catching_up"] += len(part.fanout.subscriptions) - live
            gauges["subscriptions_slow"] += sum(one.slow for one in part.fanout.subscriptions)
            gauges["subscriptions_parked"] += sum(one.parked is not None for one in part.fanout.subscriptions)
            gauges["selections"] += part.fanout.selection_count
        return {
            **gauges,
            "position_ms": position_ms,
            "log_skipped_entries": self.log.skipped_entries,
            "loop_late_s": self.late_s,
            "loop_tasks": len(asyncio.all_tasks()),
        }

    # -- life

    async def start(self) -> None:
        """Start the feed and the timers; returns at once, also without Redis."""
        self._tasks = [asyncio.create_task(self._watch_loop(), name="tidewire-lateness")]
        for part in self.parts:
            self._tasks += [
                asyncio.create_task(part.feed.listen(), name="tidewire-live"),
                asyncio.create_task(part.feed.run(), name="tidewire-continuity"),
                asyncio.create_task(self._close_intervals(part), name="tidewire-intervals"),
            ]
        if len(self.parts) > 1:
            self._tasks.append(asyncio.create_task(self._watch_partitions(), name="tidewire-partitions"))
        for task in self._tasks:
            task.add_done_callback(_report)

    async def close(self) -> None:
        """Stop all of it."""
        tasks = [*self._tasks, *filter(None, [self._forgetting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(part.feed.close() for part in self.parts))
        if self._flush_due is not None:
            self._flush_due.cancel()

    async def _watch_loop(self) -> None:
        """Time how late a timer is called: what a flood or a slow callback costs everybody."""
        while True:
            due = time.monotonic() + CHECK_S
            await asyncio.sleep(CHECK_S)
            self.late_s = max(0.0, time.monotonic() - due, self.late_s * 0.9)

    async def _watch_partitions(self) -> None:
        """Tell the subscribers of a partition when it does not answer, and when it does again."""
        began, confirmed = time.monotonic(), 0.0
        while True:
            due = time.monotonic() + CHECK_S
            await asyncio.sleep(CHECK_S)
            now = time.monotonic()
            if now - due < CHECK_S:  # else this process was paused, and all ages are its own
                self._tell_away(now - began)
            if now - confirmed >= _CONFIRM_S:
                confirmed = now
                await self._confirm_layout()

    def _tell_away(self, since_start_s: float) -> None:
        """Look at the age of each partition's clock; a function of its own, whose locals keep no stream alive."""
        for part in self.parts:
            number, age_s = part.partition.number, min(part.feed.clock_age_s, since_start_s)
            if age_s > _AWAY_S:
                if number not in self.away:
                    self.away[number] = (time.time() - age_s) * 1e3
                    part.log.break_off()  # who waits for it is refused now, and holds no place meanwhile
                for joint in tuple(self._joints):
                    joint.say_away(number, self.away[number])
            elif part.caught_up and self.away.pop(number, None) is not None:
                for joint in tuple(self._joints):
                    joint.say_back(number)

    async def _confirm_layout(self) -> None:
        """Write the layout back if it was lost while partitions live: whoever came now would begin another log."""
        if not any(part.partition.epoch for part in self.parts):
            return  # the first read of a clock does so
        try:
            await self.log.confirm_layout()
        except LayoutMismatch as error:
            self.layout_changed(error)
        except LogUnavailable as error:
            logger.debug("layout_not_confirmed", error=str(error))

    def layout_changed(self, error: LayoutMismatch) -> None:
        """Say that the log is split otherwise than this process takes it, which only a new start mends."""
        logger.critical("layout_is_another", error=str(error))
        if self.on_layout_changed is not None:
            self.on_layout_changed()

    # -- flush

    def _schedule_flush(self) -> None:
        if self._flush_due is not None or not any(part.fanout.dirty for part in self.parts):
            return
        loop = asyncio.get_running_loop()
        due = self._last_flush + max(self._tick_s, min(_FLUSH_SHARE * self._flush_s, _MAX_GAP_S))
        self._flush_due = loop.call_soon(self._flush) if loop.time() >= due else loop.call_at(due, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        began = time.monotonic()
        dirty = [part for part in self.parts if part.fanout.dirty]
        if len(self.parts) == 1:
            self.parts[0].fanout.flush()
        else:
            with self._cork.holding():
                for part in dirty:
                    part.fanout.flush()
                    self._cork.flushed()
        self._last_flush = time.monotonic()
        self._flush_s = self._last_flush - began
        for part in dirty:
            self.latencies.add((part.log_time_ms() - id_ms(part.partition.flushed)) / 1e3)
        self._tell_moved()

    def _tell_moved(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _close_intervals(self, part: PartitionHub) -> None:
        """Sync a partition's clock just after each edge of an interval, and hand out what that closes."""
        fanout = part.fanout
        while True:
            if not fanout.conflated:
                self._intervals_wanted.clear()
                await self._intervals_wanted.wait()
            every = {selection.every_ms for selection in fanout.conflated}
            now_ms = part.log_time_ms()
            due_ms = min(((int(now_ms) // every_ms + 1) * every_ms for every_ms in every), default=now_ms + 100)
            await asyncio.sleep((due_ms - now_ms + _EDGE_MS) / 1e3)
            try:
                await part.feed.sync_clock()
            except LogUnavailable:
                continue
            await fanout.close_intervals_in_turns()
            self._tell_moved()

    # -- subscriptions

    def touched(self, patterns: Collection[Pattern]) -> Sequence[int]:
        """Return the partitions in which metrics can lie that match some patterns."""
        return self.layout.touched([one.text for one in patterns] if all(one.literal for one in patterns) else None)

    def attaches_at_once(self, request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> bool:
        """Tell whether `attach` needs no `match` before it, since it holds the event loop for a moment only."""
        touched = self.touched(compile_patterns(request.patterns))
        return all(self.parts[number].fanout.attaches_at_once(request, narrowed_to) for number in touched)

    async def match(self, request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> dict[int, Matched]:
        """Match the patterns of a subscription that is to be attached next, where that takes time.

        Raises:
            LimitExceeded: matching takes too long.
        """
        turns = Turns(self._max_matching_s)
        return {
            number: await self.parts[number].fanout.match(request, narrowed_to, turns)
            for number in self.touched(compile_patterns(request.patterns))
            if not self.parts[number].fanout.attaches_at_once(request, narrowed_to)
        }

    def attach(
        self,
        request: SubscriptionRequest,
        sink: Sink,
        *,
        narrowed_to: tuple[str, ...],
        matched: Mapping[int, Matched] | None = None,
    ) -> Subscription | JointSubscription:
        """Return a new subscription, catching up; the caller drives each of its parts with `catch_up`."""
        matched = matched or {}
        if request.every_ms:
            self._intervals_wanted.set()
        if not self.layout.id:
            own = _resumed(request, 0, 0)
            return self.parts[0].fanout.attach(own, sink, narrowed_to=narrowed_to, matched=matched.get(0))
        hello = {"time_ms": round(self.log_time_ms()), **self._hello}
        joint = JointSubscription(self.layout.id, sink, request, self._cork, hello)
        for number in self.touched(compile_patterns(request.patterns)):
            self.parts[number].fanout.attach(
                _resumed(request, number, self.layout.id),
                joint.sink_of(number),
                narrowed_to=narrowed_to,
                matched=matched.get(number),
                make=joint.join,
            )
        self._joints.add(joint)
        return joint

    def detach(self, subscription: Subscription | JointSubscription) -> None:
        """Forget a subscription."""
        for part in subscription.parts:
            self.parts[part.partition.number].fanout.detach(part)
        if isinstance(subscription, JointSubscription):
            self._joints.discard(subscription)
            subscription.close()
        leaving = any(part.fanout.leaving for part in self.parts)
        if leaving and (self._forgetting is None or self._forgetting.done()):
            self._forgetting = asyncio.create_task(self._forget_leaving(), name="tidewire-leaving")
            self._forgetting.add_done_callback(_report)

    async def _forget_leaving(self) -> None:
        while leaving := [part.fanout for part in self.parts if part.fanout.leaving]:
            for fanout in leaving:
                await fanout.forget_leaving()

    def _fell_back(self, subscription: Subscription) -> None:
        if self.on_fall_back is not None:
            self.on_fall_back(subscription)

    async def moved(self) -> None:
        """Wait until the hub may have moved, at most one check interval."""
        await wait_at_most(self._moved, CHECK_S)

    async def catch_up(
        self,
        part: Subscription,
        effects: Effects[None],
        drained: Callable[[], Coroutine[Any, Any, None]],
        pending: Effect | None = None,
    ) -> None:
        """Drive a subscription in one partition until it is live; reads that fail are repeated until Redis is back.

        Args:
            part: the subscription.
            effects: of its `run` or `catch_up`.
            drained: waits until the socket accepts bytes again.
            pending: the effect that it has already yielded, if it has begun.
        """
        partition, _, feed, _ = self.parts[part.partition.number]

        async def perform(effect: Effect) -> Any:
            pause_s = 0.1
            while True:
                try:
                    match effect:
                        case SyncClock():
                            return await feed.sync_clock()
                        case ReadEntries() | ReadLast():
                            return await feed.reads.shared(effect)
                        case Wait():
                            return await self.moved()
                        case Turn():
                            return await asyncio.sleep(0)
                        case Drain():
                            return await drained()
                except LogUnavailable:
                    partition.counters["reads_repeated"] += 1
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                    pause_s = min(1.0, pause_s * 2)

        await run_effects(effects, perform, pending)


def _resumed(request: SubscriptionRequest, number: int, layout: int) -> SubscriptionRequest:
    """Return a request as it concerns one partition.

    A cursor of another layout begins nowhere here: it is reset. One that lacks the partition says nothing of it.
    """
    cursor = request.cursor
    if cursor is None or (not layout and isinstance(cursor, Cursor)):
        return request
    known = isinstance(cursor, VectorCursor) and cursor.layout == layout
    own = cursor.part(number) if known and isinstance(cursor, VectorCursor) else NOWHERE
    return msgspec.structs.replace(request, cursor=own)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.critical("hub_task_died", task=task.get_name(), exc_info=task.exception())
