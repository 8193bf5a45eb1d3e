"""Answers what runs there are of some metrics, and their lines over steps or time, past and live.

The past of a metric is read from the service's history once for all viewers, and from then on what the stream brings
is added; nothing is there twice. When nobody has asked for a minute, it is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tidewire.errors import InvalidCursor, LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.livestore.column_ring import Floats
from tidewire.livestore.feed import Feed
from tidewire.livestore.gaps import gap_limit_ms
from tidewire.livestore.journal import Journal
from tidewire.livestore.messages import RunEntry, RunMetric, RunPoints, RunsAnswer, RunsRequest
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.series import Series
from tidewire.model.answers import HistoryColumns, HistorySeries
from tidewire.model.batch import FINISHED, Batch, series_key
from tidewire.model.cursor import Cursor
from tidewire.model.units import unit_key
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection
from tidewire_dashboard.login import Login

__all__ = ["Runs"]

_log = logging.getLogger("tidewire")
_FORGET_S: Final = 60.0  # after the last question
_AGAIN_S: Final = 3.0  # before what could not be read is asked for again
_TIMEOUT_S: Final = 30.0
_AT_ONCE: Final = 2  # metrics that are read at a time
_BEGIN_MS: Final = 366 * 86_400_000.0  # runs are looked for so far back, as far as the log reaches
_MAX_READINGS: Final = 5_000_000  # of one metric
_MAX_SERIES: Final = 1_000  # of all metrics: 150 kB each
_MAX_METRICS: Final = 64  # that are kept; those that nobody asks for go first
_MAX_RUNS: Final = 200  # of an answer, the newest
_MAX_POINTS: Final = 60_000  # of an answer; more come with the next
_MAX_SETTINGS: Final = 64  # of a run
_CONFIG: Final = "config"  # the level below which `tidewire.init` publishes the settings of a run
_STOPPED_TIMES: Final = 30.0  # intervals without a reading after which a run is not waited for …
_LEAST_STOPPED_MS: Final = 60_000.0  # … and at least so long
_USUAL_MS: Final = 10_000.0  # between readings of which too few are there to tell
State = Literal["live", "stale", "finished", "stopped", "failed"]


class _Followed:
    """One metric: its series, and the batches that came since they were brought up to date."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.series: dict[int, RunSeries] = {}
        self.journal: Journal | None = None
        self.left_out = False  # it has more series than there is room for
        self.upto = 0  # id in the log
        self.generation = -1  # of the store when it was read
        self.reading: asyncio.Task[None] | None = None
        self.failed_s = -math.inf
        self.problem = ""
        self.asked_s = 0.0

    @property
    def loading(self) -> bool:
        """Return whether its past is not here yet."""
        return self.generation < 0


class Runs:
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
        self._followed: dict[str, _Followed] = {}
        self._forgetting: asyncio.TimerHandle | None = None
        self._configs: tuple[int, list[tuple[str, str, Series]]] = (-1, [])

    async def close(self) -> None:
        """Cancel what is being read, and close the connections."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        tasks = [one.reading for one in self._followed.values() if one.reading is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def answer(self, request: RunsRequest, login: Login) -> RunsAnswer:
        """Return what is there now; what is not is on its way."""
        known = self._store.knows  # a pattern is no metric
        metrics = [metric for metric in dict.fromkeys(request.metrics) if known(metric) and login.may_see(metric)]
        followed = [one for metric in metrics if (one := self._follow(metric)) is not None]
        for one in followed:
            self._catch_up(one)
        runs = self._runs(followed, login)
        lines, more = self._lines(request, followed)
        problem = next((one.problem for one in followed if one.problem), "")
        if len(followed) < len(metrics):
            problem = f"More than {_MAX_METRICS} metrics are compared by step at the moment; some are left out."
        elif not problem and (one := next((one for one in followed if one.left_out), None)) is not None:
            problem = f"There is room for {_MAX_SERIES:,} series by step; some runs of {one.metric} are left out."
        return RunsAnswer(
            id=request.id,
            axis=request.axis,
            loading=any(one.loading for one in followed) or not self._store.metrics,
            more=more,
            of=len(runs),
            runs=runs[:_MAX_RUNS],
            lines=lines,
            problem=problem,
        )

    # -- following -----------------------------------------------------------------------------------------------

    def _follow(self, metric: str) -> _Followed | None:
        now_s = time.monotonic()
        followed = self._followed.get(metric)
        if followed is None:
            if len(self._followed) >= _MAX_METRICS:
                oldest = min(self._followed.values(), key=lambda one: one.asked_s)
                if now_s - oldest.asked_s < _AGAIN_S:
                    return None
                self._forget(oldest)
            followed = self._followed[metric] = _Followed(metric)
        followed.asked_s = now_s
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(_FORGET_S, self._forget_idle)
        journal = followed.journal
        outdated = followed.generation != self._store.generation or journal is None or journal.lost
        if outdated and followed.reading is None and now_s - followed.failed_s > _AGAIN_S:
            followed.reading = asyncio.create_task(self._read(followed), name=f"tidewire-runs-{metric}")
        return followed

    def _forget_idle(self) -> None:
        self._forgetting = None
        now_s = time.monotonic()
        for one in list(self._followed.values()):
            if now_s - one.asked_s >= _FORGET_S:
                self._forget(one)
        if self._followed:
            self._forgetting = asyncio.get_running_loop().call_later(_FORGET_S, self._forget_idle)

    def _forget(self, followed: _Followed) -> None:
        self._store.unfollow(followed.metric)
        if followed.reading is not None:
            followed.reading.cancel()
        self._followed.pop(followed.metric, None)

    async def _read(self, followed: _Followed) -> None:
        try:
            async with self._turns:
                await self._read_past(followed)
            followed.problem, followed.failed_s = "", -math.inf
        except (ServiceUnavailable, ServiceRefused, LimitExceeded) as error:
            followed.problem = error.detail if isinstance(error, ServiceRefused) else str(error)
            followed.failed_s = time.monotonic()
            _log.info("cannot read the runs of %s: %s", followed.metric, error)
        except Exception:  # of one metric; the others go on, and it is tried again
            followed.problem = f"{followed.metric} could not be read; see the log of the dashboard."
            followed.failed_s = time.monotonic()
            _log.exception("cannot read the runs of %s", followed.metric)
        finally:
            followed.reading = None

    async def _read_past(self, followed: _Followed) -> None:
        generation, position = self._store.generation, self._feed.newest_id
        followed.journal = None  # of a reading that fails, nothing goes on
        journal = self._store.follow(followed.metric)
        begin_ms = max(0.0, self._feed.now_ms() - _BEGIN_MS)
        params = [*selection([followed.metric], {}), ("start", begin_ms), ("page", "first")]
        path, upto, count = "/v1/history", 0, 0
        found: dict[int, RunSeries] = {}
        left_out = False
        version = round(time.time() * 1e3)  # above that of every line that was there before
        while path:
            answer = await self._client.get(path, params)
            path, params = answer.next_page, []
            page = await asyncio.to_thread(answer.decoded, HistorySeries)
            upto = _id_of(page.cursor)
            for columns in page.series:
                if columns.metric != followed.metric:
                    continue
                count += len(columns.time)
                index = self._index(columns.labels, columns.metric)
                if index is None:
                    continue
                series = self._kept(followed, found, index, version)
                left_out = left_out or series is None
                if series is not None:
                    await asyncio.to_thread(series.add, *_columns(columns))
            if count > _MAX_READINGS:
                raise LimitExceeded(
                    f"readings of {followed.metric}", _MAX_READINGS, count, "it has too many to be compared by step"
                )
        if upto < position:  # another process of the service, which catches up
            raise ServiceUnavailable("The history is behind the stream", 0.0)
        if generation != self._store.generation:
            raise ServiceUnavailable("The log has changed meanwhile", 0.0)
        followed.series, followed.upto, followed.generation = found, upto, generation
        followed.journal, followed.left_out = journal, left_out

    def _index(self, labels: Mapping[str, str], metric: str) -> int | None:
        series = self._store.find(metric, dict(labels))
        return None if series is None else series.index

    def _catch_up(self, followed: _Followed) -> None:
        """Add what the stream has brought since the last time."""
        if followed.loading or followed.journal is None or followed.reading is not None:
            return
        with self._store.lock:
            batches = followed.journal.take()
        by_series: dict[int, list[Batch]] = {}
        for id_, batch in batches:
            if id_ <= followed.upto:
                continue
            followed.upto = id_
            index = self._index(batch.labels, batch.metric)
            if index is not None:
                by_series.setdefault(index, []).append(batch)
        for index, own in by_series.items():
            series = self._kept(followed, followed.series, index, round(time.time() * 1e3))
            followed.left_out = followed.left_out or series is None
            if series is not None:
                series.add(*_joined(own))

    def _kept(self, followed: _Followed, found: dict[int, RunSeries], index: int, version: int) -> RunSeries | None:
        """Return what is kept of a series, None if there is no room for another."""
        if index not in found:
            others = sum(len(one.series) for one in self._followed.values() if one is not followed)
            if others + len(found) >= _MAX_SERIES:
                return None
            found[index] = RunSeries(version)
        return found[index]

    # -- the answer ----------------------------------------------------------------------------------------------

    def _lines(self, request: RunsRequest, followed: Sequence[_Followed]) -> tuple[list[RunPoints], bool]:
        lines: list[RunPoints] = []
        points = 0
        for wanted in request.lines:
            series = next((one.series[wanted.i] for one in followed if wanted.i in one.series), None)
            if series is None:
                continue
            line = series.steps if request.axis == "step" else series.times
            if line.version <= wanted.version:
                continue
            if points >= _MAX_POINTS:
                return lines, True
            part = line.since(wanted.version)
            points += len(part.x)
            lines.append(RunPoints(i=wanted.i, version=line.version, **part._asdict()))
        return lines, False

    def _runs(self, followed: Sequence[_Followed], login: Login) -> list[RunEntry]:
        """Return all runs, the one that began last first."""
        by_labels: dict[str, list[tuple[Series, RunSeries]]] = {}
        for one in followed:
            for index, own in one.series.items():
                series = self._store.series[index]
                by_labels.setdefault(series_key(series.labels), []).append((series, own))
        now_ms = self._feed.now_ms()
        prefixes = {prefix for one in followed for prefix in _prefixes(one.metric)}
        configs = [each for each in self._config_series() if each[0] in prefixes and login.may_see(each[2].metric)]
        entries = []
        for of_run in by_labels.values():
            labels = of_run[0][0].labels
            steps = [own.step for _, own in of_run if not math.isnan(own.step)]
            entries.append(
                RunEntry(
                    labels=labels,
                    state=self._state(of_run, now_ms),
                    step=max(steps, default=None),
                    start_ms=min(own.first_ms for _, own in of_run),
                    end_ms=max(own.last_ms for _, own in of_run),
                    metrics=[_metric(series, own) for series, own in of_run],
                    settings=self._settings(labels, configs),
                )
            )
        return sorted(entries, key=lambda entry: -entry.start_ms)

    def _state(self, of_run: Sequence[tuple[Series, RunSeries]], now_ms: float) -> State:
        """Return how a run stands: as the freshest of its series; failed if the newest of one is no number."""
        if any(math.isnan(own.last) and series.words is None for series, own in of_run):
            return "failed"
        silent: list[State] = []
        for series, own in of_run:
            if series.ended:
                silent.append("finished")
                continue
            with self._store.lock:
                expected_ms = series.expected_ms()
                came_ms = float(self._store.state["last_id_ms"][series.index])
            if math.isnan(expected_ms):
                expected_ms = own.interval_ms if own.count > 2 else _USUAL_MS
            age_ms = now_ms - came_ms
            if age_ms <= gap_limit_ms(expected_ms):
                return "live"
            stopped = age_ms > max(_STOPPED_TIMES * expected_ms, _LEAST_STOPPED_MS)
            silent.append("stopped" if stopped else "stale")
        return next(state for state in ("finished", "stale", "stopped") if state in silent)

    def _config_series(self) -> list[tuple[str, str, Series]]:
        """Return the series that hold settings: what is before the level `config`, the setting, and the series."""
        store = self._store
        if self._configs[0] != store.directory_version:
            with store.lock:
                found = [
                    (prefix, name, series)
                    for series in store.series
                    for prefix, level, name in [f"/{series.metric}".partition(f"/{_CONFIG}/")]
                    if level
                ]
                self._configs = store.directory_version, found
        return self._configs[1]

    def _settings(
        self, labels: Mapping[str, str], configs: Sequence[tuple[str, str, Series]]
    ) -> dict[str, float | str]:
        found: dict[str, float | str] = {}
        for _, name, series in configs:
            if len(found) >= _MAX_SETTINGS or not series.labels.items() <= labels.items():
                continue
            value = float(self._store.state["last_value"][series.index])
            if not math.isnan(value):
                found[name] = value
            elif series.words is not None and (words := series.words.since(math.inf)):
                found[name] = words[-1].text
        return dict(sorted(found.items()))


def _id_of(cursor: str) -> int:
    try:
        return Cursor.parse(cursor).id
    except InvalidCursor as error:
        raise ServiceUnavailable(f"The history has no cursor: {error}", 0.0) from error


def _prefixes(metric: str) -> list[str]:
    """Return what may stand before the level `config` of a metric's run: each of its levels but the last, and none."""
    levels = f"/{metric}".split("/")
    return ["/".join(levels[:count]) for count in range(1, len(levels))]


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)


def _columns(columns: HistoryColumns) -> tuple[Floats, Floats, Floats | None, npt.NDArray[np.bool_] | None]:
    """Return times, values, steps and ends of what the history answered, in the newest unit."""
    count = len(columns.time)
    step = _numbers(columns.step) if len(columns.step) == count else None
    ends = np.array([text == FINISHED for text in columns.text]) if len(columns.text) == count else None
    time_ms, value = _numbers(columns.time), _numbers(columns.value)
    if len(columns.units) == count:
        newest = unit_key(columns.unit)
        kept = np.array([not unit or unit_key(unit) == newest for unit in columns.units])
        time_ms, value = time_ms[kept], value[kept]
        step, ends = None if step is None else step[kept], None if ends is None else ends[kept]
    return time_ms, value, step, ends


def _joined(batches: Sequence[Batch]) -> tuple[Floats, Floats, Floats | None, npt.NDArray[np.bool_] | None]:
    """Return times, values, steps and ends of batches of one series."""
    time_ms = _numbers([one for batch in batches for one in batch.time])
    value = _numbers([one for batch in batches for one in batch.value])
    step = ends = None
    if any(batch.step is not None for batch in batches):
        step = _numbers([one for batch in batches for one in batch.step or [None] * len(batch.time)])
    if any(batch.text is not None for batch in batches):
        ends = np.array([one == FINISHED for batch in batches for one in batch.text or [None] * len(batch.time)])
    return time_ms, value, step, ends


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _metric(series: Series, own: RunSeries) -> RunMetric:
    return RunMetric(
        i=series.index,
        last=_finite(own.last),
        least=_finite(own.least),
        greatest=_finite(own.greatest),
        count=own.count,
    )
