"""A selection: which metrics and labels some subscriptions share, and the bytes that are pending for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tidewire.model.pattern import Pattern, compile_pattern
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.hub.matching import selected
from tidewire_service.hub.partition import Partition
from tidewire_service.turns import Turns

__all__ = ["Selection", "SelectionKey"]

_PAGE_BYTES: Final = 256 * 1024
_PAGE_BATCHES: Final = 16_384  # of the ring that one page looks at: 2 ms
_PAGE_DECODED: Final = 2_048  # where they are decoded, for their labels or to sum them up: 10 ms
# Kept of one selection between two flushes: 8 MiB at most; a subscription at another cursor makes its own.
_PAGES: Final = 32


class SelectionKey(NamedTuple):
    """What makes two subscriptions share their bytes.

    Attributes:
        patterns: sorted.
        labels: sorted; all must hold.
        every_ms: the interval of a conflated selection, 0 for raw batches.
        narrowed_to: patterns of what may be seen, sorted; empty for everything.
    """

    patterns: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    every_ms: int = 0
    narrowed_to: tuple[str, ...] = ()


class Selection:
    """The metrics of a partition that match some patterns, and the events pending for their live subscriptions.

    Attributes:
        decodes: batches are decoded to be summed up.
        key: the patterns and labels.
        metrics: those of the directory that match; the fan-out adds metrics as they are born.
        pending: SSE events since the last flush.
        to_enter: metrics whose batches it does not get yet; no subscription of it goes live before there are none.
        users: subscriptions, live or not.
    """

    decodes = False

    def __init__(self, key: SelectionKey, patterns: tuple[Pattern, ...], partition: Partition) -> None:
        self.key = key
        self.metrics: set[str] = set()
        self.pending: list[bytes] = []
        self.to_enter: list[str] = []
        self.users = 0
        self._partition = partition
        self._patterns = patterns
        self._allowed = tuple(compile_pattern(text) for text in key.narrowed_to)
        self._labels = key.labels
        self._pages: dict[tuple[int, int], tuple[bytes, int]] = {}

    @property
    def flushed(self) -> int:
        """Live subscriptions were handed everything of the selection up to this id; the barrier of every catch-up."""
        return self._partition.flushed

    def matches(self, metric: str) -> bool:
        """Return whether the metric is selected and may be seen, whatever its labels."""
        if self._allowed and not any(pattern.matches(metric) for pattern in self._allowed):
            return False
        return any(pattern.matches(metric) for pattern in self._patterns)

    async def matching(self, metrics: Sequence[str], turns: Turns) -> Sequence[str]:
        """Return those metrics for which `matches` is true, in turns with everything else."""
        return await selected(metrics, self._patterns, self._allowed, turns)

    @property
    def pattern_count(self) -> int:
        """How many patterns a new metric is matched with."""
        return len(self._patterns) + len(self._allowed)

    def wants(self, entry: RingEntry) -> bool:
        """Return whether a batch of a selected metric has the labels asked for."""
        return not self._labels or self.wants_labels(entry.labels)

    def wants_labels(self, labels: Mapping[str, str]) -> bool:
        """Return whether a series of a selected metric has the labels asked for."""
        return all(labels.get(name) == value for name, value in self._labels)

    def enqueue(self, entry: RingEntry) -> bool:
        """Keep a batch for the next flush; return True if it is the first since the last one."""
        self.pending.append(entry.data)
        return len(self.pending) == 1

    def joined(self) -> bytes:
        """Return the pending events as one bytes object, and forget them."""
        data = self.pending[0] if len(self.pending) == 1 else b"".join(self.pending)
        self.pending.clear()
        return data

    def ring_page(self, after: int, upto: int) -> tuple[bytes, int]:
        """Return the events after an id from the ring, and up to where they reach.

        Subscriptions that come back together ask for the same page: it is made once and kept until the next flush.
        It ends at `after` if it could only hold a part of what belongs together.
        """
        page = self._pages.get((after, upto))
        if page is None:
            page = self._make_page(after, upto)
            if len(self._pages) < _PAGES:
                self._pages[after, upto] = page
        return page

    def wanted(self, after: int, upto: int) -> Iterable[RingEntry]:
        """Yield the batches of the selection with after < id ≤ upto from the ring."""
        for entry in self._partition.batches(after, upto):
            if entry.metric in self.metrics and self.wants(entry):
                yield entry
            entry.release()

    def some_wanted(self, after: int, upto: int) -> tuple[list[RingEntry], int]:
        """Return the batches of the selection after an id from the ring, as many as a page holds, and up to where.

        That takes 10 ms, however many batches there are.
        """
        found, size = [], 0
        most = _PAGE_DECODED if self.decodes or self._labels else _PAGE_BATCHES
        for looked_at, entry in enumerate(self._partition.batches(after, upto), 1):
            if entry.metric in self.metrics:
                size += len(entry.body)  # not of the event, which is not encoded for batches that are left out
                if self.wants(entry):
                    found.append(entry)
                entry.release()
            if looked_at >= most or size >= _PAGE_BYTES:
                return found, entry.id
        return found, upto

    def _make_page(self, after: int, upto: int) -> tuple[bytes, int]:
        entries, bound = self.some_wanted(after, upto)
        return b"".join([entry.data for entry in entries]), bound

    def forget_pages(self) -> None:
        """Drop the pages kept since the last flush."""
        if self._pages:
            self._pages.clear()
