"""The SDK's own publisher under the faults of its Redis and of its service: every reading arrives once."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from waiting import HANG_S, eventually

from tidewire.publishing.publisher import Publisher

from .clients import Subscriber
from .conftest import World

pytestmark = pytest.mark.fault


def _values(subscriber: Subscriber) -> list[float]:
    """Return the values of all batches, in the order in which they came."""
    pages = subscriber.ledger.of("message")
    return [value for page in pages for value in httpx.Response(200, content=page.data).json()["value"]]


@pytest.mark.parametrize("transport", ["redis", "http"])
async def test_every_reading_of_the_publisher_arrives_once_through_all_faults(world: World, transport: str) -> None:
    world.valkey.client.config_set("appendfsync", "always")
    link = await world.redis_proxy()
    service = await world.service(link.url, "--redis-timeout-s=1")
    watcher = await world.service()
    subscriber = world.subscriber(watcher.address, "sdk/**")
    await world.all_live()
    publisher = Publisher(link.url if transport == "redis" else service.url, flush_after_s=0.01)
    slowest_s = sent = 0.0

    async def publish(count: int) -> None:
        nonlocal slowest_s, sent
        for _ in range(count):
            started = time.perf_counter()
            publisher.publish("sdk/counter", sent)
            slowest_s = max(slowest_s, time.perf_counter() - started)
            sent += 1
            await asyncio.sleep(0.001)

    try:
        await publish(200)
        for nth in (1, 2, 3):
            link.lose_reply("append", nth)
            await publish(150)
        link.close_all()
        await publish(150)
        world.valkey.kill()
        await publish(200)
        await world.valkey.start("--appendfsync", "always")
        await publish(200)
        world.valkey.pause()
        await publish(100)
        world.valkey.resume()
        await publish(200)
        assert await asyncio.to_thread(publisher.flush, HANG_S)
        stats = publisher.stats
        assert (stats.sent, stats.rejected, stats.dropped) == (sent, 0, 0)
        assert stats.retried >= 1
        await eventually(lambda: len(_values(subscriber)) >= sent)
        assert _values(subscriber) == [float(n) for n in range(int(sent))], "once each, and in order"
        slowest_ms = slowest_s * 1e3
        print(f"{transport}: {sent:g} readings, {stats.retried} calls repeated, slowest publish() {slowest_ms:.2f} ms")
    finally:
        await asyncio.to_thread(publisher.close)
    assert {subscriber.ledger.count(kind) for kind in ("cut", "gap", "reset")} == {0}
