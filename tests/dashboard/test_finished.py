"""A run that ended is FINISHED, however it says so, also to a dashboard that starts later, and until it goes on."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import msgspec
from servers import Valkey
from waiting import Eventually

from tidewire.commands.catalog import _cells
from tidewire.livestore.feed import Feed
from tidewire.livestore.store import Store
from tidewire.model.answers import CatalogJson
from tidewire.publishing.experiment_runs import init, log
from tidewire.publishing.publisher import Publisher


def ended(feed: Feed) -> set[str]:
    return {f"{one.metric} {one.labels.get('run', '')}".strip() for one in feed.store.series if one.ended}


def known(feed: Feed) -> set[str]:
    return {one.metric for one in feed.store.series}


async def test_every_door_can_say_it_and_a_dashboard_that_starts_later_knows(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    doors = {"http", "xadd", "pubsub"}
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as early:
        await eventually(lambda: early.status.state == "live")
        await service.publish("http", 1.0, 2.0, text=[None, "finished"])
        await service.publish("crashed", 1.0, 2.0)
        fields = {"metric": "xadd", "value": "3", "text": "finished"}
        await asyncio.to_thread(valkey.client.xadd, "tw:in", fields)
        await asyncio.to_thread(valkey.client.publish, "tw:in:pubsub", '{"value":[4],"text":["finished"]}')
        await eventually(lambda: doors | {"crashed"} <= known(early))
        await eventually(lambda: ended(early) == doors)
    for replay_s in (None, 60):
        with Feed(Store(), ("**",), url=service.url, replay_s=replay_s) as late:
            await eventually(lambda feed=late: doors | {"crashed"} <= known(feed))
            await eventually(lambda feed=late: ended(feed) == doors)
            assert late.store.state["last_value"][late.store.find("xadd", {}).index] == 3  # type: ignore[union-attr]
    rows = (await service.http.get("/v1/catalog")).json()["series"]
    assert {row["metric"] for row in rows if row["text"] == "finished"} == doors


async def test_a_run_that_goes_on_after_its_end_is_live_again(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    def cell(value: float, *, finish: bool) -> None:
        """Run a notebook's cell, which makes its publisher and its run anew each time."""
        with Publisher(valkey.url) as publisher, suppress(KeyboardInterrupt), init("p", name="a"):
            log({"loss": value}, publisher=publisher)
            if not finish:
                raise KeyboardInterrupt

    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live")
        await asyncio.to_thread(cell, 0.5, finish=True)
        await eventually(lambda: ended(feed) == {"p/loss a"})
        await asyncio.to_thread(cell, 0.25, finish=False)
        await eventually(lambda: feed.store.state["last_value"][0] == 0.25)
        assert ended(feed) == set(), "a publisher that was replaced does not end it for ever"
        await asyncio.to_thread(cell, 0.125, finish=True)
        await eventually(lambda: ended(feed) == {"p/loss a"})
        assert feed.store.state["last_value"][0] == 0.125, "it shows what it ended with"
        await service.publish("p/loss", 9.0, labels={"run": "a"}, time=[time.time() * 1e3 - 60_000])
        await eventually(lambda: 9.0 in feed.store.series[0].raw.rows()[1])
        assert ended(feed) == {"p/loss a"}, "what comes late is of before its end"


async def test_the_command_catalog_says_which_series_have_ended_and_how_late_a_reading_came(service: Any) -> None:
    await service.publish("a", 1.0, text=["finished"])
    await service.publish("b", 1.0)
    await service.publish("c", 1.0, time=[time.time() * 1e3 - 150_000])
    answer = await service.http.get("/v1/catalog")
    found = msgspec.json.decode(answer.content, type=CatalogJson).series
    shown = [[cell.plain for cell in _cells(info)] for info in found]
    words = [row[4].partition(", ")[2] for row in shown]
    assert words == ["finished", "", "2 min late"]
