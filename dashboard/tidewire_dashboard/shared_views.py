"""The room: what all viewers of this process share: the tick, the views that several watch, the past, the messages.

Each distinct view is packed once per tick, whoever watches it, and every viewer that is as far gets the same bytes.
Without viewers nothing ticks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tidewire.errors import LimitExceeded, ServiceUnavailable
from tidewire.livestore.alarms import Alarms
from tidewire.livestore.history_cache import Past, RangeRequest, answer_range
from tidewire.livestore.live_view import LiveView
from tidewire.settings import without_password
from tidewire_dashboard.analysis import Readings
from tidewire_dashboard.login import EVERYBODY, Login
from tidewire_dashboard.requests import Questions
from tidewire_dashboard.saved_decks import Library
from tidewire_dashboard.source import Source

if TYPE_CHECKING:
    from tidewire_dashboard.viewer import Viewer

__all__ = ["Room", "SharedView", "ViewKey"]

_log = logging.getLogger("tidewire")
_OLDER_AGAIN_MS: Final = 15_000.0  # before the past of one view is asked for again
_MAX_VIEWERS: Final = 5_000


class ViewKey(NamedTuple):
    """What makes two views the same."""

    series: tuple[int, ...] | None
    window_ms: float
    buckets: int


class SharedView:
    """A live view and how many viewers watch it."""

    __slots__ = ("asked_ms", "key", "live", "reading", "watchers")

    def __init__(self, key: ViewKey, live: LiveView) -> None:
        self.key = key
        self.live = live
        self.watchers = 0
        self.asked_ms = -math.inf  # when its past was asked for last
        self.reading: asyncio.Task[None] | None = None


class Room:
    """Everything that viewers share; to be used in one event loop.

    Args:
        source: where readings come from.
        past: where the past comes from.
        redis: the Redis that the page of a fresh installation tells publishers to use.
        token: bearer token for what the service keeps for viewers.
        clock_ms: any clock that rises, for lags.

    Attributes:
        seq: number of the present tick.
        viewers: who is here.
        alarms: the thresholds and who passes them.
        library: decks and thresholds that the service keeps.
        questions: what takes a while.
    """

    def __init__(
        self,
        source: Source,
        past: Past,
        *,
        redis: str,
        token: str = "",
        clock_ms: Callable[[], float] = lambda: time.monotonic() * 1e3,
    ) -> None:
        self.source = source
        self.past = past
        self.clock_ms = clock_ms
        self.seq = 1
        self.viewers: set[Viewer] = set()
        self.alarms = Alarms(source.store)
        self.library = Library(source.url, token, self.alarms.set)
        self.readings = Readings(source.url, token)
        self.questions = Questions(source.store, self.readings, self.library)
        self.snippet = msgspec.json.encode(
            {"t": "snippet", "url": source.url, "redis": without_password(redis)}
        ).decode()
        self._views: dict[ViewKey, SharedView] = {}
        self._ranges: dict[Viewer, asyncio.Task[None]] = {}
        self._directories: dict[tuple[int, tuple[str, ...]], tuple[int, str]] = {}

    @property
    def full(self) -> bool:
        """Tell whether no further viewer is taken."""
        return len(self.viewers) >= _MAX_VIEWERS

    # -- the tick ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Send every viewer what is due."""
        self.seq += 1
        self.alarms.look(self.source.feed.now_ms())
        for viewer in list(self.viewers):
            try:
                viewer.tick()
            except Exception:  # one viewer's trouble is not another's
                _log.exception("a viewer could not be served")
                viewer.fail()

    def pack(self, shared: SharedView) -> None:
        """Bring a view up to this tick, unless it is; ask for its past where memory does not reach."""
        now_ms = self.source.feed.now_ms()
        live = shared.live
        live.tick(self.seq, now_ms)
        if live.partial and shared.reading is None and self.clock_ms() - shared.asked_ms > _OLDER_AGAIN_MS:
            shared.asked_ms = self.clock_ms()
            shared.reading = self._own(self._read_older(shared, now_ms))

    def enter(self, key: ViewKey) -> SharedView:
        """Watch a view."""
        series = None if key.series is None else tuple(i for i in key.series if i < len(self.source.store.series))
        key = key._replace(series=series)
        shared = self._views.get(key)
        if shared is None:
            live = LiveView(self.source.store, series, key.window_ms, key.buckets)
            shared = self._views[key] = SharedView(key, live)
        shared.watchers += 1
        return shared

    def visible(self, asked: Sequence[int] | None, login: Login) -> tuple[int, ...] | None:
        """Return which of the series asked for somebody may see, each once; None for all there are."""
        if not login.narrowed_to:
            return None if asked is None else tuple(dict.fromkeys(asked))
        series = self.source.store.series
        wanted = range(len(series)) if asked is None else dict.fromkeys(asked)
        return tuple(index for index in wanted if index < len(series) and login.may_see(series[index].metric))

    def leave(self, shared: SharedView) -> None:
        """Watch a view no longer; the last one to leave closes it."""
        shared.watchers -= 1
        if not shared.watchers:
            self._views.pop(shared.key, None)
            if shared.reading is not None:
                shared.reading.cancel()

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._ranges.values(), *(view.reading for view in self._views.values() if view.reading is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.questions.close()
        await self.library.close()
        await self.readings.close()

    # -- the past ------------------------------------------------------------------------------------------------

    async def _read_older(self, shared: SharedView, now_ms: float) -> None:
        try:
            await self.past.fill(shared.live, now_ms)
        except ServiceUnavailable as error:
            _log.info("a window of %d s stays partly empty: %s", shared.live.window_ms / 1e3, error)
        finally:
            shared.reading = None

    def answer_range(self, viewer: Viewer, request: RangeRequest) -> None:
        """Answer one fixed window; a viewer's next question takes the place of one not answered yet."""
        self.forget_range(viewer)
        self._ranges[viewer] = self._own(self._answer_range(viewer, request))

    def forget_range(self, viewer: Viewer) -> None:
        """End the answering of a viewer's last question."""
        task = self._ranges.pop(viewer, None)
        if task is not None:
            task.cancel()

    async def _answer_range(self, viewer: Viewer, request: RangeRequest) -> None:
        feed = self.source.feed
        try:
            frame, problem = await answer_range(request, feed.store, self.past, seq=self.seq, now_ms=feed.now_ms())
        except LimitExceeded as error:
            viewer.send_problem(str(error))
            return
        viewer.send_range(frame)
        if problem:
            viewer.send_problem(problem)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(_report)
        return task

    # -- the messages --------------------------------------------------------------------------------------------

    def directory_since(self, version: int, login: Login = EVERYBODY) -> tuple[str, int]:
        """Return the `series` message for a viewer that knows this version (-1: nothing), and the version it makes."""
        key = (version, login.narrowed_to)
        store = self.source.store
        with store.lock:
            present = store.directory_version
            kept = self._directories.get(key)
            if kept is None or kept[0] != present:
                if kept is not None or len(self._directories) > 64:
                    self._directories.clear()
                entries = [
                    {"i": series.index, "metric": series.metric, "labels": series.labels, "unit": series.unit}
                    for series in store.changed_since(version)
                    if login.may_see(series.metric)
                ]
                message = {"t": "series", "full": version < 0, "series": entries}
                kept = self._directories[key] = (present, msgspec.json.encode(message).decode())
        return kept[1], present

    def events(self, login: Login = EVERYBODY) -> tuple[str, int]:
        """Return the `events` message of what somebody may see, and the version it makes."""
        store = self.source.store
        with store.lock:
            version = store.events_version
            events = [event._asdict() for event in sorted(store.events) if login.may_see(event.metric)]
        return msgspec.json.encode({"t": "events", "full": True, "events": events}).decode(), version

    def status(self, lag_ms: float, login: Login = EVERYBODY) -> str:
        """Return the `status` message for a viewer that is so late."""
        message = self.source.message() | {"lag_ms": round(lag_ms)}
        if login.narrowed_to:  # how much there is besides is not theirs to know
            series = self.source.store.series
            message["metrics"] = len({series[index].metric for index in self.visible(None, login) or ()})
        return msgspec.json.encode(message).decode()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a question for the past failed", exc_info=error)
