"""The silent series: what a stream's replay does not bring, entered into a store from the catalogue and the history."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import httpx
import msgspec

from tidewire.livestore.store import Store
from tidewire.model.batch import Batch
from tidewire.model.cursor import parse_id
from tidewire.subscribing.service_address import verification

__all__ = ["enter_silent"]

_log = logging.getLogger("tidewire")
_TIMEOUT_S: Final = 10.0
_MAX_BYTES: Final = 64 << 20
_RECALLED: Final = 64  # series whose last minute is asked for, and readings taken of each
_RECALL_MS: Final = 60_000.0
_RECALL_S: Final = 5.0  # for all of them


class _Row(msgspec.Struct):
    metric: str
    id: str
    time: float
    value: float | None
    labels: dict[str, str] = {}
    unit: str = ""


class _Catalog(msgspec.Struct):
    series: list[_Row]


class _Columns(msgspec.Struct):
    time: list[float]
    value: list[float | None]
    labels: dict[str, str] = {}


class _History(msgspec.Struct):
    series: list[_Columns]


async def enter_silent(
    store: Store, url: str, token: str, patterns: Sequence[str], labels: Mapping[str, str] | None
) -> bool:
    """Enter every series of the catalogue with its last reading; for the store's writing thread, after the replay.

    Of series that the replay did not bring, what they said in their last minute comes first: how often they were
    expected tells whether their silence is long.

    Returns:
        Whether the catalogue could be read.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    params: list[tuple[str, str | int | float | bool | None]] = [("metric", pattern) for pattern in patterns]
    params += [("label", f"{name}:{value}") for name, value in (labels or {}).items()]
    async with httpx.AsyncClient(
        base_url=url, timeout=_TIMEOUT_S, headers=headers, trust_env=False, verify=verification(url)
    ) as http:
        try:
            answer = await http.get("/v1/catalog", params=params)
            answer.raise_for_status()
            found = msgspec.json.decode(answer.content[:_MAX_BYTES], type=_Catalog)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.warning("the catalogue of %s could not be read: %s", url, error)
            return False
        silent = [row for row in found.series if store.find(row.metric, row.labels) is None]
        try:
            async with asyncio.timeout(_RECALL_S):
                for row in silent[:_RECALLED]:
                    await _recall(store, http, row)
        except (httpx.HTTPError, msgspec.MsgspecError, TimeoutError) as error:
            _log.info("the last minute of some silent series could not be read: %s", error or type(error).__name__)
    for row in found.series:
        _enter(store, row, [row.time], [row.value])
    return True


async def _recall(store: Store, http: httpx.AsyncClient, row: _Row) -> None:
    params: dict[str, str | float] = {"metric": row.metric, "start": row.time - _RECALL_MS, "end": row.time}
    answer = await http.get("/v1/history", params=params)
    answer.raise_for_status()
    for columns in msgspec.json.decode(answer.content[:_MAX_BYTES], type=_History).series:
        if columns.labels == row.labels:
            _enter(store, row, columns.time[-_RECALLED:], columns.value[-_RECALLED:])


def _enter(store: Store, row: _Row, time: list[float], value: list[float | None]) -> None:
    batch = Batch(metric=row.metric, labels=row.labels, unit=row.unit, time=time, value=value)
    store.append(batch, parse_id(row.id), snapshot=True)
