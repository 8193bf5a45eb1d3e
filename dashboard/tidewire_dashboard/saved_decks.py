"""Reads and writes what viewers share through the service: decks, thresholds, events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from tidewire.errors import ServiceRefused
from tidewire.livestore.messages import DeckAnswer
from tidewire.model.answers import DeckInfo, DecksJson
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.threshold import Threshold
from tidewire.subscribing.service_answer import Answer
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.threshold_poller import ThresholdPoller
from tidewire_dashboard.errors import SaveConflict

__all__ = ["SavedDecks"]

_TIMEOUT_S: Final = 5.0


class SavedDecks:
    """Reads and writes decks, thresholds and events over the service's HTTP; used in one event loop, and closed.

    Args:
        url: the service.
        token: bearer token, empty for none.
        on_thresholds: called with all thresholds when they are first known and when they change.
    """

    def __init__(self, url: str, token: str, on_thresholds: Callable[[Sequence[Threshold]], None]) -> None:
        self._client = AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S)
        self._thresholds = ThresholdPoller(self._client, on_thresholds)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def watch(self) -> None:
        """Keep the thresholds up to date; runs until cancelled."""
        await self._thresholds.run()

    async def save_thresholds(self, thresholds: Sequence[Threshold]) -> None:
        """Replace all thresholds, unless they changed since they were last read.

        Raises:
            SaveConflict: other thresholds were saved in the meantime; those are already in use.
            ServiceUnavailable: the service does not answer.
            ServiceRefused: a threshold is invalid.
        """
        body = msgspec.json.encode({"thresholds": thresholds})
        try:
            await self._fetch("PUT", "/v1/thresholds", body, if_match=self._thresholds.etag)
        finally:
            await self._thresholds.refresh()

    async def add_event(self, time_ms: float, text: str, labels: Mapping[str, str]) -> None:
        """Publish an event; the same one again within a day is no second one.

        Args:
            time_ms: Unix time.
            text: what happened.
            labels: whose charts it is below; empty for all.

        Raises:
            ServiceUnavailable: the service does not answer.
            ServiceRefused: the text is invalid, or the dashboard's token may not publish.
        """
        body = {"metric": ANNOTATIONS, "labels": labels, "time": [time_ms], "value": [None], "text": [text]}
        encoded = msgspec.json.encode(body, order="deterministic")
        await self._fetch("POST", "/v1/readings", encoded, once=f"event-{hashlib.sha256(encoded).hexdigest()}")

    async def decks(self) -> list[DeckInfo]:
        """Return the saved decks, newest first.

        Raises:
            ServiceUnavailable: the service does not answer.
            ServiceRefused: the service refuses.
        """
        found = (await self._fetch("GET", "/v1/decks")).decoded(DecksJson).decks
        return sorted(found, key=lambda deck: -deck.updated_ms)

    async def deck(self, slug: str) -> DeckAnswer:
        """Return a saved deck.

        Raises:
            ServiceUnavailable: the service does not answer.
            ServiceRefused: the service refuses.
        """
        try:
            answer = await self._fetch("GET", _path(slug))
        except ServiceRefused as error:
            if error.status != 404:
                raise
            return DeckAnswer(slug=slug, etag="", deck=msgspec.Raw(b"null"))
        return DeckAnswer(slug=slug, etag=answer.etag, deck=msgspec.Raw(answer.body))

    async def save(self, slug: str, deck: bytes, *, over: str | None) -> str:
        """Save a deck and return its new version.

        Args:
            slug: its name in addresses.
            deck: its JSON.
            over: the version to replace; empty to create only, None to replace any version.

        Raises:
            SaveConflict: the service has another version.
            ServiceUnavailable: the service does not answer.
            ServiceRefused: the deck or its name is invalid.
        """
        if over is None:
            return (await self._fetch("PUT", _path(slug), deck)).etag
        if not over:
            return (await self._fetch("PUT", _path(slug), deck, if_none_match="*")).etag
        return (await self._fetch("PUT", _path(slug), deck, if_match=f'"{over}"')).etag

    async def delete(self, slug: str) -> None:
        """Delete a deck.

        Raises:
            ServiceUnavailable: the service does not answer.
            ServiceRefused: the service refuses.
        """
        await self._fetch("DELETE", _path(slug))

    async def _fetch(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        if_match: str = "",
        if_none_match: str = "",
        once: str = "",
    ) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"If-Match": if_match} if if_match else {}
        headers |= {"If-None-Match": if_none_match} if if_none_match else {}
        headers |= {"Idempotency-Key": once} if once else {}
        answer = await self._client.fetch(method, path, headers=headers, body=body)
        if answer.status == 412:
            raise SaveConflict(answer.etag)
        return answer.checked()


def _path(slug: str) -> str:
    return f"/v1/decks/{quote(slug, safe='').replace('.', '%2E')}"  # a level of dots alone is a way up
