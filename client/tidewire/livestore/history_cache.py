"""Reads and caches buckets of the service's history, for the part of a window that memory does not hold."""

from __future__ import annotations

import asyncio
import collections
import math
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tidewire.errors import LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.livestore.buckets import NUMBER
from tidewire.livestore.column_ring import Floats
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.messages import RangeRequest
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.livestore.window import BEYOND, NO_OLDER, Older, pack_range
from tidewire.model.answers import HistoryColumns, HistorySeries
from tidewire.model.batch import series_key
from tidewire.model.bucket_steps import column_step_for
from tidewire.model.units import unit_key
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

__all__ = ["HistoryCache", "answer_range"]

_AT_ONCE: Final = 4
_METRICS_PER_REQUEST: Final = 32
_MOST_ROWS: Final = 150_000  # of one answer; the service's limit is 200,000 unless it is set
_KEPT: Final = 64  # answers
_KEPT_S: Final = 20.0
_TIMEOUT_S: Final = 20.0

_MAX_CELLS: Final = 1_000_000  # buckets of all series of one range: 16 MB
_BEYOND_INTERVALS: Final = 2


class _Piece(NamedTuple):
    """The buckets of one series, by what is the same for units that mean the same, and their texts, by their start."""

    tables: dict[str, Floats]
    texts: list[tuple[float, str]]


Pieces = dict[tuple[str, str], _Piece]
"""By metric and series key."""


class HistoryCache:
    """Reads `/v1/history`; to be used in one event loop, and closed.

    Args:
        url: the service.
        token: bearer token, empty for none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._client = AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._answers: dict[tuple[object, ...], tuple[float, asyncio.Task[Pieces]]] = {}

    async def close(self) -> None:
        """Cancel the requests and close the connections."""
        for _, task in self._answers.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._answers.values()), return_exceptions=True)
        await self._client.close()

    async def older(self, series: Sequence[Series], first: int, count: int, step_ms: int) -> Older:
        """Return the buckets `first` … `first + count - 1` of these series.

        Raises:
            ServiceUnavailable: the service did not answer, or refused; says why.
        """
        metrics = collections.Counter(one.metric for one in series)
        names = sorted(metrics)
        parts = [names[at : at + _METRICS_PER_REQUEST] for at in range(0, len(names), _METRICS_PER_REQUEST)]
        reads = []
        for part in parts:
            each = max(1, _MOST_ROWS // sum(metrics[name] for name in part))
            pieces = range(first, first + count, each)
            reads += [self._part(tuple(part), at, min(each, first + count - at), step_ms) for at in pieces]
        pieces_of: dict[tuple[str, str], dict[str, list[Floats]]] = {}
        texts_of: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for answer in await asyncio.gather(*reads):
            for key, piece in answer.items():
                for name, table in piece.tables.items():
                    pieces_of.setdefault(key, {}).setdefault(name, []).append(table)
                if piece.texts:
                    texts_of.setdefault(key, []).extend(piece.texts)
        found = {key: _joined(units) for key, units in pieces_of.items()}
        tables_by_index: dict[int, Floats] = {}
        texts: dict[int, list[tuple[float, str]]] = {}
        others: set[str] = set()
        for one in series:
            key = (one.metric, series_key(one.labels))
            if key in texts_of:
                texts[one.index] = sorted(texts_of[key])
            by_unit = dict(found.get(key, {}))
            own = unit_key(one.unit) if unit_key(one.unit) in by_unit else ""
            if own in by_unit:
                tables_by_index[one.index] = by_unit.pop(own)
            others |= by_unit.keys() - {""}  # two units have no common axis
        span = float(first * step_ms), float((first + count) * step_ms)
        return Older(tables_by_index, *span, tuple(sorted(others)), texts)

    async def fill(self, view: LiveView, now_ms: float) -> None:
        """Add to a live view the buckets of its window that memory does not hold.

        Raises:
            ServiceUnavailable: the service did not answer, or refused; says why.
        """
        first = math.floor(now_ms / view.step_ms) - view.count + 1
        missing = [view.store.series[index] for index in view.partial]
        view.set_older(await self.older(missing, first, view.count, view.step_ms))

    async def _part(self, metrics: tuple[str, ...], first: int, count: int, step_ms: int) -> Pieces:
        now_s = time.monotonic()
        for old, (asked_s, task) in list(self._answers.items()):
            if task.done() and (len(self._answers) >= _KEPT or now_s - asked_s > _KEPT_S):
                del self._answers[old]
        key = (metrics, first, count, step_ms)
        if key not in self._answers:
            if len(self._answers) >= _KEPT:
                raise ServiceUnavailable("too many history requests are running; try again in a moment")
            task = asyncio.create_task(self._read(metrics, first, count, step_ms))
            # reads its exception, though no caller may wait any more
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._answers[key] = (now_s, task)
        task = self._answers[key][1]
        try:
            return await asyncio.shield(task)
        except ServiceUnavailable:
            self._answers.pop(key, None)
            raise

    async def _read(self, metrics: tuple[str, ...], first: int, count: int, step_ms: int) -> Pieces:
        span = (("start", first * step_ms), ("end", (first + count) * step_ms), ("step_ms", step_ms))
        params = (*selection(metrics, None), *span)
        async with self._turns:
            try:
                answer = await self._client.get("/v1/history", params)
            except (ServiceUnavailable, ServiceRefused) as error:
                raise ServiceUnavailable(f"the history could not be read: {error}") from error
            decoded = await asyncio.to_thread(answer.decoded, HistorySeries)
        if decoded.step_ms != step_ms:
            raise ServiceUnavailable(f"the service sent buckets of {decoded.step_ms} ms instead of {step_ms} ms")
        return {(columns.metric, series_key(columns.labels)): _piece(columns, step_ms) for columns in decoded.series}


def _piece(columns: HistoryColumns, step_ms: int) -> _Piece:
    """Return the columns of one series; of one with numbers texts are events, and no states."""
    words = columns.text if all(value is None for value in columns.max) else []
    texts = [(time_ms, text) for time_ms, text in zip(columns.time, words, strict=False) if text]
    return _Piece(_tables(columns, step_ms), texts)


def _tables(columns: HistoryColumns, step_ms: int) -> dict[str, Floats]:
    """Return the columns of one series as a table of buckets for each unit (see tidewire.livestore.buckets)."""
    given = np.array(
        (columns.time, columns.first, columns.value, columns.min, columns.max, columns.mean, columns.count),
        dtype=np.float64,
    )
    if not columns.units:
        return {unit_key(columns.unit): _table(given, step_ms)}
    keys = np.array(list(map(unit_key, columns.units)))
    return {str(unit): _table(given[:, keys == unit], step_ms) for unit in dict.fromkeys(keys.tolist())}


def _joined(units: dict[str, list[Floats]]) -> dict[str, Floats]:
    """Return the pieces of one series, by unit and in order of time, as one table for each unit."""
    if len(units) == 2 and "" in units:  # a piece in which no batch had a unit goes on in the only one there is
        [unit] = units.keys() - {""}
        units = {unit: sorted((*units[""], *units[unit]), key=lambda piece: piece[NUMBER].max(initial=0.0))}
    return {name: np.concatenate(pieces, axis=1) for name, pieces in units.items()}


def _table(given: Floats, step_ms: int) -> Floats:
    given = given[:, ~np.isnan(given[3])]
    # The service sends neither the last number of a bucket whose last reading has none, nor how many of its readings
    # are numbers: the mean stands for the one, `count` for the other. The latter divides out of the mean, since no
    # bucket is merged from both sources.
    number, first, last, low, high, mean, count = given
    return np.stack((number // step_ms, first, np.where(np.isnan(last), mean, last), low, high, mean * count, count))


async def answer_range(
    request: RangeRequest, store: Store, history_cache: HistoryCache, *, seq: int, now_ms: float
) -> tuple[bytes, str]:
    """Return the frame of a range, and an error message, empty if there was none.

    Where memory does not reach, the history is asked; when that fails, the frame holds what memory does.

    Raises:
        LimitExceeded: the window is too long for so many series.
    """
    span_ms = max(1.0, request.end_ms - request.start_ms)
    step_ms = column_step_for(span_ms, request.buckets)
    indices = [index for index in dict.fromkeys(request.series) if index < len(store.series)]
    beyond = max(BEYOND, math.ceil(_beyond_ms(store, indices, span_ms) / step_ms))
    # As the deck has them: the last column holds what is before the end, the first may begin before the start.
    first = math.ceil(request.end_ms / step_ms) - request.buckets - beyond
    count = request.buckets + 2 * beyond
    if count * len(indices) > _MAX_CELLS:
        raise LimitExceeded("buckets of a range", _MAX_CELLS, count * len(indices), "ask for fewer series or less time")
    missing = [one for one in map(store.series.__getitem__, indices) if store.covered(one, step_ms) > first * step_ms]
    older, problem = NO_OLDER, ""
    if missing:
        try:
            older = await history_cache.older(missing, first, count, step_ms)
        except ServiceUnavailable as error:
            problem = str(error)
    if older.other_units:
        problem = (
            problem or f"Readings in {', '.join(older.other_units)} are not drawn on this axis; the table has them."
        )
    request_id = request.id & 0xFFFF
    frame = pack_range(
        store, indices, first, count, step_ms, request_id=request_id, seq=seq, now_ms=now_ms, older=older
    )
    return frame, problem


def _beyond_ms(store: Store, indices: Sequence[int], span_ms: float) -> float:
    """Return how much a range holds beyond its ends, so that its lines reach the edges of the plot."""
    with store.lock:
        expected_ms = max((np.nan_to_num(store.series[index].expected_ms()) for index in indices), default=0.0)
    return min(_BEYOND_INTERVALS * expected_ms, span_ms / 4)
