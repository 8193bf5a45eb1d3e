"""Lists the newest runs of some metrics: how each stands, its extremes, and its settings; no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from tidewire.livestore.gaps import gap_limit_ms, no_data_limit_ms
from tidewire.livestore.messages import RunEntry, RunMetric
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.batch import series_key

__all__ = ["MAX_RUNS", "RunList", "RunState", "config_prefixes"]

MAX_RUNS: Final = 200  # of an answer, the newest
_MAX_SETTINGS: Final = 64  # of a run
_LEVEL: Final = "config"  # below which `tidewire.init` publishes the settings of a run
_SETTINGS_A_TURN: Final = 2_000  # series that are learned at a time: 3 µs each
_USUAL_MS: Final = 10_000.0  # between readings of which too few are there to tell

RunState: TypeAlias = Literal["live", "stale", "finished", "stopped", "failed"]
_Own: TypeAlias = tuple[Series, RunSeries]


class _Listed(NamedTuple):
    """The newest runs, of how many, and whether the settings of all are known."""

    runs: list[RunEntry]
    of: int
    complete: bool


class RunList:
    """Used in one event loop: 200 runs of 64 settings take it 20 ms.

    Args:
        store: where the series and the settings are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings = _Settings(store)

    def newest(
        self, series: Sequence[_Own], metrics: Sequence[str], may_see: Callable[[str], bool], now_ms: float
    ) -> _Listed:
        """Return the `MAX_RUNS` runs that began last, the last one first.

        Args:
            series: of all runs.
            metrics: theirs, by which their settings are found.
            may_see: tells which metrics a viewer may see.
            now_ms: up to when (log time) a silence is one.
        """
        complete = self._settings.learn()
        by_labels: dict[str, list[_Own]] = {}
        for own in series:
            by_labels.setdefault(series_key(own[0].labels), []).append(own)
        began = [(min(lines.first_ms for _, lines in of_run), of_run) for of_run in by_labels.values()]
        began.sort(key=lambda each: -each[0])
        prefixes = sorted({prefix for metric in metrics for prefix in config_prefixes(metric)})
        reader = _SettingsReader(self._settings, prefixes, may_see)
        runs = [self._entry(start_ms, of_run, reader, now_ms) for start_ms, of_run in began[:MAX_RUNS]]
        return _Listed(runs, len(began), complete)

    def _entry(self, start_ms: float, of_run: Sequence[_Own], reader: _SettingsReader, now_ms: float) -> RunEntry:
        labels = of_run[0][0].labels
        return RunEntry(
            labels=labels,
            state=self.state(of_run, now_ms),
            step=max((lines.step for _, lines in of_run if not math.isnan(lines.step)), default=None),
            start_ms=start_ms,
            end_ms=max(lines.last_ms for _, lines in of_run),
            metrics=[_metric(series, lines) for series, lines in of_run],
            settings=reader.of(labels),
        )

    def state(self, of_run: Sequence[_Own], now_ms: float) -> RunState:
        """Return how a run stands: as the freshest of its series; failed if the newest of one is no number.

        A series is live, stale, or stopped where a chart says live, stale or no data.
        """
        if any(math.isnan(lines.last) and series.words is None for series, lines in of_run):
            return "failed"
        silent: set[RunState] = set()
        for series, lines in of_run:
            if series.ended:
                silent.add("finished")
                continue
            if self._store.is_late(series):
                silent.add("stale")
                continue
            with self._store.lock:
                came_ms = float(self._store.state["last_id_ms"][series.index])
                expected_ms = series.arrival_ms(came_ms)
            if math.isnan(expected_ms):
                expected_ms = lines.interval_ms if lines.count > 2 else _USUAL_MS
            silence_ms = now_ms - came_ms
            if silence_ms <= gap_limit_ms(expected_ms):
                return "live"
            silent.add("stopped" if silence_ms > no_data_limit_ms(expected_ms) else "stale")
        order: tuple[RunState, ...] = ("finished", "stale", "stopped")
        return next(state for state in order if state in silent)


def config_prefixes(metric: str) -> list[str]:
    """Return what may stand before the level `config` of a metric's run: each of its levels but the last, and none."""
    levels = f"/{metric}".split("/")
    return ["/".join(levels[:count]) for count in range(1, len(levels))]


class _Setting(NamedTuple):
    name: str
    series: Series


class _Settings:
    """The series that hold settings: by what is before the level `config`, then by names and values of their labels.

    A run has the settings whose labels are among its own: one look-up for each set of names, of which there are few.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.by_prefix: dict[str, dict[tuple[str, ...], dict[tuple[str, ...], list[_Setting]]]] = {}
        self._known = 0  # series of the store

    def learn(self) -> bool:
        """Learn of the series that were born since the last time; tell whether all are known."""
        learned = 0
        for series in self.store.series[self._known :]:
            if learned == _SETTINGS_A_TURN:
                return False
            self._known += 1
            if _LEVEL not in series.metric:
                continue
            prefix, level, name = f"/{series.metric}".partition(f"/{_LEVEL}/")
            if level:
                learned += 1
                names = tuple(sorted(series.labels))
                values = tuple(series.labels[each] for each in names)
                by_values = self.by_prefix.setdefault(prefix, {}).setdefault(names, {})
                by_values.setdefault(values, []).append(_Setting(name, series))
        return True


class _SettingsReader:
    """Reads the settings of runs for one answer."""

    def __init__(self, settings: _Settings, prefixes: Sequence[str], may_see: Callable[[str], bool]) -> None:
        self._value = settings.store.state["last_value"]
        self._tables = [
            (names, by_values)
            for prefix in prefixes
            for names, by_values in settings.by_prefix.get(prefix, {}).items()
        ]  # fmt: skip
        self._may_see = may_see
        self._seen: dict[str, bool] = {}  # by metric: many runs have the same

    def of(self, labels: Mapping[str, str]) -> dict[str, float | str]:
        """Return the settings of a run by name, at most `_MAX_SETTINGS`."""
        found: dict[str, float | str] = {}
        for names, by_values in self._tables:
            if not labels.keys() >= set(names):
                continue
            for name, series in by_values.get(tuple(labels[each] for each in names), ()):
                if not self._visible(series.metric):
                    continue
                value = float(self._value[series.index])
                if not math.isnan(value):
                    found[name] = value
                elif series.words is not None and (words := series.words.since(math.inf)):
                    found[name] = words[-1].text
                if len(found) == _MAX_SETTINGS:
                    return dict(sorted(found.items()))
        return dict(sorted(found.items()))

    def _visible(self, metric: str) -> bool:
        seen = self._seen.get(metric)
        if seen is None:
            seen = self._seen[metric] = self._may_see(metric)
        return seen


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _metric(series: Series, lines: RunSeries) -> RunMetric:
    return RunMetric(
        i=series.index,
        last=_finite(lines.last),
        least=_finite(lines.least),
        greatest=_finite(lines.greatest),
        count=lines.count,
    )
