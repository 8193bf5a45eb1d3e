"""Merges one page of the log over metrics: what may be delivered, what is gone, and how far it reaches; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tidewire.redislog.calls import Entry

__all__ = ["Hole", "LogPage", "PageEntry", "merge_page"]


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
    """Merge what was read after an id, without upper bound, from each metric's log (docs/protocol.md rules 8 and 12).

    Args:
        metrics: those whose tail lies after `after`.
        lists: for each at most `page` entries with id > after, oldest first.
        after: the cursor.
        barrier: a verified position, fixed before the metrics were chosen and the reads made.
        tails: last ids as known when the barrier was fixed, or later.
        page: the limit of the read; a list of that length may go on.
    """
    bound = min([barrier] + [entries[-1].id for entries in lists if len(entries) >= page])
    holes = []
    for metric, entries in zip(metrics, lists, strict=True):
        known = after
        found = [(entry.prev, entry.id) for entry in entries]
        if len(entries) < page:  # read to its end: what the tail says beyond it is gone
            found.append((tails.get(metric, 0), 0))
        for prev, id_ in found:
            if prev > known and (known == after or known < bound):  # the first is tested even beyond the barrier
                holes.append(Hole(metric, known, prev))
            known = id_
    merged = [
        PageEntry(entry.id, metric, entry.body)
        for metric, entries in zip(metrics, lists, strict=True)
        for entry in entries
        if entry.id <= bound
    ]
    merged.sort()
    return LogPage(merged, holes, bound, bound == barrier)
