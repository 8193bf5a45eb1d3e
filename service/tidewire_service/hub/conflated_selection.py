"""A conflated selection: the intervals that all its subscriptions share, closed once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Final

from tidewire.model.cursor import id_from_ms, id_ms
from tidewire.model.pattern import Pattern
from tidewire_service.hub.conflation import ConflatedEvent, Conflator, interval_of
from tidewire_service.hub.control_events import left_out_event
from tidewire_service.hub.event_ring import RingEntry, encode_data
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.selection import Selection, SelectionKey

__all__ = ["ConflatedSelection"]

_OVERDUE: Final = 2.0  # intervals of real time after which an open one is sent as far as it got: the log's clock stood


class ConflatedSelection(Selection):
    """Hands out closed intervals instead of batches; its `flushed` is where the last closed interval ended.

    Attributes:
        behind: what the ring holds is not all summed up yet; nothing is closed until `sum_some` has done so.
    """

    decodes = True

    def __init__(self, key: SelectionKey, patterns: tuple[Pattern, ...], partition: Partition) -> None:
        super().__init__(key, patterns, partition)
        self.every_ms = key.every_ms
        self.open = Conflator(key.every_ms)
        self.behind = False
        self._closed = self._summed = 0
        self._opened_s = 0.0

    @property
    def flushed(self) -> int:
        """Everything of the selection up to this id was handed out in closed intervals."""
        return self._closed

    def enqueue(self, entry: RingEntry) -> bool:
        """Sum up a batch, unless the ring holds earlier ones to sum up first; nothing is pending for the next flush."""
        if not self.behind:
            self._sum(entry)
        return False

    def _sum(self, entry: RingEntry) -> None:
        if not self.open:
            self._opened_s = monotonic()
        self.open.add(entry)

    def rebase(self) -> None:
        """Start from what the ring holds of the open interval; from its floor if it does not reach that far.

        An interval that the low watermark has passed is over and is not sent to new subscriptions.
        """
        partition = self._partition
        self.open.clear()
        now_ms = int(max(id_ms(partition.position), partition.low_watermark_ms))
        self._closed = max(self._edge(now_ms // self.every_ms), partition.ring_floor)
        self._summed = self._closed
        self.sum_some()

    @property
    def torn(self) -> bool:
        """Whether the ring has evicted what was not summed up yet."""
        return self.behind and self._summed < self._partition.ring_floor

    def sum_some(self) -> None:
        """Sum up as much of what is in the ring as takes a moment; `behind` says whether there is more."""
        entries, self._summed = self.some_wanted(self._summed, self._partition.position)
        for entry in entries:
            self._sum(entry)
            entry.release()
        self.behind = self._summed < self._partition.position

    def close_intervals(self) -> bytes:
        """Close the intervals that no later id can join, and return their events; nothing while `behind`."""
        if self.behind:
            return b""
        partition = self._partition
        before: int | None = int(partition.low_watermark_ms) // self.every_ms
        if self.open and monotonic() - self._opened_s > _OVERDUE * self.every_ms / 1e3 + 1:
            before = None
        events = list(self.open.pop_closed(before))
        edge = partition.position if before is None else self._edge(before)
        self._closed = max(self._closed, min(edge, partition.position), events[-1].id if events else 0)
        self.forget_pages()
        return self.encoded(events, self.open)

    def _edge(self, number: int) -> int:
        """Return the last id before an interval."""
        return self._partition.ring.last_before(id_from_ms(number * self.every_ms))

    def encoded(self, events: Iterable[ConflatedEvent], conflator: Conflator) -> bytes:
        """Return closed intervals as SSE events; what did not fit is announced as skipped."""
        partition = self._partition
        parts = [encode_data(partition.minting_epoch(event.id), event.id, event.data) for event in events]
        if conflator.left_out and parts:
            parts.append(left_out_event(conflator.left_out))
            partition.counters["batches_left_out"] += conflator.left_out
            conflator.left_out = 0
        return b"".join(parts)

    def _make_page(self, after: int, upto: int) -> tuple[bytes, int]:
        entries, bound = self.some_wanted(after, upto)
        if bound < upto:  # the interval that goes on beyond the page is of the next
            open_ = interval_of(bound, self.every_ms)
            entries = [entry for entry in entries if interval_of(entry.id, self.every_ms) < open_]
            bound = max(after, self._edge(open_))
        conflator = Conflator(self.every_ms)
        for entry in entries:
            conflator.add(entry)
            entry.release()
        return self.encoded(conflator.pop_closed(), conflator), bound
