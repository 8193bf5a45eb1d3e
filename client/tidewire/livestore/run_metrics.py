"""Follows metrics for runs by step: their past from the service's history, then what the stream brings.

The past of a metric is read once for all viewers of a dashboard, and nothing is there twice. When nobody has asked for
a minute, it is forgotten.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Sequence
from typing import Final

from tidewire.errors import InvalidCursor, LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.livestore.feed import Feed
from tidewire.livestore.followed_metric import FollowedMetric, HeldSeries, KeptSeries, kept_in
from tidewire.livestore.run_readings import add_batches, add_columns
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.series import Series
from tidewire.model.answers import HistoryColumns, HistorySeries
from tidewire.model.batch import Batch, series_key
from tidewire.model.positions import ids_of, is_behind
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

__all__ = ["MAX_METRICS", "MAX_SERIES", "RunMetrics"]

_log = logging.getLogger("tidewire")
_FORGET_S: Final = 60.0  # after the last question
_AGAIN_S: Final = 3.0  # before what could not be read is asked for again …
_REFUSED_AGAIN_S: Final = 30.0  # … and what the service refused
_TIMEOUT_S: Final = 30.0
_AT_ONCE: Final = 2  # metrics that are read at a time
_BEGIN_MS: Final = 366 * 86_400_000.0  # runs are looked for so far back, as far as the log reaches
_MAX_READINGS: Final = 5_000_000  # of one metric
MAX_SERIES: Final = 1_000  # of all metrics: 150 kB each
MAX_METRICS: Final = 64  # that are kept; those that nobody asks for go first
# Of the event loop, for one answer; the rest comes with the next. A batch takes 2 µs to be sorted, a series with new
# readings 300 µs, however many these are: so the batches come first.
_SORTING_S: Final = 0.008
_ADDING_S: Final = 0.012
_SORTED_AT_ONCE: Final = 1_000
_PAUSE_S: Final = 0.1  # between two turns of which the first was not enough, whoever asks


class RunMetrics:
    """Used in one event loop, and closed.

    Args:
        feed: the stream, and the store that it fills.
        url: the service.
        token: bearer token, empty for none.
    """

    def __init__(self, feed: Feed, url: str, token: str = "") -> None:
        self._feed = feed
        self._store = feed.store
        self._client = AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._followed: dict[str, FollowedMetric] = {}
        self._forgetting: asyncio.TimerHandle | None = None
        self._next_turn_s = 0.0

    async def close(self) -> None:
        """Cancel what is being read, and close the connections."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        tasks = [one.reading for one in self._followed.values() if one.reading is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def follow(self, metrics: Sequence[str]) -> list[FollowedMetric]:
        """Return what there is of some metrics, which are followed for the next minute; fewer if there are too many."""
        followed = [one for metric in metrics if (one := self._follow(metric)) is not None]
        for one in followed:
            self._read_if_outdated(one)
        return followed

    def catch_up(self, followed: Sequence[FollowedMetric]) -> bool:
        """Add what the stream has brought since the last time, as much as a turn allows; tell whether that was all."""
        ready = [one for one in followed if not one.loading and one.journal is not None and one.reading is None]
        started_s = time.perf_counter()
        if started_s < self._next_turn_s:
            return False
        ready.sort(key=lambda one: one.turn_s)
        done = self._sort(ready, started_s + _SORTING_S)
        done = self._add_waiting(ready, time.perf_counter() + _ADDING_S) and done
        self._make_room()
        if not done:
            self._next_turn_s = time.perf_counter() + _PAUSE_S
        return done

    def series(self, followed: FollowedMetric) -> list[tuple[Series, RunSeries]]:
        """Return the series of a metric that the store has, with what is kept of them."""
        return [
            (self._store.series[index], kept.lines)
            for kept in followed.held.series.values()
            if (index := self._index(followed.metric, kept)) is not None
        ]

    # -- following -----------------------------------------------------------------------------------------------

    def _follow(self, metric: str) -> FollowedMetric | None:
        now_s = time.monotonic()
        followed = self._followed.get(metric)
        if followed is None:
            if len(self._followed) >= MAX_METRICS:
                oldest = min(self._followed.values(), key=lambda one: one.asked_s)
                if now_s - oldest.asked_s < _AGAIN_S:
                    return None
                self._forget(oldest)
            followed = self._followed[metric] = FollowedMetric(metric)
        followed.asked_s = now_s
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(_FORGET_S, self._forget_idle)
        return followed

    def _read_if_outdated(self, followed: FollowedMetric) -> None:
        generation, journal = self._store.generation, followed.journal
        over = followed.final and followed.tried_in == generation
        if over or time.monotonic() <= followed.again_s or followed.reading is not None:
            return
        freed = followed.left_out > 0 and self._share > followed.share
        if followed.generation != generation or journal is None or journal.lost or freed:
            followed.reading = asyncio.create_task(self._read(followed), name=f"tidewire-runs-{followed.metric}")

    def _forget_idle(self) -> None:
        self._forgetting = None
        now_s = time.monotonic()
        for one in list(self._followed.values()):
            if now_s - one.asked_s >= _FORGET_S:
                self._forget(one)
        if self._followed:
            self._forgetting = asyncio.get_running_loop().call_later(_FORGET_S, self._forget_idle)

    def _forget(self, followed: FollowedMetric) -> None:
        self._store.unfollow(followed.metric)
        if followed.reading is not None:
            followed.reading.cancel()
        self._followed.pop(followed.metric, None)

    # -- the past ------------------------------------------------------------------------------------------------

    async def _read(self, followed: FollowedMetric) -> None:
        try:
            async with self._turns:
                await self._read_past(followed)
            followed.problem = followed.refusal = ""
        except ServiceUnavailable as error:
            self._note(followed, str(error), _AGAIN_S)
        except ServiceRefused as error:
            self._refuse(followed, error.detail)
            followed.again_s = time.monotonic() + _REFUSED_AGAIN_S
        except LimitExceeded as error:  # and would be again: only another log has fewer
            self._refuse(followed, str(error))
            followed.final = True
        except Exception:  # of one metric; the others go on, and it is tried again
            self._note(followed, f"{followed.metric} could not be read; see the log.", _AGAIN_S)
            _log.exception("cannot read the runs of %s", followed.metric)
        finally:
            followed.reading = followed.coming = None

    def _note(self, followed: FollowedMetric, problem: str, pause_s: float) -> None:
        _log.info("cannot read the runs of %s: %s", followed.metric, problem)
        followed.problem, followed.again_s = problem, time.monotonic() + pause_s

    def _refuse(self, followed: FollowedMetric, why: str) -> None:
        _log.info("the runs of %s are not read: %s", followed.metric, why)
        self._store.unfollow(followed.metric)
        followed.refuse(why)

    async def _read_past(self, followed: FollowedMetric) -> None:
        followed.journal = None  # of a reading that fails, nothing goes on
        followed.waiting.clear()
        generation, journal = self._store.generation, self._store.follow(followed.metric)
        followed.tried_in, followed.final = generation, False
        position = dict(self._feed.positions)  # after that: what is in no journal, the history must have
        begin_ms = max(0.0, self._feed.now_ms() - _BEGIN_MS)
        params = [*selection([followed.metric], {}), ("start", begin_ms), ("page", "first")]
        path, upto, count = "/v1/history", dict[int, int](), 0
        followed.share = self._share
        followed.coming = coming = HeldSeries({}, set())
        version = _version()  # above that of every line that was there before
        while path:
            answer = await self._client.get(path, params)
            path, params = answer.next_page, []
            page = await asyncio.to_thread(answer.decoded, HistorySeries)
            upto = _ids_of(page.cursor)
            own = [columns for columns in page.series if columns.metric == followed.metric]
            count += sum(len(columns.time) for columns in own)
            if count > _MAX_READINGS:
                raise LimitExceeded(
                    f"readings of {followed.metric}", _MAX_READINGS, count, "it has too many to be compared by step"
                )
            kept = [(kept_in(coming, columns.labels, version), columns) for columns in own]
            await asyncio.to_thread(_add_pages, [(one.lines, columns) for one, columns in kept if one is not None])
            self._make_room()
        if is_behind(upto, position):  # another process of the service, which catches up
            raise ServiceUnavailable("The history is behind the stream", 0.0)
        if generation != self._store.generation:
            raise ServiceUnavailable("The log has changed meanwhile", 0.0)
        followed.held, followed.upto, followed.generation, followed.journal = coming, upto, generation, journal

    # -- the stream ----------------------------------------------------------------------------------------------

    def _sort(self, ready: Sequence[FollowedMetric], until_s: float) -> bool:
        """Take the batches that came, each to its series; tell whether those were all."""
        for one in ready:
            while batches := self._taken(one):
                partition = one.journal.partition if one.journal is not None else 0
                for id_, batch in batches:
                    if id_ > one.upto.get(partition, 0):
                        one.upto[partition] = id_
                        one.waiting.setdefault(series_key(batch.labels), []).append(batch)
                if time.perf_counter() > until_s:
                    return False
        return True

    def _taken(self, followed: FollowedMetric) -> list[tuple[int, Batch]]:
        if followed.journal is None:
            return []
        with self._store.lock:
            return followed.journal.take(_SORTED_AT_ONCE)

    def _add_waiting(self, ready: Sequence[FollowedMetric], until_s: float) -> bool:
        """Add to the lines what waits, those first that waited for longest; tell whether that was all."""
        for one in ready:
            one.turn_s = time.perf_counter()
            while one.waiting:
                key = next(iter(one.waiting))
                self._add(one, key, one.waiting.pop(key))
                if time.perf_counter() > until_s:
                    return False
        return True

    def _add(self, followed: FollowedMetric, key: str, batches: list[Batch]) -> None:
        labels = batches[0].labels
        # One that the store has no room for is on no page.
        if key not in followed.held.series and self._store.find(followed.metric, labels) is None:
            return
        kept = kept_in(followed.held, labels, _version(), key)
        if kept is not None:
            add_batches(kept.lines, batches)

    # -- room ----------------------------------------------------------------------------------------------------

    @property
    def _share(self) -> int:
        """Return how many series each metric may have if all have many."""
        return MAX_SERIES // max(1, len(self._followed))

    def _make_room(self) -> None:
        """Leave out the series that were silent for longest, of metrics with more than their share, the most first."""
        every = sorted(self._followed.values(), key=lambda one: -len(one.newest.series))
        excess = sum(len(one.newest.series) for one in every) - MAX_SERIES
        for one in every:
            series, left_out = one.newest
            given = min(excess, len(series) - self._share)
            if given <= 0:
                return
            for key in heapq.nsmallest(given, series, key=lambda key: self._last_ms(one.metric, series[key])):
                del series[key]
                left_out.add(key)
            excess -= given
            one.share = self._share

    def _last_ms(self, metric: str, kept: KeptSeries) -> float:
        """Return when a series had its newest reading, if that is known also of those that are still to be read."""
        index = self._index(metric, kept)
        return kept.lines.last_ms if index is None else float(self._store.state["last_time_ms"][index])

    def _index(self, metric: str, kept: KeptSeries) -> int | None:
        if kept.index is None and (series := self._store.find(metric, kept.labels)) is not None:
            kept.index = series.index
        return kept.index


def _version() -> int:
    return round(time.time() * 1e3)


def _ids_of(cursor: str) -> dict[int, int]:
    try:
        return ids_of(cursor)
    except InvalidCursor as error:
        raise ServiceUnavailable(f"The history has no cursor: {error}", 0.0) from error


def _add_pages(pages: Sequence[tuple[RunSeries, HistoryColumns]]) -> None:
    for lines, columns in pages:
        add_columns(lines, columns)
