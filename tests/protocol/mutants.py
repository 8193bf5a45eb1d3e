"""Each rule of the protocol switched off alone, in the real code: what its trace must catch.

A mutant is a function that takes pytest's `monkeypatch` (or the hunt's own) and patches one decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import world as worlds

from tidewire.model.cursor import Cursor
from tidewire.model.sse import encode_event
from tidewire.redislog.lineage import fork_after
from tidewire_service.hub import continuity, log_page, page_reading
from tidewire_service.hub.conflated_selection import ConflatedSelection
from tidewire_service.hub.continuity import ContinuityTracker
from tidewire_service.hub.effects import Drain, ReadEntries, ReadTails, SyncClock, Wait
from tidewire_service.hub.event_ring import RingEntry, encode_data
from tidewire_service.hub.fanout import Fanout
from tidewire_service.hub.log_page import Hole, LogPage, PageEntry
from tidewire_service.hub.subscription import Subscription
from tidewire_service.turns import at_once

Patch = Any
MUTANTS: dict[str, Callable[[Patch], None]] = {}


def mutant(rule: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def register(function: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS[rule] = function
        return function

    return register


def _merge(patch: Patch, function: Any) -> None:
    patch.setattr(continuity, "merge_page", function)

    def merging_page(*arguments: Any) -> Any:
        yield from ()
        return function(*arguments)

    patch.setattr(page_reading, "merging_page", merging_page)


def _page(metrics: Any, lists: Any, holes: list[Hole], bound: int, barrier: int) -> LogPage:
    merged = sorted(
        PageEntry(e.id, m, e.body) for m, es in zip(metrics, lists, strict=True) for e in es if e.id <= bound
    )
    return LogPage(merged, holes, bound, bound == barrier)


@mutant("pp")
def _(patch: Patch) -> None:
    def on_frame(self: ContinuityTracker, frame: Any) -> Any:
        self.frames += 1
        if frame.epoch != self._partition.epoch:
            yield from self._adopt_clock()
            if frame.epoch != self._partition.epoch:
                return
        self._apply(frame)  # whatever lies between

    patch.setattr(ContinuityTracker, "on_frame", on_frame)


@mutant("check")
def _(patch: Patch) -> None:
    def check(self: ContinuityTracker) -> Any:
        return
        yield

    patch.setattr(ContinuityTracker, "check", check)


@mutant("barrier")
def _(patch: Patch) -> None:
    def merge_page(metrics: Any, lists: Any, after: int, barrier: int, tails: Any, page: int) -> LogPage:
        found = log_page.merge_page(metrics, lists, after, barrier, tails, page)
        top = max([e.id for es in lists for e in es] or [barrier])
        bound = max(top, barrier) if found.complete else found.bound
        return LogPage(_page(metrics, lists, [], bound, bound).entries, found.holes, bound, True)

    _merge(patch, merge_page)


def _log_page_with(self: Subscription, *, metrics_first: bool = False, recheck: bool = True) -> Any:
    """As `Subscription._log_page`, with one rule to switch off."""
    core = self._partition
    epoch, after = self.cursor.epoch, self.cursor.id
    barrier = self.selection.flushed
    tails = {m: t for m in self.selection.metrics if (t := core.tails.get(m, 0)) > after}
    if metrics_first:
        yield Wait()
        barrier = self.selection.flushed
    page = log_page.merge_page((), (), after, barrier, {}, 1)
    if tails:
        metrics = tuple(tails)
        count = self._fanout.log_page
        lists, clock = yield ReadEntries(tuple((m, after) for m in metrics), count)
        if recheck and (clock.epoch != epoch or core.epoch != epoch):
            yield Wait()
            return
        page = at_once(page_reading.merging_page(metrics, lists, after, barrier, tails, count))
    gaps = b"".join([self._gap(hole) for hole in page.holes])
    entries = [RingEntry(one.id, one.metric, one.body, core.minting_epoch(one.id)) for one in page.entries]
    self._hand_page(gaps + self._encoded(entries, page.bound, barrier), Cursor(epoch, page.bound))


@mutant("dirafter")
def _(patch: Patch) -> None:
    patch.setattr(Subscription, "_log_page", lambda self: _log_page_with(self, metrics_first=True))


@mutant("recheck")
def _(patch: Patch) -> None:
    patch.setattr(Subscription, "_log_page", lambda self: _log_page_with(self, recheck=False))


@mutant("pagemin")
def _(patch: Patch) -> None:
    def merge_page(metrics: Any, lists: Any, after: int, barrier: int, tails: Any, page: int) -> LogPage:
        found = log_page.merge_page(metrics, lists, after, barrier, tails, page)
        top = max([e.id for es in lists for e in es if e.id <= barrier] or [barrier])
        bound = found.bound if found.complete else top
        return _page(metrics, lists, found.holes, bound, barrier)

    _merge(patch, merge_page)


@mutant("ptest")
def _(patch: Patch) -> None:
    def merge_page(metrics: Any, lists: Any, after: int, barrier: int, tails: Any, page: int) -> LogPage:
        found = log_page.merge_page(metrics, lists, after, barrier, tails, page)
        empty = {m for m, es in zip(metrics, lists, strict=True) if not es}
        return found._replace(holes=[hole for hole in found.holes if hole.metric in empty])

    _merge(patch, merge_page)


@mutant("ptest_bounded")
def _(patch: Patch) -> None:
    def merge_page(metrics: Any, lists: Any, after: int, barrier: int, tails: Any, page: int) -> LogPage:
        found = log_page.merge_page(metrics, lists, after, barrier, tails, page)
        within = {m for m, es in zip(metrics, lists, strict=True) if not es or es[0].id <= barrier}
        return found._replace(holes=[hole for hole in found.holes if hole.metric in within])

    _merge(patch, merge_page)


@mutant("emptytest")
def _(patch: Patch) -> None:
    def merge_page(metrics: Any, lists: Any, after: int, barrier: int, tails: Any, page: int) -> LogPage:
        return log_page.merge_page(metrics, lists, after, barrier, {}, page)

    _merge(patch, merge_page)


@mutant("tailsmax")
def _(patch: Patch) -> None:
    fill = ContinuityTracker._fill

    def kept(self: ContinuityTracker) -> Any:
        raising = self._raise_tails
        self._raise_tails = lambda tails: [self._listener.born(m) for m in tails]
        try:
            yield from fill(self)
        finally:
            self._raise_tails = raising

    patch.setattr(ContinuityTracker, "_fill", kept)


@mutant("filt")
def _(patch: Patch) -> None:
    def resolve(self: Subscription) -> Any:
        if self.cursor.epoch == self._partition.epoch and self.cursor.id > self.selection.flushed:
            self.cursor = Cursor(self.cursor.epoch, self.selection.flushed)  # as if the hub knew better
            return True
        return (yield from original(self))

    original = Subscription._resolve
    patch.setattr(Subscription, "_resolve", resolve)


@mutant("atomicjoin")
def _(patch: Patch) -> None:
    def catch_up(self: Subscription) -> Any:
        effects = original(self)
        answer = None
        while True:
            going: list[Any] = []
            fanout = self._fanout
            real, fanout.go_live = fanout.go_live, going.append
            try:
                request = effects.send(answer)
            except StopIteration:
                fanout.go_live = real
                yield Wait()  # the moment between "complete" and "live"
                if not self.ended:
                    real(self)
                return
            fanout.go_live = real
            answer = yield request

    original = Subscription.catch_up
    patch.setattr(Subscription, "catch_up", catch_up)


@mutant("holdcur")
def _(patch: Patch) -> None:
    def fall_back(self: Fanout, sub: Subscription, cursor: Cursor, *, slow: bool) -> None:
        original(self, sub, cursor, slow=slow)
        if slow:
            sub.cursor = Cursor(self._partition.epoch, self._partition.position)  # as if the socket had it
            sub.sink.parked = None

    original = Fanout._fall_back
    patch.setattr(Fanout, "_fall_back", fall_back)


@mutant("hello")
def _(patch: Patch) -> None:
    def hello(self: Subscription) -> Any:
        effects = original(self)
        answer = None
        while True:
            hand = Subscription.hand

            def forward(sub: Subscription, data: bytes, cursor: Cursor, hand: Any = hand) -> bool:
                barrier = str(sub._partition.cursor(sub.selection.flushed)).encode()
                head, _, rest = data.partition(b"\nid: ")
                return hand(sub, head + b"\nid: " + barrier + b"\n" + rest.partition(b"\n")[2], cursor)

            Subscription.hand = forward
            try:
                request = effects.send(answer)
            except StopIteration:
                return
            finally:
                Subscription.hand = hand
            answer = yield request

    original = Subscription._hello
    patch.setattr(Subscription, "_hello", hello)


@mutant("chain")
def _(patch: Patch) -> None:
    def clock(self: worlds.Redis, watermark: Any = None) -> Any:
        self.data.run = self.run  # a new process is not noticed
        return original(self, None)

    original = worlds.Redis.clock
    patch.setattr(worlds.Redis, "clock", clock)


@mutant("cut")
def _(patch: Patch) -> None:
    class Uncut:
        """A chain's answer without its fork."""

    def never(chain: Any, epoch: str) -> Any:
        found = fork_after(chain, epoch)
        return None if found is None else (None, found[1])

    patch.setattr(continuity, "fork_after", never)


@mutant("evidence")
def _(patch: Patch) -> None:
    patch.setattr(worlds.Redis, "_receive", lambda self, data, watermark: None)


@mutant("lineage")
def _(patch: Patch) -> None:
    def receive(self: worlds.Redis, data: Any, watermark: Any) -> None:
        original(self, data, watermark._replace(chain=watermark.chain[-1:]))

    original = worlds.Redis._receive
    patch.setattr(worlds.Redis, "_receive", receive)


@mutant("askclock")
def _(patch: Patch) -> None:
    def on_frame(self: ContinuityTracker, frame: Any) -> Any:
        partition = self._partition
        if frame.epoch != partition.epoch:
            self._listener.interrupted()
            partition.epoch, partition.position = frame.epoch, frame.before
            partition.chain = (worlds.Fork(frame.epoch, 0, None),)
            partition.ring.clear(frame.before)
            self._listener.settled()
        yield from original(self, frame)

    original = ContinuityTracker.on_frame
    patch.setattr(ContinuityTracker, "on_frame", on_frame)


@mutant("onewriter")
def _(patch: Patch) -> None:
    def step(self: worlds.Operation) -> None:
        if not isinstance(self.request, SyncClock):
            original(self)
            return
        own = self.__dict__.setdefault("own_sync", None)
        if own is None:
            own = self.own_sync = worlds.Operation(self.hub, self.hub.tracker.sync())
        elif not own.done:
            own.step()
        if own.done:
            self.own_sync = None
            self._send(self.hub.partition.clock)

    original = worlds.Operation.step
    patch.setattr(worlds.Operation, "step", step)


@mutant("onereply")
def _(patch: Patch) -> None:
    def resolve(self: Subscription) -> Any:
        core = self._partition
        yield SyncClock()
        yield Drain()
        epoch, id_ = self.cursor
        if epoch == core.epoch:
            if id_ > self.selection.flushed and id_ > core.position:
                self._announce_loss(core.position, id_, Cursor(epoch, core.position))
                return True
            return id_ <= self.selection.flushed
        return (yield from original(self))

    original = Subscription._resolve
    patch.setattr(Subscription, "_resolve", resolve)


@mutant("gapatomic")
def _(patch: Patch) -> None:
    def fill(self: ContinuityTracker) -> Any:
        partition = self._partition
        while True:
            clock = yield from self._adopt_clock()
            epoch, barrier = clock.epoch, clock.id
            if barrier <= partition.position:
                return
            tails, _ = yield ReadTails()
            metrics = [m for m, t in tails.items() if t > partition.position]
            lists, clock = yield ReadEntries(tuple((m, partition.position) for m in metrics), self._fill_page)
            page = log_page.merge_page(metrics, lists, partition.position, barrier, tails, self._fill_page)
            if clock.epoch != epoch:
                continue
            self._raise_tails(tails)
            yield ReadTails()  # the gap is known, and half applied
            self._push(page.entries)
            partition.position = barrier
            self._listener.settled()
            return

    patch.setattr(ContinuityTracker, "_fill", fill)


@mutant("orphan")
def _(patch: Patch) -> None:
    def entries(self: worlds.Redis, metric: str, after: int, page: int) -> Any:
        log = self.data.logs.get(metric, [])
        return [worlds.Entry(*entry) for entry in log if entry[0] > after][:page]

    def append(self: worlds.Redis, metrics: Any, watermark: Any) -> Any:
        self.clock(watermark)
        for metric in metrics:
            if metric not in self.data.tails and self.data.logs.get(metric):
                self.data.tails[metric] = 0  # the leftovers are kept as if they were of this life
        return original(self, metrics, watermark)

    original = worlds.Redis.append
    patch.setattr(worlds.Redis, "entries", entries)
    patch.setattr(worlds.Redis, "append", append)


@mutant("resetid")
def _(patch: Patch) -> None:
    def reset(self: Subscription) -> Any:
        core, start = self._partition, self._start()
        self._announce = True
        data = msgspec.json.encode({"epoch": core.epoch, "reason": "lost"})
        self.hand(encode_event(data, id_=str(core.cursor(start.id)), event="reset"), start)
        if self.replay.kind == "last":
            yield from self._snapshot()

    patch.setattr(Subscription, "_reset", reset)


@mutant("sharedbarrier")
def _(patch: Patch) -> None:
    patch.setattr(worlds, "shared_by", lambda request: request._replace(barrier=0))


@mutant("onewire")
def _(patch: Patch) -> None:
    def clock(world: worlds.World, reading: worlds.Reading, watermark: Any) -> Any:
        return world.redis.clock(watermark)  # over another connection, which leads to the new server

    patch.setattr(worlds, "answering_clock", clock)


@mutant("sharedepoch")
def _(patch: Patch) -> None:
    patch.setattr(worlds, "shared_by", lambda request: request._replace(epoch=""))


@mutant("forgot")
def _(patch: Patch) -> None:
    def forget(self: worlds.Redis, metric: str) -> str:
        done = original(self, metric)
        self.data.forgot = 0  # a metric born again has no past
        return done

    original = worlds.Redis.forget
    patch.setattr(worlds.Redis, "forget", forget)


@mutant("middle")
def _(patch: Patch) -> None:
    def merge_page(metrics: Any, lists: Any, after: int, barrier: int, tails: Any, page: int) -> LogPage:
        found = log_page.merge_page(metrics, lists, after, barrier, tails, page)
        return found._replace(holes=[hole for hole in found.holes if hole.after == after])

    _merge(patch, merge_page)


@mutant("untold")
def _(patch: Patch) -> None:
    patch.setattr(Subscription, "_forgotten", lambda self, after, forgot: b"")


@mutant("wentback")
def _(patch: Patch) -> None:
    patch.setattr(worlds.Redis, "may_go_back", False)


@mutant("born")
def _(patch: Patch) -> None:
    patch.setattr(worlds.Redis, "directory_lost", lambda self, data: False)


@mutant("carry")
def _(patch: Patch) -> None:
    def catch_up(self: Subscription) -> Any:
        effects, answer = original(self), None
        while True:
            self._emitted = self.cursor.id  # what is summed up counts as sent
            try:
                request = effects.send(answer)
            except StopIteration:
                return
            answer = yield request

    original = Subscription.catch_up
    patch.setattr(Subscription, "catch_up", catch_up)


@mutant("edge")
def _(patch: Patch) -> None:
    def encoded(self: Any, events: Any, conflator: Any) -> bytes:
        """One event for each series in place of one for the interval."""
        parts = []
        for event in events:
            payload = msgspec.json.decode(event.data)
            for batch in payload["batches"]:
                data = msgspec.json.encode({**payload, "batches": [batch]})
                parts.append(encode_data(self._partition.minting_epoch(event.id), event.id, data))
        return b"".join(parts)

    patch.setattr(ConflatedSelection, "encoded", encoded)


@mutant("forgottenfill")
def _(patch: Patch) -> None:
    fill = ContinuityTracker._fill

    def filled(self: ContinuityTracker) -> Any:
        effects, result = fill(self), None
        while True:
            try:
                effect = effects.send(result)
            except StopIteration:
                return
            result = yield effect
            if isinstance(effect, ReadTails | ReadEntries):
                result = result[0], result[1]._replace(forgot=0)

    patch.setattr(ContinuityTracker, "_fill", filled)


@mutant("halfentered")
def _(patch: Patch) -> None:
    enter_some = Fanout.enter_some

    def entered(self: Fanout, selection: Any) -> bool:
        patch.setattr(self, "flush", lambda: 0)
        try:
            return enter_some(self, selection)
        finally:
            patch.delattr(self, "flush")

    patch.setattr(Fanout, "enter_some", entered)
