"""The way of a reading, step by step: from a publisher's call to a line on a screen. Read this second."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from servers import Valkey
from waiting import HANG_MS, Eventually, generous

import tidewire
from tidewire.model.cursor import id_ms
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings


@pytest.mark.browser
async def test_the_way_of_a_reading(valkey: Valkey, service: Any, browser: Any, eventually: Eventually) -> None:
    metric, labels, unit = "furnace/temperature", {"site": "A"}, "Cel"
    values = [921.25, 922.5, 923.75]

    # 1 A publisher takes readings and returns at once.
    with tidewire.Publisher(valkey.url) as publisher:
        began = time.monotonic()
        for value in values:
            publisher.publish(metric, value, unit=unit, labels=labels)
        assert time.monotonic() - began < generous(0.5)
        assert await asyncio.to_thread(publisher.flush)
        assert publisher.stats.sent == 3

    # 2, 3, 4 The append function put them into the log in Redis, one stream per metric, as columns.
    entries = valkey.client.xrange(f"tw:{{0}}:log:{metric}")
    assert b'"metric":"furnace/temperature"' in entries[0][1][b"d"]
    last_id = entries[-1][0].decode()
    assert valkey.client.hget("tw:{0}:tail", metric).decode() == last_id

    # 5 The hub's position is that entry: it has seen everything up to it.
    hub = service.app.state.hub
    await eventually(lambda: hub.position is not None and str(hub.position.epoch) and metric in hub.metrics)
    await eventually(lambda: id_ms(hub.position.id) == int(last_id.partition("-")[0]))

    # 6 A stream sends each batch with the position as its id, in the bytes that the log holds.
    async with service.http.stream("GET", "/v1/stream", params={"metric": "furnace/**", "replay": "1m"}) as stream:
        text = ""
        async for chunk in stream.aiter_text():
            text += chunk
            if "event: live" in text:
                break
    assert text.count(entries[0][1][b"d"].decode()) == 1
    assert f"id: {hub.position}" in text

    # 7 A subscriber yields them as batches and knows where it is.
    received: list[float | None] = []
    subscription = tidewire.astream("furnace/**", url=service.url, replay="1m")
    async for batch in subscription:
        assert (batch.metric, batch.labels, batch.unit) == (metric, labels, unit)
        received += batch.value
        if len(received) == len(values):
            assert batch.cursor == str(hub.position)
            break
    await subscription.aclose()
    assert received == values

    # 8 The dashboard's store holds them; the deck of a viewer draws them, and the next one as it comes.
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        await eventually(lambda: dashboard.source.store.state["total"][:1].tolist() == [3])
        page = await browser.new_page()
        await page.goto(f"{dashboard.url}/d/furnace?c=furnace/temperature")
        line = "(value) => { const s = window.__tidewire?.state().charts[0]?.series[0]; return s?.last === value; }"
        await page.wait_for_function(line, arg=values[-1], timeout=HANG_MS, polling=50)
        await service.publish(metric, 930.5, unit=unit, labels=labels)
        await page.wait_for_function(line, arg=930.5, timeout=HANG_MS, polling=50)
        shown = page.get_by_text("930.5").first
        await shown.wait_for(timeout=HANG_MS)
        await page.close()
