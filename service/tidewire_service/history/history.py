"""Reads the readings of a span from the log, in pages, as columns per series; each page is processed in a thread."""

from __future__ import annotations

import asyncio
import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import LEAD_MS, Batch, decode_batch, series_key, series_order
from tidewire.model.cursor import id_from_ms
from tidewire.model.units import unit_key
from tidewire.model.vector_cursor import AnyCursor, position_in
from tidewire.redislog.calls import Entry
from tidewire.redislog.lineage import Clock
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.history.buckets import Bucketed, Buckets, Floats
from tidewire_service.history.directory import Reading

__all__ = ["History", "Place", "SeriesColumns", "Span", "read_history"]

T = TypeVar("T")
_FIRST_READ: Final = 50  # batches
_MOST_READ: Final = 2_000
_READ_BYTES: Final = 1 << 20  # of the bodies of one read, about
_CLOCKS_MS: Final = 60_000  # by which what an ingest path takes for the log's clock may be off


class Span(NamedTuple):
    """The span to read: start ≤ time < end, Unix ms; no end if `end_ms` is None.

    Attributes:
        step_ms: width of buckets, or 0 for the readings themselves.
    """

    start_ms: float
    end_ms: float | None
    step_ms: int


class SeriesColumns(NamedTuple):
    """One series of an answer, oldest reading first; arrays and lists of equal length.

    Attributes:
        unit: of the newest reading that has one.
        buckets: the columns if there are buckets, else None and the following hold. There is one for each unit.
        time: float64[n], Unix ms; value: float64[n], NaN where a reading has no number.
        text: n strings or None, of a bucket that of its newest reading with one; None if no reading has a text.
        step: n numbers or NaN; None if no reading has one.
        units: n strings, the unit of each reading or bucket; None unless it changes. One that is missing, or written in
            another way, is no change.
    """

    metric: str
    labels: Mapping[str, str]
    unit: str
    buckets: Bucketed | None
    time: Floats
    value: Floats
    text: list[str | None] | None
    step: Floats | None
    units: list[str] | None = None

    def __len__(self) -> int:
        return int(self.time.size)


class Place(NamedTuple):
    """The start of a page: a metric (metrics are in order of their names) and the id of its first entry."""

    metric: str
    id: int


class History(NamedTuple):
    """An answer, or a page of one.

    Attributes:
        series: in order of metric and labels.
        cursor: from here to stream on.
        span: what was asked for.
        following: where the next page begins; None if there is none.
        done: which share of the whole is read with this page, 0 … 1, without what is missing.
        missing: which share of the whole the log no longer held, on this page and those before it.
    """

    series: list[SeriesColumns]
    cursor: AnyCursor
    span: Span
    following: Place | None = None
    done: float = 1.0
    missing: float = 0.0


class _Series:
    """Collects one series, page by page."""

    __slots__ = (
        "bucket_texts",
        "buckets",
        "has_step",
        "has_text",
        "labels",
        "metric",
        "pending",
        "rows",
        "step_ms",
        "steps",
        "texts",
        "times",
        "unit",
        "units",
        "values",
    )

    def __init__(self, metric: str, labels: dict[str, str], step_ms: int) -> None:
        self.metric, self.labels, self.step_ms = metric, labels, step_ms
        self.unit = ""  # the last that was given: a batch without one goes on in it
        self.buckets: dict[str, Buckets] = {}  # by unit; of units that mean the same by the first
        self.bucket_texts: dict[int, tuple[float, str]] = {}  # by number of the bucket: time of the newest, and text
        self.pending: dict[str, tuple[list[Floats], list[Floats]]] = {}  # readings that are not in them yet
        self.times: list[Floats] = []
        self.values: list[Floats] = []
        self.units: list[tuple[str, int]] = []  # of each batch, and how many readings
        self.texts: list[str | None] = []
        self.steps: list[float | None] = []
        self.has_text = self.has_step = False
        self.rows = 0

    def add(self, batch: Batch, start_ms: float, end_ms: float) -> None:
        time = np.array(batch.time, np.float64)
        value = np.array(batch.value, np.float64)  # None becomes NaN
        kept = (time >= start_ms) & (time < end_ms)
        if not kept.all():
            time, value = time[kept], value[kept]
        if not time.size:
            return
        if self.step_ms:
            times, values = self.pending.setdefault(self._unit_of_buckets(batch.unit), ([], []))
            times.append(time)
            values.append(value)
            if batch.text is not None:
                self._add_bucket_texts(
                    time.tolist(), [text for text, keep in zip(batch.text, kept, strict=True) if keep]
                )
            return
        self.times.append(time)
        self.values.append(value)
        self.units.append((batch.unit, time.size))
        self.rows += time.size
        if batch.text is not None or batch.step is not None or self.has_text or self.has_step:
            self._add_rare(batch, kept.tolist())

    def _unit_of_buckets(self, unit: str) -> str:
        """Return the unit under which readings of this one are summed up."""
        if unit and unit_key(unit) != unit_key(self.unit):
            known = {unit_key(other): other for other in (*self.buckets, *self.pending) if other}
            if not self.unit:  # what came before without a unit goes on in the first that is given
                for kept in (self.buckets, self.pending):
                    if "" in kept:
                        kept[unit] = kept.pop("")  # type: ignore[assignment]  # of the same dict
            self.unit = known.get(unit_key(unit), unit)
        return self.unit

    def _add_bucket_texts(self, times: list[float], texts: list[str | None]) -> None:
        for time, text in zip(times, texts, strict=True):
            number = math.floor(time / self.step_ms)
            if text and time >= self.bucket_texts.get(number, (-math.inf, ""))[0]:
                self.bucket_texts[number] = time, text

    def _add_rare(self, batch: Batch, kept: list[bool]) -> None:
        before = self.rows - sum(kept)
        _extend(self.texts, batch.text, kept, before)
        _extend(self.steps, batch.step, kept, before)
        self.has_text = self.has_text or batch.text is not None
        self.has_step = self.has_step or batch.step is not None

    def reduce(self) -> None:
        """Move the collected readings into the buckets."""
        for unit, (times, values) in self.pending.items():
            self.buckets.setdefault(unit, Buckets(self.step_ms)).add(np.concatenate(times), np.concatenate(values))
        if self.pending:
            self.pending.clear()
            self.rows = sum(map(len, self.buckets.values()))

    def columns(self) -> SeriesColumns:
        if self.step_ms:
            return self._bucket_columns()
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
        unit, units = next((unit for unit, _ in reversed(self.units) if unit), ""), None
        if len({unit_key(unit) for unit, _ in self.units if unit}) > 1:
            logged = [unit for unit, count in self.units for _ in range(count)]
            units = [logged[place] for place in order]
            unit = next(filter(None, reversed(units)))
        return SeriesColumns(self.metric, self.labels, unit, None, time[order], value[order], text, step, units)

    def _bucket_columns(self) -> SeriesColumns:
        parts = {unit: buckets.columns() for unit, buckets in self.buckets.items()}
        units = [unit for unit, part in parts.items() for _ in range(part.time.size)]
        joined = [np.empty(0)] * len(Bucketed._fields)
        if parts:
            joined = [np.concatenate(columns) for columns in zip(*parts.values(), strict=True)]
        order = np.argsort(joined[0], kind="stable")
        bucketed = Bucketed._make(column[order] for column in joined)
        units = [units[place] for place in order]
        unit, changing = (units[-1] if units else ""), units if len(parts) > 1 else None
        texts: list[str | None] | None = None
        if self.bucket_texts:
            numbers = (bucketed.time / self.step_ms).astype(np.int64).tolist()
            texts = [self.bucket_texts.get(number, (0.0, None))[1] for number in numbers]
        return SeriesColumns(
            self.metric, self.labels, unit, bucketed, bucketed.time, bucketed.last, texts, None, changing
        )


def _extend(target: list[T | None], column: list[T | None] | None, kept: list[bool], before: int) -> None:
    """Append the kept items of a rare column; pad it with None for earlier batches without that column."""
    if column is not None:
        target.extend([None] * (before - len(target)))
        target.extend(item for item, keep in zip(column, kept, strict=True) if keep)


class _Collection:
    """Collects all series of one request."""

    def __init__(self, span: Span, labels: Mapping[str, str]) -> None:
        self._span = span
        self._labels = labels
        self._series: dict[tuple[str, str], _Series] = {}
        self.skipped = 0

    def add(self, metric: str, entries: Sequence[Entry], enough: float) -> int:
        """Add entries until there are `enough` rows; return how many were added. Run in a thread."""
        start_ms, end_ms = self._span.start_ms, self._span.end_ms
        end = np.inf if end_ms is None else end_ms
        touched: dict[tuple[str, str], _Series] = {}
        rows, added = self.rows, 0
        for entry in entries:
            if rows >= enough:
                break
            added += 1
            try:
                batch = decode_batch(entry.body)
            except InvalidInput:  # written by another program
                self.skipped += 1
                continue
            if any(batch.labels.get(name) != value for name, value in self._labels.items()):
                continue
            key = (metric, series_key(batch.labels))
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(metric, batch.labels, self._span.step_ms)
            rows -= series.rows
            series.add(batch, start_ms, end)
            rows += series.rows
            touched[key] = series
        for series in touched.values():
            series.reduce()
        return added

    @property
    def rows(self) -> int:
        """The number of readings or buckets so far."""
        return sum(series.rows for series in self._series.values())

    def columns(self) -> list[SeriesColumns]:
        """Return the collected series, without those that have no reading in the span."""
        ordered = sorted(self._series.values(), key=lambda series: series_order(series.metric, series.labels))
        found = (series.columns() for series in ordered)
        return [series for series in found if len(series)]


class _Missing:
    """Adds up what the log no longer holds of a span: each entry points at the one before it.

    Attributes:
        share: of all ids of all metrics, 0 … 1.
    """

    def __init__(self, ends: Sequence[Place], first: int, since: int, begin: Place | None, share: float) -> None:
        """Prepare.

        Args:
            ends: the metrics, each with the last id to read.
            first: the first id to read of each.
            since: what was logged before this id is no part of the span, and may be gone.
            begin: of this page; None for the first.
            share: that is missing on the pages before.
        """
        self.share = share
        self._widths = {end.metric: max(end.id - first + 1, 1) * len(ends) for end in ends}
        self._since = since
        self._metric, self._known = (begin.metric, begin.id - 1) if begin is not None else ("", 0)

    def follow(self, metric: str, entries: Sequence[Entry]) -> None:
        """Look at the next entries of a metric."""
        for entry in entries:
            if entry.prev > self._known or metric != self._metric:
                self.expect(metric, entry.prev)
            self._known = entry.id

    def close(self, ends: Sequence[Place]) -> None:
        """Look at metrics that are read to their end, each with the last id that it is known to have had."""
        for metric, id_ in ends:
            self.expect(metric, id_)

    def expect(self, metric: str, id_: int) -> None:
        """Add what is missing up to an id that a metric is known to have had."""
        if metric != self._metric:
            self._metric, self._known = metric, 0
        known = max(self._known, self._since - 1)
        if id_ > known:
            self.share += (id_ - known) / self._widths[metric]
            self._known = id_


class _Reads:
    """Reads the entries of several metrics, metric by metric, about a mebibyte at a time.

    While one read is worked on, the next is on its way.

    Attributes:
        ended: the metrics that are read to their end, each with the last id that it is known to have had.
    """

    def __init__(self, log: PartitionedLog, directory: Reading, ends: Sequence[Place], first: int) -> None:
        """Prepare; nothing is read yet.

        Args:
            log: where they are.
            directory: the positions of the log at the start of the request.
            ends: the metrics, each with the last id to read.
            first: the first id to read of each.
        """
        self._log = log
        self._directory = directory
        self._ends = ends
        self._first = first
        self._count = _FIRST_READ
        self._number = 0  # of the metric of the next read
        self._next = first
        self._under_way: asyncio.Task[tuple[list[Entry], Clock]] | None = None
        self.ended: list[Place] = []

    async def __aenter__(self) -> _Reads:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    @property
    def following(self) -> Place | None:
        """Where the next read begins; None after the last."""
        return Place(self._ends[self._number].metric, self._next) if self._number < len(self._ends) else None

    @property
    def done(self) -> float:
        """The share of all ids of all metrics that is read, 0 … 1."""
        if self._number == len(self._ends):
            return 1.0
        width = self._ends[self._number].id - self._first + 1
        return (self._number + (self._next - self._first) / max(width, 1)) / len(self._ends)

    def start_at(self, place: Place) -> None:
        """Continue from a place, which may have been read before."""
        self._number = bisect.bisect_left(self._ends, place.metric, key=lambda end: end.metric)
        same = self._number < len(self._ends) and self._ends[self._number].metric == place.metric
        self._next = max(place.id, self._first) if same else self._first

    def _ask(self) -> asyncio.Task[tuple[list[Entry], Clock]]:
        end = self._ends[self._number]
        return asyncio.create_task(self._log.entries_between(end.metric, self._next, end.id, self._count))

    async def read(self) -> tuple[str, list[Entry]] | None:
        """Return the next entries of a metric and prefetch those after them; None at the end.

        Raises:
            LogUnavailable: Redis does not answer, or another server than a moment ago.
        """
        while self._number < len(self._ends):
            metric, last = self._ends[self._number]
            entries: list[Entry] = []
            had = 0
            if self._next <= last:
                entries, clock = await (self._under_way or self._ask())
                self._directory.confirm(self._log.layout.partition_of(metric), clock, self._log)
                had = last  # unless more came later: then that says what there was
                if entries and entries[-1].id > last:
                    had = min(last, entries.pop().prev)
            self._under_way = None
            if entries:
                self._next = entries[-1].id + 1
                mean = sum(len(entry.body) for entry in entries) / len(entries)
                self._count = max(1, min(_MOST_READ, int(_READ_BYTES / max(mean, 1.0))))
            if not entries or self._next > last:
                self.ended.append(Place(metric, had))
                self._number += 1
                self._next = self._first
            if self._number < len(self._ends) and self._next <= self._ends[self._number].id:
                self._under_way = self._ask()
            if entries:
                return metric, entries
        return None


async def read_history(
    log: PartitionedLog,
    directory: Reading,
    labels: Mapping[str, str],
    span: Span,
    upto: AnyCursor,
    *,
    max_rows: int,
    max_batches: int,
    paged: bool = False,
    begin: Place | None = None,
    missing: float = 0.0,
) -> History:
    """Return the readings of a span, or a page of them.

    Reads by log id from before the start, by as much as a reading may be ahead of the log, up to `upto`, whatever comes
    in meanwhile, and keeps the readings whose own time lies in the span.

    Args:
        log: where they are.
        directory: the metrics to read, each with its last id, as of the start of the request.
        labels: what a series must have.
        span: which readings.
        upto: the position of the log at the start of the request, or of that for the first page.
        max_rows: readings or buckets of the answer.
        max_batches: batches to look at.
        paged: end with the batch that reaches `max_rows`, or after `max_batches`, and say where the next page begins.
        begin: of this page; None for the first.
        missing: the share that was missing on the pages before.

    Raises:
        LimitExceeded: more than that, and not paged; says how to ask for less.
        LogUnavailable: Redis does not answer, or another server than at the start of the request.
    """
    collection = _Collection(span, labels)
    scanned = 0
    first = id_from_ms(max(0, int(span.start_ms - LEAD_MS - _CLOCKS_MS)))

    def last_of(metric: str) -> int:
        position = position_in(upto, log.layout.partition_of(metric))
        return 0 if position is None else position.id

    def prepare() -> tuple[list[Place], _Missing]:
        ends = [Place(metric, min(tail, last_of(metric))) for metric, tail in sorted(directory.tails.items())]
        return ends, _Missing(ends, first, id_from_ms(max(0, int(span.start_ms))), begin, missing)

    ends, gone = await asyncio.to_thread(prepare)  # 0.1 s for 100,000 metrics
    async with _Reads(log, directory, ends, first) as reads:
        if begin is not None:
            reads.start_at(begin)
        while read := await reads.read():
            metric, entries = read
            scanned += len(entries)
            if scanned > max_batches and not paged:
                remedy = "ask for a later start=, fewer metrics (metric=), or for pages (page=first)"
                raise LimitExceeded("history_scan_batches", max_batches, scanned, remedy)
            added = await asyncio.to_thread(collection.add, metric, entries, max_rows if paged else np.inf)
            ended, reads.ended = reads.ended, []
            own_end = [ended.pop()] if ended and ended[-1].metric == metric else []
            gone.close(ended)
            gone.follow(metric, entries[:added])
            if added < len(entries):
                reads.start_at(Place(metric, entries[added].id))
                break
            gone.close(own_end)
            if collection.rows > max_rows and not paged:
                remedy = (
                    "ask for fewer points= or a larger step_ms=, a shorter span (start=, end=), fewer metrics, or "
                    "pages (page=first)"
                )
                raise LimitExceeded("history_rows", max_rows, collection.rows, remedy)
            if paged and scanned >= max_batches:
                break
        else:
            gone.close(reads.ended)
        series = await asyncio.to_thread(collection.columns)
        return History(series, upto, span, reads.following, reads.done - gone.share, gone.share)
