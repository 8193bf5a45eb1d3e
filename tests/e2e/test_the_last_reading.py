"""Which reading is the last one: the newest by its own time, and of equal times the one logged later; for everybody."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from servers import Service
from waiting import Eventually

import tidewire
from tidewire.livestore.alarms import Alarms
from tidewire.livestore.feed import Feed
from tidewire.livestore.store import Store
from tidewire.model.sse import Decoder
from tidewire.model.threshold import Threshold

Batches = list[list[tuple[float, float]]]  # of each batch its readings: milliseconds before now, and the value
HOUR = 3_600_000.0

CASES: dict[str, tuple[Batches, float]] = {
    "late": ([[(0, 22.5)], [(2 * HOUR, 3)]], 22.5),
    "equal times": ([[(0, 1)], [(0, 2)]], 2),
    "equal times in one batch": ([[(5, 1), (0, 2), (0, 3)], [(1, 9)]], 3),
    "a batch in disorder": ([[(10, 1), (3, 2), (8, 3)], [(4, 9), (7, 9)]], 2),
    "later ones overlap": ([[(10, 1), (6, 2)], [(8, 3), (4, 4)], [(5, 5)]], 4),
    "ahead of the clock, then now": ([[(-60_000, 7)], [(0, 8)]], 7),
    "older than the replay": ([[(0, 1)], [(20 * HOUR, 2)], [(19 * HOUR, 3)]], 1),
    "in order": ([[(3, 1)], [(2, 2)], [(1, 3)]], 3),
}


@pytest.mark.parametrize("name", CASES)
async def test_everybody_calls_the_newest_by_its_own_time_the_last(
    service: Service, eventually: Eventually, now_ms: float, name: str
) -> None:
    batches, expected = CASES[name]
    store = Store()
    alarms = Alarms(store)
    alarms.set([Threshold(metric="m", warn_above=expected - 0.5, critical_above=expected + 0.5)])
    watching = Feed(store, ("m",), url=service.url)
    with watching:
        await eventually(lambda: watching.status.state == "live")
        for readings in batches:
            times = [now_ms - age for age, _ in readings]
            await service.publish("m", *[value for _, value in readings], time=times)
        await eventually(lambda: store.find("m", {}) and store.state["total"][0] == sum(map(len, batches)))
    found: dict[str, Any] = {"deck": float(store.state["last_value"][0])}
    alarms.evaluate(0)
    assert [alarm.level for alarm in alarms.alarms_message().alarms] == ["warn"]
    latecomer = Store()  # the replay of its feed reaches back for less than the log
    with Feed(latecomer, ("m",), url=service.url, replay_s=1) as late:
        await eventually(lambda: late.status.state == "live" and latecomer.find("m", {}))
    found["deck that came later"] = float(latecomer.state["last_value"][0])
    catalog = (await service.http.get("/v1/catalog")).json()["series"][0]
    found["catalogue"], found["count"] = catalog["value"], catalog["count"]
    found["last()"] = (await asyncio.to_thread(tidewire.last, url=service.url))["value"].item()
    found["replay=last"] = await _snapshot(service)
    history = (await service.http.get("/v1/history?metric=m&start=-30h")).json()["series"][0]
    found["history"] = history["value"][-1]
    assert found == {**dict.fromkeys(found, expected), "count": sum(map(len, batches))}


async def _snapshot(service: Service) -> float:
    decoder = Decoder()
    values = []
    async with service.http.stream("GET", "/v1/stream?metric=m") as answer:
        async for chunk in answer.aiter_raw():
            for event in decoder.feed(chunk):
                if event.event == "message":
                    values.append(json.loads(event.data)["value"][0])
                if event.event == "live":
                    (value,) = values
                    return float(value)
    raise AssertionError("the stream ended")
