"""A page in a frame of another site: of those in the setting, only with embed=1, and nothing can be changed there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from waiting import HANG_MS, HANG_S, Eventually

from tidewire.errors import InvalidInput
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.exposure import check_exposure
from tidewire_dashboard.settings import DashboardSettings


@pytest.fixture
def wiki() -> Iterator[tuple[str, dict[str, str]]]:
    """A site whose page shows frames: its origin, and the address of each frame by name."""
    frames: dict[str, str] = {}

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            for name, url in frames.items():
                self.wfile.write(f'<iframe name="{name}" src="{url}" width="900" height="400"></iframe>'.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}", frames
    server.shutdown()
    server.server_close()


@pytest.mark.browser
async def test_a_page_of_another_site_shows_a_deck_and_nothing_else_of_ours(
    service: Any, browser: Any, wiki: tuple[str, dict[str, str]], eventually: Eventually
) -> None:
    site, frames = wiki
    await service.publish("furnace/temperature", *map(float, range(60)), unit="Cel")
    settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_embed_origins=(site,))
    async with running_dashboard(settings) as dashboard:
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        frames["deck"] = f"{dashboard.url}/d/furnace?c=furnace/temperature&embed=1"
        frames["plain"] = f"{dashboard.url}/d/furnace?c=furnace/temperature"
        page = await browser.new_page()
        await page.goto(site)
        deck = page.frame(name="deck")
        await deck.wait_for_function(
            "() => (window.__tidewire?.state().charts[0]?.series[0]?.buckets ?? 0) > 0", timeout=HANG_MS, polling=50
        )
        assert not page.frame(name="plain").url.startswith(dashboard.url), "without embed=1 it is refused"
        for hook in ("wall", "chart", "legend"):
            await deck.locator(f'[data-tw="{hook}"]').first.wait_for(state="visible")
        for hook in ("connection-badge", "sidebar", "chart-remove", "leave-wall", "more"):
            assert await deck.locator(f'[data-tw="{hook}"]').locator("visible=true").count() == 0, hook
        await deck.locator('[data-tw="plot"]').focus()
        for key in ("x", "S", "k", "q", "f", "y", "w"):
            await page.keyboard.press(key)
        address = await deck.evaluate("() => location.search")
        assert sorted(address.lstrip("?").split("&")) == ["c=furnace/temperature", "embed=1"]
        await page.keyboard.press("Space")
        await deck.locator('[data-tw="wall"]').filter(has_text="PAUSED").wait_for()


async def test_only_sites_of_the_setting_may_embed_and_only_such_pages(service: Any) -> None:
    sites = ("https://wiki.example", "http://intranet:8080")
    into = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    for allowed, ancestors in (((), "'none'"), (sites, " ".join(sites))):
        settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_embed_origins=allowed)
        async with (
            running_dashboard(settings) as dashboard,
            httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http,
        ):
            own = await http.get("/d/a?embed=1")
            assert f"frame-ancestors {ancestors}" in own.headers["Content-Security-Policy"]
            assert ("X-Frame-Options" in own.headers) is not bool(allowed)
            assert (await http.get("/d/a?embed=1", headers=into)).status_code == (200 if allowed else 403)
            for path in ("/d/a", "/?embed=0", "/d/a?embed=1&embed=0", "/exports/a.csv?embed=1", "/frames?embed=1"):
                assert (await http.get(path, headers=into)).status_code == 403, path
                answer = await http.get(path)
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
                assert answer.headers["X-Frame-Options"] == "DENY"
            posted = await http.post("/d/a?embed=1", headers=into)
            assert posted.status_code == 403
            fetched = await http.get("/d/a?embed=1", headers={**into, "Sec-Fetch-Mode": "cors"})
            assert fetched.status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["wiki.example", "https://wiki.example/page", "ftp://a", "*", "https://a b", "https://*", "'none'", "https://a;b"],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidInput, match="embed-origins"):
        check_exposure(DashboardSettings(dashboard_embed_origins=(origin,)))
