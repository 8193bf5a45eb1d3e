"""Positions in the partitions of a log, of which each has its own order: what a reader compares ids by; pure.

A log of one partition is partition 0. Ids of two partitions have no order; their milliseconds may be compared as far
as the clocks of two servers agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from tidewire.model.cursor import Cursor
from tidewire.model.vector_cursor import AnyCursor, Component, VectorCursor, parse_cursor

__all__ = ["Ids", "Seen", "components", "ids_of", "is_behind", "later_ids", "newest_ms", "own_component"]

Ids: TypeAlias = Mapping[int, int]
"""An id in each partition, by its number."""


def components(cursor: AnyCursor) -> tuple[Component, ...]:
    """Return the position in each partition that a cursor names, that of the event first."""
    return cursor.parts if isinstance(cursor, VectorCursor) else (Component(0, cursor),)


@lru_cache(maxsize=16)  # an event is asked for by who takes it and by who stores it, once for each of its batches
def _own(text: str) -> tuple[int, Component]:
    """Return the layout, 0 for a log of one partition, and the component of the event."""
    if not text.startswith("_"):
        return 0, Component(0, Cursor.parse(text))
    head, newest, own, *_ = [*text.split(".", 3), "", ""]
    cursor = VectorCursor.parse(f"{head}.{newest}.{own}")
    return cursor.layout, cursor.own


def own_component(text: str) -> Component:
    """Return the partition of the event whose id this is, and its position there; the rest is not looked at.

    Raises:
        InvalidCursor: the text is no cursor of ours.
    """
    return _own(text)[1]


def ids_of(text: str) -> dict[int, int]:
    """Return the id in each partition that a cursor names.

    Raises:
        InvalidCursor: the text is no cursor of ours.
    """
    return {partition: cursor.id for partition, cursor in components(parse_cursor(text))}


def newest_ms(ids: Ids) -> float:
    """Return the newest millisecond of some ids (Unix epoch, log's clock), 0 for none."""
    return float(max(ids.values(), default=0) >> 32)


def later_ids(ids: Ids, others: Ids) -> dict[int, int]:
    """Return of each partition the later of two ids."""
    return {partition: max(ids.get(partition, 0), others.get(partition, 0)) for partition in {*ids, *others}}


def is_behind(ids: Ids, others: Ids) -> bool:
    """Tell whether some ids lie before others in a partition that both name."""
    return any(id_ < others.get(partition, 0) for partition, id_ in ids.items())


class Seen:
    """What a subscriber has seen of each partition, over any number of connections.

    An event is judged by its own component alone: the others repeat what earlier events said of their partitions.
    """

    def __init__(self) -> None:
        self._layout = 0
        self._at: dict[int, Cursor] = {}

    def take(self, text: str) -> bool:
        """Tell whether a batch is ahead of what was seen of its partition, and take note of it if it is.

        Raises:
            InvalidCursor: the text is no cursor of ours.
        """
        layout, (partition, cursor) = _own(text)
        if layout != self._layout:
            self._enter(layout)
        return self._advance(partition, cursor)

    def resume(self, text: str) -> None:
        """Go on at a cursor, but go back nowhere: a service that lags repeats what was seen.

        Raises:
            InvalidCursor: the text is no cursor of ours.
        """
        cursor = parse_cursor(text)
        self._enter(cursor.layout if isinstance(cursor, VectorCursor) else 0)
        for partition, position in components(cursor):
            self._advance(partition, position)

    def go_back(self, text: str) -> None:
        """Go on at a cursor, also if it lies before what was seen of its own partition: that was lost.

        Raises:
            InvalidCursor: the text is no cursor of ours.
        """
        self.forget(own_component(text).partition)
        self.resume(text)

    def forget(self, partition: int | None) -> None:
        """Forget what was seen of a partition, or of all: its log begins anew."""
        if partition is None:
            self._at.clear()
        else:
            self._at.pop(partition, None)

    def _enter(self, layout: int) -> None:
        if layout != self._layout:  # its partitions are others
            self._layout = layout
            self._at.clear()

    def _advance(self, partition: int, cursor: Cursor) -> bool:
        at = self._at.get(partition)
        if at is not None and at.epoch == cursor.epoch and cursor.id <= at.id:
            return False
        self._at[partition] = cursor
        return True
