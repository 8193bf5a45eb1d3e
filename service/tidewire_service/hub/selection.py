"""A selection: which metrics and labels some subscriptions share, and the bytes that are pending for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tidewire.model.pattern import Pattern, compile_pattern
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.hub.partition import Partition

__all__ = ["Selection", "SelectionKey"]

_PAGE_BYTES: Final = 256 * 1024
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
        key: the patterns and labels.
        metrics: those of the directory that match; the fan-out adds metrics as they are born.
        pending: SSE events since the last flush.
        users: subscriptions, live or not.
    """

    def __init__(self, key: SelectionKey, patterns: tuple[Pattern, ...], partition: Partition) -> None:
        self.key = key
        self.metrics: set[str] = set()
        self.pending: list[bytes] = []
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

    def _make_page(self, after: int, upto: int) -> tuple[bytes, int]:
        parts, size = [], 0
        for entry in self.wanted(after, upto):
            parts.append(entry.data)
            size += len(entry.data)
            if size >= _PAGE_BYTES:
                return b"".join(parts), entry.id
        return b"".join(parts), upto

    def forget_pages(self) -> None:
        """Drop the pages kept since the last flush."""
        if self._pages:
            self._pages.clear()
