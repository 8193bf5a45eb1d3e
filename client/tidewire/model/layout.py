"""The layout of a log: into how many partitions it is split, and in which one a metric lies; pure.

A log of one partition is as old as Tidewire and says nothing about itself; a log of several has its layout written once
into Redis, next to its saved documents. Hash and tags are part of the data: they never change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from tidewire.errors import InvalidInput

__all__ = ["HOME", "PARTITIONS", "SINGLE", "Layout", "layout_of", "parse_layout"]

PARTITIONS: Final = (1, 2, 4, 8)
"""How many partitions a log may have."""
HOME: Final = "0"
"""The hash tag of everything that is not readings, and of the only partition of a log that has one."""
# Their hash slots lie evenly over any equal split of a Cluster's 16,384: of eight primaries each has one.
_TAGS: Final = ("0cz", "1gd", "2eb", "3mi", "4xa", "5pj", "6c", "7ys")
_HASH: Final = "crc32"


class Layout(NamedTuple):
    """How a log is split.

    Attributes:
        id: distinguishes layouts of one log; 0 is the log of one partition.
        tags: the hash tag of each partition.
    """

    id: int
    tags: tuple[str, ...]

    @property
    def partitions(self) -> int:
        """How many there are."""
        return len(self.tags)

    def partition_of(self, metric: str) -> int:
        """Return the number of the partition in which a metric lies."""
        tags = self.tags
        return 0 if len(tags) == 1 else crc32(metric.encode(errors="surrogateescape")) % len(tags)

    def split(self, metrics: Iterable[str]) -> dict[int, list[int]]:
        """Return for each partition that some metrics touch the places at which they stand."""
        places: dict[int, list[int]] = {}
        for place, metric in enumerate(metrics):
            places.setdefault(self.partition_of(metric), []).append(place)
        return places

    def touched(self, literals: Collection[str] | None) -> Sequence[int]:
        """Return the partitions that a selection can touch; None: it has a pattern, and can touch all."""
        if literals is None:
            return range(self.partitions)
        return sorted({self.partition_of(metric) for metric in literals})

    def statement(self, partition: int) -> str:
        """Return what a call to a partition states, so that the log can refuse a caller who takes it for another."""
        return f"{self.id} {partition} {self.partitions}" if self.id else ""

    def encode(self) -> bytes:
        """Return the layout as it is written into Redis; nothing for that of one partition."""
        if not self.id:
            return b""
        return msgspec.json.encode(_Written(self.id, self.partitions, list(self.tags), _HASH))


class _Written(msgspec.Struct):
    id: int
    partitions: int
    tags: list[str]
    hash: str


SINGLE: Final = Layout(0, (HOME,))
"""The layout of a log of one partition."""


def layout_of(partitions: int) -> Layout:
    """Return the layout of a new log.

    Raises:
        InvalidInput: not one of `PARTITIONS`.
    """
    if partitions not in PARTITIONS:
        raise InvalidInput("partitions", partitions, "expected 1, 2, 4 or 8")
    return SINGLE if partitions == 1 else Layout(1, _TAGS[:: len(_TAGS) // partitions])


def parse_layout(text: bytes) -> Layout:
    """Return the layout that Redis holds; empty: one partition.

    Raises:
        InvalidInput: it is none that this version knows.
    """
    if not text:
        return SINGLE
    try:
        written = msgspec.json.decode(text, type=_Written)
    except msgspec.MsgspecError as error:
        raise InvalidInput("layout", text[:200].decode(errors="replace"), f"cannot be read: {error}") from None
    tags = written.tags
    known = written.hash == _HASH and written.id >= 1 and all(tag.isascii() and tag.isalnum() for tag in tags)
    if not known or not written.partitions == len(tags) == len(set(tags)) or len(tags) not in PARTITIONS[1:]:
        raise InvalidInput("layout", text[:200].decode(errors="replace"), "expected one of this version's; upgrade")
    return Layout(written.id, tuple(tags))
