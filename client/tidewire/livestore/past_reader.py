"""Reads the past of series that somebody looks at from the service's history into a store, as if it had come live.

A stream that starts from the catalogue brings no past. Views ask for that of their series, on-screen ones first; it is
read once for all of them, the newest part before the rest, and then it is in memory. An answer of the history says up
to which id it holds the log, for each of its partitions: of the readings that the stream brought meanwhile those beyond
that id are added, and what it brings later up to that id is known. So nothing is lost and nothing is there twice.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import numpy as np

from tidewire.errors import InvalidCursor, ServiceRefused, ServiceUnavailable
from tidewire.livestore.gaps import expected_interval_ms
from tidewire.livestore.past import Past
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.answers import HistoryColumns, HistorySeries
from tidewire.model.batch import series_key
from tidewire.model.positions import Ids, ids_of, is_behind
from tidewire.model.units import unit_key
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

__all__ = ["PastReader"]

_log = logging.getLogger("tidewire")
_AT_ONCE: Final = 3  # requests; the service answers four at a time, and not only this client
_METRICS_PER_REQUEST: Final = 32
_READINGS_PER_REQUEST: Final = 50_000.0  # about, where one metric does not have more: what comes first is drawn first
_MAX_READINGS: Final = 3_000_000  # of one request, in pages of 200,000
_MAX_WANTED: Final = 2_000  # series whose past is waited for
_NEWEST_MS: Final = 150_000.0  # read first: the sidebar's sparklines, and what a page of one minute shows
_SLACK_MS: Final = 5_000.0  # that the start of a window may be before what is read in one go
_ASKED_S: Final = 5.0  # who still looks asks again, ten times a second
_AGAIN_S: Final = 15.0  # before what was read is read again, because it did not stay in memory
_TIMEOUT_S: Final = 30.0
_PAUSES_S: Final = (0.5, 15.0)  # after the first failure and the longest
_PACES: Final = 64  # silent series of a restart whose pace is asked for, though nobody looks
_PACE_MS: Final = 60_000.0  # before the last reading: these tell the pace


class _Wanted(NamedTuple):
    from_ms: float
    asked_s: float
    order: int


class _Part(NamedTuple):
    """One request: the past of some series from a time on.

    Attributes:
        metrics: theirs.
        labels: that all have which are wanted.
        from_ms: the start.
        series: those that it brings.
    """

    metrics: tuple[str, ...]
    labels: dict[str, str]
    from_ms: float
    series: list[Series]


class PastReader:
    """Reads the past of series; `want` may be called in any thread, `run` is a coroutine of the store's writer.

    Args:
        store: where it goes.
        url: the service.
        token: bearer token, empty for none.
        position: returns the ids up to which the store has the stream, by partition.
        now_ms: the log's clock.

    Attributes:
        reason: why the past cannot be read at the moment; empty if it can.
    """

    def __init__(
        self, store: Store, url: str, token: str, position: Callable[[], Ids], now_ms: Callable[[], float]
    ) -> None:
        self.reason = ""
        self._store = store
        self._url, self._token = url, token
        self._position, self._now_ms = position, now_ms
        self._lock = threading.Lock()
        self._wanted: dict[int, _Wanted] = {}
        self._read_s: dict[int, tuple[float, float]] = {}  # by series: from when on its past was read, and when
        self._under_way: set[int] = set()
        self._paces: list[int] = []
        self._paced: set[int] = set()  # whose pace was asked for
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._failures = 0

    # -- for other threads ---------------------------------------------------------------------------------------

    def want(self, indices: Iterable[int], from_ms: float) -> bool:
        """Ask for the past of these series, the most urgent first; ask again for as long as it is wanted.

        Returns:
            Whether more of it will come; False if memory holds all that it keeps, or the store is filled by a replay.
        """
        if not self._store.generation:
            return False
        oldest_ms = self._now_ms() - self._store.raw_ms
        from_ms = max(from_ms, oldest_ms)
        now_s = time.monotonic()
        waiting = False
        with self._lock:
            for order, index in enumerate(indices):
                if not self._lacks(index, from_ms, now_s):
                    continue
                waiting = True
                if index in self._wanted or len(self._wanted) < _MAX_WANTED:
                    self._wanted[index] = _Wanted(from_ms, now_s, order)
        if waiting:
            self._awake()
        return waiting

    def want_paces(self, indices: Iterable[int]) -> None:
        """Ask how often those of these series came that have been silent for longer than memory reaches."""
        oldest_ms = self._now_ms() - self._store.raw_ms
        last_ms = self._store.state["last_time_ms"]
        with self._lock:
            for index in indices:
                if index in self._paced or last_ms[index] > oldest_ms or len(self._paces) >= _MAX_WANTED:
                    continue
                self._paced.add(index)
                self._paces.append(index)
        self._awake()

    def _awake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake.set)

    def _lacks(self, index: int, from_ms: float, now_s: float) -> bool:
        series = self._store.series[index]
        covered_ms = self._store.covered(series, 1)
        if covered_ms <= from_ms + _SLACK_MS:
            return False
        read_from_ms, read_s = self._read_s.get(index, (math.inf, -math.inf))
        return read_from_ms > from_ms + _SLACK_MS or now_s - read_s > _AGAIN_S

    # -- in the writer's loop ------------------------------------------------------------------------------------

    def restarted(self, silent: Sequence[Series]) -> None:
        """Forget what was read: the store was restarted; `silent` have an unknown pace."""
        with self._lock:
            self._read_s.clear()
            self._paces = [series.index for series in silent[:_PACES]]
            self._paced = set(self._paces)
        self._wake.set()

    async def run(self) -> None:
        """Read what is wanted until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with AsyncServiceClient(self._url, self._token, timeout_s=_TIMEOUT_S) as client, asyncio.TaskGroup() as g:
            turns = asyncio.Semaphore(_AT_ONCE)
            while True:
                await turns.acquire()
                part = self._next_part()
                if part is not None:
                    self._under_way |= {one.index for one in part.series}
                    g.create_task(self._serve(client, part, turns))
                    continue
                turns.release()
                if self._paces:
                    await self._read_pace(client, self._paces.pop())
                    continue
                self._wake.clear()
                await self._wake.wait()

    def _next_part(self) -> _Part | None:
        """Return the next request: the newest part of all that is wanted, before the rest of any."""
        now_ms, now_s = self._now_ms(), time.monotonic()
        newest_ms, oldest_ms = now_ms - _NEWEST_MS, now_ms - self._store.raw_ms
        with self._lock:
            self._wanted = {
                index: wanted
                for index, wanted in self._wanted.items()
                if now_s - wanted.asked_s < _ASKED_S and self._lacks(index, wanted.from_ms, now_s)
            }
            ready = sorted((one.order, index) for index, one in self._wanted.items() if index not in self._under_way)
        series = self._store.series
        if self._store.late:  # the history would refuse these, and with them the others of a request
            ready = [(order, index) for order, index in ready if not self._store.is_late(series[index])]
        unread = [index for _, index in ready if self._lacks(index, newest_ms, now_s)]
        chosen = unread or [index for _, index in ready]
        if not chosen:
            return None
        return self._part([series[index] for index in chosen], newest_ms if unread else oldest_ms)

    def _part(self, wanted: list[Series], from_ms: float) -> _Part:
        by_metric: dict[str, list[Series]] = {}
        for one in wanted:
            by_metric.setdefault(one.metric, []).append(one)
        siblings: dict[str, list[Series]] = {metric: [] for metric in list(by_metric)[:_METRICS_PER_REQUEST]}
        for one in list(self._store.series):
            if one.metric in siblings:
                siblings[one.metric].append(one)
        metric, own = next(iter(by_metric.items()))
        common = dict(set.intersection(*(set(one.labels.items()) for one in own)))
        series = [one for one in siblings[metric] if common.items() <= one.labels.items()]
        metrics, labels = [metric], common
        if len(series) == len(siblings[metric]):
            labels, span_s = {}, (self._now_ms() - from_ms) / 1e3
            rows = self._readings(series, span_s)
            for other in list(siblings)[1:]:
                rows += self._readings(siblings[other], span_s)
                if rows > _READINGS_PER_REQUEST:
                    break
                metrics.append(other)
                series = [*series, *siblings[other]]
        # One that knows more already keeps it.
        lacking = [one for one in series if one.index not in self._under_way and self._store.covered(one, 1) > from_ms]
        return _Part(tuple(metrics), labels, from_ms, lacking)

    def _readings(self, series: list[Series], span_s: float) -> float:
        """Return how many readings these have in so many seconds, at the rate of the last minute."""
        at = np.array([one.index for one in series], dtype=np.intp)
        return float(self._store.rates(at, self._now_ms()).sum()) * span_s

    async def _serve(self, client: AsyncServiceClient, part: _Part, turns: asyncio.Semaphore) -> None:
        try:
            await self._read(client, part)
            self._failures, self.reason = 0, ""
        except (ServiceUnavailable, ServiceRefused) as error:
            if str(error) != self.reason:
                _log.info("cannot read the past of %s: %s", ", ".join(part.metrics[:3]), error)
            self.reason = error.detail if isinstance(error, ServiceRefused) else str(error)
            await self._pause(getattr(error, "retry_after_s", 0.0))
        except Exception:  # a past that cannot be taken must not end the stream
            _log.exception("cannot take the past of %s", ", ".join(part.metrics[:3]))
            self.reason = "the dashboard failed to read it; see its log"
            await self._pause(0.0)
        finally:
            self._under_way -= {one.index for one in part.series}
            self._store.end_past(part.series)
            turns.release()
            self._wake.set()

    async def _pause(self, least_s: float) -> None:
        first, longest = _PAUSES_S
        await asyncio.sleep(max(least_s, min(longest, first * 2**self._failures)))
        self._failures = min(self._failures + 1, 10)

    async def _read(self, client: AsyncServiceClient, part: _Part) -> None:
        position = self._position()
        generation = self._store.begin_past(part.series)
        found: dict[tuple[str, str], list[HistoryColumns]] = {}
        params = [*selection(part.metrics, part.labels), ("start", part.from_ms), ("page", "first")]
        path, upto, count = "/v1/history", dict[int, int](), 0
        while path:
            answer = await client.get(path, params)
            path, params = answer.next_page, []
            page = await asyncio.to_thread(answer.decoded, HistorySeries)
            upto = _ids(page.cursor)
            for columns in page.series:
                found.setdefault((columns.metric, series_key(columns.labels)), []).append(columns)
                count += len(columns.time)
            if count > _MAX_READINGS:
                raise ServiceUnavailable(f"the past has more than {_MAX_READINGS:,} readings", 0.0)
        if is_behind(upto, position):  # behind what the stream has brought: another process, which catches up
            raise ServiceUnavailable("the history is behind the stream", 0.0)
        now_s = time.monotonic()
        for at, series in enumerate(part.series):
            columns_of = found.get((series.metric, series_key(series.labels)), [])
            if self._store.take_past(series, _past(columns_of, part.from_ms, upto, self._now_ms()), generation):
                with self._lock:
                    self._read_s[series.index] = (part.from_ms, now_s)
            if at % 50 == 49:
                await asyncio.sleep(0)  # the stream goes on meanwhile

    async def _read_pace(self, client: AsyncServiceClient, index: int) -> None:
        """Read how often a silent series came in its last minute."""
        series, last_ms = self._store.series[index], float(self._store.state["last_time_ms"][index])
        if not math.isnan(series.expected_ms()) or not math.isfinite(last_ms):
            return
        params = [*selection([series.metric], series.labels), ("start", last_ms - _PACE_MS), ("end", last_ms + 1)]
        try:
            found = (await client.get("/v1/history", params)).decoded(HistorySeries)
        except (ServiceUnavailable, ServiceRefused) as error:
            _log.debug("cannot read the last minute of %s: %s", series.metric, error)
            return
        for columns in found.series:
            if columns.labels == series.labels and len(columns.time) >= 3:
                self._store.set_pace(series, expected_interval_ms(np.diff(np.sort(columns.time))))


def _ids(cursor: str) -> dict[int, int]:
    try:
        return ids_of(cursor)
    except InvalidCursor as error:
        raise ServiceUnavailable(f"the history has no cursor: {error}", 0.0) from error


def _past(columns_of: Sequence[HistoryColumns], from_ms: float, upto: Ids, log_ms: float) -> Past:
    """Return the readings of one series from the pages that hold it; of several units those of its newest one."""
    times = [time_ms for columns in columns_of for time_ms in columns.time]
    values = [value for columns in columns_of for value in columns.value]
    with_texts = [zip(columns.time, columns.text, strict=True) for columns in columns_of if columns.text]
    texts = [(time_ms, text) for pairs in with_texts for time_ms, text in pairs if text]
    rows = np.array((times, np.array(values, dtype=np.float64)), dtype=np.float64).reshape(2, -1)
    units = {unit for columns in columns_of for unit in columns.units or [columns.unit]} - {""}
    if not units or not times:
        return Past(rows, texts, from_ms, upto, log_ms)
    if len(units) == 1 and not any(columns.units for columns in columns_of):
        return Past(rows, texts, from_ms, upto, log_ms, units.pop(), max(times))
    order = np.argsort(rows[0], kind="stable")
    rows = rows[:, order]
    logged = [unit for columns in columns_of for unit in columns.units or [columns.unit] * len(columns.time)]
    places = [(at, logged[place]) for at, place in enumerate(order.tolist()) if logged[place]]
    newest, unit = places[-1]
    foreign = [at for at, other in places if unit_key(other) != unit_key(unit)]
    newest_ms, first = float(rows[0, newest]), foreign[-1] + 1 if foreign else 0
    since_ms = float(rows[0, first]) if foreign else -math.inf
    return Past(rows[:, first:], texts, from_ms, upto, log_ms, unit, newest_ms, since_ms)
