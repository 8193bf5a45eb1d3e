"""Fixtures of the dashboard's tests: a dashboard that is live on the test's own service, and a page in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from waiting import HANG_S, Eventually

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings


@pytest.fixture
async def dashboard(service: Any, eventually: Eventually) -> AsyncIterator[Dashboard]:
    """A dashboard that is live on the service."""
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        yield dashboard


class Tab:
    """A page of a dashboard in Chromium, and what went over it."""

    def __init__(self, page: Any, base: str) -> None:
        self.page = page
        self.base = base
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))

    async def open(self, path: str) -> None:
        await self.page.goto(self.base + path)

    async def until(self, script: str, argument: Any = None, limit_s: float = HANG_S) -> Any:
        handle = await self.page.wait_for_function(script, arg=argument, timeout=limit_s * 1e3, polling=50)
        return await handle.json_value()

    async def badge(self, text: str, limit_s: float = HANG_S) -> None:
        """Wait until the badge says this."""
        says = """(text) => (document.querySelectorAll("*").values().map((e) => e.shadowRoot ?? null)
            .filter((root) => root !== null).map((root) => root.querySelector('[data-tw="connection-badge"]'))
            .some((badge) => badge !== null && badge.textContent.replace(/\\s+/g, "").includes(text)))"""
        await self.page.wait_for_function(says, arg=text, timeout=limit_s * 1e3, polling=50)

    async def sees(self, text: str, limit_s: float = HANG_S) -> None:
        await self.page.get_by_text(text).first.wait_for(timeout=limit_s * 1e3)


@pytest.fixture
async def tab(dashboard: Dashboard, browser: Any) -> AsyncIterator[Tab]:
    tab = Tab(await browser.new_page(viewport={"width": 1440, "height": 900}), dashboard.url)
    yield tab
    await tab.page.close()
    hosts = {urlsplit(url).netloc for url in tab.requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {f"127.0.0.1:{dashboard.server.port}"}, "a page works without any other host"
