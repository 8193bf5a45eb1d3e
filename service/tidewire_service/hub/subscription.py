"""One subscription: catching up from its cursor, or live; pure, over the requests of `steps.py`.

One mechanism serves resume, first load, slow readers and outages: a subscription that is not live reads from its
cursor, first the hub's ring, then the log, never past the flushed position as it was before the reads, at the pace of
its socket. It goes live in the same step in which its cursor equals the flushed position.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.batch import labels_of_series_key
from tidewire.model.cursor import Cursor, id_from_ms
from tidewire.model.sse import encode_event
from tidewire.redislog.calls import LastReading
from tidewire.redislog.lineage import Clock, resolve_cursor
from tidewire_service.hub.conflated_selection import ConflatedSelection
from tidewire_service.hub.conflation import Conflator, interval_of, thinned
from tidewire_service.hub.effects import Drain, Look, ReadClock, ReadEntries, ReadLast, Steps, Wait
from tidewire_service.hub.event_ring import RingEntry, encode_data
from tidewire_service.hub.log_page import Hole, merge_page

if TYPE_CHECKING:
    from tidewire_service.hub.fanout import Fanout
    from tidewire_service.hub.selection import Selection

__all__ = ["EndReason", "OnSlow", "Replay", "Sink", "Subscription"]

PROTOCOL_VERSION: Final = 1
_PAGE_ENTRIES: Final = 4_096  # of one read, over all metrics: 0.5 MB of small batches
_MIN_PAGE, _MAX_PAGE = 16, 256  # of one metric
_CHUNK_BYTES: Final = 256 * 1024


class EndReason(StrEnum):
    """Why a stream ended."""

    CLIENT_GONE = "client_gone"
    DRAIN = "drain"
    MAX_AGE = "max_age"
    SLOW = "slow"
    WRITE_TIMEOUT = "write_timeout"
    OVERLOAD = "overload"
    TOO_MANY = "too_many"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ERROR = "error"


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


class Sink(Protocol):
    """Where a subscription's bytes go."""

    def write(self, data: bytes) -> bool:
        """Hand over bytes; False: they are parked, and nothing may be written before they are."""


class Subscription:
    """One subscriber's place in the hub.

    Attributes:
        cursor: while catching up, everything up to here was handed to the socket; while live, see `Fanout.flushed`.
        live: gets the shared bytes of its selection.
        parked: the cursor that will hold once the socket has taken what was parked, or None.
        on_slow: what to do when the socket is full.
        slow: fell back because its socket was full.
    """

    __slots__ = (
        "_announce",
        "_carry",
        "_emitted",
        "_fanout",
        "_resume",
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
        self,
        fanout: Fanout,
        selection: Selection,
        sink: Sink,
        replay: Replay,
        resume: Cursor | None = None,
        on_slow: OnSlow = OnSlow.CATCHUP,
    ) -> None:
        self._fanout = fanout
        self.selection = selection
        self.sink = sink
        self.replay = replay
        self._resume = resume
        self.cursor = Cursor("", 0)
        self.live = False
        self.ended = False
        self.parked: Cursor | None = None
        self.on_slow = on_slow
        self.slow = False
        self._announce = True
        every_ms = selection.key.every_ms
        self._carry = Conflator(every_ms) if every_ms else None
        self._emitted = 0

    def hand(self, data: bytes, cursor: Cursor) -> bool:
        """Hand bytes to the socket; the cursor moves when the socket has them."""
        if self.sink.write(data):
            self.cursor = cursor
            return True
        self.parked = cursor
        return False

    def written(self) -> None:
        """The socket has taken what was parked."""
        if self.parked is not None:
            self.cursor, self.parked = self.parked, None

    # -- catching up

    def run(self) -> Steps[None]:
        """Say hello, replay, and catch up until live."""
        yield from self._hello()
        yield from self.catch_up()

    def catch_up(self) -> Steps[None]:
        """Read from the cursor until it equals the flushed position, then be live in the same step."""
        fanout = self._fanout
        while True:
            yield Drain()
            if self._carry and self.cursor.epoch != fanout.pump.epoch:
                # what was summed up so far may lie beyond a fork: read it again from the last interval sent
                self._carry.clear()
                self.cursor = Cursor(self.cursor.epoch, self._emitted)
            if self.cursor.epoch != fanout.pump.epoch or self.cursor.id > self.selection.flushed:
                moved = yield from self._resolve()
                if not moved:
                    yield Wait()
                continue
            if self.cursor.id == self.selection.flushed:
                if not self._announce or self._say_live():
                    fanout.go_live(self)
                    return
                continue
            if self.cursor.id >= fanout.pump.ring.floor:
                self._ring_page()
                continue
            yield from self._log_page()

    def _ring_page(self) -> None:
        pump, selection = self._fanout.pump, self.selection
        pump.counters["pages_ring"] += 1
        after, upto = self.cursor.id, selection.flushed
        if self._carry or self.slow:
            entries = list(selection.wanted(pump.ring, after, upto))
            data, bound = self._encoded(entries, upto, upto), upto
        else:
            data, bound = selection.ring_page(pump.ring, after, upto)
        self._hand_page(data, Cursor(self.cursor.epoch, bound))

    def _encoded(self, entries: Iterable[RingEntry], bound: int, barrier: int) -> bytes:
        """Return the events of a page's batches: raw, thinned for a slow subscriber that wants it, or as intervals."""
        selection, pump = self.selection, self._fanout.pump
        if isinstance(selection, ConflatedSelection) and self._carry is not None:
            for entry in entries:
                self._carry.add(entry)
                entry.release()
            # an interval that goes on beyond the page waits for the rest of it; at the barrier nothing is missing
            before = None if bound == barrier else interval_of(bound, selection.every_ms)
            events = list(self._carry.take(before))
            if events:
                self._emitted = events[-1].id
            return selection.encoded(events, self._carry)
        if not (self.slow and self.on_slow is OnSlow.CONFLATE):
            return b"".join(entry.data for entry in entries)
        kept, left_out = thinned(entries)
        parts = []
        for metric, count, first, last in left_out:
            pump.counters["batches_skipped"] += count
            skipped = {"metric": metric, "count": count, "from": str(pump.cursor(first)), "to": str(pump.cursor(last))}
            parts.append(encode_event(msgspec.json.encode(skipped), event="skipped"))
        return b"".join(parts + [entry.data for entry in kept])

    def _say_live(self) -> bool:
        self._announce = False
        cursor = self._fanout.pump.cursor(self.cursor.id)
        data = encode_event(msgspec.json.encode({"cursor": str(cursor)}), id_=str(cursor), event="live")
        return self.hand(data, self.cursor)

    def _hand_page(self, data: bytes, cursor: Cursor) -> None:
        if data:
            self.hand(data, cursor)
        else:
            self.cursor = cursor

    def _log_page(self) -> Steps[None]:
        """Read one page of the log and hand it over, unless the lineage changed meanwhile (rule 12)."""
        fanout, pump = self._fanout, self._fanout.pump
        epoch, after = self.cursor.epoch, self.cursor.id
        # the barrier first, then the metrics known at this very instant (rows 3 and 4)
        barrier = self.selection.flushed
        if self._carry is not None and not self._carry:
            self._emitted = after
        tails = {metric: tail for metric in self.selection.metrics if (tail := pump.tails.get(metric, 0)) > after}
        page = merge_page((), (), after, barrier, {}, 1)
        if tails:
            metrics = tuple(sorted(tails))  # one order: those that read the same share it
            count = min(_MAX_PAGE, max(_MIN_PAGE, _PAGE_ENTRIES // len(metrics)), fanout.log_page)
            lists = yield ReadEntries(tuple((metric, after) for metric in metrics), count, barrier, epoch)
            clock: Clock = yield ReadClock(pump.seen())
            if clock.epoch != epoch or pump.epoch != epoch:
                fanout.pump.counters["pages_discarded"] += 1
                yield Wait()
                return
            page = merge_page(metrics, lists, after, barrier, tails, count)
        pump.counters["pages_log"] += 1
        gaps = b"".join([self._gap(hole) for hole in page.holes])
        entries = []
        for found in page.entries:
            data = encode_data(pump.label(found.id), found.id, found.body)
            entry = RingEntry(found.id, found.metric, found.body, data)
            if self.selection.wants(entry):
                entries.append(entry)
        self._hand_page(gaps + self._encoded(entries, page.bound, barrier), Cursor(epoch, page.bound))

    def _gap(self, hole: Hole) -> bytes:
        pump = self._fanout.pump
        self._announce = True  # row 14: else a catch-up without data would repeat the gap at each reconnect
        pump.counters["gaps_trimmed"] += 1
        gap = {
            "kind": "trimmed",
            "metric": hole.metric,
            "from": str(pump.cursor(hole.after)),
            "to": str(pump.cursor(hole.upto)),
        }
        return encode_event(msgspec.json.encode(gap), event="gap")

    def _resolve(self) -> Steps[bool]:
        """Judge a cursor of another epoch, or ahead of the hub (rules 3 and 10); return whether it moved."""
        pump = self._fanout.pump
        clock: Clock = yield Look()
        yield Drain()
        epoch, id_ = self.cursor
        if epoch == pump.epoch:
            if id_ > self.selection.flushed and clock.epoch == epoch and id_ > clock.id:
                # beyond the clock of its own epoch: forged or misrouted, never to be waited for
                self._say_lost(clock.id, id_, Cursor(epoch, clock.id))
                return True
            return id_ <= self.selection.flushed
        resolution = resolve_cursor(pump.chain, epoch, id_)
        if not resolution.known:
            yield from self._reset()
        elif resolution.lost_from is not None:
            self._say_lost(resolution.lost_from, id_, Cursor(pump.epoch, resolution.id))
        else:
            self.cursor = Cursor(pump.epoch, resolution.id)
        return True

    def _say_lost(self, lost_from: int, upto: int, cursor: Cursor) -> None:
        pump = self._fanout.pump
        pump.counters["gaps_lost"] += 1
        self._announce = True
        upto = max(lost_from, upto)  # the cursor may lie before the loss; how far that reaches, nobody knows
        gap = {"kind": "lost", "from": str(pump.cursor(lost_from)), "to": str(Cursor(self.cursor.epoch, upto))}
        data = encode_event(msgspec.json.encode(gap), id_=str(pump.cursor(cursor.id)), event="gap")
        self.hand(data, cursor)

    def _reset(self) -> Steps[None]:
        """Tell that the log itself was lost, and start anew as the replay asks."""
        pump = self._fanout.pump
        pump.counters["resets_sent"] += 1
        self._announce = True
        reset = {"epoch": pump.epoch, "reason": "the log of this cursor no longer exists; the stream starts anew"}
        start = self._start()
        # before a snapshot the id is emptied: whoever is cut in it starts anew, instead of going on without it (row 14)
        id_ = "" if self.replay.kind == "last" else str(pump.cursor(start.id))
        data = encode_event(msgspec.json.encode(reset), id_=id_, event="reset")
        self.hand(data, start)
        if self.replay.kind == "last":
            yield from self._snapshot()

    # -- the beginning

    def _start(self) -> Cursor:
        """Return where a fresh subscription starts."""
        fanout = self._fanout
        if self.replay.kind == "span":
            start = id_from_ms(max(0, int(fanout.log_time_ms() - self.replay.span_ms))) - 1
            return Cursor(fanout.pump.epoch, min(max(start, 0), self.selection.flushed))
        return Cursor(fanout.pump.epoch, self.selection.flushed)

    def _hello(self) -> Steps[None]:
        fanout = self._fanout
        while not fanout.pump.epoch:  # Redis was never there: the stream is open, its start is not known yet
            yield Wait()
        yield Drain()
        fresh = self._resume is None
        self.cursor = self._resume if self._resume is not None else self._start()
        snapshot = fresh and self.replay.kind == "last"
        hello = {
            "version": PROTOCOL_VERSION,
            "cursor": str(self.cursor),
            "resumed": not fresh,
            "replay": str(self.replay),
            "matched": len(self.selection.metrics),
            "time_ms": round(fanout.log_time_ms()),
            **fanout.hello,
        }
        if self.selection.key.narrowed_to:  # what was asked for is more than may be seen: said, and nothing else is
            hello["narrowed_to"] = self.selection.key.narrowed_to
        id_ = None if snapshot else str(self.cursor)
        self.hand(encode_event(msgspec.json.encode(hello), id_=id_, event="hello"), self.cursor)
        if snapshot:
            yield from self._snapshot()

    def _snapshot(self) -> Steps[None]:
        """Send the last reading of each series, without ids (row 14); what is newer than the cursor comes live."""
        pump = self._fanout.pump
        epoch, barrier = self.cursor if self.parked is None else self.parked
        metrics = tuple(metric for metric in sorted(self.selection.metrics) if metric in pump.tails)
        for first in range(0, len(metrics), _PAGE_ENTRIES):
            part = metrics[first : first + _PAGE_ENTRIES]
            found: list[dict[bytes, LastReading]] = yield ReadLast(part, barrier, epoch)
            chunk, size = [], 0
            for series in found:
                for key, last in sorted(series.items()):
                    if last.id > barrier or not self._wants_series(key):
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
        pump.counters["snapshots"] += 1

    def _wants_series(self, key: bytes) -> bool:
        if not self.selection.key.labels:
            return True
        try:
            return self.selection.wants_labels(labels_of_series_key(key))
        except InvalidInput:
            return False
