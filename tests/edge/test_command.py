"""`tidewire edge` as a process of its own: killed, started again, and ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from ports import own_port
from servers import LiveService, Service, Valkey
from stream_reader import StreamReader, reading
from waiting import HANG_S, Eventually

from tidewire import astream
from tidewire.commands.cli import main

from .conftest import StartEdge

pytestmark = pytest.mark.fault


@contextlib.contextmanager
def running_edge(upstream: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an edge in a process of its own; killed with the block, unless it has ended."""
    with log.open("ab") as out:
        command = [sys.executable, "-P", "-m", "tidewire", "edge", "--upstream", upstream, "--port", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(HANG_S)


async def ready(http: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get("/health/ready")).status_code == 200
    return False


async def test_a_killed_edge_costs_its_viewers_nothing(
    live_service: LiveService, tmp_path: Path, eventually: Eventually
) -> None:
    port, log, reader, sent = own_port(), tmp_path / "edge.log", StreamReader(), 0
    service = httpx.AsyncClient(base_url=live_service.url, timeout=HANG_S, trust_env=False)
    edge = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_S, trust_env=False)

    async def publish() -> None:
        nonlocal sent
        for _ in range(20):
            sent += 1
            answer = await service.post("/v1/readings", json={"metric": "plant/a", "value": sent})
            assert answer.status_code == 200

    def all_came() -> bool:
        assert reader.values["plant/a"] == list(range(1, len(reader.values["plant/a"]) + 1))
        return len(reader.values["plant/a"]) == sent

    async with service, edge:
        with running_edge(live_service.url, port, log) as process:
            await eventually(lambda: ready(edge), log.read_text())
            with contextlib.suppress(httpx.TransportError):
                async with reading(edge, reader, "metric=plant/a&replay=none"):
                    await eventually(lambda: reader.named("live"))
                    await publish()
                    await eventually(all_came)
                    process.kill()
                    process.wait(HANG_S)
                    await publish()
        async with reading(service, reader, "metric=plant/a"):
            await publish()
            await eventually(all_came)
        with running_edge(live_service.url, port, log) as process:
            await publish()
            await eventually(lambda: ready(edge), log.read_text())
            async with reading(edge, reader, "metric=plant/a"):
                await publish()
                await eventually(all_came)
                process.send_signal(signal.SIGTERM)
                await eventually(lambda: reader.named("bye"))
            assert process.wait(HANG_S) == 0
    assert "Traceback" not in log.read_text()
    assert "metric=" not in log.read_text(), "a query may hold a ticket"


@contextlib.contextmanager
def running_upstream(redis: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service in a process of its own; killed with the block."""
    command = [sys.executable, "-P", "-m", "tidewire", "serve", "--redis", redis, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(HANG_S)


async def test_a_killed_upstream_costs_the_viewers_nothing(
    service: Service, valkey: Valkey, start_edge: StartEdge, eventually: Eventually
) -> None:
    port = own_port()
    readers = [StreamReader() for _ in range(5)]
    upstream = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_S, trust_env=False)
    async with upstream, contextlib.AsyncExitStack() as stack:
        with running_upstream(valkey.url, port):
            await eventually(lambda: ready(upstream))
            edge = await start_edge(f"http://127.0.0.1:{port}")
            for number, reader in enumerate(readers):
                query = f"metric=plant/{'a' if number % 2 else '*'}&replay=none"
                await stack.enter_async_context(reading(edge.http, reader, query))
            await eventually(lambda: all(reader.named("live") for reader in readers))
            for value in range(50):
                await service.publish("plant/a", value)
        for value in range(50, 100):
            await service.publish("plant/a", value)
        with running_upstream(valkey.url, port):
            await eventually(lambda: all(len(reader.values["plant/a"]) == 100 for reader in readers))
            for value in range(100, 150):
                await service.publish("plant/a", value)
            await eventually(lambda: all(len(reader.values["plant/a"]) == 150 for reader in readers))
            assert all(reader.values["plant/a"] == list(range(150)) for reader in readers)
            assert all(len(reader.named("hello")) == 1 for reader in readers)
            assert edge.relay.counters["upstream_lost"] > 0


async def test_the_sdk_reads_from_an_edge_as_from_a_service(service: Service, start_edge: StartEdge) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/a", 1)
    batches = astream("plant/*", url=edge.url)
    assert (await anext(batches)).value == [1]
    await service.publish("plant/a", 2)
    second = await anext(batches)
    assert second.value == [2]
    await batches.aclose()
    await service.publish("plant/a", 3)
    resumed = astream("plant/*", url=edge.url, cursor=second.cursor)
    assert (await anext(resumed)).value == [3]
    await resumed.aclose()


async def test_a_client_of_http_1_0_is_served_too(service: Service, start_edge: StartEdge) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/a", 1)
    source, sink = await asyncio.open_connection("127.0.0.1", edge.port)
    sink.write(b"GET /v1/stream?metric=plant/a HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
    found = await asyncio.wait_for(source.readuntil(b"event: live"), HANG_S)
    assert b'"value":[1.0]' in found
    await service.publish("plant/a", 2)
    assert b"plant/a" in await asyncio.wait_for(source.readuntil(b"[2.0]"), HANG_S)
    sink.close()


def test_an_edge_without_an_upstream_says_what_is_missing() -> None:
    found = CliRunner().invoke(main, ["edge"])
    assert found.exit_code == 2
    assert "--upstream" in found.output
