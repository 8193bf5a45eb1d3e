"""One subscription: catching up from its cursor, or live; pure, over the effects of `effects.py`.

One mechanism serves resume, first load, slow readers and outages: a subscription that is not live reads from its
cursor, first the event ring, then the log, never past the flushed position as it was before the reads, at the pace of
its socket. It goes live in the same step in which its cursor equals the flushed position. Rules and rows are those of
docs/protocol.md. The module is long because the steps share one cursor: apart, none can be checked against its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.batch import labels_of_series_key
from tidewire.model.cursor import Cursor, id_from_ms
from tidewire.model.sse import encode_event
from tidewire.model.vector_cursor import AnyCursor
from tidewire.redislog.calls import LastReading
from tidewire.redislog.lineage import Clock, resolve_cursor
from tidewire_service.hub.conflated_selection import ConflatedSelection
from tidewire_service.hub.conflation import Conflator, Skipped, Thinner, interval_of
from tidewire_service.hub.control_events import (
    hello_event,
    live_event,
    lost_gap_event,
    reset_event,
    skipped_event,
    trimmed_gap_event,
)
from tidewire_service.hub.effects import Drain, Effects, ReadLast, SyncClock, Turn, Wait
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.hub.log_page import Hole, PageEntry
from tidewire_service.hub.page_reading import LOOKED_AT, in_order, in_turns, read_page, spent
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.selection import Selection

__all__ = ["NOWHERE", "LiveSet", "OnSlow", "Replay", "Sink", "Subscription", "SubscriptionRequest", "start_id"]

NOWHERE: Final = Cursor("-", 0)
"""Where a cursor of another layout is in a partition: in no epoch that there is, so it is reset."""
_CHUNK_BYTES: Final = 256 * 1024
_FIRST_LAST: Final = 16  # metrics of the first read of last readings, each with 2,000 series at most
_MOST_LAST: Final = 1_024  # last readings of a later one, about: 5 ms
_ENCODED: Final = 2_048  # entries of a page between two turns: 10 ms


class OnSlow(StrEnum):
    """What happens to a subscription whose socket is full: read it all later, only the last of each series, or end."""

    CATCHUP = "catchup"
    CONFLATE = "conflate"
    DISCONNECT = "disconnect"


class Replay(NamedTuple):
    """What to send before the live batches: ``last`` reading of each series, ``none``, or a ``span``, milliseconds."""

    kind: str
    span_ms: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind != "span" else f"{self.span_ms / 1e3:g}s"


class SubscriptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber asks for, checked.

    Attributes:
        patterns: texts of valid patterns, at least one.
        labels: that a series must have.
        replay: what to send first if there is no cursor.
        cursor: where to resume.
        every_ms: length of an interval of a conflated stream; 0 for raw batches.
        on_slow: what to do when its socket is full.
    """

    patterns: tuple[str, ...]
    labels: Mapping[str, str] = {}
    replay: Replay = Replay("last")
    cursor: AnyCursor | None = None
    every_ms: int = 0
    on_slow: OnSlow = OnSlow.CATCHUP


def start_id(replay: Replay, flushed: int, now_ms: float) -> int:
    """Return the id after which a fresh subscription starts.

    Args:
        replay: what it is sent first.
        flushed: the position of live subscriptions.
        now_ms: the log's clock, milliseconds since the Unix epoch.
    """
    if replay.kind != "span":
        return flushed
    return min(max(id_from_ms(max(0, int(now_ms - replay.span_ms))) - 1, 0), flushed)


class Sink(Protocol):
    """Where a subscription's bytes go."""

    def write(self, data: bytes) -> bool:
        """Hand over bytes; False: they are parked, and nothing may be written before they are."""


class LiveSet(Protocol):
    """What a subscription needs of the fan-out; `Fanout` is one.

    Attributes:
        hello: fields of every hello, such as the tick and the limits.
        log_page: entries of one metric that one read of a catch-up may return at most.
        log_time_ms: returns the log's clock now, milliseconds since the Unix epoch.
    """

    hello: Mapping[str, Any]
    log_page: int
    log_time_ms: Callable[[], float]

    def enter_some(self, selection: Selection) -> bool:
        """Enter a new selection at some of its metrics; return False if it was entered at all of them before."""

    def go_live(self, subscription: Subscription) -> None:
        """Let a subscription whose cursor equals the flushed position share the bytes of its selection."""

    def fall_back(self, subscription: Subscription, *, slow: bool = True) -> None:
        """Let a live subscription catch up from what it was handed; `slow`: its own events filled the socket."""


class Subscription:
    """One subscriber's place in one partition.

    Attributes:
        cursor: while catching up, everything up to here was handed to the socket; while live, see `Partition.flushed`.
        live: gets the shared bytes of its selection.
        parked: the cursor that will hold once the socket has accepted what was parked, or None.
        on_slow: what to do when the socket is full.
        slow: fell back because its socket was full.
    """

    __slots__ = (
        "_announce",
        "_carry",
        "_emitted",
        "_fanout",
        "_partition",
        "_resume",
        "_told_forgot",
        "cursor",
        "ended",
        "live",
        "on_slow",
        "parked",
        "replay",
        "selection",
        "sink",
        "slow",
    )

    def __init__(
        self, partition: Partition, fanout: LiveSet, selection: Selection, sink: Sink, request: SubscriptionRequest
    ) -> None:
        self._partition = partition
        self._fanout = fanout
        self.selection = selection
        self.sink = sink
        self.replay = request.replay
        self._resume = request.cursor if isinstance(request.cursor, Cursor) else None
        self.cursor = Cursor("", 0)
        self.live = False
        self.ended = False
        self.parked: Cursor | None = None
        self.on_slow = request.on_slow
        self.slow = False
        self._announce = True
        self._told_forgot = 0
        self._carry = Conflator(request.every_ms) if request.every_ms else None
        self._emitted = 0

    @property
    def parts(self) -> Iterable[Subscription]:
        """What has a place in one partition each."""
        return (self,)

    @property
    def partition(self) -> Partition:
        """Where it is."""
        return self._partition

    @property
    def owner(self) -> Any:
        """What the subscriber's stream knows it by."""
        return self

    def fall_back(self, *, slow: bool = True) -> None:
        """Catch up from what was handed, if it is live: the socket is full; `slow`: of its own events."""
        if self.live:
            self._fanout.fall_back(self, slow=slow)

    def hand(self, data: bytes, cursor: Cursor) -> bool:
        """Hand bytes to the socket; the cursor moves when the socket has them."""
        if self.sink.write(data):
            self.cursor = cursor
            return True
        self.parked = cursor
        return False

    def written(self) -> None:
        """Move the cursor: the socket has accepted what was parked."""
        if self.parked is not None:
            self.cursor, self.parked = self.parked, None

    # -- catching up

    def run(self) -> Effects[None]:
        """Say hello, replay, and catch up until live."""
        yield from self._hello()
        yield from self.catch_up()

    def catch_up(self) -> Effects[None]:
        """Read from the cursor until it equals the flushed position, then go live in the same step."""
        partition = self._partition
        while True:
            yield Drain()
            if self._carry and self.cursor.epoch != partition.epoch:
                # what was summed up so far may lie beyond a fork: read it again from the last interval sent
                self._carry.clear()
                self.cursor = Cursor(self.cursor.epoch, self._emitted)
            if self.cursor.epoch != partition.epoch or self.cursor.id > self.selection.flushed:
                moved = yield from self._resolve()
                if not moved:
                    yield Wait()
                continue
            if self.cursor.id == self.selection.flushed:
                if self._fanout.enter_some(self.selection):
                    yield Turn()
                    continue
                if self._may_go_live():
                    self._fanout.go_live(self)
                    return
                continue
            if self.cursor.id >= partition.ring_floor:
                yield from self._ring_page()
                continue
            yield from self._log_page()

    def _ring_page(self) -> Effects[None]:
        """Hand over a page of the ring, and let others run if it was not the last."""
        partition, selection = self._partition, self.selection
        partition.counters["pages_ring"] += 1
        (epoch, after), upto = self.cursor, selection.flushed
        if self.slow and self.on_slow is OnSlow.CONFLATE and self._carry is None:
            yield from self._thinned_ring()
            return
        data, bound = b"", after
        if not self._carry:
            data, bound = selection.ring_page(after, upto)
        if bound == after:  # of a conflated stream, within an interval that is longer than a page
            if not self._carry:
                self._emitted = after
            entries, bound = selection.some_wanted(after, upto)
            data = self._encoded(entries, bound, upto)
        self._hand_page(data, Cursor(epoch, bound))
        if bound < upto:
            yield Turn()

    def _thinned_ring(self) -> Effects[None]:
        """Hand over the newest batch of each series in the ring; nothing if the lineage changes meanwhile."""
        partition, selection, thinner = self._partition, self.selection, Thinner()
        (epoch, after), upto = self.cursor, selection.flushed
        bound = after
        while bound < upto and bound >= partition.ring_floor:
            entries, bound = selection.some_wanted(bound, upto)
            thinner.add(entries)
            yield Turn()
            if partition.epoch != epoch:
                return
        yield from self._hand_thinned(thinner, Cursor(epoch, bound))

    def _encoded(self, entries: Iterable[RingEntry], bound: int, barrier: int) -> bytes:
        """Return the events of a page's batches: raw, or as intervals."""
        selection = self.selection
        if isinstance(selection, ConflatedSelection) and self._carry is not None:
            for entry in entries:
                self._carry.add(entry)
                entry.release()
            # an interval that goes on beyond the page waits for the rest of it; at the barrier nothing is missing
            before = None if bound == barrier else interval_of(bound, selection.every_ms)
            events = list(self._carry.pop_closed(before))
            if events:
                self._emitted = events[-1].id
            return selection.encoded(events, self._carry)
        return b"".join([entry.data for entry in entries])

    def _hand_thinned(self, thinner: Thinner, upto: Cursor) -> Effects[None]:
        """Hand over what was kept for a slow subscriber, after what it was spared, then move to the cursor."""
        partition = self._partition
        kept, left_out = yield from in_turns(thinner.thinning())

        def skipped(left_out: Skipped) -> bytes:
            metric, batches, first, last = left_out
            partition.counters["batches_skipped"] += batches
            ends = (partition.named(partition.cursor(id_)) for id_ in (first, last))
            return skipped_event(metric, batches, *ends)

        after = self.cursor.id
        spared = ((after, skipped(some)) for some in spent(left_out))
        events = chain(spared, ((entry.id, entry.data) for entry in spent(kept)))
        if partition.epoch == upto.epoch:  # it may change in a turn
            yield from self._hand_events(events, upto)

    def _hand_events(self, events: Iterable[tuple[int, bytes]], upto: Cursor) -> Effects[bool]:
        """Hand over events at the pace of the socket, then move to the cursor; return False if the lineage changes.

        Args:
            events: in order, each with the id up to which nothing is missing once it is handed over.
            upto: likewise of all of them.
        """
        if not (yield from self._may_write(upto.epoch)):
            return False
        chunk, size = [], 0
        for id_, data in events:
            chunk.append(data)
            size += len(data)
            if len(chunk) >= _ENCODED or size >= _CHUNK_BYTES:
                self._hand_page(b"".join(chunk), Cursor(upto.epoch, id_))
                chunk, size = [], 0
                if not (yield from self._goes_on(upto.epoch)):
                    return False
        self._hand_page(b"".join(chunk), upto)
        return True

    def _may_write(self, epoch: str) -> Effects[bool]:
        """Wait, after a read, until the socket is free; return whether the lineage is still what was read.

        It was free before, and nobody else writes to it.
        """
        yield from ()
        return True

    def _goes_on(self, epoch: str) -> Effects[bool]:
        """Wait until the socket has what it was handed; return whether the lineage is still what was read."""
        yield Turn()
        yield Drain()
        if self._partition.epoch == epoch:
            return True
        self._partition.counters["pages_discarded"] += 1
        return False

    def _may_go_live(self) -> bool:
        """Announce it if that is due; return False if the socket is full now."""
        if not self._announce:
            return True
        self._announce = False
        return self.hand(live_event(self._partition.cursor(self.cursor.id)), self.cursor)

    def _hand_page(self, data: bytes, cursor: Cursor) -> None:
        if data:
            self.hand(data, cursor)
        else:
            self.cursor = cursor

    def _log_page(self) -> Effects[None]:
        """Read one page of the log and hand it over, unless the lineage changes meanwhile (rule 12)."""
        partition, selection = self._partition, self.selection
        if len(selection.metrics) > LOOKED_AT:
            yield Turn()  # to attach it was long enough
        epoch, after = self.cursor
        # the barrier first, then the metrics known at this very instant (rows 3 and 4)
        barrier, metrics = selection.flushed, tuple(selection.metrics)
        if self._carry is not None and not self._carry:
            self._emitted = after
        read = yield from read_page(partition, metrics, self.cursor, barrier, self._fanout.log_page)
        if read is None:
            partition.counters["pages_discarded"] += 1
            return
        page, forgot = read
        partition.counters["pages_log"] += 1
        if not (yield from self._hand_gaps(page.holes, forgot, Cursor(epoch, after))):
            return
        entries, upto = spent(page.entries), Cursor(epoch, page.bound)
        if self._carry is not None:
            yield from self._hand_intervals(entries, upto, barrier)
        elif self.slow and self.on_slow is OnSlow.CONFLATE:
            thinner = Thinner()
            while part := self._some(entries):
                thinner.add(entry for entry in part if self.selection.wants(entry))
                yield Turn()
            yield from self._hand_thinned(thinner, upto)
        else:
            wants, every = self.selection.wants, chain.from_iterable(iter(lambda: self._some(entries), []))
            yield from self._hand_events(((entry.id, entry.data if wants(entry) else b"") for entry in every), upto)

    def _hand_gaps(self, holes: Sequence[Hole], forgot: int, cursor: Cursor) -> Effects[bool]:
        """Announce what can no longer be replayed after a cursor; return False if the lineage changes."""
        forgotten = self._forgotten(cursor.id, forgot)
        if not forgotten and not holes:
            return True
        gaps = chain((forgotten,), map(self._gap, holes))
        handed = yield from self._hand_events(((cursor.id, gap) for gap in gaps), cursor)
        return handed and (yield from self._goes_on(cursor.epoch))

    def _hand_intervals(self, entries: Iterator[PageEntry], upto: Cursor, barrier: int) -> Effects[None]:
        """Sum up a page of the log and hand over the intervals that it closes."""
        if not (yield from self._may_write(upto.epoch)):
            return
        part = self._some(entries)
        while True:
            following = self._some(entries)
            bound = part[-1].id if following else upto.id
            wanted = filter(self.selection.wants, part)
            self._hand_page(self._encoded(wanted, bound, barrier), Cursor(upto.epoch, bound))
            if not following or not (yield from self._goes_on(upto.epoch)):
                return
            part = following

    def _some(self, entries: Iterator[PageEntry]) -> list[RingEntry]:
        """Return the next batches of a page of the log, encoded."""
        mint = self._partition.minting_epoch
        return [RingEntry(id_, metric, body, mint(id_)) for id_, metric, body in islice(entries, _ENCODED)]

    def _forgotten(self, after: int, forgot: int) -> bytes:
        """Return the gap of metrics that have left the directory, once: nobody knows which they were (rule 17)."""
        if after >= forgot or forgot == self._told_forgot:
            return b""
        self._told_forgot = forgot
        return self._gap(Hole(None, after, forgot))

    def _gap(self, hole: Hole) -> bytes:
        partition = self._partition
        self._announce = True  # rule 14: else a catch-up without data would repeat the gap at each reconnect
        partition.counters["gaps_trimmed"] += 1
        after, upto = (partition.named(partition.cursor(id_)) for id_ in (hole.after, hole.upto))
        return trimmed_gap_event(hole.metric, after, upto)

    def _resolve(self) -> Effects[bool]:
        """Resolve a cursor of another epoch, or ahead of the hub (rules 3 and 10); return whether it moved."""
        partition = self._partition
        clock: Clock = yield SyncClock()
        yield Drain()
        self.cursor = partition.completed(self.cursor)
        epoch, id_ = self.cursor
        if epoch == partition.epoch:
            if id_ > self.selection.flushed and clock.epoch == epoch and id_ > clock.id:
                # beyond the clock of its own epoch: forged or misrouted, never to be waited for
                self._announce_loss(clock.id, id_, Cursor(epoch, clock.id))
                return True
            return id_ <= self.selection.flushed
        resolution = resolve_cursor(partition.chain, epoch, id_)
        if not resolution.known:
            yield from self._reset()
        elif resolution.lost_from is not None:
            self._announce_loss(resolution.lost_from, id_, Cursor(partition.epoch, resolution.id))
        else:
            self.cursor = Cursor(partition.epoch, resolution.id)
        return True

    def _announce_loss(self, lost_from: int, upto: int, cursor: Cursor) -> None:
        partition = self._partition
        partition.counters["gaps_lost"] += 1
        self._announce = True
        last = Cursor(self.cursor.epoch, max(lost_from, upto))  # the cursor may lie before the loss; its end is unknown
        after, upto_cursor = partition.named(partition.cursor(lost_from)), partition.named(last)
        self.hand(lost_gap_event(after, upto_cursor, partition.cursor(cursor.id)), cursor)

    def _reset(self) -> Effects[None]:
        """Announce that the log itself was lost, and start anew as the replay asks."""
        partition = self._partition
        partition.counters["resets_sent"] += 1
        self._announce = True
        start = self._start()
        # before a snapshot the id is empty: a client that is cut within it starts anew, and misses nothing (row 14)
        id_ = "" if self.replay.kind == "last" else str(partition.cursor(start.id))
        self.hand(reset_event(partition.epoch, id_, self.concerns), start)
        if self.replay.kind == "last":
            yield from self._snapshot()

    @property
    def concerns(self) -> Mapping[str, Any] | None:
        """Which partition and metrics an event is about; None for a log of one."""
        return None

    # -- the beginning

    def _start(self) -> Cursor:
        """Return where a fresh subscription starts."""
        start = start_id(self.replay, self.selection.flushed, self._fanout.log_time_ms())
        return Cursor(self._partition.epoch, start)

    def _hello(self) -> Effects[None]:
        fanout = self._fanout
        while not self._partition.epoch:  # Redis was never there: the stream is open, its start is not known yet
            yield Wait()
        yield Drain()
        fresh = self._resume is None
        self.cursor = self._resume if self._resume is not None else self._start()
        snapshot = fresh and self.replay.kind == "last"
        known = "" if self.cursor == NOWHERE else str(self.cursor)
        fields = {
            "cursor": known,
            "resumed": not fresh,
            "replay": str(self.replay),
            "matched": len(self.selection.metrics),
            "time_ms": round(fanout.log_time_ms()),
            **fanout.hello,
        }
        if self.selection.key.narrowed_to:  # more was asked for than may be seen: this says so, and nothing else does
            fields["narrowed_to"] = self.selection.key.narrowed_to
        self.hand(hello_event(fields, None if snapshot else known or None), self.cursor)
        if snapshot:
            yield from self._snapshot()

    def _snapshot(self) -> Effects[None]:
        """Send the last reading of each series, without ids (row 14); what is newer than the cursor comes live."""
        partition = self._partition
        barrier = (self.cursor if self.parked is None else self.parked).id
        metrics = yield from in_order(self.selection.metrics, partition.tails)
        first, width = 0, _FIRST_LAST
        while part := tuple(metrics[first : first + width]):
            found = yield from self._last_readings(part, barrier)
            first += width
            width = max(1, min(width * 4, _MOST_LAST, width * _MOST_LAST // max(1, sum(map(len, found)))))
            chunk, size = [], 0
            for series in found:
                if len(series) > _MOST_LAST:
                    yield Turn()
                for key, last in sorted(series.items()):
                    # a batch after the barrier that brought nothing newer leaves the newest reading before it
                    if (last.reading_id or last.id) > barrier or not self._wants_series(key):
                        continue
                    data = encode_event(last.body)
                    chunk.append(data)
                    size += len(data)
                    if size >= _CHUNK_BYTES:
                        yield Drain()
                        self.hand(b"".join(chunk), self.cursor)
                        chunk, size = [], 0
            if chunk:
                yield Drain()
                self.hand(b"".join(chunk), self.cursor)
        partition.counters["snapshots"] += 1

    def _last_readings(self, metrics: tuple[str, ...], barrier: int) -> Effects[list[dict[bytes, LastReading]]]:
        """Read last readings of the lineage that the hub knows: a server that is left may hold older ones."""
        partition = self._partition
        while True:
            found, clock = yield ReadLast(metrics, barrier, partition.epoch)
            if clock.epoch == partition.epoch:
                return found  # type: ignore[no-any-return]  # what an effect is answered with has no type
            partition.counters["pages_discarded"] += 1
            yield Wait()

    def _wants_series(self, key: bytes) -> bool:
        if not self.selection.key.labels:
            return True
        try:
            return self.selection.wants_labels(labels_of_series_key(key))
        except InvalidInput:
            return False
