"""The newest events of a selection in order of arrival, bounded in bytes; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Ring"]

_ENTRY_BYTES: Final = 250  # of an entry and its id, besides the event
_PAGE_BYTES: Final = 256 * 1024
_COMPACT: Final = 1_024  # entries that were dropped, before the list is cut


class _Entry(NamedTuple):
    id: str | None
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data) + _ENTRY_BYTES


class Ring:
    """Numbers what arrives; a number stands for everything before it.

    Ids are texts that are compared for equality. An id names the state after its event: who has had one stream of
    a selection up to it lacks exactly what follows it in any other.

    Args:
        max_bytes: beyond it the oldest events are dropped; the newest stays however large it is.

    Attributes:
        first: number of the oldest event that is kept; `end` if there is none.
        end: number that the next event will have.
        last_id: the newest id; empty if none was ever seen.
        bytes: what it holds.
    """

    def __init__(self, max_bytes: int) -> None:
        self.first = self.end = 0
        self.last_id = ""
        self.bytes = 0
        self._max_bytes = max_bytes
        self._entries: list[_Entry] = []
        self._dropped = 0  # at the front of the list
        self._after: dict[str, int] = {}

    def append(self, id_: str | None, data: bytes) -> None:
        """Add an event; without data, a point that has an id of its own."""
        entry = _Entry(id_, data)
        self._entries.append(entry)
        self.end += 1
        self.bytes += entry.size
        if id_:
            self.last_id = id_
            self._after[id_] = self.end
        while self.bytes > self._max_bytes and self.end - self.first > 1:
            self._drop()

    def _drop(self) -> None:
        entry = self._entries[self._dropped]
        self.first += 1
        self._dropped += 1
        self.bytes -= entry.size
        if entry.id and self._after.get(entry.id) == self.first:
            del self._after[entry.id]
        if self._dropped >= _COMPACT and self._dropped * 2 > len(self._entries):
            del self._entries[: self._dropped]
            self._dropped = 0

    def after(self, id_: str) -> int | None:
        """Return the number of what follows an id; None if the ring does not know it."""
        return self._after.get(id_)

    def page(self, at: int) -> tuple[bytes, str, int]:
        """Return events from a number on, some 256 KiB, with the last id in them and the number that follows.

        Args:
            at: from `first` to `end`.
        """
        chunk, size, last_id = [], 0, ""
        while at < self.end and size < _PAGE_BYTES:
            entry = self._entries[at - self.first + self._dropped]
            at += 1
            last_id = entry.id or last_id
            chunk.append(entry.data)
            size += len(entry.data)
        return b"".join(chunk), last_id, at

    def ids(self, at: int) -> Iterator[tuple[int, str]]:
        """Yield the number and the id of each event with an id from a number on, which is at least `first`."""
        for number in range(at, self.end):
            entry = self._entries[number - self.first + self._dropped]
            if entry.id and entry.data:
                yield number, entry.id

    def clear(self) -> None:
        """Drop everything; no number that was given out before is in the ring any more."""
        self.end += 1
        self.first = self.end
        self.bytes = self._dropped = 0
        self._entries.clear()
        self._after.clear()
