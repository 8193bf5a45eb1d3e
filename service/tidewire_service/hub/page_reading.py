"""Reads one page of the log for a catch-up, in parts between which everything else runs; pure, over `effects.py`."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from tidewire.model.cursor import Cursor
from tidewire.redislog.calls import Entry
from tidewire_service.hub.effects import Effects, ReadEntries, Turn, Wait
from tidewire_service.hub.log_page import LogPage, merging_page
from tidewire_service.hub.partition import Partition
from tidewire_service.turns import ordering

__all__ = ["LOOKED_AT", "in_order", "in_turns", "read_page", "spent"]

T = TypeVar("T")
LOOKED_AT: Final = 8_192  # metrics between two turns: 4 ms
_PAGE_ENTRIES: Final = 4_096  # of one page, over all metrics: 0.5 MB of small batches
_MIN_PAGE, _MAX_PAGE = 16, 256  # of one metric
_READ_METRICS: Final = 1_024  # of one read: with 16 entries each at most 2 MB of small batches


def in_turns(work: Generator[None, None, T]) -> Effects[T]:
    """Do work that yields between its parts; return its result."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # the generator's return type is lost in StopIteration
        yield Turn()


def spent(items: list[T]) -> Iterator[T]:
    """Yield the items and let go of each: to free 100,000 of them at once takes 40 ms."""
    items.reverse()
    while items:
        yield items.pop()


def in_order(metrics: Collection[str], tails: Mapping[str, int], after: int = -1) -> Effects[list[str]]:
    """Return those metrics whose last id lies beyond an id, in order: all that ask for the same share their reads."""
    behind, every = list[str](), tuple(metrics)
    for first in range(0, len(every), LOOKED_AT):
        if first:
            yield Turn()
        behind += [metric for metric in every[first : first + LOOKED_AT] if tails.get(metric, -1) > after]
    return (yield from in_turns(ordering(behind, key=str)))


def read_page(
    partition: Partition, metrics: Sequence[str], cursor: Cursor, barrier: int, most: int
) -> Effects[tuple[LogPage, int] | None]:
    """Return the page after a cursor, and up to which id metrics were forgotten; None if the lineage changes meanwhile.

    Args:
        partition: whose log is read.
        metrics: those known when the barrier was fixed.
        cursor: of the partition's lineage.
        barrier: a flushed position, fixed before.
        most: entries of one metric.
    """
    known, (epoch, after) = partition.tails, cursor
    forgot = 0 if partition.clock is None else partition.clock.forgot
    names = yield from in_order(metrics, known, after)
    count = min(_MAX_PAGE, max(_MIN_PAGE, _PAGE_ENTRIES // max(1, len(names))), most)
    lists, tails = list[Sequence[Entry]](), dict[str, int]()
    while len(lists) < len(names):  # of 100,000 metrics no single read would end within its deadline
        part = names[len(lists) : len(lists) + _READ_METRICS]
        tails.update((metric, known[metric]) for metric in part)  # before they are read
        some, clock = yield ReadEntries(tuple((metric, after) for metric in part), count, barrier, epoch)
        if clock.epoch != epoch or partition.epoch != epoch:
            yield Wait()
            return None
        lists += some
        forgot = max(forgot, clock.forgot)
    page = yield from in_turns(merging_page(names, lists, after, barrier, tails, count))
    return (page, forgot) if partition.epoch == epoch else None
