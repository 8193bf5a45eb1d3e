"""Faults rows 5 and 6: a Redis that answers, but with a refusal that passes: READONLY, LOADING, BUSY."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from waiting import HANG_S, eventually

from .conftest import World

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]
_FILLERS = 3_000  # keys, a millisecond each while the data is loaded
Undo = Callable[[], Awaitable[None]]


async def _readonly(world: World) -> Undo:
    """A primary that was made a replica behind our back, as a failover leaves it."""
    world.valkey.client.execute_command("REPLICAOF", "127.0.0.1", 1)

    async def undo() -> None:
        world.valkey.client.execute_command("REPLICAOF", "NO", "ONE")

    return undo


async def _busy(world: World) -> Undo:
    """A script of somebody that does not end."""
    world.valkey.client.config_set("busy-reply-threshold", 50)
    somebody = redis.Redis(port=world.valkey.port, socket_timeout=HANG_S)
    running = asyncio.create_task(asyncio.to_thread(somebody.eval, "while true do end", 0))

    def is_busy() -> bool:
        try:
            world.valkey.client.get("x")
        except redis.ResponseError as error:
            return str(error).startswith("BUSY")
        return False

    await eventually(is_busy)

    async def undo() -> None:
        world.valkey.client.execute_command("SCRIPT", "KILL")
        with pytest.raises(redis.ResponseError):
            await running
        somebody.close()

    return undo


async def _loading(world: World) -> Undo:
    """A server that is up again, and reads its data for seconds."""
    with world.valkey.client.pipeline(transaction=False) as pipe:
        for number in range(_FILLERS):
            pipe.set(f"filler:{number}", "x")
        pipe.execute()
    world.valkey.client.bgrewriteaof()
    await eventually(lambda: not world.valkey.client.info("persistence")["aof_rewrite_in_progress"])
    await world.valkey.terminate()
    slow = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    starting = asyncio.create_task(world.valkey.start(*slow))

    def is_loading() -> bool:
        try:
            world.valkey.client.ping()
        except redis.BusyLoadingError:
            return True
        except redis.ConnectionError:
            return False
        return False

    await eventually(is_loading)

    async def undo() -> None:
        await starting

    return undo


@pytest.mark.parametrize("refuse", [_readonly, _busy, _loading], ids=["READONLY", "BUSY", "LOADING"])
async def test_row_6_a_refusal_that_passes_is_retried_and_no_publisher_is_told_4xx(world: World, refuse: Any) -> None:
    service = await world.service("", "--redis-timeout-s=1")
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(5)]
    await world.all_live()
    feed = world.feed()
    for _ in range(5):
        await feed.publish(*METRICS)
    undo = await refuse(world)
    refused_s = time.time()
    sending = asyncio.create_task(feed.publish(*METRICS))
    answer = await service.http.post("/v1/readings", json={"metric": "posted", "value": 1})
    assert answer.status_code == 503, answer.text
    assert "Retry-After" in answer.headers
    await eventually(lambda: min(s.heard_s for s in subscribers) > refused_s + 1, "heartbeats go on")
    await undo()
    await sending
    assert feed.failures
    await eventually(service.ready)
    await feed.publish(*METRICS)
    answer = await service.http.post("/v1/readings", json={"metric": "posted", "value": 2})
    assert answer.status_code == 200
    await world.settled()
    print(f"row 6, {refuse.__name__}: refused for {time.time() - refused_s:.1f} s, {feed.failures} attempts in vain")
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}
    assert not service.errors()
