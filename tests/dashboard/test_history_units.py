"""The history behind a chart: what is in another unit than the series has now is not drawn, and that is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tidewire.livestore import history_cache
from tidewire.livestore.buckets import MAX, MIN
from tidewire.livestore.history_cache import HistoryCache, answer_range
from tidewire.livestore.messages import RangeRequest
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import unpack_frame
from tidewire.model.batch import Batch


@pytest.mark.parametrize(
    ("logged", "now", "drawn", "others"),
    [
        ([("Cel", 20.0), ("[degF]", 68.0)], "[degF]", [68.0], ("°C",)),
        ([("Cel", 20.0), ("[degF]", 68.0)], "°C", [20.0], ("°F",)),
        ([("Cel", 20.0), ("°C", 21.0)], "degC", [20.0, 21.0], ()),
        ([("Cel", 20.0)], "[degF]", [], ("°C",)),
        ([("", 20.0)], "Cel", [20.0], ()),
        ([("Cel", 20.0), ("", 21.0)], "Cel", [20.0, 21.0], ()),
    ],
)
async def test_only_what_is_in_the_unit_of_the_series_is_drawn(
    service: Any,
    now_ms: float,
    logged: Sequence[tuple[str, float]],
    now: str,
    drawn: list[float],
    others: tuple[str, ...],
) -> None:
    start_ms = now_ms - 60_000
    for n, (unit, value) in enumerate(logged):
        await service.publish("m", value, time=[start_ms + n * 5_000], unit=unit)
    store = Store()
    store.append(Batch(metric="m", unit=now, time=[now_ms], value=[50.0]), 0)
    cache = HistoryCache(service.url)
    older = await cache.older(store.series, int(start_ms // 1_000) - 1, 30, 1_000)
    tables = list(older.tables.values())
    assert [value for table in tables for value in table[MIN]] == drawn
    assert [value for table in tables for value in table[MAX]] == drawn
    assert older.other_units == others
    request = RangeRequest(id=1, series=[0], start_ms=start_ms - 5_000, end_ms=now_ms - 10_000, buckets=60)
    packed, problem = await answer_range(request, store, cache, seq=1, now_ms=now_ms)
    frame = unpack_frame(packed)
    for name in ("min", "max"):
        body = frame.body[0][name] + frame.records[0]["base"]
        assert sorted({float(value) for value in body[np.isfinite(body)]}) == drawn
    assert [unit in problem for unit in others] == [True] * len(others)
    assert bool(problem) == bool(others)
    await cache.close()


async def test_a_long_history_is_read_in_pieces(service: Any, now_ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
    start_ms = now_ms // 1_000 * 1_000 - 60_000
    for name in ("a", "b"):
        for n in range(0, 40, 3):
            unit = "Cel" if n < 9 else ""
            times = [start_ms + n * 1_000, start_ms + n * 1_000 + 400]
            await service.publish(name, float(n), n + 0.5, time=times, unit=unit)
    store = Store()
    for name in ("a", "b"):
        store.append(Batch(metric=name, time=[now_ms], value=[50.0], unit="Cel"), 0)
    cache = HistoryCache(service.url)
    whole = await cache.older(store.series, int(start_ms // 1_000), 50, 1_000)
    monkeypatch.setattr(history_cache, "_MOST_ROWS", 14)
    pieces = await cache.older(store.series, int(start_ms // 1_000), 50, 1_000)
    assert [table.tolist() for table in pieces.tables.values()] == [table.tolist() for table in whole.tables.values()]
    assert whole.tables[0].shape == (7, 14)
    assert (pieces.from_ms, pieces.to_ms) == (whole.from_ms, whole.to_ms)
    await cache.close()
