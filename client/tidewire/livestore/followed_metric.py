"""One metric that is followed for runs by step: its series, and the batches that wait to be added to them; no I/O."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import NamedTuple

from tidewire.livestore.journal import Journal
from tidewire.livestore.run_series import RunSeries
from tidewire.model.batch import Batch, series_key

__all__ = ["FollowedMetric", "HeldSeries", "KeptSeries", "kept_in"]


class KeptSeries:
    """One series of a followed metric; `index` is that of the store, None before the stream has brought it."""

    __slots__ = ("index", "labels", "lines")

    def __init__(self, labels: dict[str, str], version: int) -> None:
        self.labels = labels
        self.lines = RunSeries(version)
        self.index: int | None = None


class HeldSeries(NamedTuple):
    """The series of a metric by their keys, and those for which there was no room: half of a line is none."""

    series: dict[str, KeptSeries]
    left_out: set[str]


class FollowedMetric:
    """One metric: its series, and the batches that came since they were brought up to date.

    Attributes:
        metric: its name.
        problem: why it is not up to date, empty if it is.
        refusal: why it is not shown at all, empty if it is or will be.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.problem = self.refusal = ""
        self.held = HeldSeries({}, set())
        self.coming: HeldSeries | None = None  # while its past is read
        self.journal: Journal | None = None
        self.waiting: dict[str, list[Batch]] = {}  # by series: taken from the journal, not on the lines yet
        self.upto: dict[int, int] = {}  # ids in the log, of which that of its partition counts
        self.generation = -1  # of the store when it was read
        self.tried_in = -1  # generation of the store in which it was read last, or was to be
        self.final = False  # and would be refused in again
        self.share = 0  # of the room, when it was read
        self.reading: asyncio.Task[None] | None = None
        self.again_s = -math.inf  # not read again before
        self.asked_s = 0.0
        self.turn_s = 0.0  # when it had its last turn to add what waits

    @property
    def loading(self) -> bool:
        """Return whether its past is not here yet, and will be."""
        return self.generation < 0 and not self.refusal

    @property
    def left_out(self) -> int:
        """Return how many of its series there was no room for."""
        return len(self.held.left_out)

    def refuse(self, why: str) -> None:
        """Show nothing of it but why: what was read before would not go on."""
        self.problem, self.refusal = "", why
        self.held, self.journal, self.generation = HeldSeries({}, set()), None, -1
        self.waiting.clear()

    def lines(self, key: str) -> RunSeries | None:
        """Return what is kept of a series, by its `series_key`."""
        kept = self.held.series.get(key)
        return None if kept is None else kept.lines

    @property
    def newest(self) -> HeldSeries:
        """Return what is held of it, or while it is read anew what is there of that."""
        return self.held if self.coming is None else self.coming


def kept_in(held: HeldSeries, labels: Mapping[str, str], version: int, key: str = "") -> KeptSeries | None:
    """Return what is kept of a series, from now on if it is new; None if there was no room for it."""
    key = key or series_key(labels)
    if key in held.left_out:
        return None
    kept = held.series.get(key)
    if kept is None:
        kept = held.series[key] = KeptSeries(dict(labels), version)
    return kept
