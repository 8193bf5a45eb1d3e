"""Fixtures of all tests: a fresh Valkey, the service on a real uvicorn, a browser; and what may be skipped where.

Everything is real and belongs to one test: the server on a port of its own, its data in the test's directory. Whatever
needs a program that Python does not bring (Chromium, Node) is skipped with its reason; `TIDEWIRE_CI=1` forbids skips.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import waiting
from lanes import bounded
from ordering import long_first
from servers import LiveService, Service, StartService, Valkey, running_service
from waiting import HANG_MS, Eventually, generous

from tidewire_service.settings import ServiceSettings

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, CDPSession, Page

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


def headless_shell() -> str | None:
    """Return the path of Chromium without its windows, else of Chromium: five times the CPU for each page opened."""
    return shutil.which("chromium-headless-shell") or chromium()


_NEEDS = {
    "browser": (chromium, "needs Chromium: apt-get install chromium"),
    "redis_server": (lambda: shutil.which("redis-check-rdb"), "needs a Redis with TLS: apt-get install redis-tools"),
    "proxies": (
        lambda: shutil.which("caddy") and shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"),
        "needs two proxies: apt-get install caddy nginx",
    ),
    "influxd": (lambda: shutil.which("influxd"), "needs InfluxDB 1.6: apt-get install influxdb"),
    "pushgateway": (
        lambda: shutil.which("prometheus-pushgateway"),
        "needs a Pushgateway: apt-get install prometheus-pushgateway",
    ),
    "mosquitto": (
        lambda: shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"),
        "needs a broker of MQTT: apt-get install mosquitto",
    ),
    "node_exporter": (
        lambda: shutil.which("prometheus-node-exporter"),
        "needs an exporter of Prometheus: apt-get install prometheus-node-exporter",
    ),
    "node": (lambda: shutil.which("node"), "needs Node.js 20 or newer"),
}


def pytest_configure() -> None:
    """Take Ctrl-C as usual: what a shell starts in the background ignores it, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Take three workers more than cores: tests wait for timers and other processes about half of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 3


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker a part of the list, and what is left of others' parts when it is through."""
    # A plugin that may be switched off, and has no types.
    from xdist.scheduler import WorkStealingScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    return WorkStealingScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests where several workers run, and skip those whose marker names a missing program."""
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = long_first(
            items, workers, lambda item: item.get_closest_marker("long") is not None, lambda item: str(item.path)
        )
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


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh Valkey of this test alone, running."""
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.close()


# -- the service


@pytest.fixture
async def start_service(valkey: Valkey) -> AsyncIterator[StartService]:
    """Start services on this test's Valkey, with settings of their own; all are ended after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(*, wait: bool = True, **options: Any) -> Service:
            given = {"redis": valkey.url, "port": 0, "drain_s": 0.1, "max_matching_s": generous(2), **options}
            service = Service(ServiceSettings(**given))
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


class Chromium:
    """A headless Chromium that all tests of a process share; what a test opens in it is closed with the test.

    It has a fresh profile for each test and page, as Playwright's browser has.
    """

    def __init__(self, shared: Browser) -> None:
        self._shared = shared
        self._contexts: list[BrowserContext] = []

    async def new_context(self, **options: Any) -> BrowserContext:
        """Open a profile of its own; options are Playwright's."""
        context = await self._shared.new_context(**options)
        context.set_default_timeout(HANG_MS)
        self._contexts.append(context)
        return context

    async def new_page(self, **options: Any) -> Page:
        """Open a page in a profile of its own."""
        return await (await self.new_context(**options)).new_page()

    async def new_browser_cdp_session(self) -> CDPSession:
        """Open a session of DevTools with the browser itself."""
        return await self._shared.new_browser_cdp_session()

    async def close(self) -> None:
        """Close what the test opened."""
        for context in self._contexts:
            await context.close()


@pytest.fixture(scope="session")
async def shared_browser() -> AsyncIterator[Browser]:
    """One Chromium of this process: to start it with its driver takes as long as an average test."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - starts a driver; only where it is used

    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=headless_shell(), args=CHROMIUM_FLAGS)
        yield started
        await started.close()


@pytest.fixture
async def browser(shared_browser: Browser) -> AsyncIterator[Chromium]:
    """A headless Chromium; mark the test with `browser`."""
    of_test = Chromium(shared_browser)
    yield of_test
    await of_test.close()


@pytest.fixture
def live_service(valkey: Valkey, tmp_path: Path) -> Iterator[LiveService]:
    """A service in a process of its own, for tests that block."""
    with running_service(valkey, tmp_path / "service.log") as service:
        yield service
