"""One viewer of an edge: on an upstream stream of its own, catching up from the ring, waiting for it, or live; pure.

Like a subscription of the hub, its operations are generators that yield effects. It begins with an upstream stream of
its own, unless its cursor is in the ring. Each event of that is handed over as it came. After `live` it moves to the
ring as soon as the newest id that it was handed is there, or waits until what it lacks arrives there
(`shared_selection.py` says why both are exact). From the end of the ring on it is live. If its socket is full it
continues from the ring; what is no longer there, it asks upstream for, from its newest id. The module is long because
these states share one position: apart, none can be checked against the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec

from tidewire.model.sse import encode_event
from tidewire_service.edge.blocks import Block
from tidewire_service.edge.shared_selection import SharedSelection
from tidewire_service.hub.control_events import hello_event
from tidewire_service.hub.effects import Drain, Turn
from tidewire_service.hub.end_reason import EndReason
from tidewire_service.hub.subscription import OnSlow, Sink
from tidewire_service.streams.streams import StreamRequest

__all__ = ["OpenOwn", "OwnStream", "ReadOwn", "Viewer", "ViewerRequest"]

_FINAL: Final = frozenset(
    {EndReason.SLOW, EndReason.OVERLOAD, EndReason.TOO_MANY, EndReason.EXPIRED, EndReason.REVOKED}
)
_ANNOUNCED: Final = frozenset({"hello", "gap", "stalled", "reset"})  # a `live` follows


class OwnStream(Protocol):
    """An upstream stream of one viewer; `UpstreamStream` is one."""

    def wake(self) -> None:
        """Let who waits for events look around."""

    def close(self) -> None:
        """End it."""


class OpenOwn(NamedTuple):
    """Open an upstream stream from an id; the result is an `OwnStream`, or why the viewer's stream must end.

    Attributes:
        last_id: where it continues.
        attempt: number of those before it since the viewer was live last; a pause grows with it.
    """

    last_id: str
    attempt: int


class ReadOwn(NamedTuple):
    """Wait for events of an upstream stream, or for `wake`; the result is a list of blocks, None at its end."""

    stream: OwnStream


Effects: TypeAlias = Generator[Drain | Turn | OpenOwn | ReadOwn, Any, None]


class ViewerRequest(StreamRequest, frozen=True, kw_only=True):
    """A request for a stream that was admitted.

    Attributes:
        query: as it came, for an upstream stream of its own.
        last_id: the id that it resumes at; empty for a fresh viewer.
        authorization: of its upstream requests; empty for none.
        shared: whether it may share a selection.
        own: its first upstream stream; None if its id was in the ring.
    """

    query: str
    last_id: str = ""
    authorization: str = ""
    shared: bool = True
    own: OwnStream | None = None


class _Bye(msgspec.Struct):
    reason: str = ""


class Viewer:
    """One viewer's place: the one part of it is itself.

    Args:
        selection: that it shares; None to keep it on an upstream stream of its own.
        sink: where its bytes go.
        request: of the viewer.
        fell_back: called when it was live and now has to catch up.
        end: ends its stream.
        counters: counts what happened to viewers.

    Attributes:
        live: it is handed what arrives.
        slow: it fell back because its socket was full.
        on_slow: what to do when its socket is full.
        request: of the viewer.
    """

    __slots__ = (
        "_at",
        "_attempt",
        "_counters",
        "_end",
        "_fell_back",
        "_greeted",
        "_last_id",
        "_owes_live",
        "_own",
        "_own_live",
        "_selection",
        "_sink",
        "live",
        "on_slow",
        "request",
        "slow",
    )

    def __init__(
        self,
        selection: SharedSelection | None,
        sink: Sink,
        request: ViewerRequest,
        *,
        fell_back: Callable[[Viewer], None],
        end: Callable[[Viewer, EndReason], None],
        counters: Counter[str],
    ) -> None:
        self._selection = selection
        self._sink = sink
        self._fell_back = fell_back
        self._end = end
        self._counters = counters
        self.request = request
        self.on_slow = request.on_slow
        self.live = self.slow = False
        self._at = -1  # before any ring
        self._last_id = request.last_id
        self._own = request.own
        self._own_live = False
        self._attempt = 0
        self._greeted = False
        self._owes_live = True
        if selection is not None:
            selection.viewers[self] = request.authorization
            if self._own is not None:
                selection.joining[self] = None

    # -- as a stream sees it

    @property
    def parts(self) -> Iterable[Viewer]:
        """Itself."""
        return (self,)

    @property
    def owner(self) -> Viewer:
        """Itself."""
        return self

    def written(self) -> None:
        """Do nothing: what was parked counts as handed, since a connection that ends takes this viewer with it."""

    def fall_back(self) -> None:
        """Continue from the ring, if it is live: its socket is full."""
        if self.live:
            self.slow = True
            self.leave_live()

    def close(self) -> None:
        """Leave the selection, and end the upstream stream."""
        self._leave_own()
        if self._selection is not None:
            self._selection.live.pop(self, None)
            self._selection.waiting.pop(self, None)
            self._selection.viewers.pop(self, None)
        self.live = False

    # -- as its selection sees it

    def hand_live(self, data: bytes) -> None:
        """Hand over what arrived; if the socket is full it is parked, and the rest comes from the ring."""
        if not self._sink.write(data):
            self.fall_back()

    def leave_live(self) -> None:
        """Continue from the end of the ring as it is now, or upstream if it was cleared."""
        selection = self._selection
        if selection is None or not self.live:
            return
        self.live = False
        selection.live.pop(self, None)
        self._at, self._last_id = selection.ring.end, selection.ring.last_id
        self._fell_back(self)

    def look_at_ring(self) -> None:
        """Wake if the ring now has the newest id that it was handed."""
        if self._own is not None and self._own_live and self._place() is not None:
            self._own.wake()

    def go_on(self, at: int | None) -> None:
        """Stop waiting: continue from a number of the ring, or upstream if it is None."""
        selection = self._selection
        if selection is None or selection.waiting.pop(self, None) is None:
            return
        if at is None:
            self._at = -1
        else:
            self._at = at
            self._counters["moved_to_ring"] += 1
        self._fell_back(self)

    # -- operations

    def run(self) -> Effects:
        """Say hello, by the ring or as upstream says it, and catch up."""
        selection = self._selection
        if self._own is None and selection is not None and (at := selection.place_of(self._last_id)) is not None:
            self._at = at
            self._counters["resumed_in_ring"] += 1
        yield from self.catch_up()

    def catch_up(self) -> Effects:
        """Continue from what was handed until live."""
        while True:
            yield Drain()
            selection = self._selection
            if self._own is not None:
                if not (yield from self._relay_own(self._own)):
                    return
                if selection is not None and self in selection.waiting:
                    return  # `go_on` continues
                continue
            thinned = self.slow and self.on_slow is OnSlow.CONFLATE
            if selection is None or thinned or self._at < selection.ring.first:
                self.slow = False
                if not (yield from self._open_own()):
                    return
                continue
            if not self._greeted:
                self._greeted = True
                fields = selection.hello_fields(self._last_id, str(self.request.replay))
                self._sink.write(hello_event(fields, self._last_id))
                continue
            if self._at < selection.ring.end:
                data, last_id, self._at = selection.ring.page(self._at)
                self._last_id = last_id or self._last_id
                if data:
                    self._sink.write(data)
                if self._at < selection.ring.end:
                    yield Turn()
                continue
            if self._owes_live:
                self._owes_live = False
                data = msgspec.json.encode({"cursor": self._last_id})
                self._sink.write(encode_event(data, id_=self._last_id, event="live"))
                continue
            self.live, self.slow = True, False
            selection.live[self] = None
            return

    def _open_own(self) -> Generator[OpenOwn, Any, bool]:
        """Open an upstream stream from the newest id; return False if the viewer's stream ends."""
        if not self._last_id:  # within a snapshot: only a client that begins anew gets all of it
            self._end(self, EndReason.DRAIN)
            return False
        self._counters["passed_upstream"] += 1
        opened = yield OpenOwn(self._last_id, self._attempt)
        self._attempt += 1
        if isinstance(opened, EndReason):
            self._end(self, opened)
            return False
        self._own, self._own_live = opened, False
        if self._selection is not None:
            self._selection.joining[self] = None
        return True

    def _relay_own(self, own: OwnStream) -> Generator[Drain | ReadOwn, Any, bool]:
        """Hand over events of its upstream stream until it moves or is lost; return False if the viewer's ends."""
        while True:
            if self._own_live and (self._move() or self._wait()):
                return True
            blocks: list[Block] | None = yield ReadOwn(own)
            if blocks is None:
                self._leave_own()
                if self._selection is None:  # a ticket: the client resumes with it
                    self._end(self, EndReason.DRAIN)
                    return False
                self._move()
                return True
            chunk: list[bytes] = []
            for block in blocks:
                if block.event == "bye" and (reason := _end_reason(block)) in _FINAL:
                    self._write(chunk)
                    self._end(self, reason)
                    return False
                self._take_own(block, chunk)
                if self._own_live and self._move():  # what follows it comes from the ring
                    self._write(chunk)
                    return True
            self._write(chunk)
            yield Drain()

    def _take_own(self, block: Block, chunk: list[bytes]) -> None:
        """Note one event of its upstream stream; hand it over unless it is about that connection alone."""
        if block.event == "bye" or (block.event == "hello" and self._greeted):
            return
        if block.event == "live":
            self._own_live = True
            self._attempt = 0
            told, self._owes_live = not self._owes_live, False
            if told:
                self._last_id = block.id or self._last_id
                return
        elif block.event in _ANNOUNCED:
            self._greeted = self._owes_live = True
            self._own_live = False
        if block.id is not None:
            self._last_id = block.id
        chunk.append(block.data)

    def _write(self, chunk: list[bytes]) -> None:
        if chunk:
            self._sink.write(b"".join(chunk))

    def _place(self) -> int | None:
        return None if self._selection is None else self._selection.place_of(self._last_id)

    def _move(self) -> bool:
        """Move to the ring if the newest id is there; return whether it is."""
        if (at := self._place()) is None:
            return False
        self._leave_own()
        self._at = at
        self._counters["moved_to_ring"] += 1
        return True

    def _wait(self) -> bool:
        """Do without a stream of its own until what it lacks arrives; return whether it may."""
        if self._selection is None or not self._selection.wait_at(self, self._last_id):
            return False
        self._leave_own()
        return True

    def _leave_own(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.close()
        if self._selection is not None:
            self._selection.joining.pop(self, None)


def _end_reason(block: Block) -> EndReason | None:
    try:
        return EndReason(msgspec.json.decode(block.payload, type=_Bye).reason)
    except (ValueError, msgspec.MsgspecError):  # a reason of a newer service
        return None
