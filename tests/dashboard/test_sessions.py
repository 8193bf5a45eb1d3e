"""Sessions of the dashboard: what pages that were opened and closed, or vanished, leave behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from waiting import Eventually

from tidewire_dashboard import frame_socket, panel_app
from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings

pytestmark = pytest.mark.browser
PAGES = 2  # the overview and a deck: what one of them leaves is seen in the round after the first
ROUNDS = 6
SETTLING_S, LOOKS = 6, 30
CLOSING_HANDSHAKE_S = 5.0  # Tornado's


def test_a_page_that_vanishes_is_forgotten_within_a_minute() -> None:
    assert 2 * frame_socket.PING_S + CLOSING_HANDSHAKE_S + panel_app.SESSION_S + panel_app.CHECK_SESSIONS_S <= 60


@pytest.fixture
async def impatient(service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dashboard]:
    """A dashboard that counts in seconds; a busy machine's browser must still answer a ping in time."""
    monkeypatch.setattr(frame_socket, "PING_S", 4.0)
    monkeypatch.setattr(panel_app, "SESSION_S", 10.0)  # a page connects its session 3 s after its first drawing
    monkeypatch.setattr(panel_app, "CHECK_SESSIONS_S", 0.2)
    monkeypatch.setattr(frame_socket, "_GRACE_S", 2.0)  # of a page whose session had ended before it connected
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        yield dashboard


def held(dashboard: Dashboard) -> dict[str, int]:
    """Count what a viewer has."""
    room, tickets, panel = dashboard.hub.shared, dashboard.hub.tickets, dashboard.server.panel
    assert panel is not None
    return {
        "viewers": len(room.viewers),
        "views": len(room._views),
        "tickets": sum(map(tickets._lasts, tickets._tickets)),
        "sessions": sum(len(list(context.sessions)) for context in panel._tornado._applications.values()),
        "sockets": len(panel._tornado._clients),
    }


async def opened(dashboard: Dashboard, browser: Any, count: int, eventually: Eventually) -> list[Any]:
    """Open so many pages, each in a browser profile of its own."""
    contexts = [await browser.new_context() for _ in range(count)]
    for number, context in enumerate(contexts):
        page = await context.new_page()
        await page.goto(f"{dashboard.url}/{'d/plant' if number % 2 else ''}")
    await eventually(lambda: held(dashboard)["viewers"] == held(dashboard)["sockets"] == count)
    assert held(dashboard)["sessions"] == count, "else there is nothing to forget"
    return contexts


@pytest.mark.long
async def test_pages_opened_and_closed_leave_nothing(
    impatient: Dashboard, browser: Any, eventually: Eventually
) -> None:
    nothing, process = held(impatient), psutil.Process()

    def used() -> dict[str, int]:
        gc.collect()
        pool = sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())  # bounded, made as needed
        threads, tasks = threading.active_count() - pool, len(asyncio.all_tasks())
        return {"descriptors": process.num_fds(), "threads": threads, "tasks": tasks}

    async def round_of_pages() -> None:
        for context in await opened(impatient, browser, PAGES, eventually):
            await context.close()
        await eventually(lambda: held(impatient) == nothing)

    # The pages read the history over a bounded pool of connections, made as needed: what grows in every round is left.
    await round_of_pages()
    most, grown = used(), list[dict[str, int]]()
    for _ in range(ROUNDS):
        await round_of_pages()
        for _ in range(LOOKS):  # a connection to the service may just be replaced
            now = used()
            if all(now[what] <= most[what] for what in now):
                return
            await asyncio.sleep(SETTLING_S / LOOKS)
        grown.append(now)
        most = {what: max(most[what], now[what]) for what in now}
    pytest.fail(f"each round of pages leaves something: {grown}")


@pytest.mark.long
async def test_pages_that_vanish_are_forgotten(impatient: Dashboard, browser: Any, eventually: Eventually) -> None:
    nothing = held(impatient)
    await opened(impatient, browser, PAGES, eventually)
    client = await browser.new_browser_cdp_session()
    processes = [int(each["id"]) for each in (await client.send("SystemInfo.getProcessInfo"))["processInfo"]]
    stopped = [psutil.Process(pid) for pid in processes]
    for process in stopped:  # the kernel still acknowledges what arrives, nobody answers it
        process.suspend()
    try:
        await eventually(lambda: held(impatient) == nothing)
    finally:
        for process in stopped:
            process.resume()
