"""Answers what runs there are of some metrics, and their lines over steps or time, past and live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidewire.livestore import run_metrics
from tidewire.livestore.feed import Feed
from tidewire.livestore.followed_metric import FollowedMetric
from tidewire.livestore.messages import RunPoints, RunsAnswer, RunsRequest
from tidewire.livestore.open_formula import FormulaAsker
from tidewire.livestore.run_list import RunList
from tidewire.livestore.run_metrics import RunMetrics
from tidewire.model.batch import series_key

__all__ = ["Runs"]

_MAX_POINTS: Final = 60_000  # of an answer of a dashboard


class Runs:
    """Used in one event loop, and closed.

    Args:
        feed: the stream, and the store that it fills.
        url: the service.
        token: bearer token, empty for none.
        most_points: of an answer, about; more come with the next.
    """

    def __init__(self, feed: Feed, url: str, token: str = "", *, most_points: int = _MAX_POINTS) -> None:
        self._feed = feed
        self._most_points = most_points
        self._store = feed.store
        self._metrics = RunMetrics(feed, url, token)
        self._list = RunList(feed.store)

    async def close(self) -> None:
        """Cancel what is being read, and close the connections."""
        await self._metrics.close()

    def answer(self, request: RunsRequest, asker: FormulaAsker) -> RunsAnswer:
        """Return what is there now; what is not is on its way."""
        known = self._store.knows  # a pattern is no metric
        metrics = [metric for metric in dict.fromkeys(request.metrics) if known(metric) and asker.may_see(metric)]
        followed = self._metrics.follow(metrics)
        caught_up = self._metrics.catch_up(followed)
        series = [own for one in followed for own in self._metrics.series(one)]
        listed = self._list.newest(series, metrics, asker.may_see, self._feed.told_ms())
        lines, more = self._lines(request, followed)
        return RunsAnswer(
            id=request.id,
            axis=request.axis,
            loading=any(one.loading for one in followed) or not self._store.metrics,
            more=more or not caught_up or not listed.complete,
            of=listed.of,
            runs=listed.runs,
            lines=lines,
            problem=_problem(metrics, followed),
            refused={one.metric: one.refusal for one in followed if one.refusal},
        )

    def _lines(self, request: RunsRequest, followed: Sequence[FollowedMetric]) -> tuple[list[RunPoints], bool]:
        by_metric = {one.metric: one for one in followed}
        known = len(self._store.series)
        lines: list[RunPoints] = []
        points = 0
        for wanted in request.lines:
            series = self._store.series[wanted.i] if wanted.i < known else None
            one = None if series is None else by_metric.get(series.metric)
            own = None if series is None or one is None else one.lines(series_key(series.labels))
            if own is None:
                continue
            line = own.steps if request.axis == "step" else own.times
            if line.version <= wanted.version:
                continue
            if points >= self._most_points:
                return lines, True
            part = line.since(wanted.version, wanted.i)
            points += len(part.x)
            lines.append(part)
        return lines, False


def _problem(metrics: Sequence[str], followed: Sequence[FollowedMetric]) -> str:
    """Return what is missing of the answer as a whole, empty if nothing is."""
    if len(followed) < len(metrics):
        most = run_metrics.MAX_METRICS
        return (
            f"More than {most} metrics are compared by step at the moment; {len(metrics) - len(followed)} are left out."
        )
    for one in followed:
        if one.problem:
            return one.problem
    left_out = [f"{one.left_out:,} of {one.metric}" for one in followed if one.left_out]
    if not left_out:
        return ""
    return (
        f"There is room for {run_metrics.MAX_SERIES:,} series by step. "
        f"Those that were silent for longest are left out: {', '.join(left_out)}."
    )
