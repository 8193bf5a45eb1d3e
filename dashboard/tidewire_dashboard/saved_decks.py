"""Reads and writes the decks and thresholds that the service stores, for every viewer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from tidewire.errors import ServiceRefused, ServiceUnavailable
from tidewire.model.threshold import Threshold
from tidewire.subscribing.service_address import verification
from tidewire_dashboard.errors import SaveConflict

__all__ = ["DeckInfo", "SavedDeck", "SavedDecks"]

_log = logging.getLogger("tidewire")
_TIMEOUT_S: Final = 5.0
_EVERY_S: Final = 3.0


class DeckInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One saved deck in the list; see the service's `/v1/decks`."""

    slug: str
    name: str
    etag: str
    updated_ms: float


class SavedDeck(msgspec.Struct, frozen=True, kw_only=True):
    """A deck as it is saved; `deck` is None where nothing is."""

    slug: str
    etag: str
    deck: msgspec.Raw | None


class _Decks(msgspec.Struct):
    decks: list[DeckInfo]


class _Thresholds(msgspec.Struct):
    thresholds: list[Threshold]


class SavedDecks:
    """Reads and writes decks and thresholds over the service's HTTP; used in one event loop, and closed.

    Args:
        url: the service.
        token: bearer token, empty for none.
        on_thresholds: called with all thresholds when they are first known and when they change.
    """

    def __init__(self, url: str, token: str, on_thresholds: Callable[[Sequence[Threshold]], None]) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=url, timeout=_TIMEOUT_S, headers=headers, trust_env=False, verify=verification(url)
        )
        self._on_thresholds = on_thresholds
        self._thresholds_etag = ""
        self._unread = ""

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def watch(self) -> None:
        """Keep the thresholds current; until cancelled."""
        while True:
            try:
                await self.refresh()
                self._unread = ""
            except (ServiceUnavailable, ServiceRefused) as error:
                if str(error) != self._unread:  # once, not every few seconds
                    self._unread = str(error)
                    _log.info("the thresholds cannot be read: %s", error)
            await asyncio.sleep(_EVERY_S)

    async def refresh(self) -> None:
        """Read the thresholds, if there are newer ones.

        Raises:
            ServiceUnavailable: no answer.
            ServiceRefused: the service refuses.
        """
        answer = await self._ask("GET", "/v1/thresholds", if_none_match=self._thresholds_etag)
        if answer.status_code == 304:
            return
        self._thresholds_etag = answer.headers.get("etag", "")
        self._on_thresholds(_decoded(answer, _Thresholds).thresholds)

    async def save_thresholds(self, thresholds: Sequence[Threshold]) -> None:
        """Save all thresholds over the ones last read.

        Raises:
            SaveConflict: others were saved meanwhile; they are in force already.
            ServiceUnavailable: no answer.
            ServiceRefused: one of them can never work as it is.
        """
        body = msgspec.json.encode({"thresholds": thresholds})
        try:
            await self._ask("PUT", "/v1/thresholds", body, if_match=self._thresholds_etag)
        finally:
            await self.refresh()

    async def decks(self) -> list[DeckInfo]:
        """Return what is saved, the newest first.

        Raises:
            ServiceUnavailable: no answer.
            ServiceRefused: the service refuses.
        """
        found = _decoded(await self._ask("GET", "/v1/decks"), _Decks).decks
        return sorted(found, key=lambda deck: -deck.updated_ms)

    async def deck(self, slug: str) -> SavedDeck:
        """Return a saved deck.

        Raises:
            ServiceUnavailable: no answer.
            ServiceRefused: the service refuses.
        """
        try:
            answer = await self._ask("GET", _path(slug))
        except ServiceRefused as error:
            if error.status != 404:
                raise
            return SavedDeck(slug=slug, etag="", deck=None)
        return SavedDeck(slug=slug, etag=_etag(answer), deck=msgspec.Raw(answer.content))

    async def save(self, slug: str, deck: bytes, *, over: str | None) -> str:
        """Save a deck over the version `over` (empty: nothing; None: whatever is there), and return its version.

        Raises:
            SaveConflict: another version is there.
            ServiceUnavailable: no answer.
            ServiceRefused: the deck or its name can never be saved.
        """
        if over is None:
            return _etag(await self._ask("PUT", _path(slug), deck))
        if not over:
            return _etag(await self._ask("PUT", _path(slug), deck, if_none_match="*"))
        return _etag(await self._ask("PUT", _path(slug), deck, if_match=f'"{over}"'))

    async def delete(self, slug: str) -> None:
        """Delete a deck.

        Raises:
            ServiceUnavailable: no answer.
            ServiceRefused: the service refuses.
        """
        await self._ask("DELETE", _path(slug))

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, *, if_match: str = "", if_none_match: str = ""
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"If-Match": if_match} if if_match else {}
        headers |= {"If-None-Match": if_none_match} if if_none_match else {}
        try:
            answer = await self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(f"the service does not answer ({error or type(error).__name__})") from error
        if answer.status_code == 412:
            raise SaveConflict(_etag(answer))
        if answer.status_code in {429, 503}:
            raise ServiceUnavailable(_detail(answer))
        if answer.status_code >= 400:
            raise ServiceRefused(answer.status_code, _detail(answer))
        return answer


def _path(slug: str) -> str:
    return f"/v1/decks/{quote(slug, safe='')}"


def _etag(answer: httpx.Response) -> str:
    return str(answer.headers.get("etag", "")).strip('"')


def _decoded(answer: httpx.Response, kind: Any) -> Any:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise ServiceUnavailable(f"what answers there is no Tidewire service ({error})") from error


def _detail(answer: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(answer.content, type=dict[str, Any]).get("detail", ""))
    except msgspec.MsgspecError:
        return answer.text[:200]
