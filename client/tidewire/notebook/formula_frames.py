"""The formulas of one notebook chart: opened as they are shown, their frames, and what is said of them.

The browser cannot ask while a cell runs, so the kernel gives each a view of its own and says its number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from tidewire.errors import InvalidFormula
from tidewire.livestore.feed import Feed
from tidewire.livestore.formula_faults import fault_of
from tidewire.livestore.history_cache import HistoryCache
from tidewire.livestore.messages import MAX_VIEWS, FormulaState, RangeRequest
from tidewire.livestore.open_formula import EVERYTHING, FormulaKey
from tidewire.livestore.shared_formulas import FormulaWindow, SharedFormulas
from tidewire.notebook.drawn import Source

__all__ = ["MANY", "FormulaFrames", "Result"]

_FIRST_VIEW: Final = 2  # 0 is that of the series, 1 the list of a dashboard
_COLUMNS: Final = {"band": 300, "heat": 60, "top": 60}  # of what stands in the place of series, until the browser says
_KEEP_EVERY: Final = 4  # ticks
MANY: Final = 25
"""Series of one chart from which on a band stands in their place, as on a deck."""


class Result(msgspec.Struct, frozen=True):
    """What there is of a source.

    Attributes:
        state: its series, or what is wrong.
        frame: a whole view frame of them; None before the first.
    """

    state: FormulaState
    frame: bytes | None


class _Shown:
    """One source, and what the browser has of it."""

    def __init__(self, source: Source, number: int) -> None:
        self.source = source
        self.number = number
        self.shape: tuple[float, int] = (0.0, 0)
        self.window: FormulaWindow | None = None
        self.fault: FormulaState | None = None
        self.told: object = None  # what was said of it last
        self.since: int | None = None
        self.directory_version = -1  # with which it was tried


class FormulaFrames:
    """Used in the loop of the chart's feed, and closed.

    Args:
        feed: its store is read.
        history_cache: what memory does not hold.

    Attributes:
        results: by source, for stills; replaced, never changed.
        many: formulas whose results had so many series that a band stands in their place.
    """

    def __init__(self, feed: Feed, history_cache: HistoryCache) -> None:
        self._feed = feed
        self._formulas = SharedFormulas(feed.store, history_cache, lambda *_: False, lambda: time.monotonic() * 1e3)
        self._shown: dict[Source, _Shown] = {}
        self._kept = -_KEEP_EVERY
        self.results: dict[Source, Result] = {}
        self.many: set[str] = set()

    async def close(self) -> None:
        """Cancel what is being read."""
        tasks = self._formulas.tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def past_reason(self) -> str:
        """Return why the past of a formula cannot be shown at the moment, empty if it can."""
        return self._formulas.past_reason

    def show(self, sources: Iterable[Source], window_ms: float, buckets_of: Callable[[Source], int | None]) -> None:
        """Open what is shown, in a window, and close what is not.

        Args:
            sources: what is shown.
            window_ms: length of the window.
            buckets_of: tells how many columns the browser wants of each, None if it has not said.
        """
        wanted = list(dict.fromkeys(sources))[: MAX_VIEWS - _FIRST_VIEW]
        for source in set(self._shown) - set(wanted):
            self._close(self._shown.pop(source))
        for source in wanted:
            shown = self._shown.get(source)
            if shown is None:
                taken = {one.number for one in self._shown.values()}
                number = next(each for each in range(_FIRST_VIEW, MAX_VIEWS) if each not in taken)
                shown = self._shown[source] = _Shown(source, number)
            shape = window_ms, buckets_of(source) or _COLUMNS.get(source.summary or "", 700)
            again = shown.fault is not None and shown.directory_version != self._feed.store.directory_version
            if shape != shown.shape or again:
                self._open(shown, shape)

    def _open(self, shown: _Shown, shape: tuple[float, int]) -> None:
        self._close(shown)
        shown.shape, shown.directory_version = shape, self._feed.store.directory_version
        formula, summary = shown.source
        try:
            shown.window = self._formulas.watch(FormulaKey(formula, (), summary), EVERYTHING, *shape)
        except InvalidFormula as error:
            shown.fault = _faulty(shown.source, error)

    def _close(self, shown: _Shown) -> None:
        if shown.window is not None:
            self._formulas.unwatch(shown.window)
        shown.window = shown.fault = shown.told = shown.since = None

    def tick(self, seq: int, *, anew: bool, paused: bool) -> tuple[list[FormulaState], list[bytes]]:
        """Advance all to the log's clock; return what is new to say of them, and their frames.

        Args:
            seq: number of the tick, rising.
            anew: the browser may have missed something: everything is sent again.
            paused: send no frames.
        """
        now_ms = self._feed.now_ms()
        said: list[FormulaState] = []
        frames: list[bytes] = []
        keep = seq - self._kept >= _KEEP_EVERY
        results: dict[Source, Result] = {}
        replayed = self._feed.store.covered_from_ms < float("inf")
        for source, shown in self._shown.items():
            if anew:
                shown.told = shown.since = None
            window = shown.window
            if window is None:
                if shown.fault is not None and shown.told != shown.fault:
                    shown.told = shown.fault
                    said.append(msgspec.structs.replace(shown.fault, view=shown.number))
                if shown.fault is not None:
                    results[source] = Result(shown.fault, None)
                continue
            if not self._formulas.ready(window, seq):
                continue
            self._formulas.tick(window, seq, now_ms)
            if len(window.formula.valued) >= MANY:
                self.many.add(source.formula)
            if replayed:
                self._formulas.lack(window, now_ms, _start)
            if window.version != shown.told:
                shown.told = window.version
                said.append(msgspec.structs.replace(window.state(source.formula), view=shown.number))
            if not paused:
                frames.append(window.frame(shown.number, shown.since))
                shown.since = seq
            if keep:
                results[source] = Result(window.state(source.formula), window.frame(shown.number, None))
        if keep:
            self._kept = seq
            kept = {source: found for source, found in self.results.items() if source in self._shown}
            self.results = {**kept, **results}
        return said, frames

    async def answer_range(self, request: RangeRequest, *, seq: int) -> tuple[FormulaState, bytes | None]:
        """Return what a formula was over a fixed window; with an error no frame.

        Raises:
            ServiceUnavailable: the service did not answer, or refused; says why.
        """
        formula = request.formula or ""
        try:
            frame, state = await self._formulas.answer_range(
                request, formula, EVERYTHING, seq=seq, now_ms=self._feed.now_ms()
            )
        except InvalidFormula as error:
            return self._numbered(_faulty(Source(formula, request.summary), error)), None
        return self._numbered(state), frame

    def _numbered(self, state: FormulaState) -> FormulaState:
        source = Source(state.formula, None if state.summary is UNSET else state.summary)
        shown = self._shown.get(source)
        return state if shown is None else msgspec.structs.replace(state, view=shown.number)


def _faulty(source: Source, error: InvalidFormula) -> FormulaState:
    return FormulaState(
        formula=source.formula, series=[], loading=False, reads=0, warnings=[], error=fault_of(source.formula, error),
        summary=source.summary or UNSET,
    )  # fmt: skip


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)
