"""What the viewers of a process share: the tick, the views that several watch, the history, encoded messages.

Each distinct view is packed once per tick, and all viewers at the same frame get the same bytes. Without viewers there
are no ticks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tidewire.errors import InvalidFormula, LimitExceeded, ServiceUnavailable
from tidewire.livestore.alarms import Alarms, EventsVersion
from tidewire.livestore.formula_faults import fault_state
from tidewire.livestore.history_cache import HistoryCache, answer_range
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.messages import (
    LANES,
    MAX_VIEWS,
    FormulaState,
    RangeRequest,
    Snippet,
    directory_message,
    encode_message,
)
from tidewire.livestore.open_formula import FormulaKey
from tidewire.livestore.runs import Runs
from tidewire.livestore.shared_formulas import FormulaWindow, SharedFormulas
from tidewire.model.batch import ANNOTATIONS
from tidewire.settings import without_password
from tidewire_dashboard.analysis import Part, Readings
from tidewire_dashboard.formula_results import parts_of
from tidewire_dashboard.login import EVERYBODY, Login
from tidewire_dashboard.requests import ViewerRequests
from tidewire_dashboard.saved_decks import SavedDecks
from tidewire_dashboard.source import Source

__all__ = ["ConnectedViewer", "SharedView", "SharedViews", "ViewKey"]

_log = logging.getLogger("tidewire")
_HISTORY_AGAIN_MS: Final = 15_000.0  # before the history of a view is requested again
_LOOK_MS: Final = 400.0  # between two looks at what a view lacks
_EAGER_SERIES: Final = 400  # a view of everything lacks no more than so many: all are read, also those off the screen
_EVENTS_EVERY: Final = 10  # ticks
_MAX_VIEWERS: Final = 5_000
_WITH_SENTINELS: Final = re.compile(  # scheme, host and port of the first of them, name of the primary, /database
    r"(rediss?)\+sentinel://(\[[\w:.]+\]|[\w.-]+)(?::(\d+))?(?:,[^/?#]*)?/([\w.-]+)(/\d+)?", re.ASCII
)


class ViewKey(NamedTuple):
    """Identifies a view: viewers with the same key share it."""

    series: tuple[int, ...] | None
    window_ms: float
    buckets: int
    formula: FormulaKey | None = None


class SharedView:
    """A live view and how many viewers watch it."""

    __slots__ = ("everything", "key", "live", "looked_ms", "reading", "requested_ms", "watchers")

    def __init__(self, key: ViewKey, live: LiveView | FormulaWindow) -> None:
        self.key = key
        self.live = live
        self.watchers = 0
        self.everything = False  # it is of all series that somebody may see
        self.looked_ms = -math.inf  # when it was looked for a past that is missing
        self.requested_ms = -math.inf  # when its history was requested last
        self.reading: asyncio.Task[None] | None = None


class ConnectedViewer(Protocol):
    """A viewer as `SharedViews` uses it."""

    @property
    def login(self) -> Login:
        """Return who is logged in."""

    def tick(self) -> None:
        """Send what is due."""

    def send_range(self, frame: bytes, lane: int = 0) -> None:
        """Send a range of the viewer's newest window."""

    def send_formula(self, state: FormulaState) -> None:
        """Send what there is of a formula, in the place of what was sent of it before."""

    def send_problem(self, reason: str) -> None:
        """Show a sentence to the person."""

    def fail(self) -> None:
        """Close the connection; the deck connects again."""

    def sign_out(self) -> None:
        """Close the connection; the page asks for a token."""


class SharedViews:
    """The views, history and messages that viewers share; used in one event loop.

    Args:
        source: the live readings.
        history_cache: older readings, from the service's history.
        redis: Redis address shown on the "No metrics yet" page.
        token: bearer token for requests to the service.
        clock_ms: a monotonic clock, to measure lag.

    Attributes:
        seq: number of the current tick.
        viewers: the connected ones.
        looked_at: the series that each has on the screen, as far as it says so.
        alarms: the thresholds, and the series beyond them.
        saved_decks: decks and thresholds that the service stores.
        requests: answers the requests of viewers.
    """

    def __init__(
        self,
        source: Source,
        history_cache: HistoryCache,
        *,
        redis: str,
        token: str = "",
        clock_ms: Callable[[], float] = lambda: time.monotonic() * 1e3,
    ) -> None:
        self.source = source
        self.history_cache = history_cache
        self.clock_ms = clock_ms
        self.seq = 1
        self.viewers: set[ConnectedViewer] = set()
        self.looked_at: dict[ConnectedViewer, set[int]] = {}
        self.alarms = Alarms(source.store)
        self.saved_decks = SavedDecks(source.url, token, self.alarms.set)
        self.readings = Readings(source.url, token)
        self._formulas = SharedFormulas(source.store, history_cache, self._want_past_of, clock_ms)
        self._runs = Runs(source.feed, source.url, token)
        self.requests = ViewerRequests(
            source.store, self.readings, self.saved_decks, self._results, self._values_at, self._runs
        )
        self.snippet = encode_message(Snippet(url=source.url, redis=_for_redis_cli(redis)))
        self._views: dict[ViewKey, SharedView] = {}
        self._history_reason = ""  # why the last window could not be read
        self._annotated: tuple[int, list[int]] = (-1, [])
        self._ranges: dict[ConnectedViewer, list[tuple[int, asyncio.Task[None]]]] = {}  # with their lanes
        self._directories: dict[tuple[int, tuple[str, ...]], tuple[int, str]] = {}

    @property
    def full(self) -> bool:
        """Whether the limit of viewers is reached."""
        return len(self.viewers) >= _MAX_VIEWERS

    # -- the tick ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Send every viewer what is due."""
        self.seq += 1
        now_ms = self.source.feed.now_ms()
        self.alarms.evaluate(now_ms)
        if self.viewers and self.source.feed.past is not None and self.seq % _EVENTS_EVERY == 0:
            # Nobody looks at these series, and their events are on all charts.
            self.source.feed.past.want(self._annotations(), now_ms - self.source.store.raw_ms)
        for viewer in list(self.viewers):
            try:
                viewer.tick()
            except Exception:  # one viewer's failure must not stop the others
                _log.exception("cannot serve a viewer")
                viewer.fail()

    def ready(self, shared: SharedView) -> bool:
        """Tell whether a view may be packed with this tick; one of a formula may have to wait for its turn."""
        return not isinstance(shared.live, FormulaWindow) or self._formulas.ready(shared.live, self.seq)

    def pack(self, shared: SharedView) -> None:
        """Update a view once per tick, and request its history if the store does not reach back far enough."""
        now_ms = self.source.feed.now_ms()
        live = shared.live
        if isinstance(live, FormulaWindow):
            self._formulas.tick(live, self.seq, now_ms)
        else:
            live.tick(self.seq, now_ms)
        if self.clock_ms() < shared.looked_ms + _LOOK_MS:
            return
        shared.looked_ms = self.clock_ms()
        if isinstance(live, FormulaWindow):
            self._formulas.lack(live, now_ms, self._start)
            return
        partial = live.partial
        if not partial or self._wants_past(shared, live.window_ms, partial, now_ms):
            return
        if shared.reading is None and self.clock_ms() - shared.requested_ms > _HISTORY_AGAIN_MS:
            shared.requested_ms = self.clock_ms()
            shared.reading = self._start(self._read_history(shared, live, now_ms))

    def _want_past_of(self, indices: list[int], from_ms: float) -> bool:
        past = self.source.feed.past
        return past is not None and past.want(indices, from_ms)

    def _wants_past(self, shared: SharedView, window_ms: float, partial: list[int], now_ms: float) -> bool:
        """Ask for the past of what a view lacks: first of what is on a screen; tell whether more will come.

        Of a view of very many series nobody sees all: of those, only what is on a screen.
        """
        past = self.source.feed.past
        if past is None:
            return False
        seen: set[int] = set().union(*self.looked_at.values()) if self.looked_at else set()
        first = [index for index in partial if index in seen]
        others = [index for index in partial if index not in seen]
        if len(partial) > _EAGER_SERIES and shared.everything:
            return past.want(first, now_ms - window_ms) or window_ms <= self.source.store.raw_ms
        return past.want([*first, *others], now_ms - window_ms)

    def _annotations(self) -> list[int]:
        store = self.source.store
        if self._annotated[0] != store.directory_version:
            with store.lock:
                found = [series.index for series in store.series if series.metric == ANNOTATIONS]
                self._annotated = store.directory_version, found
        return self._annotated[1]

    def look(self, viewer: ConnectedViewer, series: Sequence[int]) -> None:
        """Note which series a viewer has on the screen; empty for none."""
        known = len(self.source.store.series)
        visible = {index for index in series if index < known}
        if viewer.login.narrowed_to:
            visible = {i for i in visible if viewer.login.may_see(self.source.store.series[i].metric)}
        if visible:
            self.looked_at[viewer] = visible
        else:
            self.looked_at.pop(viewer, None)
        if self.source.feed.past is not None:
            self.source.feed.past.want_paces(visible)
        for shared in self._views.values():
            shared.looked_ms = -math.inf

    def watch(self, key: ViewKey, login: Login = EVERYBODY) -> SharedView:
        """Watch a view; the first watcher opens it.

        Raises:
            InvalidFormula: it is of a formula that cannot be read or evaluated.
        """
        series = None if key.series is None else tuple(i for i in key.series if i < len(self.source.store.series))
        key = key._replace(series=series)
        shared = self._views.get(key)
        if shared is None:
            live: LiveView | FormulaWindow
            if key.formula is None:
                live = LiveView(self.source.store, series, key.window_ms, key.buckets)
            else:
                live = self._formulas.watch(key.formula, login, key.window_ms, key.buckets)
            shared = self._views[key] = SharedView(key, live)
        shared.watchers += 1
        return shared

    def visible(self, requested: Sequence[int] | None, login: Login) -> tuple[int, ...] | None:
        """Return those of the requested series that a login may see, each once; None means all series."""
        if not login.narrowed_to:
            return None if requested is None else tuple(dict.fromkeys(requested))
        series = self.source.store.series
        indices = range(len(series)) if requested is None else dict.fromkeys(requested)
        return tuple(index for index in indices if index < len(series) and login.may_see(series[index].metric))

    def unwatch(self, shared: SharedView) -> None:
        """Stop watching a view; the last watcher closes it."""
        shared.watchers -= 1
        if not shared.watchers:
            self._views.pop(shared.key, None)
            if isinstance(shared.live, FormulaWindow):
                self._formulas.unwatch(shared.live)
            if shared.reading is not None:
                shared.reading.cancel()

    async def close(self) -> None:
        """Cancel every task, and close the connections to the service."""
        ranges = itertools.chain.from_iterable(self._ranges.values())
        tasks = [
            *(task for _, task in ranges),
            *(view.reading for view in self._views.values() if view.reading is not None),
            *self._formulas.tasks(),
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.requests.close()
        await self._runs.close()
        await self.saved_decks.close()
        await self.readings.close()

    # -- history -------------------------------------------------------------------------------------------------

    async def _read_history(self, shared: SharedView, live: LiveView, now_ms: float) -> None:
        try:
            await self.history_cache.fill(live, now_ms)
            self._history_reason = ""
        except ServiceUnavailable as error:
            self._history_reason = str(error)
            _log.info("the history of a %d s window is missing: %s", live.window_ms / 1e3, error)
        finally:
            shared.reading = None

    def answer_range(self, viewer: ConnectedViewer, request: RangeRequest) -> None:
        """Start answering a request for a range; of too many unanswered ones of this viewer the oldest is cancelled."""
        tasks = [(lane, task) for lane, task in self._ranges.get(viewer, ()) if not task.done()]
        if len(tasks) >= LANES * MAX_VIEWS:
            tasks.pop(0)[1].cancel()
        self._ranges[viewer] = [*tasks, (request.lane, self._start(self._answer_range(viewer, request)))]

    def cancel_ranges(self, viewer: ConnectedViewer, lane: int | None = None) -> None:
        """Cancel a viewer's unanswered ranges, of one lane or of all."""
        tasks = self._ranges.pop(viewer, [])
        for own, task in tasks:
            if lane in (None, own):
                task.cancel()
        if kept := [(own, task) for own, task in tasks if lane not in (None, own)]:
            self._ranges[viewer] = kept

    async def _answer_range(self, viewer: ConnectedViewer, request: RangeRequest) -> None:
        feed = self.source.feed
        try:
            if request.formula is not None:
                frame, state = await self._formulas.answer_range(
                    request, request.formula, viewer.login, seq=self.seq, now_ms=feed.now_ms()
                )
                viewer.send_formula(state)
                viewer.send_range(frame, request.lane)
                return
            frame, problem = await answer_range(
                request, feed.store, self.history_cache, seq=self.seq, now_ms=feed.now_ms()
            )
        except (LimitExceeded, ServiceUnavailable) as error:
            viewer.send_problem(str(error))
            return
        except InvalidFormula as error:
            viewer.send_formula(fault_state(request, error))
            return
        viewer.send_range(frame, request.lane)
        if problem:
            viewer.send_problem(problem)

    async def _results(self, text: str, login: Login, start_ms: float, end_ms: float) -> list[Part]:
        return parts_of(await self._formulas.results(text, login, start_ms, end_ms))

    async def _values_at(
        self, text: str, login: Login, end_ms: float, step_ms: int
    ) -> list[tuple[dict[str, str], float]]:
        return await self._formulas.values_at(text, login, end_ms, step_ms)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(_report)
        return task

    # -- messages ------------------------------------------------------------------------------------------------

    def directory_message(self, version: int, login: Login = EVERYBODY) -> tuple[str, int]:
        """Return the `series` message for a viewer who has a version (-1 for none), and the new version."""
        key = (version, login.narrowed_to)
        store = self.source.store
        with store.lock:
            present = store.directory_version
            kept = self._directories.get(key)
            if kept is None or kept[0] != present:
                if kept is not None or len(self._directories) > 64:
                    self._directories.clear()
                visible = (series for series in store.changed_since(version) if login.may_see(series.metric))
                message = directory_message(visible, full=version < 0)
                kept = self._directories[key] = (present, encode_message(message))
        return kept[1], present

    def events_message(self, seen: EventsVersion | None, login: Login = EVERYBODY) -> tuple[str, EventsVersion]:
        """Return the `events` message for a login that has those of a version, or none; and the new version."""
        with self.source.store.lock:
            version = self.alarms.events_version
            message = self.alarms.events_message(seen, login.may_see)
        return encode_message(message), version

    def status_message(self, lag_ms: float, login: Login = EVERYBODY) -> str:
        """Return the `status` message for a viewer whose acknowledgements come `lag_ms` late."""
        message = self.source.message()
        reason = message.past_reason or self._history_reason or self._formulas.past_reason
        message = msgspec.structs.replace(message, lag_ms=round(lag_ms), past_reason=reason)
        if login.narrowed_to:  # the number of other metrics must not leak
            series = self.source.store.series
            metrics = len({series[index].metric for index in self.visible(None, login) or ()})
            late = self.source.feed.late(login.may_see)
            message = msgspec.structs.replace(message, metrics=metrics, late=late)
        return encode_message(message)


def _for_redis_cli(url: str) -> str:
    """Return what follows ``redis-cli -u`` to reach a Redis: it asks no Sentinels by itself, so the shell does."""
    shown = without_password(url)
    found = _WITH_SENTINELS.match(shown)
    if found is None:
        return shown
    scheme, host, port, name, database = found.groups()
    tls = " --tls" if scheme == "rediss" else ""
    ask = f"redis-cli{tls} -h {host.strip('[]')} -p {port or 26379} SENTINEL GET-MASTER-ADDR-BY-NAME {name}"
    return f"{scheme}://$({ask} | paste -sd:){database or ''}"


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a history request failed", exc_info=error)
