"""Answers the requests of viewers that need the service: statistics, tables, exports, decks, thresholds, events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import UNSET

from tidewire.errors import InvalidFormula, LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.livestore.messages import (
    AddEvent,
    Answer,
    CellAnswer,
    CellRequest,
    DeckList,
    DeckSaved,
    DeleteDeck,
    EventAdded,
    ExportAnswer,
    ExportRequest,
    FormulaHelpRequest,
    ListDecks,
    ReadDeck,
    Refused,
    RunsRequest,
    SaveDeck,
    SaveThresholds,
    StatisticsAnswer,
    StatisticsRequest,
    TableAnswer,
    TableRequest,
    ThresholdsSaved,
    ViewerRequest,
    WindowRequest,
)
from tidewire.livestore.runs import Runs
from tidewire.livestore.selection import selection_of
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.formulas.matchers import METRIC
from tidewire.model.threshold import Threshold
from tidewire_dashboard.analysis import Part, Readings, changing_units, frame_of, statistics, table
from tidewire_dashboard.errors import SaveConflict
from tidewire_dashboard.exports import Export, Exports
from tidewire_dashboard.formula_text import help_with
from tidewire_dashboard.login import Login
from tidewire_dashboard.saved_decks import SavedDecks

__all__ = ["Requester", "ViewerRequests"]

_log = logging.getLogger("tidewire")
Change: TypeAlias = SaveDeck | DeleteDeck | SaveThresholds | AddEvent
"""What changes something for everybody."""
ServiceRequest: TypeAlias = WindowRequest | ListDecks | ReadDeck | Change
"""What only the service can answer."""
Results: TypeAlias = Callable[[str, Login, float, float], Awaitable[Sequence[Part]]]
ValuesAt: TypeAlias = Callable[[str, Login, float, int], Awaitable[Sequence[tuple[Mapping[str, str], float]]]]
_MAX_PER_VIEWER: Final = 4
_MAX_TABLE_ROWS: Final = 500
_MAX_SELECTION_CHARS: Final = 2_000  # of a cell: an address has at most 8,192
_ROUNDING: Final = 1e-9  # of the height of a cell, as its values are counted


class Requester(Protocol):
    """The viewer that sent a request."""

    @property
    def login(self) -> Login:
        """Return who is logged in."""

    def answer(self, message: Answer | Refused) -> None:
        """Send the answer, once the socket accepts it."""

    def send_problem(self, reason: str) -> None:
        """Show a sentence to the person."""


class ViewerRequests:
    """Answers requests, at most four per viewer at a time; used in one event loop, and closed.

    Args:
        store: the directory that series indices refer to.
        readings: reads statistics, tables and exports from the service.
        saved_decks: reads and writes decks and thresholds.
        results: evaluates a formula over a window for a login.
        values_at: evaluates one in a column, which ends at a time and has a width, for a login.
        runs: compares runs by their steps.
    """

    def __init__(
        self,
        store: Store,
        readings: Readings,
        saved_decks: SavedDecks,
        results: Results,
        values_at: ValuesAt,
        runs: Runs,
    ) -> None:
        self.exports = Exports()
        self._store = store
        self._readings = readings
        self._saved_decks = saved_decks
        self._results = results
        self._values_at = values_at
        self._runs = runs
        self._tasks: dict[Requester, set[asyncio.Task[None]]] = {}

    def start(self, viewer: Requester, request: ViewerRequest) -> None:
        """Start answering a request; the answer goes to `Requester.answer`."""
        tasks = self._tasks.setdefault(viewer, set())
        if len(tasks) >= _MAX_PER_VIEWER:
            viewer.send_problem("Your last requests are still being answered; try again in a moment.")
            return
        task = asyncio.create_task(self._answer(viewer, request))
        tasks.add(task)
        task.add_done_callback(lambda done: self._done(viewer, done))

    def cancel(self, viewer: Requester) -> None:
        """Cancel a viewer's requests that read; let those that save finish."""
        for task in self._tasks.get(viewer, ()):
            if not task.get_name().startswith("save"):
                task.cancel()

    async def close(self) -> None:
        """Cancel every request and wait for them."""
        tasks = [task for of_one in self._tasks.values() for task in of_one]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, viewer: Requester, task: asyncio.Task[None]) -> None:
        tasks = self._tasks.get(viewer, set())
        tasks.discard(task)
        if not tasks:
            self._tasks.pop(viewer, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cannot answer a request", exc_info=error)
            viewer.send_problem("The dashboard could not answer; see its log.")

    async def _answer(self, viewer: Requester, request: ViewerRequest) -> None:
        current = asyncio.current_task()
        if current is not None and isinstance(request, Change):
            current.set_name("save")
        try:
            if viewer.login.narrowed_to and isinstance(request, ListDecks):
                viewer.answer(DeckList(decks=[]))  # a deck may name any metric
                return
            if isinstance(request, FormulaHelpRequest):
                viewer.answer(await asyncio.to_thread(help_with, request, self._store, viewer.login))
                return
            if isinstance(request, RunsRequest):
                viewer.answer(self._runs.answer(request, viewer.login))
                return
            if isinstance(request, CellRequest):
                viewer.answer(await self._cell(request, viewer.login))
                return
            viewer.answer(await self._result(self._permitted(viewer, request), viewer.login))
        except (InvalidFormula, LimitExceeded, ServiceUnavailable, ServiceRefused) as error:
            reason = error.detail if isinstance(error, ServiceRefused) else str(error)
            to = str(type(request).__struct_config__.tag)
            id_ = request.id if isinstance(request, WindowRequest | CellRequest) else UNSET
            viewer.answer(Refused(to=to, reason=reason, id=id_))

    def _permitted(self, viewer: Requester, request: ServiceRequest) -> ServiceRequest:
        """Return the part of a request that the viewer's token allows.

        Raises:
            ServiceRefused: the token allows no changes, or only some metrics while decks and thresholds cover all.
        """
        login = viewer.login
        if isinstance(request, Change) and not login.edit:
            # The dashboard asks the service with a token of its own, which may do more than this viewer's.
            raise ServiceRefused(403, "Your token may view but not change anything; make one with --edit.")
        if not login.narrowed_to:
            return request
        if not isinstance(request, WindowRequest):
            raise ServiceRefused(403, "Your token may see some metrics only; decks, thresholds and events cover all.")
        series = self._store.series
        visible = [index for index in request.series if index < len(series) and login.may_see(series[index].metric)]
        return msgspec.structs.replace(request, series=visible)

    async def _result(self, request: ServiceRequest, login: Login) -> Answer:
        saved = self._saved_decks
        match request:
            case StatisticsRequest() | TableRequest() | ExportRequest():
                return await self._answer_window(request, login)
            case ListDecks():
                return DeckList(decks=await saved.decks())
            case ReadDeck(slug=slug):
                return await saved.deck(slug)
            case SaveDeck():
                return await self._save(request)
            case DeleteDeck(slug=slug):
                await saved.delete(slug)
                return DeckList(decks=await saved.decks())
            case SaveThresholds(thresholds=thresholds):
                return await self._save_thresholds(thresholds)
            case AddEvent(time_ms=time_ms, text=text, labels=labels):
                await saved.add_event(time_ms, text, labels)
                return EventAdded()

    async def _answer_window(self, request: WindowRequest, login: Login) -> Answer:
        known: list[Series] = [self._store.series[i] for i in request.series if i < len(self._store.series)]
        start, end, formula = request.start_ms, max(request.start_ms + 1, request.end_ms), request.formula

        async def read() -> Sequence[Part]:
            parts = await self._readings.parts(known, start, end) if known or formula is None else []
            return parts if formula is None else [*parts, *await self._results(formula, login, start, end)]

        if isinstance(request, ExportRequest):
            key = self.exports.issue(Export(read, end, request.kind))
            return ExportAnswer(id=request.id, url=f"exports/{key}")
        frame = await asyncio.to_thread(frame_of, await read())
        if isinstance(request, TableRequest):
            newest = await asyncio.to_thread(table, frame, _MAX_TABLE_ROWS)
            units = await asyncio.to_thread(changing_units, frame, _MAX_TABLE_ROWS)
            return TableAnswer(
                id=request.id, start_ms=start, end_ms=end, rows=newest, of=len(frame), units=units or UNSET
            )
        rows = await asyncio.to_thread(statistics, frame, start, end)
        return StatisticsAnswer(id=request.id, start_ms=start, end_ms=end, rows=rows)

    async def _cell(self, request: CellRequest, login: Login) -> CellAnswer:
        """Return the selection of the series of a cell.

        Raises:
            LimitExceeded: it is too long for an address.
        """
        found = await self._values_at(request.formula, login, request.end_ms, request.step_ms)
        meant: list[Mapping[str, str]] = []
        others: list[Mapping[str, str]] = []
        height = request.high - request.low
        for labels, value in found:
            inside = height > 0 and 0 <= (value - request.low) / height + _ROUNDING < 1
            own = {name: text for name, text in labels.items() if name != METRIC}
            (meant if inside else others).append(own)
        selection = selection_of(meant, others)
        if len(selection.text) > _MAX_SELECTION_CHARS:
            remedy = f"choose a cell with fewer than its {len(meant)} series"
            raise LimitExceeded("selection", _MAX_SELECTION_CHARS, len(selection.text), remedy)
        return CellAnswer(id=request.id, select=selection.text, count=len(meant), more=selection.more)

    async def _save(self, request: SaveDeck) -> DeckSaved:
        try:
            etag = await self._saved_decks.save(request.slug, msgspec.json.encode(request.deck), over=request.over)
        except SaveConflict as error:
            return DeckSaved(slug=request.slug, etag=error.etag, conflict=True)
        return DeckSaved(slug=request.slug, etag=etag, conflict=False)

    async def _save_thresholds(self, thresholds: list[Threshold]) -> ThresholdsSaved:
        try:
            await self._saved_decks.save_thresholds(thresholds)
        except SaveConflict:
            return ThresholdsSaved(conflict=True)
        return ThresholdsSaved(conflict=False)
