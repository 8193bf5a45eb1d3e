"""Fixtures of the dashboard's tests: a dashboard that is live on the test's own service, and a page in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from waiting import HANG_MS, HANG_S, Eventually

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings

VIEWPORT = {"width": 1440, "height": 900}


@pytest.fixture
async def dashboard(service: Any, eventually: Eventually) -> AsyncIterator[Dashboard]:
    """A dashboard that is live on the service."""
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        yield dashboard


class Tab:
    """A page of a dashboard in Chromium, and what went over it until `forget`."""

    def __init__(self, page: Any, base: str) -> None:
        self.page = page
        self.base = base
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._heard: dict[str, Callable[[Any], None]] = {
            "request": lambda request: self.requests.append(request.url),
            "pageerror": lambda error: self.errors.append(str(getattr(error, "stack", error))),
            "console": lambda message: self.errors.append(message.text) if message.type == "error" else None,
        }
        for event, listener in self._heard.items():
            page.on(event, listener)

    def forget(self) -> None:
        """Listen to the page no more."""
        for event, listener in self._heard.items():
            self.page.remove_listener(event, listener)

    async def open(self, path: str) -> None:
        await self.page.goto(self.base + path)

    async def until(self, script: str, argument: Any = None, limit_s: float = HANG_S) -> Any:
        """Wait until a script returns something; one that asks for the page's state waits for the first drawing too."""
        if "window.__tidewire.state()" in script:
            await self.page.wait_for_function(
                "() => window.__tidewire !== undefined", timeout=limit_s * 1e3, polling=50
            )
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


class SharedPage:
    """One page for the tests of this process, so that not each of them starts a renderer.

    Each test finds it empty, with the default size and media, without anything stored, the pointer outside. A test that
    adds a script to all pages it opens has a page of its own: such a script cannot be removed.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._page: Any = None
        self._cdp: Any = None
        self._has_scripts = False

    async def blank(self) -> Any:
        """Return the page as a new one is."""
        if self._page is None or self._page.is_closed() or self._has_scripts:
            await self.close()
            context = await self._browser.new_context(viewport=VIEWPORT)
            context.set_default_timeout(HANG_MS)
            self._page = await context.new_page()
            self._has_scripts, add = False, self._page.add_init_script

            async def add_noted(script: str) -> None:
                self._has_scripts = True
                await add(script)

            self._page.add_init_script = add_noted
            self._cdp = await context.new_cdp_session(self._page)
        await self._page.goto("about:blank")
        await self._page.mouse.move(-1, -1)
        await self._page.set_viewport_size(VIEWPORT)
        await self._page.emulate_media(media="null", color_scheme="null", reduced_motion="null", contrast="null")
        return self._page

    async def clear(self, origin: str) -> None:
        """Leave where it is, and remove what it kept of this origin."""
        await self.blank()
        await self._cdp.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        await self._page.context.clear_cookies()
        await self._page.context.clear_permissions()

    async def close(self) -> None:
        if self._page is not None:
            await self._page.context.close()


@pytest.fixture(scope="session")
async def shared_page(shared_browser: Any) -> AsyncIterator[SharedPage]:
    shared = SharedPage(shared_browser)
    yield shared
    await shared.close()


@pytest.fixture
async def tab(dashboard: Dashboard, shared_page: SharedPage) -> AsyncIterator[Tab]:
    tab = Tab(await shared_page.blank(), dashboard.url)
    yield tab
    tab.forget()
    await shared_page.clear(dashboard.url)
    hosts = {urlsplit(url).netloc for url in tab.requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {f"127.0.0.1:{dashboard.server.port}"}, "a page works without any other host"
