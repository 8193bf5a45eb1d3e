"""History: the readings of a span as columns per series, read from the log in pages and worked on in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from tidewire.batch import Batch, decode_batch, series_key
from tidewire.cursor import Cursor, id_from_ms
from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.log_calls import Entry
from tidewire.redis_log import RedisLog
from tidewire_service.buckets import Bucketed, Buckets, Floats

__all__ = ["History", "SeriesColumns", "Span", "read_history"]

T = TypeVar("T")
_PAGE: Final = 500  # batches of one read
_LATE_MS: Final = (
    3_600_000  # readings logged up to so long before their own time are found: producers' clocks run ahead
)


class Span(NamedTuple):
    """What to read: readings with start ≤ time < end, Unix ms; all from the start on if `end_ms` is None.

    Attributes:
        step_ms: width of buckets, or 0 for the readings themselves.
    """

    start_ms: float
    end_ms: float | None
    step_ms: int


class SeriesColumns(NamedTuple):
    """One series of an answer, oldest reading first; arrays and lists of equal length.

    Attributes:
        buckets: the columns if there are buckets, else None and the following hold.
        time: float64[n], Unix ms; value: float64[n], NaN where a reading has no number.
        text: n strings or None; None if no reading has a text. step: n numbers or NaN; None likewise.
    """

    metric: str
    labels: Mapping[str, str]
    unit: str
    buckets: Bucketed | None
    time: Floats
    value: Floats
    text: list[str | None] | None
    step: Floats | None

    def __len__(self) -> int:
        return int(self.time.size)


class History(NamedTuple):
    """An answer: series in order of metric and labels, and the cursor from which to stream on."""

    series: list[SeriesColumns]
    cursor: Cursor
    span: Span


class _Series:
    """One series while its pages come in."""

    __slots__ = (
        "buckets",
        "has_step",
        "has_text",
        "labels",
        "metric",
        "rows",
        "steps",
        "texts",
        "times",
        "unit",
        "values",
    )

    def __init__(self, metric: str, labels: dict[str, str], step_ms: int) -> None:
        self.metric, self.labels, self.unit = metric, labels, ""
        self.buckets = Buckets(step_ms) if step_ms else None
        self.times: list[Floats] = []
        self.values: list[Floats] = []
        self.texts: list[str | None] = []
        self.steps: list[float | None] = []
        self.has_text = self.has_step = False
        self.rows = 0

    def add(self, batch: Batch, start_ms: float, end_ms: float) -> None:
        self.unit = batch.unit
        time = np.array(batch.time, np.float64)
        value = np.array(batch.value, np.float64)  # None becomes NaN
        kept = (time >= start_ms) & (time < end_ms)
        if not kept.all():
            time, value = time[kept], value[kept]
        if not time.size:
            return
        self.times.append(time)
        self.values.append(value)
        if self.buckets is not None:
            return
        self.rows += time.size
        if batch.text is not None or batch.step is not None or self.has_text or self.has_step:
            self._add_rare(batch, kept.tolist())

    def _add_rare(self, batch: Batch, kept: list[bool]) -> None:
        before = self.rows - sum(kept)
        _extend(self.texts, batch.text, kept, before)
        _extend(self.steps, batch.step, kept, before)
        self.has_text = self.has_text or batch.text is not None
        self.has_step = self.has_step or batch.step is not None

    def reduce(self) -> None:
        """Put what came in with one page into the buckets."""
        if self.buckets is not None and self.times:
            self.buckets.add(np.concatenate(self.times), np.concatenate(self.values))
            self.times.clear()
            self.values.clear()
            self.rows = len(self.buckets)

    def columns(self) -> SeriesColumns:
        if self.buckets is not None:
            bucketed = self.buckets.columns()
            return SeriesColumns(
                self.metric, self.labels, self.unit, bucketed, bucketed.time, bucketed.last, None, None
            )
        time = np.concatenate(self.times) if self.times else np.empty(0)
        value = np.concatenate(self.values) if self.values else np.empty(0)
        order = np.argsort(time, kind="stable")
        text: list[str | None] | None = None
        if self.has_text:
            texts = self.texts + [None] * (time.size - len(self.texts))
            text = [texts[place] for place in order]
        step = None
        if self.has_step:
            steps = self.steps + [None] * (time.size - len(self.steps))
            step = np.array(steps, np.float64)[order]
        return SeriesColumns(self.metric, self.labels, self.unit, None, time[order], value[order], text, step)


def _extend(target: list[T | None], column: list[T | None] | None, kept: list[bool], before: int) -> None:
    """Append the kept items of a rare column; batches before it that had none are made up for."""
    if column is not None:
        target.extend([None] * (before - len(target)))
        target.extend(item for item, keep in zip(column, kept, strict=True) if keep)


def _series_order(key: tuple[str, str]) -> tuple[str, bool, str]:
    metric, series = key
    return metric, series != "{}", series  # the series without labels first


class _Collection:
    """All series of one request."""

    def __init__(self, span: Span, labels: Mapping[str, str], max_rows: int) -> None:
        self._span = span
        self._labels = labels
        self._max_rows = max_rows
        self._series: dict[tuple[str, str], _Series] = {}
        self.skipped = 0

    def add(self, metric: str, entries: Sequence[Entry]) -> None:
        """Take one page; in a thread."""
        start_ms, end_ms = self._span.start_ms, self._span.end_ms
        end = np.inf if end_ms is None else end_ms
        touched: dict[tuple[str, str], _Series] = {}
        for entry in entries:
            try:
                batch = decode_batch(entry.body)
            except InvalidInput:  # written by a foreign hand
                self.skipped += 1
                continue
            if any(batch.labels.get(name) != value for name, value in self._labels.items()):
                continue
            key = (metric, series_key(batch.labels))
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(metric, batch.labels, self._span.step_ms)
            series.add(batch, start_ms, end)
            touched[key] = series
        for series in touched.values():
            series.reduce()
        rows = sum(series.rows for series in self._series.values())
        if rows > self._max_rows:
            remedy = "ask for fewer points=, a shorter span (start=, end=), or fewer metrics (metric=, label=)"
            raise LimitExceeded("history_rows", self._max_rows, rows, remedy)

    def columns(self) -> list[SeriesColumns]:
        """Return what was collected, without series that have nothing in the span."""
        found = (self._series[key].columns() for key in sorted(self._series, key=_series_order))
        return [series for series in found if len(series)]


async def read_history(
    log: RedisLog,
    tails: Mapping[str, int],
    labels: Mapping[str, str],
    span: Span,
    upto: Cursor,
    *,
    max_rows: int,
    max_batches: int,
) -> History:
    """Return the readings of a span.

    Reads by log id from an hour before the start up to `upto`, whatever comes in meanwhile, and keeps the readings
    whose own time lies in the span.

    Args:
        log: where they are.
        tails: the metrics to read, each with its last id.
        labels: what a series must have.
        span: which readings.
        upto: the position of the log at the start of the request.
        max_rows: readings or buckets of the answer.
        max_batches: batches to look at.

    Raises:
        LimitExceeded: more than that; says how to ask for less.
        LogUnavailable: Redis does not answer.
    """
    collection = _Collection(span, labels, max_rows)
    scanned = 0
    for metric, tail in sorted(tails.items()):
        last = min(tail, upto.id)
        first = id_from_ms(max(0, int(span.start_ms) - _LATE_MS))
        while first <= last:
            entries = await log.entries_between(metric, first, last, _PAGE)
            if not entries:
                break
            first = entries[-1].id + 1
            scanned += len(entries)
            if scanned > max_batches:
                remedy = "ask for a later start=, or fewer metrics (metric=)"
                raise LimitExceeded("history_scan_batches", max_batches, scanned, remedy)
            await asyncio.to_thread(collection.add, metric, entries)
    return History(await asyncio.to_thread(collection.columns), upto, span)
