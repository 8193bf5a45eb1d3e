"""The event ring: the newest batches of a partition in memory, encoded once, bounded in bytes and in batches.

It holds every batch after its floor up to the hub's position, so a cursor at or above the floor resumes without Redis.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tidewire.errors import InvalidInput
from tidewire.model.batch import Batch, decode_batch
from tidewire.model.cursor import base36, cursor_head, id_counter, id_ms

__all__ = ["EventRing", "RingEntry", "encode_data"]

_ENTRY_OVERHEAD: Final = 200  # bytes of Python objects around one small batch, measured with tracemalloc


_COUNTERS: Final = tuple(base36(n).encode() for n in range(36 * 36))  # nearly every counter there is


def encode_data(epoch: str, id_: int, body: bytes) -> bytes:
    """Return a batch as its unnamed SSE event; `epoch` is the one in which the id was minted."""
    n = id_counter(id_)
    counter = _COUNTERS[n] if n < len(_COUNTERS) else base36(n).encode()
    return b"".join((_id_head(epoch, id_ms(id_)), counter, b"\ndata: ", body, b"\n\n"))


@lru_cache(maxsize=256)
def _id_head(epoch: str, ms: int) -> bytes:
    return f"id: {cursor_head(epoch, ms)}".encode()


class RingEntry:
    """One batch as it goes out: its id, its metric and its SSE event.

    Args:
        id_: in the log.
        metric: its name.
        body: its canonical encoding.
        epoch: in which the id was minted.

    Attributes:
        kept: the decoded batch, from its first use until `release`.
    """

    __slots__ = ("_data", "body", "epoch", "id", "kept", "metric")

    def __init__(self, id_: int, metric: str, body: bytes, epoch: str) -> None:
        self.id = id_
        self.metric = metric
        self.body = body
        self.epoch = epoch
        self.kept: Batch | None = None
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The SSE event, encoded for whoever wants it first: most batches of a busy log nobody here does."""
        if self._data is None:
            self._data = encode_data(self.epoch, self.id, self.body)
        return self._data

    @property
    def batch(self) -> Batch | None:
        """The decoded batch, or None if the body is not a batch; kept until `release`."""
        if self.kept is None:
            try:
                self.kept = decode_batch(self.body)
            except InvalidInput:
                return None
        return self.kept

    @property
    def labels(self) -> dict[str, str]:
        """The batch's labels: only subscriptions with label filters ask."""
        batch = self.batch
        return {} if batch is None else batch.labels

    def release(self) -> None:
        """Forget the decoded batch: the ring holds bytes."""
        self.kept = None


class EventRing:
    """The newest batches in id order.

    Args:
        max_bytes: approximate memory for entries; past it the oldest are evicted and the floor rises.
        max_batches: entries; likewise.

    Attributes:
        floor: every batch with a larger id, up to the hub's position, is here.
        bytes: approximate memory of the entries.
        evicted: entries evicted at a bound.
    """

    def __init__(self, floor: int, max_bytes: int = 64 << 20, max_batches: int = 200_000) -> None:
        self.floor = floor
        self.bytes = 0
        self.evicted = 0
        self._max_bytes = max_bytes
        self._max_batches = max_batches
        self._ids: list[int] = []
        self._entries: list[RingEntry] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._ids) - self._start

    def append(self, entry: RingEntry) -> None:
        """Add the newest batch."""
        ids = self._ids
        ids.append(entry.id)
        self._entries.append(entry)
        self.bytes += 2 * len(entry.body) + _ENTRY_OVERHEAD
        if self.bytes > self._max_bytes or len(ids) - self._start > self._max_batches:
            self._evict()

    def _evict(self) -> None:
        while self.bytes > self._max_bytes or len(self) > self._max_batches:
            oldest = self._entries[self._start]
            self.floor = oldest.id
            self.bytes -= 2 * len(oldest.body) + _ENTRY_OVERHEAD
            self._start += 1
            self.evicted += 1
        if self._start > 1_024 and self._start * 2 > len(self._ids):
            del self._ids[: self._start], self._entries[: self._start]
            self._start = 0

    def after(self, id_: int, upto: int) -> Iterator[RingEntry]:
        """Yield the batches with id_ < id ≤ upto, oldest first; complete only for id_ ≥ floor."""
        first = bisect_right(self._ids, id_, self._start)
        last = bisect_right(self._ids, upto, first)
        for index in range(first, last):
            yield self._entries[index]

    def last_before(self, id_: int) -> int:
        """Return the largest id below `id_` up to which nothing is missing here: an entry's, else the floor, else 0."""
        index = bisect_left(self._ids, id_, self._start)
        if index > self._start:
            return self._ids[index - 1]
        return self.floor if self.floor < id_ else 0

    def clear(self, floor: int) -> None:
        """Forget everything; only cursors at or above the new floor can be served from here."""
        self.floor = floor
        self.bytes = 0
        self._ids, self._entries, self._start = [], [], 0

    def cut(self, fork: int) -> None:
        """Forget what lies after a fork of the lineage."""
        last = bisect_right(self._ids, fork, self._start)
        for entry in self._entries[last:]:
            self.bytes -= 2 * len(entry.body) + _ENTRY_OVERHEAD
        del self._ids[last:], self._entries[last:]
        self.floor = min(self.floor, fork)
