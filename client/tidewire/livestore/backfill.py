"""Backfills a store with the series that a replay does not bring, from the catalog and the history."""

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
from tidewire.model.positions import ids_of
from tidewire.model.units import unit_key
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

__all__ = ["backfill"]

_log = logging.getLogger("tidewire")
_TIMEOUT_S: Final = 10.0
_RECENT_READINGS: Final = 64  # series whose last minute is asked for, and readings taken of each
_RECENT_MS: Final = 60_000.0
_RECENT_TIMEOUT_S: Final = 5.0  # for all of them


async def backfill(
    store: Store, url: str, token: str, patterns: Sequence[str], labels: Mapping[str, str] | None
) -> bool:
    """Add the last reading of every series in the catalog; call it in the store's writing thread, after the replay.

    A series that the replay did not bring gets the readings of its last minute first: their interval tells whether its
    silence is long.

    Returns:
        Whether the catalog could be read, and all partitions of the log were in it.
    """
    async with AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S) as client:
        try:
            answer = await client.get("/v1/catalog", [*selection(patterns, labels), ("partial", "true")])
            found = answer.decoded(CatalogJson)
        except (ServiceUnavailable, ServiceRefused) as error:
            _log.warning("cannot read the catalog of %s: %s", client.shown_base, error)
            return False
        silent = [row for row in found.series if store.find(row.metric, row.labels) is None]
        try:
            async with asyncio.timeout(_RECENT_TIMEOUT_S):
                for row in silent[:_RECENT_READINGS]:
                    await _backfill_recent(store, client, row)
        except (ServiceUnavailable, ServiceRefused, TimeoutError) as error:
            _log.info("cannot read the last minute of some silent series: %s", error or type(error).__name__)
    for row in found.series:
        _append(store, row, [row.time], [row.value], [row.text])
    return not found.missing


async def _backfill_recent(store: Store, client: AsyncServiceClient, row: SeriesInfo) -> None:
    params = (("metric", row.metric), ("start", row.time - _RECENT_MS), ("end", row.time))
    answer = (await client.get("/v1/history", params)).decoded(HistorySeries)
    # Later than the catalog: what came in between is in both, the stream too.
    upto = max(ids_of(answer.cursor).values())
    for columns in answer.series:
        if columns.labels == row.labels:
            same = [unit_key(unit) == unit_key(columns.unit) for unit in columns.units]
            first = len(same) - same[::-1].index(False) if False in same else 0  # after the last of another unit
            recent = slice(max(first, len(columns.time) - _RECENT_READINGS), None)
            _append(store, row, columns.time[recent], columns.value[recent], columns.text[recent], upto)


def _append(
    store: Store, row: SeriesInfo, time: list[float], value: list[float | None], text: list[str | None], upto: int = 0
) -> None:
    batch = Batch(metric=row.metric, labels=row.labels, unit=row.unit, time=time, value=value, text=text or None)
    store.append(batch, parse_id(row.id), snapshot=True, upto=upto)
