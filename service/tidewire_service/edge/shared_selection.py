"""One selection that any number of viewers share: its ring, and who is handed what arrives; pure.

**When a viewer may move to the ring.** An id says what was handed up to it: of a log of one partition everything at or
below it, of several everything at or below each position that it names. So a viewer whose newest id is in the ring
lacks exactly what follows it there. Two streams over several partitions need not show the same ids. A viewer whose ids
never are in the ring keeps an upstream stream of its own, which is right and only dearer.

**When it may wait for the ring.** Ids of one partition and one epoch have an order. If the end of the ring is not
beyond a viewer, what arrives there up to the viewer's id it has, and what arrives after it, it lacks: it needs no
stream of its own to wait for that. Without this rule each viewer of a selection that is silent would keep one. A `gap`
or `stalled`, or an id of another epoch, sends those who wait to the upstream. Conflated viewers do not wait.

One more thing is needed. An id does not name a partition that was away since the stream began, and there the two may
begin differently: one with a snapshot. So the ring begins with the first `live` of a shared stream that no `stalled`
came before: from then on each of its ids names all partitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlencode

import msgspec

from tidewire.errors import InvalidCursor
from tidewire.model.cursor import Cursor
from tidewire.model.vector_cursor import parse_cursor
from tidewire_service.edge.blocks import Block
from tidewire_service.edge.ring import Ring
from tidewire_service.hub.subscription import SubscriptionRequest

__all__ = ["Member", "Order", "SelectionKey", "SharedSelection", "order_of"]

_ANNOUNCED: Final = frozenset({"gap", "stalled"})  # a `live` follows them, which is theirs


class _Live(msgspec.Struct):
    """A `live`: of a log of several partitions it says which do not answer yet."""

    stalled: list[int] = []


class Order(NamedTuple):
    """The place of an id among those of its own line.

    Attributes:
        line: what two ids must share to be compared: the epoch, and of a partition among several also which it is.
        id: rises along the line.
    """

    line: tuple[str, int, int]
    id: int


def order_of(id_: str) -> Order | None:
    """Return the order of an id; None if it names several partitions, or cannot be read."""
    try:
        cursor = parse_cursor(id_)
    except InvalidCursor:
        return None
    if isinstance(cursor, Cursor):
        return Order((cursor.epoch, 0, -1), cursor.id)
    if len(cursor.parts) > 1:
        return None
    return Order((cursor.epoch, cursor.layout, cursor.own.partition), cursor.id)


class SelectionKey(NamedTuple):
    """What viewers must have in common to share a selection.

    Attributes:
        patterns: sorted, each once.
        labels: that a series must have, sorted.
        every_ms: the interval of a conflated stream; 0 for raw batches.
        view: the patterns that the viewers' identities are narrowed to; empty if they may see all.
    """

    patterns: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    every_ms: int
    view: tuple[str, ...]

    @classmethod
    def of(cls, request: SubscriptionRequest, view: tuple[str, ...]) -> SelectionKey:
        """Return the key of a checked request."""
        patterns = tuple(sorted(set(request.patterns)))
        return cls(patterns, tuple(sorted(request.labels.items())), request.every_ms, view)

    @property
    def query(self) -> str:
        """The query of the shared stream, percent-encoded."""
        fields = [("metric", pattern) for pattern in self.patterns]
        fields += [("label", f"{name}:{value}") for name, value in self.labels]
        if self.every_ms:
            fields.append(("every", f"{self.every_ms}ms"))
        return urlencode([*fields, ("replay", "none")])


class Member(Protocol):
    """A viewer as its selection sees it."""

    def hand_live(self, data: bytes) -> None:
        """Hand over what arrived."""

    def leave_live(self) -> None:
        """Continue from the end of the ring as it is now."""

    def look_at_ring(self) -> None:
        """Move to the ring if that is possible now."""

    def go_on(self, at: int | None) -> None:
        """Stop waiting: continue from a number of the ring, or upstream if it is None."""


class SharedSelection:
    """The ring of one selection and its viewers.

    Args:
        key: what it selects.
        ring_bytes: memory for its events.
        monotonic_s: a clock.

    Attributes:
        ring: its newest events.
        viewers: all of them, each with the authorization that its requests carry upstream.
        live: the viewers that are handed what arrives.
        joining: the viewers that have an upstream stream of their own.
        waiting: the viewers that have more than the ring, each with the order of its id.
        whole: the ring is in use; see above.
        stalled: a partition does not answer; who comes now is to be told, by a stream of its own.
        resume_id: where the shared stream continues after it is lost; empty for anew.
    """

    def __init__(self, key: SelectionKey, ring_bytes: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.key = key
        self.ring = Ring(ring_bytes)
        self.viewers: dict[Member, str] = {}
        self.live: dict[Member, None] = {}
        self.joining: dict[Member, None] = {}
        self.waiting: dict[Member, Order] = {}
        self.whole = False
        self.stalled = False
        self.resume_id = ""
        self._owes_live = False
        self._hello: dict[str, Any] = {}
        self._hello_s = 0.0
        self._monotonic_s = monotonic_s

    # -- what arrives

    def take(self, blocks: Iterable[Block]) -> bool:
        """Take events of the shared stream, and hand them to the live viewers as one write.

        Returns:
            False if the stream must be opened anew, since its ids do not name all partitions.
        """
        arrived: list[bytes] = []
        first, announced = self.ring.end, False
        for block in blocks:
            announced = announced or block.event in _ANNOUNCED
            if block.id:
                self.resume_id = block.id
            if block.event == "hello":
                self._greet(block)
            elif block.event == "reset":
                self._hand(arrived)
                self._send_upstream(block.id)
            elif block.event == "live":
                if not self.whole and self.stalled:
                    self.begin_anew()
                    return False
                self._settle(block, arrived)
            elif block.event != "bye":
                self._keep(block, arrived)
        self._hand(arrived)
        if self.waiting:
            self._end_waiting(first, announced)
        for viewer in tuple(self.joining):
            viewer.look_at_ring()
        return True

    def _end_waiting(self, first: int, announced: bool) -> None:
        """Let each viewer that waits go on at the first event that it lacks, if that has arrived."""
        whole = not announced and first >= self.ring.first
        news = [(number, order_of(id_)) for number, id_ in self.ring.ids(first)] if whole else []
        for viewer, has in tuple(self.waiting.items()):
            if not whole:
                viewer.go_on(None)
                continue
            for number, order in news:
                if order is None or order.line != has.line:
                    viewer.go_on(None)
                    break
                if order.id > has.id:
                    viewer.go_on(number)
                    break

    def _greet(self, block: Block) -> None:
        self._hello = msgspec.json.decode(block.payload, type=dict[str, Any])
        self._hello_s = self._monotonic_s()
        self.stalled = False  # a partition that is still away is announced again
        self._mark(block.id)

    def _keep(self, block: Block, arrived: list[bytes]) -> None:
        if block.event == "stalled":
            self.stalled = True
        if block.event in _ANNOUNCED:
            self._owes_live = True
        if self.whole:
            self.ring.append(block.id, block.data)
            arrived.append(block.data)

    def _settle(self, block: Block, arrived: list[bytes]) -> None:
        """Take a `live`: viewers are told if something was announced before it."""
        self.stalled = bool(msgspec.json.decode(block.payload, type=_Live).stalled)
        if self.whole and self._owes_live:
            self.ring.append(block.id, block.data)
            arrived.append(block.data)
        self.whole = True
        self._owes_live = False
        self._mark(block.id)

    def _mark(self, id_: str | None) -> None:
        """Give the end of the ring one more id."""
        if self.whole and id_:
            self.ring.append(id_, b"")

    def _send_upstream(self, id_: str | None) -> None:
        """Let each viewer be told of a lost log by a stream of its own: what follows it is as its `replay` says."""
        self._leave_ring()
        self._owes_live = False
        self._mark(id_)

    def begin_anew(self) -> None:
        """Forget where the shared stream was; nobody is on its ring afterwards."""
        self.whole = self.stalled = self._owes_live = False
        self.resume_id = ""
        self._leave_ring()

    def _leave_ring(self) -> None:
        for viewer in tuple(self.live):
            viewer.leave_live()
        for viewer in tuple(self.waiting):
            viewer.go_on(None)
        self.ring.clear()

    def _hand(self, arrived: list[bytes]) -> None:
        if arrived and self.live:
            data = arrived[0] if len(arrived) == 1 else b"".join(arrived)
            for viewer in tuple(self.live):
                viewer.hand_live(data)
        arrived.clear()

    # -- who joins

    def place_of(self, id_: str) -> int | None:
        """Return the number in the ring of what follows an id; None if a viewer may not move there."""
        return self.ring.after(id_) if self.whole and id_ else None

    def wait_at(self, viewer: Member, id_: str) -> bool:
        """Let a viewer wait for what follows its id; return False if it may not."""
        has, end = order_of(id_), order_of(self.ring.last_id)
        if not self.whole or self.stalled or self.key.every_ms or has is None or end is None:
            return False
        if has.line != end.line or end.id > has.id:
            return False
        self.waiting[viewer] = has
        return True

    def serves(self, id_: str) -> bool:
        """Return whether a viewer that comes with an id needs no upstream stream of its own."""
        return not self.stalled and self.place_of(id_) is not None

    def hello_fields(self, cursor: str, replay: str) -> Mapping[str, Any]:
        """Return the newest hello of the shared stream as it is for one viewer that resumes."""
        fields = {**self._hello, "cursor": cursor, "resumed": True, "replay": replay}
        if "time_ms" in fields:
            fields["time_ms"] += round((self._monotonic_s() - self._hello_s) * 1e3)
        fields.pop("version", None)  # `hello_event` adds it
        return fields
