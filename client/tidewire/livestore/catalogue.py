"""Reads the catalogue from which a store begins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from tidewire.errors import InvalidCursor, ServiceUnavailable
from tidewire.model.answers import CatalogJson
from tidewire.model.positions import Ids, ids_of
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

__all__ = ["read_catalogue"]

_TIMEOUT_S: Final = 20.0


async def read_catalogue(
    url: str, token: str, patterns: Sequence[str], labels: Mapping[str, str] | None
) -> tuple[CatalogJson, Ids]:
    """Return every series with its last reading, and the ids by partition from which a stream goes on.

    Of a log of several partitions it is what those have that answer; `CatalogJson.missing` are the others.

    Raises:
        ServiceUnavailable: no answer, or none that can be read.
        ServiceRefused: the service says no for good; 413 if there are too many series.
    """
    async with AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S) as client:
        answer = await client.get("/v1/catalog", [*selection(patterns, labels), ("partial", "true")])
    found = await asyncio.to_thread(answer.decoded, CatalogJson)
    try:
        return found, ids_of(found.cursor)
    except InvalidCursor as error:
        raise ServiceUnavailable(f"the catalogue has no cursor: {error}", 0.0) from error
