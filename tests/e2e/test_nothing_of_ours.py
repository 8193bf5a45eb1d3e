"""Nothing of ours on either side: a bare Redis client publishes, and curl, npm's eventsource and a browser listen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Service, StartService, Valkey
from waiting import Eventually

NODE = Path(__file__).with_name("node")
METRIC = "furnace/temperature"
PATH = "/v1/stream?metric=furnace/*&replay=5m"


class Heard:
    """Data events in the order in which they were heard, as (id, batch)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.live = 0

    def take(self, kind: str, id_: str, data: str) -> None:
        if kind == "live":
            self.live += 1
        elif kind == "message":
            self.events.append((id_, json.loads(data)))

    @property
    def values(self) -> list[float]:
        return [value for _, batch in self.events for value in batch["value"]]


def publish(valkey: Valkey, value: float) -> None:
    """Publish as any language would: the seed's plain Pub/Sub."""
    assert valkey.client.publish(f"tw:in:{METRIC}", str(value)) >= 1, "the service listens"


def put(valkey: Valkey, value: float) -> None:
    """Publish in the durable way."""
    valkey.client.xadd("tw:in", {"metric": METRIC, "value": str(value), "unit": "Cel", "labels": '{"site":"A"}'})


async def lease_taken(valkey: Valkey, eventually: Eventually) -> None:
    """Wait until some process takes what is published to the inbox."""

    async def taken() -> bool:
        valkey.client.publish("tw:in:ready", "1")
        return bool(valkey.client.hexists("tw:{0}:tail", "ready"))

    await eventually(taken)


async def both_ways(valkey: Valkey, heard: Heard, eventually: Eventually) -> None:
    """Publish in both ways, before and while it is listened."""
    await eventually(lambda: heard.live == 1)
    for n in range(3):
        publish(valkey, n)
        await eventually(lambda n=n: heard.values == [float(m) for m in range(n + 1)])
    for n in range(3, 6):
        put(valkey, n)
    await eventually(lambda: heard.values == [0, 1, 2, 3, 4, 5])
    assert {batch["metric"] for _, batch in heard.events} == {METRIC}
    assert heard.events[-1][1]["unit"] == "Cel"
    assert heard.events[-1][1]["labels"] == {"site": "A"}
    assert len({id_ for id_, _ in heard.events}) == len(heard.events), "each has an id of its own"


async def over_a_restart(valkey: Valkey, service: Service, heard: Heard, eventually: Eventually) -> None:
    """Publish in both ways, put some more while the service is away, and see that all of it was heard once."""
    await both_ways(valkey, heard, eventually)
    await service.stop()
    for n in range(6, 9):
        put(valkey, n)
    await service.start()
    await eventually(lambda: len(heard.values) >= 9)
    publish(valkey, 9)
    await eventually(lambda: len(heard.values) >= 10)
    assert heard.values == list(range(10))


@contextlib.asynccontextmanager
async def listening(*command: str, take: Callable[[str], None]) -> AsyncIterator[None]:
    """Run a program and hand on each line that it prints."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    reader = asyncio.create_task(_lines(process.stdout, take))
    try:
        yield
    finally:
        process.kill()
        await process.wait()
        await reader


async def _lines(stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
    async for line in stream:
        take(line.decode().rstrip("\n"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_hears_what_a_bare_redis_client_publishes(
    valkey: Valkey, service: Any, eventually: Eventually
) -> None:
    heard = Heard()
    event: dict[str, str] = {}

    def take(line: str) -> None:
        if line:
            name, _, value = line.partition(":")
            event[name] = value.removeprefix(" ")
        else:
            if "data" in event:
                heard.take(event.get("event", "message"), event.get("id", ""), event["data"])
            event.clear()

    await lease_taken(valkey, eventually)
    async with listening("curl", "-sN", "--noproxy", "*", service.url + PATH, take=take):
        await both_ways(valkey, heard, eventually)


@pytest.mark.node
@pytest.mark.skipif(not (NODE / "node_modules").exists(), reason="needs `npm ci` in tests/e2e/node")
async def test_an_eventsource_of_npm_hears_it_and_goes_on_after_a_restart(
    valkey: Valkey, start_service: StartService, eventually: Eventually
) -> None:
    service = await start_service(retry_min_ms=50, retry_max_ms=100)
    heard = Heard()

    def take(line: str) -> None:
        event = json.loads(line)
        heard.take(event["type"], event["id"], event["data"])

    await lease_taken(valkey, eventually)
    async with listening("node", str(NODE / "listen.mjs"), service.url + PATH, take=take):
        await over_a_restart(valkey, service, heard, eventually)


@pytest.mark.browser
async def test_the_browsers_own_eventsource_hears_it_and_goes_on_after_a_restart(
    valkey: Valkey, start_service: StartService, browser: Any, eventually: Eventually
) -> None:
    service = await start_service(retry_min_ms=50, retry_max_ms=100)
    heard = Heard()
    page = await browser.new_page()
    await page.expose_function("heard", heard.take)
    await page.goto(f"{service.url}/schema")
    await lease_taken(valkey, eventually)
    await page.evaluate(
        """(path) => {
            const source = new EventSource(path);
            const tell = (event) => window.heard(event.type, event.lastEventId, event.data);
            for (const type of ["message", "live"]) source.addEventListener(type, tell);
        }""",
        PATH,
    )
    await over_a_restart(valkey, service, heard, eventually)
    await page.close()
