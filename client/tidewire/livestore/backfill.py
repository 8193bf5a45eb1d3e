"""The silent series: what a stream's replay does not bring, entered into a store from the catalogue and the history."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from tidewire.errors import ServiceRefused, ServiceUnavailable
from tidewire.livestore.store import Store
from tidewire.model.answers import CatalogJson, HistorySeries, SeriesInfo
from tidewire.model.batch import Batch
from tidewire.model.cursor import parse_id
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

__all__ = ["backfill"]

_log = logging.getLogger("tidewire")
_TIMEOUT_S: Final = 10.0
_RECALLED: Final = 64  # series whose last minute is asked for, and readings taken of each
_RECALL_MS: Final = 60_000.0
_RECALL_S: Final = 5.0  # for all of them


async def backfill(
    store: Store, url: str, token: str, patterns: Sequence[str], labels: Mapping[str, str] | None
) -> bool:
    """Enter every series of the catalogue with its last reading; for the store's writing thread, after the replay.

    Of series that the replay did not bring, what they said in their last minute comes first: how often they were
    expected tells whether their silence is long.

    Returns:
        Whether the catalogue could be read.
    """
    async with AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S) as client:
        try:
            answer = await client.get("/v1/catalog", selection(patterns, labels))
            found = answer.decoded(CatalogJson)
        except (ServiceUnavailable, ServiceRefused) as error:
            _log.warning("the catalogue of %s could not be read: %s", client.shown_base, error)
            return False
        silent = [row for row in found.series if store.find(row.metric, row.labels) is None]
        try:
            async with asyncio.timeout(_RECALL_S):
                for row in silent[:_RECALLED]:
                    await _recall(store, client, row)
        except (ServiceUnavailable, ServiceRefused, TimeoutError) as error:
            _log.info("the last minute of some silent series could not be read: %s", error or type(error).__name__)
    for row in found.series:
        _enter(store, row, [row.time], [row.value])
    return True


async def _recall(store: Store, client: AsyncServiceClient, row: SeriesInfo) -> None:
    params = (("metric", row.metric), ("start", row.time - _RECALL_MS), ("end", row.time))
    answer = await client.get("/v1/history", params)
    for columns in answer.decoded(HistorySeries).series:
        if columns.labels == row.labels:
            _enter(store, row, columns.time[-_RECALLED:], columns.value[-_RECALLED:])


def _enter(store: Store, row: SeriesInfo, time: list[float], value: list[float | None]) -> None:
    batch = Batch(metric=row.metric, labels=row.labels, unit=row.unit, time=time, value=value)
    store.append(batch, parse_id(row.id), snapshot=True)
