"""A dashboard answers before it has imported Panel: pages, files and frames, each as it does afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from waiting import HANG_S, Eventually

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.page import PANEL_HEADER
from tidewire_dashboard.settings import DashboardSettings

from .conftest import Tab

CHART = "window.__tidewire?.state().charts[0]?.series[0]"
HAS_SESSION = "() => window.Bokeh?.documents[0]?.roots().length > 0"


@pytest.fixture
async def early(service: Any, eventually: Eventually) -> AsyncIterator[Dashboard]:
    """A dashboard that has not imported Panel."""
    settings = DashboardSettings(url=service.url, dashboard_port=0)
    async with running_dashboard(settings, panel_later=True) as dashboard:
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        yield dashboard


@pytest.fixture
async def http(early: Dashboard) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=early.url, trust_env=False, timeout=HANG_S) as http:
        yield http


async def started_command(
    *arguments: str,
    port: int | None = 0,
    program: str = "from tidewire_dashboard.command import command; command()",
    **options: Any,
) -> tuple[asyncio.subprocess.Process, str]:
    """Start the command in a process of its own; return that, and the address which it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "--port", str(port), *arguments, stdout=asyncio.subprocess.PIPE, **options
    )
    assert process.stdout is not None
    said = (await asyncio.wait_for(process.stdout.readline(), HANG_S)).decode()
    url = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert url is not None, said
    return process, url[0]


@pytest.mark.browser
async def test_a_page_draws_and_gets_panels_scripts_afterwards(
    early: Dashboard, shared_page: Any, service: Any
) -> None:
    await service.publish("furnace/temperature", 921.5, 922.5, unit="Cel")
    tab = Tab(await shared_page.blank(), early.url)
    await tab.open("/d/furnace?w=5m")
    await tab.until(f"() => {CHART}?.last === 922.5")
    assert early.server.panel is None
    assert await tab.page.evaluate("() => typeof Bokeh") == "undefined"
    await tab.until(HAS_SESSION)
    assert early.server.panel is not None
    [session] = early.server.panel.get_sessions()
    assert session.document.roots
    await service.publish("furnace/temperature", 923.5, unit="Cel")
    await tab.until(f"() => {CHART}?.last === 923.5")
    assert await tab.page.evaluate("() => document.querySelectorAll('#tidewire-page').length") == 1
    assert len(early.hub.shared.viewers) == 1, "Panel's component starts no second deck"
    tab.forget()
    await shared_page.clear(early.url)
    assert tab.errors == []


@pytest.mark.browser
async def test_an_open_page_outlives_a_restart_of_the_command(shared_page: Any, service: Any) -> None:
    """The page finds a process that has not imported Panel, whose tickets are others: it loads itself anew."""
    await service.publish("furnace/temperature", 921.5, 922.5, unit="Cel")
    first, url = await started_command("--url", service.url)
    tab = Tab(await shared_page.blank(), url)
    await tab.open("/d/furnace?w=5m")
    await tab.until(f"() => {CHART}?.last === 922.5")
    await tab.until(HAS_SESSION)
    first.kill()
    await first.wait()
    again, _ = await started_command("--url", service.url, port=urlsplit(url).port)
    await service.publish("furnace/temperature", 923.5, unit="Cel")
    await tab.until(f"() => {CHART}?.last === 923.5")
    await tab.until(HAS_SESSION)
    tab.forget()
    await shared_page.clear(url)
    again.terminate()
    assert await asyncio.wait_for(again.wait(), HANG_S) == 0


async def test_what_only_panel_serves_waits_for_it(early: Dashboard, http: httpx.AsyncClient) -> None:
    plain = await http.get("/d/plant?w=5m")
    assert plain.status_code == 200
    assert "panel-scripts" not in plain.text
    assert early.server.panel is None
    whole, script = await asyncio.gather(
        http.get("/d/plant?w=5m", headers={PANEL_HEADER: "1"}, follow_redirects=True),
        http.get("/static/js/bokeh.min.js", follow_redirects=True),
    )
    assert early.server.panel is not None
    assert 'id="panel-scripts"' in whole.text
    assert str(whole.url).endswith("/d/plant?w=5m")
    assert script.status_code == 200
    assert (await http.get("/nothing", follow_redirects=True)).status_code == 404


async def test_no_address_leads_to_another_host(early: Dashboard) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", early.server.port)
    writer.write(f"GET //evil.example/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:{early.server.port}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HANG_S)
    assert answer.startswith(b"HTTP/1.1 307 ")
    assert b"\r\nLocation: /evil.example/x?y=1\r\n" in answer
    writer.close()


async def test_pages_and_refusals_are_those_of_later(early: Dashboard, http: httpx.AsyncClient) -> None:
    asked = [
        ("GET", "/", {}),
        ("GET", "/d/plant", {}),
        ("HEAD", "/d/plant", {}),
        ("GET", "/health/live", {}),
        ("GET", "/", {"Host": "evil.example"}),
        ("GET", "/", {"Origin": "http://evil.example"}),
        ("GET", "/autoload.js", {}),
        ("GET", "/exports/unknown.csv", {}),
        ("GET", "/assets/inter-latin.woff2", {}),
    ]

    async def answers() -> list[tuple[int, dict[str, str]]]:
        found = []
        for method, path, given in asked:
            answer = await http.request(method, path, headers=given)
            changing = {"content-length", "date", "etag", "expires", "last-modified", "set-cookie"}
            headers = {name: value for name, value in answer.headers.items() if name not in changing}
            headers["content-type"] = headers["content-type"].partition(";")[0]
            found.append((answer.status_code, headers))
        return found

    before = await answers()
    assert early.server.panel is None
    await early.server.load_panel()
    assert await answers() == before


async def test_the_command_imports_panel_once_a_page_asks_for_it() -> None:
    program = (
        "import sys, threading, time\n"
        "from tidewire_dashboard.command import command\n"
        "def tell():\n"
        "    while 'panel' not in sys.modules: time.sleep(0.01)\n"
        "    print('imported', flush=True)\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
        "command()"
    )
    process, url = await started_command("--url", "http://127.0.0.1:9", program=program)
    assert process.stdout is not None
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S, follow_redirects=True) as http:
        assert "panel-scripts" in (await http.get(url, headers={PANEL_HEADER: "1"})).text
    assert await asyncio.wait_for(process.stdout.readline(), HANG_S) == b"imported\n"
    process.terminate()
    assert await asyncio.wait_for(process.wait(), HANG_S) == 0


def panel_that(does: str, folder: Path) -> dict[str, str]:
    """Return an environment in which Panel is a module of this text."""
    (folder / "panel.py").write_text(does)
    return {**os.environ, "PYTHONPATH": str(folder)}


async def test_a_panel_that_cannot_be_imported_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    environment = panel_that("raise ImportError('a library is broken')", tmp_path)
    process, url = await started_command("--url", "http://127.0.0.1:9", env=environment, stderr=asyncio.subprocess.PIPE)
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        assert (await http.get(url)).status_code == 200
        with contextlib.suppress(httpx.HTTPError):  # it may end before it answers
            assert (await http.get(url, headers={PANEL_HEADER: "1"})).status_code == 500
    _, said = await asyncio.wait_for(process.communicate(), HANG_S)
    assert process.returncode == 1
    assert said.decode().splitlines()[-1] == "Error: Panel cannot be imported: a library is broken"


async def test_a_second_signal_does_not_wait_for_an_import(tmp_path: Path) -> None:
    process, url = await started_command(
        "--url", "http://127.0.0.1:9", env=panel_that(f"import time; time.sleep({2 * HANG_S})", tmp_path)
    )
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        asked = asyncio.create_task(http.get(url, headers={PANEL_HEADER: "1"}))
        await http.get(url)  # behind it, so the import has begun
        process.terminate()
        while process.returncode is None:  # once the first has been handled
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.1)
        assert process.returncode == -signal.SIGTERM
        with pytest.raises(httpx.HTTPError):
            await asked


async def test_a_page_has_an_icon_so_that_no_browser_asks_for_one(early: Dashboard, http: httpx.AsyncClient) -> None:
    """To ask for one is to ask for what only Panel serves: it would be imported while the page draws."""
    assert '<link rel="icon" href="data:,">' in (await http.get("/")).text
    await early.server.load_panel()
    assert (await http.get("/")).text.count('rel="icon"') == 1
