"""A conflated selection: the intervals that all its subscriptions share, closed once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from tidewire.model.cursor import id_from_ms, id_ms
from tidewire.model.pattern import Pattern
from tidewire.model.sse import encode_event
from tidewire_service.hub.conflation import ConflatedEvent, Conflator
from tidewire_service.hub.event_ring import Ring, RingEntry, encode_data
from tidewire_service.hub.selection import Selection, SelectionKey

if TYPE_CHECKING:
    from tidewire_service.hub.continuity import Pump

__all__ = ["ConflatedSelection"]

_OVERDUE: Final = 2.0  # intervals of real time after which an open one is sent as far as it got: the log's clock stood


class ConflatedSelection(Selection):
    """As a selection, but what is handed out are intervals, and `flushed` is where the last closed one ended.

    Args:
        pump: knows the epoch in which an id was minted, and counts.
    """

    def __init__(
        self,
        key: SelectionKey,
        patterns: tuple[Pattern, ...],
        flushed: Callable[[], int],
        pump: Pump,
    ) -> None:
        super().__init__(key, patterns, flushed)
        self.every_ms = key.every_ms
        self.open = Conflator(key.every_ms)
        self._label = pump.label
        self._counters = pump.counters
        self._closed = 0
        self._opened_s = 0.0

    @property
    def flushed(self) -> int:
        """Everything of the selection up to this id was handed out in closed intervals."""
        return self._closed

    def take(self, entry: RingEntry) -> bool:
        """Sum up a batch; nothing is pending for the next flush."""
        if not self.open:
            self._opened_s = monotonic()
        self.open.add(entry)
        return False

    def rebase(self, ring: Ring, position: int, watermark_ms: float) -> None:
        """Start from what the ring holds of the open interval; from its floor if it does not reach that far.

        Args:
            ring: of the pump.
            position: the pump's.
            watermark_ms: as in `close`: an interval that is over is nobody's news, whoever comes now.
        """
        self.open.clear()
        now = int(max(id_ms(position), watermark_ms))
        self._closed = max(self._edge(ring, position, now // self.every_ms), ring.floor)
        for entry in self.wanted(ring, self._closed, position):
            self.take(entry)
            entry.release()

    def close(self, ring: Ring, position: int, watermark_ms: float) -> bytes:
        """Close the intervals that no id can join any more, and return their events.

        Args:
            ring: for where the last batch before an edge lies.
            position: the pump's.
            watermark_ms: every later id is minted at or after it, in the log's clock.
        """
        before: int | None = int(watermark_ms) // self.every_ms
        if self.open and monotonic() - self._opened_s > _OVERDUE * self.every_ms / 1e3 + 1:
            before = None
        events = list(self.open.take(before))
        edge = position if before is None else self._edge(ring, position, before)
        self._closed = max(self._closed, min(edge, position), events[-1].id if events else 0)
        self.forget_pages()
        return self.encoded(events, self.open)

    def _edge(self, ring: Ring, position: int, number: int) -> int:
        """Return the last id before an interval; the position itself, even if the log has forgotten its batch."""
        start = id_from_ms(number * self.every_ms)
        return position if position < start else ring.last_before(start)

    def encoded(self, events: Iterable[ConflatedEvent], conflator: Conflator) -> bytes:
        """Return closed intervals as SSE events; what did not fit is announced as skipped."""
        parts = [encode_data(self._label(event.id), event.id, event.data) for event in events]
        if conflator.left_out and parts:
            skipped = {"metric": None, "count": conflator.left_out, "from": None, "to": None}
            parts.append(encode_event(msgspec.json.encode(skipped), event="skipped"))
            self._counters["batches_left_out"] += conflator.left_out
            conflator.left_out = 0
        return b"".join(parts)

    def _made_page(self, ring: Ring, after: int, upto: int, max_bytes: int) -> tuple[bytes, int]:
        conflator = Conflator(self.every_ms)
        for entry in self.wanted(ring, after, upto):
            conflator.add(entry)
            entry.release()
        return self.encoded(conflator.take(), conflator), upto
