"""The servers that tests start, hurt and end: a Valkey, and the service on a real uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
import redis
from litestar import Litestar
from ports import own_port
from waiting import HANG_S, eventually

from tidewire_service.app import create_app
from tidewire_service.http_server.server import listening_socket, make_server
from tidewire_service.launch.embedded import EmbeddedServer
from tidewire_service.settings import ServiceSettings

__all__ = ["LiveService", "Service", "StartService", "Valkey", "running_service"]


class Valkey:
    """The bundled server, for one test: kill it, pause it, start it again on the same port and data.

    Attributes:
        url: ``redis://127.0.0.1:…``.
        port: of it.
        directory: its append-only file and its log.
        client: a plain redis-py client, for looking and for what a foreign program would do.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = own_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client: Any = redis.Redis(port=self.port)  # its types allow for every way to decode
        self._server: EmbeddedServer | None = None

    @property
    def pid(self) -> int:
        assert self._server is not None, "not started"
        pid = self._server.pid
        assert pid is not None, "not running"
        return pid

    def start(self, **options: str) -> None:
        """Start it; options are of its configuration, such as ``maxmemory="4mb"``."""
        named = {name.replace("_", "-"): value for name, value in options.items()}
        server = EmbeddedServer(self.directory, self.port, named)
        server.start()
        self._server = server

    def stop(self) -> None:
        """End it cleanly; the data stays."""
        if self._server is not None:
            if self._server.pid is not None:
                self.resume()
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """End it as a power cut would."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + HANG_S
        while self._server is not None and self._server.pid is not None:
            assert time.monotonic() < deadline, "SIGKILL had no effect"
            time.sleep(0.001)
        self.stop()

    def restart(self, **options: str) -> None:
        """End it cleanly and start it on the same data."""
        self.stop()
        self.start(**options)

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End the pause."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def cli(self, *command: Any) -> Any:
        """Run one command, as redis-cli would."""
        return self.client.execute_command(*command)

    def close(self) -> None:
        self.client.close()
        self.stop()


class Service:
    """A service on a real uvicorn in the test's own loop; its port stays its own over stop and start.

    Attributes:
        url: where.
        app: the Litestar app; `app.state.hub` is its hub. None while stopped.
        http: a client of it.
    """

    def __init__(self, settings: ServiceSettings, make_app: Callable[[ServiceSettings], Litestar] = create_app) -> None:
        self.settings = settings
        self._make_app = make_app
        self.port = own_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Without `verify` a client reads all certificate authorities: 45 ms of CPU for each of six hundred services.
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(base_url=self.url, timeout=HANG_S, trust_env=False, verify=False, limits=limits)
        self.app: Any = None
        self._ending: Callable[[], Awaitable[None]] | None = None

    async def start(self, *, wait: bool = True) -> None:
        """Start it; without `wait` it may not be ready yet, for example because Redis is away."""
        app = self._make_app(self.settings)
        server = make_server(app, self.settings)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(server.serve([listening_socket("127.0.0.1", self.port)]))

        async def end() -> None:
            server.stop()
            await task

        self.app, self._ending = app, end
        await eventually(lambda: server.started or task.done())
        if wait:
            await self.ready()

    async def ready(self, limit_s: float = HANG_S) -> None:
        """Wait until it says that it is ready."""

        async def is_ready() -> bool:
            return (await self.http.get("/health/ready")).status_code == 200

        await eventually(is_ready, limit_s=limit_s)

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        if self._ending is not None:
            ending, self._ending = self._ending, None
            await ending()
            self.app = None

    async def publish(self, metric: str, *values: float | None, **more: Any) -> str:
        """Publish readings over HTTP, now unless `time` says when; return the cursor of the answer."""
        now_ms = time.time() * 1e3
        times = more.pop("time", [now_ms - len(values) + 1 + n for n in range(len(values))])
        body = {"metric": metric, "time": times, "value": list(values), **more}
        answer = await self.http.post("/v1/readings", json=body)
        assert answer.status_code == 200, answer.text
        cursor: str = answer.json()["cursor"]
        return cursor


class StartService(Protocol):
    """Starts services on the test's Valkey, with settings of their own."""

    async def __call__(self, *, wait: bool = True, **options: Any) -> Service: ...


class LiveService(NamedTuple):
    """A service in a process of its own, and what it logs."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running_service(valkey: Valkey, log: Path) -> Iterator[LiveService]:
    """Run a service in a process of its own; it is ready, and ends with the block."""
    port = own_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidewire", "serve", "--port", str(port), "--redis", valkey.url],
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + HANG_S
    with httpx.Client(base_url=url, trust_env=False, verify=False, timeout=HANG_S) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if http.get("/health/ready").status_code == 200:
                    break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
    yield LiveService(url, port, process, log)
    process.terminate()
    process.wait(HANG_S)
