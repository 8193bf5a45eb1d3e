"""The past of one series as the history answered it, and how it is joined with what the stream brought; pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tidewire.livestore.column_ring import Floats
from tidewire.model.positions import Ids

__all__ = ["Past"]


class Past(NamedTuple):
    """The readings of one series from a time on, as the log holds them up to an id.

    Attributes:
        rows: float64[2, n]: times and values, NaN for none.
        texts: (time, text) of those that are events.
        from_ms: all readings are there whose own time is not before it …
        upto: … and whose batch has the id of its partition, or a lower one.
        log_ms: the log's clock.
        unit: of its newest reading that came with one, whose time is `unit_ms`; empty if none did.
        unit_since_ms: time of its first reading after the last in another unit; -inf if it had no other.
    """

    rows: Floats
    texts: Sequence[tuple[float, str]]
    from_ms: float
    upto: Ids
    log_ms: float
    unit: str = ""
    unit_ms: float = -math.inf
    unit_since_ms: float = -math.inf

    def joined(self, journal: Sequence[tuple[int, Floats]], upto: int, held: Floats | None = None) -> Floats:
        """Return all readings from `from_ms` on, in order of time.

        Args:
            journal: the batches that came while it was read, (id, readings); those up to `upto` are in it already.
            upto: the id of the partition of its series.
            held: readings of a log that was lost, which may be in it or not.
        """
        rows = np.concatenate((self.rows, *(rows for id_, rows in journal if id_ > upto)), axis=1)
        if held is not None:
            rows = np.concatenate((rows, _without(held, rows)), axis=1)
        rows = rows[:, np.argsort(rows[0], kind="stable")]  # of equal times the later id stays last
        return rows[:, np.searchsorted(rows[0], self.from_ms, "left") :]


def _without(rows: Floats, others: Floats) -> Floats:
    """Return rows less others, each as often as it is there."""
    there = Counter(pair.tobytes() for pair in others.T)
    kept = []
    for at, pair in enumerate(rows.T):
        key = pair.tobytes()
        if there[key]:
            there[key] -= 1
        else:
            kept.append(at)
    return rows[:, kept]
