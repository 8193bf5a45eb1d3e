"""A cancelled call of the log ends: a shutdown, a deadline and a closed stream depend on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from waiting import HANG_S, eventually

from tidewire.model.batch import IngestLimits
from tidewire.redislog.keys import Keys
from tidewire.redislog.locator import locator_of
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire.redislog.redis_url import parse_redis_url
from tidewire_service.documents import Documents
from tidewire_service.hub.live_connection import LiveConnection
from tidewire_service.ingest.inbox import Inbox

from .conftest import World

pytestmark = pytest.mark.fault


async def cancel_anywhere(calls: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Cancel some calls again and again, each time at another place, and see that they are cancelled."""
    for turn in range(100):
        task = asyncio.create_task(calls())
        await asyncio.sleep(0.0002 * (turn % 20))  # wherever it is by then
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), f"turn {turn}"


async def test_a_cancelled_call_is_cancelled_wherever_it_is(world: World) -> None:
    log = RedisLog(world.valkey.url)
    await log.ping()

    async def calls() -> None:
        for _ in range(500):
            await log.ping()

    try:
        await cancel_anywhere(calls)
        await log.ping()
    finally:
        await log.close()


@pytest.mark.parametrize("call", ["get", "put"])
async def test_a_cancelled_call_for_a_document_is_cancelled_wherever_it_is(world: World, call: str) -> None:
    log = RedisLog(world.valkey.url)
    documents = Documents(log, "tw:documents", most=10, described="the document {name}", check=msgspec.json.decode)

    async def calls() -> None:
        for turn in range(500):
            await (documents.get("a") if call == "get" else documents.put("a", b'{"turn":%d}' % turn))

    try:
        await documents.put("a", b"{}")
        await cancel_anywhere(calls)
        assert await documents.get("a") is not None
    finally:
        await log.close()


async def test_an_inbox_that_is_told_to_end_ends_whatever_it_is_doing(world: World) -> None:
    log = RedisLog(world.valkey.url)
    feed = RedisLog(world.valkey.url)
    fields = ("metric", "inbox/cancelled", "value", "1")

    async def entries() -> None:
        while True:
            await feed.run(*[("XADD", feed.keys.inbox, "*", *fields)] * 3)

    feeding = asyncio.create_task(entries())
    try:
        for turn in range(60):
            inbox = Inbox(PartitionedLog.of_one(log), IngestLimits(), 60)
            task = asyncio.create_task(inbox.run())
            while not inbox.counters["entries"]:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.0002 * (turn % 20))  # wherever it is by then
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=HANG_S)
            assert done, f"turn {turn}"
            assert task.cancelled()
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await log.close()
        await feed.close()


@pytest.mark.parametrize("ticks", range(6))
@pytest.mark.parametrize("event", ["connected", "closed"])
async def test_a_live_connection_ends_when_it_is_cancelled_as_it_connects_or_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch, event: str, ticks: int
) -> None:
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that comes with the result: a shutdown never ended."""
    locator = locator_of(parse_redis_url(world.valkey.url), Keys("tw").clock)
    connection = LiveConnection(locator, Keys("tw"), lambda channel, payload: None)
    connect, connecting, may_connect = connection._connect, asyncio.Event(), asyncio.Event()

    async def slow_connect() -> Any:
        reader = await connect()
        connecting.set()
        await may_connect.wait()
        return reader

    monkeypatch.setattr(connection, "_connect", slow_connect)
    task = asyncio.create_task(connection.run())
    await connecting.wait()
    if event == "closed":
        may_connect.set()
        await eventually(lambda: connection.up)
        connection.rebuild()
    else:
        may_connect.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=HANG_S)
    assert task.cancelled()
