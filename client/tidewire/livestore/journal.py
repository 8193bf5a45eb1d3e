"""Keeps the batches of one metric between the store's writer and a reader that takes all of them; no I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

from tidewire.model.batch import Batch

__all__ = ["Journal"]

_MOST_READINGS: Final = 200_000  # that nobody took; then all are dropped, and `lost` says so


class Journal:
    """Batches with their ids in the log, in order; the store appends under its lock, one reader takes.

    Attributes:
        lost: some were dropped, since nobody took them, or the log began anew: the reader must read the log anew.
        partition: of the log, in which all batches of the metric lie; that of the newest.
    """

    __slots__ = ("_batches", "_readings", "lost", "partition")

    def __init__(self) -> None:
        self.lost = False
        self.partition = 0
        self._batches: deque[tuple[int, Batch]] = deque()
        self._readings = 0

    def append(self, id_: int, batch: Batch, partition: int = 0) -> None:
        """Add a batch."""
        self.partition = partition
        self._readings += len(batch.time)
        if self._readings > _MOST_READINGS:
            self._batches.clear()
            self.lost, self._readings = True, len(batch.time)
        self._batches.append((id_, batch))

    def take(self, most: int) -> list[tuple[int, Batch]]:
        """Return the oldest batches that were not taken yet, at most so many; call it under the store's lock."""
        taken = [self._batches.popleft() for _ in range(min(most, len(self._batches)))]
        self._readings -= sum(len(batch.time) for _, batch in taken)
        return taken
