"""Readings that are words: whatever way they came, they are in the log, the stream, the history and the catalogue."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from servers import Valkey
from waiting import HANG_S, Eventually

import tidewire
from tidewire.errors import InvalidInput
from tidewire.model.batch import make_batch
from tidewire.model.states import Live, StreamBatch


async def publish(way: str, service: Any, client: Any) -> None:
    """Publish HEATING to a metric named after the way."""
    if way == "python":
        with tidewire.Publisher(service.url) as publisher:
            await asyncio.to_thread(publisher.publish, way, text="HEATING")
            assert await asyncio.to_thread(publisher.flush, HANG_S)
    elif way == "row":
        answer = await service.http.post("/v1/readings", json={"metric": way, "text": "HEATING"})
        assert answer.json()["accepted"] == 1
    elif way == "columns":
        rows = {"metric": way, "value": [None], "text": ["HEATING"]}
        assert (await service.http.post("/v1/readings", json=rows)).status_code == 200
    elif way == "csv":
        headers = {"Content-Type": "text/csv"}
        answer = await service.http.post("/v1/readings", content=f"metric,text\n{way},HEATING\n", headers=headers)
        assert answer.status_code == 200
    elif way == "message":
        await asyncio.to_thread(client.publish, f"tw:in:{way}", json.dumps({"text": "HEATING"}))
    else:
        await asyncio.to_thread(client.xadd, "tw:in", {"metric": way, "text": "HEATING"})


@pytest.mark.parametrize("way", ["python", "row", "columns", "csv", "message", "entry"])
async def test_a_word_is_carried_from_every_way_in_to_every_way_out(
    service: Any, valkey: Valkey, eventually: Eventually, way: str
) -> None:
    await eventually(lambda: service.app.state.inboxes[0].lease.owns)
    async with asyncio.timeout(HANG_S):
        async for item in tidewire.astream(way, url=service.url, replay="none", every="100ms", states=True):
            if isinstance(item, Live):
                await publish(way, service, valkey.client)
            if isinstance(item, StreamBatch):
                assert (item.value, item.text, item.count) == ([None], ["HEATING"], [1])
                break
        async for raw in tidewire.astream(way, url=service.url, replay="1m"):
            assert (raw.value, raw.text) == ([None], ["HEATING"])
            break
    [series] = (await service.history(way))["series"]
    assert (series["value"], series["text"]) == ([None], ["HEATING"])
    [buckets] = (await service.history(way, points=10))["series"]
    assert (buckets["text"], buckets["count"], buckets["min"]) == (["HEATING"], [1], [None])
    [row] = (await service.http.get("/v1/catalog", params={"metric": way})).json()["series"]
    assert (row["value"], row["text"]) == (None, "HEATING")
    for form in ("csv", "ndjson"):
        answer: httpx.Response = await service.http.get("/v1/history", params={"metric": way, "format": form})
        assert "HEATING" in answer.text
    frame = await asyncio.to_thread(tidewire.history, way, url=service.url)
    assert frame["text"].tolist() == ["HEATING"]
    assert frame["value"].isna().all()


def test_a_word_as_a_value_says_where_words_go() -> None:
    with pytest.raises(InvalidInput, match="text= takes words"):
        make_batch("mode", "HEATING")
