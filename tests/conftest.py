"""Fixtures of all tests: a fresh Valkey, the service on a real uvicorn, a browser; and what may be skipped where.

Everything is real and belongs to one test: the server on a port of its own, its data in the test's directory. Whatever
needs a program that Python does not bring (Chromium, Node) is skipped with its reason; `TIDEWIRE_CI=1` forbids skips.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest
import redis
import waiting
from lanes import bounded
from ports import own_port
from waiting import HANG_S, Eventually

from tidewire_service.app import create_app
from tidewire_service.http_server.server import listening_socket, make_server
from tidewire_service.launch.embedded import EmbeddedServer
from tidewire_service.settings import ServiceSettings

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

# No deadline: a busy machine is no failure. Tests leave the number of examples to this profile.
hypothesis.settings.register_profile("tidewire", deadline=None, max_examples=bounded(100, 5_000))
hypothesis.settings.load_profile("tidewire")

# -- what this machine can run


def chromium() -> str | None:
    """Return the path of an installed Chromium, None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


_NEEDS = {
    "browser": (chromium, "needs Chromium: apt-get install chromium"),
    "redis_server": (lambda: shutil.which("redis-check-rdb"), "needs a Redis with TLS: apt-get install redis-tools"),
    "proxies": (
        lambda: shutil.which("caddy") and shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"),
        "needs two proxies: apt-get install caddy nginx",
    ),
    "node": (lambda: shutil.which("node"), "needs Node.js 20 or newer"),
}


def pytest_configure() -> None:
    """Take Ctrl-C as usual: what a shell starts in the background ignores it, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose marker names a program that is not here."""
    for marker, (found, reason) in _NEEDS.items():
        if found():
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _not_run(session: pytest.Session) -> list[str]:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    stats = {} if reporter is None else reporter.stats
    return [report.nodeid for outcome in ("skipped", "xfailed", "xpassed") for report in stats.get(outcome, [])]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of CI that skipped anything: there, all programs are installed."""
    if os.environ.get("TIDEWIRE_CI") == "1" and not hasattr(session.config, "workerinput") and _not_run(session):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what CI forbids."""
    if os.environ.get("TIDEWIRE_CI") == "1" and (not_run := _not_run(terminalreporter._session)):
        terminalreporter.section("skips are forbidden here (TIDEWIRE_CI=1)", sep="!", red=True)
        for node in not_run:
            terminalreporter.write_line(node)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this shell's TIDEWIRE_… and proxies away from the tests."""
    for name in list(os.environ):
        if (name.startswith("TIDEWIRE_") and name != "TIDEWIRE_CI") or name.lower() in ("http_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEWIRE_SELF_METRICS_S", "0")  # of `tidewire up`: tests see what they publish, and no more


# -- time


@pytest.fixture
def now_ms() -> float:
    """The time of this test, as epoch milliseconds. No module of tests reads a clock when it is imported."""
    return time.time() * 1e3


# -- waiting


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition (plain or awaitable) holds."""
    return waiting.eventually


# -- Valkey


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
        self.client = redis.Redis(port=self.port)
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


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh Valkey of this test alone, running."""
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.close()


# -- the service


class Service:
    """A service on a real uvicorn in the test's own loop; its port stays its own over stop and start.

    Attributes:
        url: where.
        app: the Litestar app; `app.state.hub` is its hub. None while stopped.
        http: a client of it.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.port = own_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=HANG_S, trust_env=False)
        self.app: Any = None
        self._ending: Callable[[], Awaitable[None]] | None = None

    async def start(self, *, wait: bool = True) -> None:
        """Start it; without `wait` it may not be ready yet, for example because Redis is away."""
        app = create_app(self.settings)
        server = make_server(app, self.settings)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(server.serve([listening_socket("127.0.0.1", self.port)]))

        async def end() -> None:
            server.stop()
            await task

        self.app, self._ending = app, end
        await waiting.eventually(lambda: server.started or task.done())
        if wait:
            await self.ready()

    async def ready(self, limit_s: float = HANG_S) -> None:
        """Wait until it says that it is ready."""

        async def is_ready() -> bool:
            return (await self.http.get("/health/ready")).status_code == 200

        await waiting.eventually(is_ready, limit_s=limit_s)

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


StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start_service(valkey: Valkey) -> AsyncIterator[StartService]:
    """Start services on this test's Valkey, with settings of their own; all are ended after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(*, wait: bool = True, **options: Any) -> Service:
            service = Service(ServiceSettings(**{"redis": valkey.url, "port": 0, "drain_s": 0.1, **options}))
            stack.push_async_callback(service.http.aclose)
            stack.push_async_callback(service.stop)
            await service.start(wait=wait)
            return service

        yield begin


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service on this test's Valkey, ready."""
    return await start_service()


# -- a browser


@pytest.fixture
def chromium_command() -> list[str]:
    """The program and the flags of a Chromium to be started by hand; mark the test with `browser`."""
    return [chromium() or "chromium", *CHROMIUM_FLAGS]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium; mark the test with `browser`."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - starts a driver; only where it is used

    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        yield started
        await started.close()


@pytest.fixture
def live_service(valkey: Valkey, tmp_path: Path) -> Iterator[Any]:
    """A service in a process of its own, for tests that block: has `url`."""
    port = own_port()
    log = tmp_path / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidewire", "serve", "--port", str(port), "--redis", valkey.url],
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + HANG_S
    with httpx.Client(base_url=url, trust_env=False) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if http.get("/health/ready").status_code == 200:
                    break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
    yield SimpleNamespace(url=url, port=port, process=process, log=log)
    process.terminate()
    process.wait(HANG_S)
