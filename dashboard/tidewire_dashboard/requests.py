"""Answers the requests of viewers that need the service: statistics, tables, exports, saved decks, thresholds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, Final, Protocol

import msgspec

from tidewire.errors import LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.table_writers import TABLE_FORMATS
from tidewire.model.threshold import Threshold
from tidewire_dashboard.analysis import Readings, statistics, table
from tidewire_dashboard.errors import SaveConflict
from tidewire_dashboard.exports import Export, Exports
from tidewire_dashboard.login import Login
from tidewire_dashboard.saved_decks import SavedDecks

__all__ = ["Requester", "ViewerRequest", "ViewerRequests"]

_log = logging.getLogger("tidewire")
_PER_VIEWER: Final = 4
_TABLE_ROWS: Final = 500
_MAX_SERIES: Final = 100

Time = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Indices = Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=1, max_length=_MAX_SERIES)]
FormatName = Annotated[str, msgspec.Meta(pattern=f"^(?:{'|'.join(TABLE_FORMATS)})$")]
Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Window(msgspec.Struct):
    """A window of some series; times are Unix ms, `id` comes back with the answer."""

    id: int
    series: Indices
    start_ms: Time
    end_ms: Time


class Statistics(_Window, tag_field="t", tag="statistics"):
    """What were they?"""


class Table(_Window, tag_field="t", tag="table"):
    """Which were the newest readings?"""


class File(_Window, tag_field="t", tag="export"):
    """Where can they be fetched as a file?"""

    kind: FormatName


class Decks(msgspec.Struct, tag_field="t", tag="decks"):
    """What is saved?"""


class ReadDeck(msgspec.Struct, tag_field="t", tag="read_deck"):
    """What is this deck?"""

    slug: Slug


class SaveDeck(msgspec.Struct, tag_field="t", tag="save_deck"):
    """Save it over the version `over`: empty for nothing, null for whatever is there."""

    slug: Slug
    deck: dict[str, Any]
    over: str | None


class DeleteDeck(msgspec.Struct, tag_field="t", tag="delete_deck"):
    """Delete it."""

    slug: Slug


class SaveThresholds(msgspec.Struct, tag_field="t", tag="save_thresholds"):
    """Put these in force, for everybody."""

    thresholds: Annotated[list[Threshold], msgspec.Meta(max_length=1_000)]


ViewerRequest = Statistics | Table | File | Decks | ReadDeck | SaveDeck | DeleteDeck | SaveThresholds


class Requester(Protocol):
    """The viewer that sent a request."""

    @property
    def login(self) -> Login:
        """Return who is logged in."""

    def answer(self, message: dict[str, Any]) -> None:
        """Send the answer, once the socket accepts it."""

    def send_problem(self, reason: str) -> None:
        """Show a sentence to the person."""


class ViewerRequests:
    """Answers requests, at most four of a viewer at a time; used in one event loop, and closed.

    Args:
        store: the directory that series indices refer to.
        readings: reads statistics, tables and exports from the service.
        saved_decks: reads and writes decks and thresholds.
        path: prefix of an export's address.
    """

    def __init__(self, store: Store, readings: Readings, saved_decks: SavedDecks, path: str = "exports") -> None:
        self.exports = Exports(readings)
        self._store = store
        self._readings = readings
        self._saved_decks = saved_decks
        self._path = path
        self._tasks: dict[Requester, set[asyncio.Task[None]]] = {}

    def start(self, viewer: Requester, request: ViewerRequest) -> None:
        """Start answering a request; the answer goes to `Requester.answer`."""
        tasks = self._tasks.setdefault(viewer, set())
        if len(tasks) >= _PER_VIEWER:
            viewer.send_problem("Your last requests are still being answered; try again in a moment.")
            return
        task = asyncio.create_task(self._answer(viewer, request))
        tasks.add(task)
        task.add_done_callback(lambda done: self._done(viewer, done))

    def cancel(self, viewer: Requester) -> None:
        """Cancel a viewer's requests to read; requests to save run to their end."""
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
            _log.error("a request could not be answered", exc_info=error)
            viewer.send_problem("The dashboard failed to answer; see its log.")

    async def _answer(self, viewer: Requester, request: ViewerRequest) -> None:
        current = asyncio.current_task()
        if current is not None and isinstance(request, SaveDeck | DeleteDeck | SaveThresholds):
            current.set_name("save")
        try:
            if viewer.login.narrowed_to and isinstance(request, Decks):
                viewer.answer({"t": "decks", "decks": []})  # a deck may name any metric
                return
            viewer.answer(await self._result(self._permitted(viewer, request)))
        except (LimitExceeded, ServiceUnavailable, ServiceRefused) as error:
            reason = error.detail if isinstance(error, ServiceRefused) else str(error)
            viewer.answer({"t": "refused", "to": type(request).__struct_config__.tag, "reason": reason} | _id(request))

    def _permitted(self, viewer: Requester, request: ViewerRequest) -> ViewerRequest:
        """Return the part of a request that the viewer's token allows.

        Raises:
            ServiceRefused: the token allows no changes, or only some metrics while decks and thresholds cover all.
        """
        login = viewer.login
        if isinstance(request, SaveDeck | DeleteDeck | SaveThresholds) and not login.edit:
            # The dashboard asks the service with a token of its own, which may do more than this viewer's.
            raise ServiceRefused(403, "Your token may view but not change anything; it lacks --edit.")
        if not login.narrowed_to:
            return request
        if not isinstance(request, _Window):
            raise ServiceRefused(403, "Your token may see some metrics only; decks and thresholds cover all.")
        known = self._store.series
        seen = [index for index in request.series if index < len(known) and login.may_see(known[index].metric)]
        return msgspec.structs.replace(request, series=seen)

    def _result(self, request: ViewerRequest) -> Coroutine[Any, Any, dict[str, Any]]:
        match request:
            case Statistics() | Table() | File():
                return self._of_window(request)
            case Decks():
                return self._decks()
            case ReadDeck(slug=slug):
                return self._deck(slug)
            case SaveDeck():
                return self._save(request)
            case DeleteDeck(slug=slug):
                return self._delete(slug)
            case SaveThresholds(thresholds=thresholds):
                return self._save_thresholds(thresholds)

    async def _of_window(self, asked: Statistics | Table | File) -> dict[str, Any]:
        known: list[Series] = [self._store.series[i] for i in asked.series if i < len(self._store.series)]
        start, end = asked.start_ms, max(asked.start_ms + 1, asked.end_ms)
        if isinstance(asked, File):
            key = self.exports.issue(Export(known, start, end, asked.kind))
            return {"t": "export", "id": asked.id, "url": f"{self._path}/{key}"}
        frame = await self._readings.read(known, start, end)
        answer = {"id": asked.id, "start_ms": start, "end_ms": end}
        if isinstance(asked, Table):
            rows = await asyncio.to_thread(table, frame, _TABLE_ROWS)
            return answer | {"t": "table", "rows": rows, "of": len(frame)}
        return answer | {"t": "statistics", "rows": await asyncio.to_thread(statistics, frame, start, end)}

    async def _decks(self) -> dict[str, Any]:
        return {"t": "decks", "decks": await self._saved_decks.decks()}

    async def _deck(self, slug: str) -> dict[str, Any]:
        found = await self._saved_decks.deck(slug)
        return {"t": "deck", "slug": slug, "etag": found.etag, "deck": found.deck}

    async def _save(self, asked: SaveDeck) -> dict[str, Any]:
        try:
            etag = await self._saved_decks.save(asked.slug, msgspec.json.encode(asked.deck), over=asked.over)
        except SaveConflict as error:
            return {"t": "saved", "slug": asked.slug, "etag": error.etag, "conflict": True}
        return {"t": "saved", "slug": asked.slug, "etag": etag, "conflict": False}

    async def _delete(self, slug: str) -> dict[str, Any]:
        await self._saved_decks.delete(slug)
        return await self._decks()

    async def _save_thresholds(self, thresholds: list[Threshold]) -> dict[str, Any]:
        try:
            await self._saved_decks.save_thresholds(thresholds)
        except SaveConflict:
            return {"t": "thresholds_saved", "conflict": True}
        return {"t": "thresholds_saved", "conflict": False}


def _id(request: ViewerRequest) -> dict[str, int]:
    return {"id": request.id} if isinstance(request, _Window) else {}
