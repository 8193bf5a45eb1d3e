"""Pushes frames to a notebook chart at a fixed pace, in the thread of the chart's feed.

Nothing is acknowledged, since a busy kernel receives nothing. So frames are paced (four a second, and no more bytes
than the notebook takes), and a snapshot comes every 10 s for a browser that missed something.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from tidewire.errors import LimitExceeded, ServiceUnavailable
from tidewire.livestore import messages
from tidewire.livestore.alarms import Alarms, EventsVersion
from tidewire.livestore.feed import Feed
from tidewire.livestore.history_cache import HistoryCache, answer_range
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.units import unit_key
from tidewire.notebook.drawn import Drawn, Source
from tidewire.notebook.formula_frames import MANY, FormulaFrames, Result
from tidewire.notebook.run_frames import RunFrames

__all__ = ["LONGEST_MS", "SHORTEST_MS", "Shown", "ViewRequest", "push_frames", "read_message", "selector_of"]

_log = logging.getLogger("tidewire")
_TICK_S: Final = 0.25  # four frames and one text message a second
_TEXTS_EVERY: Final = 4  # ticks
_SNAPSHOT_S: Final = 10.0
_FEW_SERIES, _MANY_S = 300, 60.0  # a directory of more is repeated less often
_BYTES_PER_S: Final = 100_000.0
_BUCKETS: Final = 700  # of the view until the browser says how wide it is
_HISTORY_AGAIN_S: Final = 15.0  # before the history of a view is requested again
SHORTEST_MS: Final = 1_000.0  # of a window
LONGEST_MS: Final = 24 * 3_600e3
_MOST_CHARTS: Final = 24  # of one frame
_DRAWN_AS_LINES: Final = ("", "auto", "line")  # kinds in the place of which a band may stand


def read_message(content: object) -> messages.DeckMessage | None:
    """Return a message of the deck; log a warning and return None for anything else."""
    try:
        message: messages.DeckMessage = msgspec.convert(content, messages.DeckMessage)
    except msgspec.ValidationError as error:
        _log.warning("a message of the chart is invalid: %s", error)
        return None
    return message


class ViewRequest:
    """The view that a notebook requests; written by the kernel's main thread, read by the pusher.

    Attributes:
        window_ms: length of the window.
        buckets: number of buckets requested.
        paused: send no frames.
        send_all: send everything again, as to a new page.
        ranges: the requests for ranges of one window that are not answered yet.
        sources: number of buckets requested of formulas and summaries.
    """

    def __init__(self, window_ms: float) -> None:
        self.window_ms = window_ms
        self.buckets = _BUCKETS
        self.paused = False
        self.send_all = True
        self.ranges: deque[messages.RangeRequest] = deque(maxlen=messages.MAX_VIEWS)
        self.sources: dict[Source, int] = {}

    def open_view(self, request: messages.OpenView) -> None:
        """Note how many buckets a view is to have."""
        if request.formula is None:
            self.buckets = request.buckets
        elif len(self.sources) < messages.MAX_VIEWS:
            self.sources[Source(request.formula, request.summary)] = request.buckets

    def add_range(self, request: messages.RangeRequest) -> None:
        """Ask for a range; it replaces those of another window."""
        if any((each.start_ms, each.end_ms) != (request.start_ms, request.end_ms) for each in list(self.ranges)):
            self.ranges.clear()
        self.ranges.append(request)


class Target(Protocol):
    """Receives the frames."""

    def push(self, message: messages.PythonMessage, frames: Sequence[bytes] = ()) -> None:
        """Send a text message, or view frames."""

    def keep(self, results: dict[Source, Result]) -> None:
        """Note what there is of formulas and summaries."""

    def keep_runs(self, runs: messages.RunsAnswer) -> None:
        """Note what there is of runs."""

    def need(self, parts: Iterable[str]) -> None:
        """Give the page these parts of the chart's module, unless it has them."""


class Shown:
    """Which series a chart is sent as lines, and which formulas and summaries.

    Args:
        store: where the series are.
        drawn: what the chart draws.

    Attributes:
        lines: indices of the series; None for all there are.
        sources: formulas, and what stands in the place of the series of a metric or a result.
        parts: of the chart's module, besides what every chart needs.
    """

    def __init__(self, store: Store, drawn: Drawn, many_results: Container[str] = ()) -> None:
        self.lines: tuple[int, ...] | None = None
        self.sources: list[Source] = []
        usual: messages.SummaryName | None = "band" if drawn.kind in _DRAWN_AS_LINES else None
        own = [
            Source(formula, drawn.summary or (usual if formula in many_results else None)) for formula in drawn.formulas
        ]
        if drawn.by_run:
            self.lines, self.parts = (), ["runs"]
            return
        with store.lock:
            by_metric: dict[str, list[Series]] = {}
            for series in store.series:
                if series.metric != ANNOTATIONS and drawn.shows(series.metric):
                    by_metric.setdefault(series.metric, []).append(series)
            many = [metric for metric in sorted(by_metric) if _is_many(drawn, by_metric[metric])][:_MOST_CHARTS]
            summaries = [Source(selector_of(metric), drawn.summary or "band") for metric in many]
            self.sources = [*own, *summaries]
            mixed = any(len({unit_key(one.unit) for one in same}) > 1 for same in by_metric.values())
            apart = drawn.other or mixed or bool(own)  # also what says that a unit has no axis
            # as the page decides: `isMany` in layout.ts
            long = any(len(same) >= MANY for same in by_metric.values()) or any(
                f in many_results for f in drawn.formulas
            )
            asked = drawn.kind == "lines" or drawn.summary is not None
            many_parts = not drawn.other and (asked or long or any(source.summary for source in self.sources))
            self.parts = [name for name, needed in (("kinds", apart), ("many", many_parts)) if needed]
            if many or drawn.formulas:
                kept = [one for metric, same in by_metric.items() if metric not in many for one in same]
                kept += [one for one in store.series if one.metric == ANNOTATIONS]
                self.lines = tuple(sorted(one.index for one in kept))


def selector_of(metric: str) -> str:
    """Return the formula that selects all series of a metric, as the deck writes it."""
    return f"{{__name__={json.dumps(metric, ensure_ascii=False)}}}"


def _is_many(drawn: Drawn, series: Sequence[Series]) -> bool:
    if len({unit_key(one.unit) for one in series}) > 1:
        return False  # what has different units has no band in common: the page draws lines
    if drawn.summary is not None:
        return True
    return drawn.kind in _DRAWN_AS_LINES and len(series) >= MANY and not any(one.has_states for one in series[:1])


class _Pusher:
    """What one chart's thread remembers from tick to tick."""

    def __init__(
        self, feed: Feed, history_cache: HistoryCache, view_request: ViewRequest, alarms: Alarms, drawn: Drawn
    ) -> None:
        self.store = feed.store
        self.drawn = drawn
        self.formulas = FormulaFrames(feed, history_cache)
        self.runs = RunFrames(feed, drawn) if drawn.by_run else None
        self.shown = Shown(feed.store, drawn)
        self.many: set[str] = set()  # formulas of very many series
        self.alarms = alarms
        self.view_request = view_request
        self.feed = feed
        self.history_cache = history_cache
        self.view: LiveView | None = None
        self.shape: object = None
        self.seq = 0
        self.since: int | None = None
        self.snapshot_at = self.said_at = time.monotonic()
        self.not_before = 0.0
        self.directory_version = self.thresholds_version = self.alarms_version = -1
        self.events_version: EventsVersion | None = None
        self.status: object = None
        self.history_at = -math.inf
        self.past_reason = ""  # why the last window could not be read

    async def tick(self, target: Target) -> None:
        """Send the messages and frames that are due."""
        now = time.monotonic()
        self.seq += 1
        anew = self.view_request.send_all
        if anew:
            self.view_request.send_all = False
            self.since = None
            self._say_all()
        elif now - self.snapshot_at > _SNAPSHOT_S and now - self.said_at > self._say_again_s:
            self._say_all()  # a browser that rendered the chart late has not heard what was said once
        self._texts(target)
        if self.runs is not None:
            self._runs(target, self.runs, anew=anew)
            return
        while self.view_request.ranges:
            await self._range(target, self.view_request.ranges.popleft())
        paused = self.view_request.paused
        if not paused and now < self.not_before and not anew:
            return
        if self.formulas.many != self.many:
            self.many = set(self.formulas.many)
            self.shown = Shown(self.store, self.drawn, self.many)
        target.need(self.shown.parts)
        window_ms = self.view_request.window_ms
        self.formulas.show(self.shown.sources, window_ms, self.view_request.sources.get)
        shape = (self.shown.lines, window_ms, self.view_request.buckets)
        if self.view is None or self.shape != shape:
            self.shape = shape
            self.view, self.since = LiveView(self.store, *shape), None
        if now - self.snapshot_at > _SNAPSHOT_S:
            self.since = None  # a browser that missed something, or came late, cannot say so
        said, frames = self.formulas.tick(self.seq, anew=self.since is None, paused=paused)
        for state in said:
            target.push(state)
        target.keep(self.formulas.results)
        if paused:
            return
        self.view.tick(self.seq, self.feed.now_ms())
        if self.since is None:
            self.snapshot_at = now
        frames.insert(0, self.view.frame(0, self.since))
        target.push(messages.FrameAttached(), frames)
        self.since = self.seq
        self.not_before = now + sum(map(len, frames)) / _BYTES_PER_S
        replayed = self.store.covered_from_ms < math.inf  # before that, the replay brings it
        if replayed and self.view.partial and now - self.history_at > _HISTORY_AGAIN_S:
            self.history_at = now
            await self._read_history(self.view)

    def _runs(self, target: Target, runs: RunFrames, *, anew: bool) -> None:
        """Send what has changed of runs over their steps, in the place of frames."""
        target.need(self.shown.parts)
        if self.view_request.paused:
            return
        answer = runs.tick(anew=anew)
        if answer is not None and runs.answer is not None:
            target.push(answer)
            target.keep_runs(runs.answer)

    async def close(self) -> None:
        """Cancel what is being read."""
        await self.formulas.close()
        if self.runs is not None:
            await self.runs.close()

    def _say_all(self) -> None:
        """Have all that is said once said again."""
        self.said_at = time.monotonic()
        self.status = self.events_version = None
        self.directory_version = self.thresholds_version = self.alarms_version = -1

    @property
    def _say_again_s(self) -> float:
        return _SNAPSHOT_S if len(self.store.series) <= _FEW_SERIES else _MANY_S

    def _sees(self, metric: str) -> bool:
        """Tell whether something of a metric is for this chart: a formula may read all that there are."""
        return metric == ANNOTATIONS or self.drawn.shows(metric)

    def _texts(self, target: Target) -> None:
        store = self.store
        if self.directory_version != store.directory_version:
            with store.lock:
                changed, full = store.changed_since(self.directory_version), self.directory_version < 0
                self.directory_version = store.directory_version
            shown = [one for one in changed if one.metric == ANNOTATIONS or self.drawn.shows(one.metric)]
            target.push(messages.directory_message(shown, full=full))
            self.shown = Shown(store, self.drawn, self.formulas.many)
        alarms = self.alarms
        alarms.evaluate(self.feed.now_ms())
        if self.events_version != alarms.events_version:
            with store.lock:
                events = alarms.events_message(self.events_version, self._sees)
                self.events_version = alarms.events_version
            target.push(events)
        if self.thresholds_version != alarms.thresholds_version:
            self.thresholds_version = alarms.thresholds_version
            target.push(alarms.thresholds_message(self._sees))
        if self.alarms_version != alarms.version:
            self.alarms_version = alarms.version
            target.push(alarms.alarms_message(self._sees))
        if self.status is not self.feed.status or self.seq % _TEXTS_EVERY == 0:
            self.status = self.feed.status
            message = self.feed.message()
            reason = message.past_reason or self.past_reason or self.formulas.past_reason
            target.push(msgspec.structs.replace(message, past_reason=reason))

    async def _read_history(self, view: LiveView) -> None:
        try:
            await self.history_cache.fill(view, self.feed.now_ms())
            self.past_reason = ""
        except ServiceUnavailable as error:
            self.past_reason = str(error)
            _log.info("the history of a %d s window is missing: %s", view.window_ms / 1e3, error)

    async def _range(self, target: Target, request: messages.RangeRequest) -> None:
        try:
            if request.formula is not None:
                state, result = await self.formulas.answer_range(request, seq=self.seq)
                target.push(state)
                if result is not None:
                    target.push(messages.FrameAttached(), [result])
                return
            frame, problem = await answer_range(
                request, self.store, self.history_cache, seq=self.seq, now_ms=self.feed.now_ms()
            )
        except (LimitExceeded, ServiceUnavailable) as error:
            target.push(messages.Problem(reason=str(error)))
            return
        target.push(messages.FrameAttached(), [frame])
        if problem:
            target.push(messages.Problem(reason=problem))


async def push_frames(
    target_now: Callable[[], Target | None], feed: Feed, view_request: ViewRequest, alarms: Alarms, drawn: Drawn
) -> None:
    """Push frames until the target is gone, then stop the feed; runs in the feed's thread.

    Args:
        target_now: returns the target, None once it is gone; a reference to it is held only during a tick.
        feed: its store is drawn.
        view_request: the view to draw.
        alarms: of the feed's store.
        drawn: what the chart draws.
    """
    history_cache = HistoryCache(feed.url, feed.token)
    pusher = _Pusher(feed, history_cache, view_request, alarms, drawn)
    try:
        while (target := target_now()) is not None:
            try:
                await pusher.tick(target)
            except Exception:
                _log.exception("cannot push a frame of %s", feed.patterns)
                target.push(messages.Problem(reason="this chart failed; see the log of the kernel"))
                return
            del target
            await asyncio.sleep(_TICK_S)
        feed.stop()
    finally:
        await pusher.close()
        await history_cache.close()
