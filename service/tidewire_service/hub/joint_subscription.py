"""A subscription to several partitions: one place in each, one socket, and ids that name all of these places.

In each partition it is a `Subscription`, which knows of no other. What these write goes to the socket in one order, so
everything that any of them was handed lies before the next event of another: the id of an event is what all of them
were handed up to it, its own part first. A partition that is away delays nobody else's events. Rules: docs/protocol.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, TypeAlias

from tidewire.model.cursor import Cursor, id_from_ms, id_ms
from tidewire.model.vector_cursor import VectorCursor, base62, component_text
from tidewire_service.hub.control_events import hello_event, live_event, stalled_event
from tidewire_service.hub.effects import Drain, Effects, Wait
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.selection import Selection
from tidewire_service.hub.subscription import NOWHERE, LiveSet, Sink, Subscription, SubscriptionRequest

__all__ = ["Cork", "JointSubscription", "PartSubscription"]

_NAMED: Final = 100  # metrics of a partition that an event about it lists
_ID: Final = re.compile(rb"^id: (?:([0-9a-z]+)\.([0-9a-z]+)-([0-9a-z]+))?$", re.MULTILINE)
_MEMORIES: Final = 64  # of one flush: bytes that were made for one subscriber and serve the next
_Positions: TypeAlias = tuple[tuple[int, Cursor], ...]  # by partition


class Cork:
    """Holds back what one flush of all partitions hands to each socket, so that it is one write.

    Subscribers that have the same positions get the same bytes: what was made for the first is kept until the end.

    Attributes:
        held: a flush is under way.
    """

    def __init__(self) -> None:
        self.held = False
        self._touched: dict[JointSubscription, list[bytes]] = {}
        self._made: dict[tuple[Any, ...], tuple[Any, bytes]] = {}  # what it was made of is kept: it is known by its id
        self._others: dict[tuple[int, tuple[int, ...]], _Positions] = {}  # of subscribers that are live everywhere

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold back what is handed over in the body, and write it at its end."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
            touched, self._touched = self._touched, {}
            for joint, chunks in touched.items():
                joint.write_flushed(chunks[0] if len(chunks) == 1 else self._joined(chunks))
            self._made.clear()
            self._others.clear()

    def flushed(self) -> None:
        """Take note that one partition has been flushed: what live subscribers have of it has changed."""
        self._others.clear()

    def others_of_live(self, number: int, parts: Mapping[int, PartSubscription]) -> _Positions:
        """Return what a subscriber that is live everywhere has in all partitions but one; the same of all such."""
        key = (number, tuple(parts))
        found = self._others.get(key)
        if found is None:
            found = tuple((other, part.handed) for other, part in parts.items() if other != number)
            if self.held:
                self._others[key] = found
        return found

    def add(self, joint: JointSubscription, data: bytes) -> None:
        """Keep bytes for the end of the flush."""
        self._touched.setdefault(joint, []).append(data)

    def named(self, number: int, data: bytes, others: _Positions, layout: int) -> bytes:
        """Return bytes of a partition with ids that also name the positions in others."""
        if not self.held:
            return _named(number, data, others, layout)
        key = (number, id(data), others)
        found = self._made.get(key)
        return self._remember(key, data, _named(number, data, others, layout)) if found is None else found[1]

    def _joined(self, chunks: Sequence[bytes]) -> bytes:
        key = tuple(map(id, chunks))
        found = self._made.get(key)
        return self._remember(key, chunks, b"".join(chunks)) if found is None else found[1]

    def _remember(self, key: tuple[Any, ...], source: Any, made: bytes) -> bytes:
        if len(self._made) < _MEMORIES:
            self._made[key] = source, made
        return made


def _named(number: int, data: bytes, others: _Positions, layout: int) -> bytes:
    """Replace the ids of a partition's events by those that also name the positions in others.

    An id that is empty, since its partition starts anew, names the others alone.
    """
    ids = list(_ID.finditer(data))
    if not ids:
        return data
    newest_ms = max((id_ms(cursor.id) for _, cursor in others), default=0)
    for found in ids:
        if found[2]:
            newest_ms = max(newest_ms, int(found[2], 36))
    head = f"id: _{base62(layout)}.{base62(newest_ms)}."
    tail = "".join(f".{component_text(other, cursor, newest_ms)}" for other, cursor in others)
    alone = (head + tail[1:] if others else "id: ").encode()
    parts, end = [], 0
    for found in ids:
        parts.append(data[end : found.start()])
        end = found.end()
        if found[2]:
            epoch, ms, n = found[1].decode(), int(found[2], 36), int(found[3], 36)
            parts.append(f"{head}{component_text(number, Cursor(epoch, id_from_ms(ms, n)), newest_ms)}{tail}".encode())
        else:
            parts.append(alone)
    parts.append(data[end:])
    return b"".join(parts)


class PartSubscription(Subscription):
    """The place of a joint subscription in one partition.

    Attributes:
        anchored: its position may be named in an id: everything before it was handed. Without one a client that is cut
            starts this partition anew.
    """

    __slots__ = ("_joint", "anchored", "fresh", "placed")

    def __init__(
        self,
        joint: JointSubscription,
        partition: Partition,
        fanout: LiveSet,
        selection: Selection,
        sink: Sink,
        request: SubscriptionRequest,
    ) -> None:
        super().__init__(partition, fanout, selection, sink, request)
        self._joint = joint
        self.fresh = self._resume is None
        if self._resume is not None:
            self.cursor = self._resume
        self.anchored = self._resume is not None and self._resume != NOWHERE
        self.placed = False

    @property
    def owner(self) -> Any:
        """The joint subscription."""
        return self._joint

    @property
    def handed(self) -> Cursor:
        """Everything up to here was handed to the socket."""
        partition = self._partition
        if self.live:
            return partition.cursor(self.selection.flushed)
        epoch, id_ = self.cursor
        if self._carry:  # what is summed up so far is not sent
            id_ = self._emitted
        return partition.cursor(id_) if epoch and epoch == partition.epoch else Cursor(epoch, id_)

    def place(self) -> None:
        """Take the position at which it starts, once the partition's own is known."""
        if self.placed or not self._partition.epoch:
            return
        self.placed = True
        if self._resume is None:
            self.cursor, self.anchored = self._start(), not self.snapshot_first
        else:
            self.cursor = self._partition.completed(self._resume)

    @property
    def has_position(self) -> bool:
        """Whether its position is one of its partition, also before the snapshot that makes an anchor of it."""
        return self.anchored or (self.placed and self._resume is None)

    @property
    def snapshot_first(self) -> bool:
        """Whether the last readings come before the batches."""
        return self.fresh and self.replay.kind == "last"

    def run(self) -> Effects[None]:
        """Say hello if no other part did, replay, and catch up until live."""
        while not self._partition.epoch:
            yield Wait()
        yield Drain()
        self._joint.say_hello()
        self.place()
        if self.snapshot_first:
            yield Drain()
            yield from self._snapshot()
        yield from self.catch_up()

    def _reset(self) -> Effects[None]:
        yield from super()._reset()
        self.anchored = True

    def _snapshot(self) -> Effects[None]:
        self.anchored = False
        yield from super()._snapshot()
        yield Drain()  # what was parked is not handed yet
        self.anchored = True

    def _may_write(self, epoch: str) -> Effects[bool]:
        """Wait until the socket is free: another part may have filled it meanwhile."""
        yield Drain()
        return self._partition.epoch == epoch

    def _may_go_live(self) -> bool:
        if self._announce:
            self._announce = False
            self._joint.announce = True
        return self._joint.say_live(self)

    @property
    def concerns(self) -> Mapping[str, Any]:
        """Which partition and metrics it is about, for an event that says so."""
        metrics = self.selection.metrics
        concerns: dict[str, Any] = {"partition": self._partition.number, "metrics": sorted(islice(metrics, _NAMED))}
        return concerns | ({"more": len(metrics) - _NAMED} if len(metrics) > _NAMED else {})


class _PartSink:
    """Where a part of a joint subscription writes."""

    __slots__ = ("_joint", "_number")

    def __init__(self, joint: JointSubscription, number: int) -> None:
        self._joint = joint
        self._number = number

    def write(self, data: bytes) -> bool:
        """Hand over bytes; see `Sink`."""
        return self._joint.write(self._number, data)


class JointSubscription:
    """One subscriber's places in several partitions.

    Args:
        layout: the id of the log's layout.
        sink: where the bytes go.
        request: of the subscriber.
        cork: of the hub.
        hello: fields of the hello, such as the tick and the limits.

    Attributes:
        announce: `live` is to be said as soon as all parts that are not away are.
        away: the partitions that do not answer; the subscriber was told.
        on_slow: what to do when the socket is full.
    """

    def __init__(
        self, layout: int, sink: Sink, request: SubscriptionRequest, cork: Cork, hello: Mapping[str, Any]
    ) -> None:
        self.announce = False
        self.away: set[int] = set()
        self.on_slow = request.on_slow
        self._layout = layout
        self._sink = sink
        self._request = request
        self._cork = cork
        self._hello = hello
        self._said_hello = False
        self._places: dict[int, PartSubscription] = {}
        self._parked = False

    def join(
        self, partition: Partition, fanout: LiveSet, selection: Selection, sink: Sink, request: SubscriptionRequest
    ) -> PartSubscription:
        """Return its new place in a partition."""
        part = PartSubscription(self, partition, fanout, selection, sink, request)
        self._places[partition.number] = part
        return part

    def sink_of(self, number: int) -> Sink:
        """Return where its part in a partition writes."""
        return _PartSink(self, number)

    @property
    def parts(self) -> Iterable[PartSubscription]:
        """Its places, by partition."""
        return tuple(self._places.values())

    @property
    def live(self) -> bool:
        """Whether all parts are live."""
        return all([part.live for part in self._places.values()])  # noqa: C419 - runs for every write: no generator

    def written(self) -> None:
        """Move the positions: the socket has accepted what was parked."""
        self._parked = False
        for part in self._places.values():
            part.written()

    def close(self) -> None:
        """Let go of the parts, which know it: a cycle that only the garbage collector would free."""
        self._places = {}

    # -- writing

    def write(self, number: int, data: bytes) -> bool:
        """Write bytes of a part under ids that name all parts; see `Sink.write`."""
        places, cork = self._places, self._cork
        named = cork.named(number, data, self._others(number), self._layout)
        if cork.held and len(places) > 1:
            cork.add(self, named)
            return True
        if self._sink.write(named):
            return True
        self._wait_for_socket(but=number, slow=places[number].live)
        return False

    def write_flushed(self, data: bytes) -> None:
        """Write what a flush of several partitions handed over; if it is parked, all parts continue after it."""
        if not self._sink.write(data):
            self._wait_for_socket()

    def _wait_for_socket(self, but: int | None = None, *, slow: bool = True) -> None:
        """Let all live parts catch up, but for one that does so by itself: nothing goes before what is parked."""
        self._parked = True
        for number, part in self._places.items():
            if number != but:
                part.fall_back(slow=slow)

    def _others(self, number: int) -> _Positions:
        places = self._places
        if len(places) == 1:
            return ()
        if self.live and not self._request.every_ms:
            return self._cork.others_of_live(number, places)
        return tuple((other, part.handed) for other, part in places.items() if other != number and part.anchored)

    # -- what is said of all parts

    def say_hello(self) -> None:
        """Say hello, once; the socket is free."""
        if self._said_hello:
            return
        self._said_hello = True
        for part in self._places.values():
            part.place()
        some = next(iter(self._places.values()))
        known = [(number, part.handed) for number, part in self._places.items() if part.has_position]
        vector = str(VectorCursor.of(self._layout, known)) if known else ""
        fields = {
            "cursor": vector,
            "resumed": self._request.cursor is not None,
            "replay": str(self._request.replay),
            "matched": sum(len(part.selection.metrics) for part in self._places.values()),
            **self._hello,
        }
        if some.selection.key.narrowed_to:
            fields["narrowed_to"] = some.selection.key.narrowed_to
        whole = all(part.anchored for part in self._places.values())
        self._hand(hello_event(fields, vector if whole else None))

    def say_live(self, part: PartSubscription) -> bool:
        """Say that all parts are live, if one that goes live now is the last; return False if the socket is full."""
        others = (one for one in self._places.values() if one is not part)
        if not self.announce or not all(one.live or one.partition.number in self.away for one in others):
            return True
        number = part.partition.number
        vector = VectorCursor.of(self._layout, [(number, part.handed), *self._others(number)])
        self.announce = False
        return self._hand(live_event(vector, self.away))

    def say_away(self, number: int, since_ms: float) -> None:
        """Say once that a partition does not answer, when the socket is free; what is missing comes when it does."""
        part = self._places.get(number)
        if part is None or number in self.away or self._parked:
            return
        self.say_hello()
        if self._parked:
            return
        self.away.add(number)
        live = next((one for one in self._places.values() if one.live), None)
        if self._hand(stalled_event(part.concerns, since_ms)) and live is not None:
            self.say_live(live)

    def say_back(self, number: int) -> None:
        """Say that a partition answers again: `live`, once what was missed has come."""
        if number not in self.away:
            return
        self.away.discard(number)
        self.announce = True
        if self.live and not self._parked:
            self.say_live(self._places[number])

    def _hand(self, data: bytes) -> bool:
        """Write an event about all parts."""
        written = self._sink.write(data)
        if not written:
            self._wait_for_socket(slow=self.live)
        return written
