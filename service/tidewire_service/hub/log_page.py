"""Merges one page of the log over metrics: what may be delivered, what is gone, and how far it reaches; pure."""

from __future__ import annotations

from collections.abc import Generator, Mapping, MutableSequence, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from tidewire.redislog.calls import Entry
from tidewire_service.turns import at_once, ordering

__all__ = ["Hole", "LogPage", "PageEntry", "merge_page", "merging_page"]

_AT_ONCE: Final = 4_096  # entries and metrics between two turns: 5 ms


class PageEntry(NamedTuple):
    """One batch of a page."""

    id: int
    metric: str
    body: bytes


class Hole(NamedTuple):
    """Batches of a metric, None for any, with after < id ≤ upto, which can no longer be replayed."""

    metric: str | None
    after: int
    upto: int


class LogPage(NamedTuple):
    """A merged page.

    Attributes:
        entries: in id order, all ≤ bound.
        holes: what was trimmed, per metric.
        bound: everything of the metrics up to here is in `entries` or in `holes`.
        complete: False if some metric's page was full below the barrier: read again from `bound`.
    """

    entries: list[PageEntry]
    holes: list[Hole]
    bound: int
    complete: bool


def merge_page(
    metrics: Sequence[str],
    lists: Sequence[Sequence[Entry]],
    after: int,
    barrier: int,
    tails: Mapping[str, int],
    page: int,
) -> LogPage:
    """Merge as `merging_page` does, in one step."""
    return at_once(merging_page(metrics, list(lists), after, barrier, tails, page))


def merging_page(
    metrics: Sequence[str],
    lists: MutableSequence[Sequence[Entry]],
    after: int,
    barrier: int,
    tails: Mapping[str, int],
    page: int,
) -> Generator[None, None, LogPage]:
    """Merge what was read after an id, without upper bound, from each metric's log (docs/protocol.md rules 8 and 12).

    Args:
        metrics: those whose tail lies after `after`.
        lists: for each at most `page` entries with id > after, oldest first; emptied, since to free all takes long.
        after: the cursor.
        barrier: a verified position, fixed before the metrics were chosen and the reads made.
        tails: last ids as known when the barrier was fixed, or later, but before the reads.
        page: the limit of the read; a list of that length may go on.

    Yields after some work, so that a page of many metrics can be merged in turns with everything else.
    """
    bound = barrier
    for first in range(0, len(lists), _AT_ONCE):
        if first:
            yield
        part = lists[first : first + _AT_ONCE]
        bound = min([bound] + [entries[-1].id for entries in part if len(entries) >= page])
    holes, merged, looked_at = [], list[PageEntry](), 0
    for number, metric in enumerate(metrics):
        entries, lists[number] = lists[number], ()
        looked_at += 1 + len(entries)
        if looked_at >= _AT_ONCE:
            looked_at = 0
            yield
        known = after
        found = [(entry.prev, entry.id) for entry in entries]
        if len(entries) < page:  # read to its end: what the tail says beyond it is gone
            found.append((tails.get(metric, 0), 0))
        for prev, id_ in found:
            if prev > known and (known == after or known < bound):  # the first is tested even beyond the barrier
                holes.append(Hole(metric, known, prev))
            known = id_
        merged.extend(PageEntry(entry.id, metric, entry.body) for entry in entries if entry.id <= bound)
    merged = yield from ordering(merged, key=itemgetter(0))
    return LogPage(merged, holes, bound, bound == barrier)
