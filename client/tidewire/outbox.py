"""The outbox: readings as columns per series, then calls; bounded, oldest dropped and counted; no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tidewire.batch import Batch, EncodedBatch, Limits, encode_batch
from tidewire.errors import LimitExceeded
from tidewire.log_calls import split_calls

__all__ = ["Call", "Columns", "encoded_batches"]

READING_BYTES: Final = 48  # of one buffered reading in columns: two floats and their places in two lists


class Columns:
    """Readings of one series that wait to be sent."""

    __slots__ = ("labels", "metric", "step", "text", "time", "unit", "value")

    def __init__(self, metric: str, labels: dict[str, str], unit: str) -> None:
        self.metric, self.labels, self.unit = metric, labels, unit
        self.time: list[float] = []
        self.value: list[float | None] = []
        self.text: list[str | None] | None = None
        self.step: list[float | None] | None = None

    def add(self, time: float, value: float | None, text: str | None, step: float | None) -> None:
        """Add one reading."""
        self.text = _with(self.text, text, len(self.time))
        self.step = _with(self.step, step, len(self.time))
        self.time.append(time)
        self.value.append(value)

    def extend(self, batch: Batch) -> None:
        """Add a batch's readings."""
        for index, time in enumerate(batch.time):
            text = None if batch.text is None else batch.text[index]
            step = None if batch.step is None else batch.step[index]
            self.add(time, batch.value[index], text, step)

    def batch(self, first: int, last: int) -> Batch:
        """Return the readings first … last - 1 as a batch."""
        return Batch(
            metric=self.metric,
            labels=self.labels,
            unit=self.unit,
            time=self.time[first:last],
            value=self.value[first:last],
            text=None if self.text is None else self.text[first:last],
            step=None if self.step is None else self.step[first:last],
        )


def _with(column: list[Any] | None, given: Any, before: int) -> list[Any] | None:
    """Return an optional column with one more entry; it starts with its first entry that is not None."""
    if column is None:
        if given is None:
            return None
        column = [None] * before
    column.append(given)
    return column


class Call:
    """One call: batches that are sent together, under one sequence from the first attempt on.

    Attributes:
        sequence: 0 until the first attempt.
        last: the number of the newest reading in it, counted from the publisher's start.
    """

    __slots__ = ("attempts", "batches", "bytes", "last", "readings", "sequence")

    def __init__(self, batches: Sequence[EncodedBatch], last: int) -> None:
        self.batches = batches
        self.bytes = sum(len(batch.body) + len(batch.last) for batch in batches)
        self.readings = sum(batch.readings for batch in batches)
        self.sequence = 0
        self.attempts = 0
        self.last = last


def encoded_batches(columns: Columns, limits: Limits) -> Iterator[EncodedBatch]:
    """Yield the readings of a series as encoded batches within the limits; halved until they fit."""
    spans = deque(
        (first, min(first + limits.readings, len(columns.time)))
        for first in range(0, len(columns.time), limits.readings)
    )
    while spans:
        first, last = spans.popleft()
        try:
            yield encode_batch(columns.batch(first, last), limits)
        except LimitExceeded:
            if last - first == 1:
                raise
            middle = (first + last) // 2
            spans.extendleft([(middle, last), (first, middle)])


def calls(batches: Sequence[EncodedBatch], last: int) -> Iterator[Call]:
    """Yield batches as calls of at most 500 batches and 1 MiB."""
    for part in split_calls(batches):
        yield Call(part, last)
