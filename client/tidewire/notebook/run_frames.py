"""The runs of one notebook chart: what has changed of their lines, once a second.

The browser cannot ask while a cell runs, so the kernel knows what it has sent, and sends all again from time to time.
"""

from __future__ import annotations

import time
from typing import Final, Literal

import msgspec

from tidewire.livestore.feed import Feed
from tidewire.livestore.messages import RunLineWanted, RunPoints, RunsAnswer, RunsRequest
from tidewire.livestore.open_formula import EVERYTHING
from tidewire.livestore.runs import Runs
from tidewire.model.batch import ANNOTATIONS
from tidewire.notebook.drawn import Drawn

__all__ = ["MOST_RUNS", "RunFrames", "is_setting"]

_EVERY_S: Final = 1.0
MOST_RUNS: Final = 50
"""Runs that are drawn, as on a deck."""
_MOST_METRICS: Final = 24  # charts of one frame
_MOST_POINTS: Final = 4_000  # of a message: 100 kB, or 300 kB where points are of several readings
_BYTES_PER_S: Final = 100_000.0
_BYTES_OF_POINT: Final = 30
_AGAIN_S: Final = 10.0  # before all is sent again, for a browser that missed something …
_AGAIN_TIMES: Final = 10.0  # … and so many times what that takes
_SETTINGS_ALONE: Final = "These metrics are settings of runs, which have no chart."


def is_setting(metric: str) -> bool:
    """Tell whether a metric is a setting of a run: it has no chart."""
    return "/config/" in f"/{metric}"


class RunFrames:
    """Used in the loop of the chart's feed, and closed.

    Args:
        feed: what the runs publish comes from there.
        drawn: which metrics are drawn.

    Attributes:
        answer: the runs with all points that were sent, None before the first; replaced, never changed.
    """

    def __init__(self, feed: Feed, drawn: Drawn) -> None:
        self._feed = feed
        self._drawn = drawn
        self._runs = Runs(feed, feed.url, feed.token, most_points=_MOST_POINTS)
        self._sent: dict[int, int] = {}  # version of each line that the page has
        self._whole: dict[int, RunPoints] = {}
        self._wanted: list[int] = []
        self._due_s = self._not_before_s = self._again_s = 0.0
        self._said: RunsAnswer | None = None  # without its lines
        self.answer: RunsAnswer | None = None

    async def close(self) -> None:
        """Cancel what is being read, and close the connections."""
        await self._runs.close()

    def tick(self, *, anew: bool) -> RunsAnswer | None:
        """Return what has changed, None if it is not time for it.

        Args:
            anew: the page has nothing: all points are sent.
        """
        now_s = time.monotonic()
        if anew or now_s > self._again_s:
            self._sent.clear()
            self._said = None
            self._due_s = 0.0
            points = sum(len(line.x) for line in self._whole.values())
            self._again_s = now_s + max(_AGAIN_S, _AGAIN_TIMES * points * _BYTES_OF_POINT / _BYTES_PER_S)
        if now_s < max(self._due_s, self._not_before_s):
            return None
        metrics = self._metrics()
        if not metrics:
            return None
        answer = self._ask(metrics)
        if self._wanted != (wanted := self._indices(answer)):
            self._wanted = wanted
            answer = self._ask(metrics)  # now with the lines of the runs that it has told of
        for part in answer.lines:
            self._sent[part.i] = part.version
        whole = {**self._whole, **{part.i: _joined(self._whole.get(part.i), part) for part in answer.lines}}
        self._whole = {index: whole[index] for index in self._wanted if index in whole}
        self.answer = msgspec.structs.replace(answer, lines=list(self._whole.values()))
        self._due_s = now_s + (0.0 if answer.loading or answer.more else _EVERY_S)
        slim = msgspec.structs.replace(
            answer, runs=[msgspec.structs.replace(run, settings={}) for run in answer.runs]
        )  # a notebook has no table of settings
        if not slim.lines and slim == self._said:
            return None
        self._said = msgspec.structs.replace(slim, lines=[])
        self._not_before_s = now_s + len(msgspec.json.encode(slim)) / _BYTES_PER_S
        return slim

    def _metrics(self) -> list[str]:
        store = self._feed.store
        with store.lock:
            metrics = {
                one.metric for one in store.series if one.metric != ANNOTATIONS and self._drawn.shows(one.metric)
            }
        measured = sorted(metric for metric in metrics if not is_setting(metric))
        return measured[:_MOST_METRICS] or sorted(metrics)[:1]

    def _ask(self, metrics: list[str]) -> RunsAnswer:
        lines = [RunLineWanted(i=index, version=self._sent.get(index, 0)) for index in self._wanted]
        axis: Literal["step", "time"] = "step" if self._drawn.axis == "step" else "time"
        answer = self._runs.answer(RunsRequest(id=0, metrics=metrics, axis=axis, lines=lines), EVERYTHING)
        if is_setting(metrics[0]):
            return msgspec.structs.replace(answer, runs=[], lines=[], problem=_SETTINGS_ALONE)
        return answer

    def _indices(self, answer: RunsAnswer) -> list[int]:
        """Return the lines that are drawn: of the newest runs, by step those that have one."""
        runs = [run for run in answer.runs if self._drawn.axis != "step" or run.step is not None]
        return [metric.i for run in runs[:MOST_RUNS] for metric in run.metrics]


def _joined(before: RunPoints | None, part: RunPoints) -> RunPoints:
    """Return a whole line of what was known of it and the points from one on."""
    if before is None or part.start == 0:
        return part
    joined = {name: [*getattr(before, name)[: part.start], *getattr(part, name)] for name in ("x", "mean")}
    single = not before.min and not part.min
    for name in ("min", "max", "first", "last"):
        old, new = getattr(before, name) or before.mean, getattr(part, name) or part.mean
        joined[name] = [] if single else [*old[: part.start], *new]
    return RunPoints(i=part.i, version=part.version, start=0, **joined)
