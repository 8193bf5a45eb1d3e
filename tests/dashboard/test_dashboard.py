"""The dashboard as a whole, without a browser: pages, tickets, frames over a real socket, its end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect
from waiting import HANG_S, Eventually, generous

from tidewire.errors import InvalidInput
from tidewire.livestore.view_frame import DELTA, RANGE, ViewFrame, unpack_frame
from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.assets import bundle_path, bundle_version
from tidewire_dashboard.frame_socket import Tickets
from tidewire_dashboard.settings import DashboardSettings


class Deck:
    """A deck without a picture: says hello, acknowledges, and keeps what it was sent."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket
        self.texts: list[dict[str, Any]] = []
        self.frames: list[ViewFrame] = []
        self.acknowledging = True

    async def run(self) -> None:
        while (message := await self.socket.read_message()) is not None:
            if isinstance(message, str):
                self.texts.append(json.loads(message))
                continue
            frame = unpack_frame(message)
            self.frames.append(frame)
            if self.acknowledging and frame.kind != RANGE:
                await self.socket.write_message(f"a{frame.view}:{frame.seq}")

    async def say(self, **message: Any) -> None:
        await self.socket.write_message(json.dumps(message))

    def last(self, kind: str) -> dict[str, Any]:
        return next((text for text in reversed(self.texts) if text["t"] == kind), {})


@asynccontextmanager
async def deck_on(dashboard: Dashboard, ticket: str | None = None) -> AsyncIterator[Deck]:
    ticket = dashboard.hub.tickets.issue() if ticket is None else ticket
    deck = Deck(await websocket_connect(f"{dashboard.url.replace('http', 'ws')}/frames?ticket={ticket}"))
    async with asyncio.TaskGroup() as group:
        group.create_task(deck.run())
        yield deck
        deck.acknowledging = False  # a frame may still come, and a closed socket takes no answer
        deck.socket.close()


async def test_readings_reach_a_deck_within_a_second(
    dashboard: Dashboard, service: Any, eventually: Eventually
) -> None:
    await service.publish("furnace/temperature", 921.0, 922.0, unit="Cel", labels={"site": "A"})
    async with deck_on(dashboard) as deck:
        await deck.say(t="hello", page="deck", hidden=False)
        await deck.say(t="view", view=0, series=None, window_ms=60_000, buckets=340, fps=10)
        await eventually(lambda: deck.last("series").get("series"))
        entry = deck.last("series")["series"][0]
        assert entry == {"i": 0, "metric": "furnace/temperature", "labels": {"site": "A"}, "unit": "Cel", "colour": 0}
        await eventually(lambda: deck.frames and deck.frames[-1].records["total"].tolist() == [2.0])
        started = time.monotonic()
        await service.publish("furnace/temperature", 925.5, labels={"site": "A"})
        await eventually(lambda: deck.frames[-1].records["last_value"].tolist() == [925.5])
        assert time.monotonic() - started < generous(1)
        assert deck.frames[-1].kind == DELTA
        assert deck.last("status")["state"] == "live"
        assert deck.last("snippet")["url"] == service.url


async def test_a_deck_that_stops_acknowledging_is_sent_one_frame_and_no_more(
    dashboard: Dashboard, service: Any, eventually: Eventually
) -> None:
    await service.publish("m", 1.0)
    async with deck_on(dashboard) as stuck, deck_on(dashboard) as well:
        stuck.acknowledging = False
        for deck in (stuck, well):
            await deck.say(t="hello", page="deck", hidden=False)
            await deck.say(t="view", view=0, series=[0], window_ms=60_000, buckets=340, fps=10)
        await eventually(lambda: len(well.frames) >= 15)
        assert len(stuck.frames) == 1
        await eventually(lambda: stuck.last("status")["lag_ms"] > 1_000)
        assert len(stuck.frames) == 1
        await stuck.socket.write_message(f"a0:{stuck.frames[0].seq}")
        await eventually(lambda: len(stuck.frames) == 2)


async def test_the_tick_rests_while_nobody_watches(dashboard: Dashboard, eventually: Eventually) -> None:
    assert not dashboard.hub._clock.is_running()
    async with deck_on(dashboard) as deck:
        await deck.say(t="hello", page="overview", hidden=False)
        await eventually(lambda: deck.last("status"))
        assert dashboard.hub._clock.is_running()
    await eventually(lambda: not dashboard.hub.shared.viewers)
    assert not dashboard.hub._clock.is_running()
    assert dashboard.hub.shared._views == {}


async def test_the_past_comes_from_the_history_where_memory_does_not_reach(
    dashboard: Dashboard, service: Any, eventually: Eventually
) -> None:
    now_ms = time.time() * 1e3
    old = [now_ms - 3_000_000 + n * 10_000 for n in range(60)]
    await service.publish("m", *map(float, range(60)), time=old)
    await service.publish("m", 100.0)
    await eventually(lambda: dashboard.source.store.series and dashboard.source.store.state["total"][0] == 61)
    dashboard.source.store.series[0].evict(now_ms - 60_000)
    async with deck_on(dashboard) as deck:
        await deck.say(t="hello", page="deck", hidden=False)
        await deck.say(t="view", view=0, series=[0], window_ms=3_600_000, buckets=370, fps=5)
        await eventually(lambda: sorted(_drawn(deck.frames[-1:]))[:60] == list(range(60)))
        span = {"start_ms": old[0], "end_ms": old[9]}
        await deck.say(t="range", id=7, series=[0], **span, buckets=20)
        frame = await eventually(lambda: next((frame for frame in deck.frames if frame.kind == RANGE), None))
        assert frame.view == 7
        drawn = frame.body[0]["max"]
        assert drawn[~np.isnan(drawn)].tolist()[:10] == list(range(10)), "and a little beyond"


def _drawn(frames: list[ViewFrame]) -> list[float]:
    return [value for frame in frames for value in frame.body[0]["min"] if not np.isnan(value)]


def test_a_ticket_lasts_as_long_as_its_session_or_its_socket() -> None:
    now_s = [0.0]
    tickets = Tickets(clock=lambda: now_s[0])
    gone, there = tickets.issue(), tickets.issue()
    tickets.session_ended(gone)
    assert tickets.login(gone) is None
    tickets.socket_opened(there)
    tickets.session_ended(there)
    now_s[0] = 1e6
    assert tickets.login(there) is not None
    tickets.socket_closed(there)  # a cut
    now_s[0] += 100
    assert tickets.login(there) is not None
    tickets.socket_opened(there)
    now_s[0] += 1_000
    tickets.socket_closed(there)
    now_s[0] += 121
    assert tickets.login(there) is None
    tickets.issue()
    assert len(tickets._tickets) == 1, "what is over is forgotten"


def test_a_ticket_of_a_page_without_a_session_waits_for_its_socket() -> None:
    now_s = [0.0]
    tickets = Tickets(clock=lambda: now_s[0])
    unused, there = tickets.issue(with_session=False), tickets.issue(with_session=False)
    tickets.socket_opened(there)
    now_s[0] = 121
    assert tickets.login(unused) is None
    assert tickets.login(there) is not None
    tickets.socket_closed(there)
    now_s[0] += 121
    assert tickets.login(there) is None


async def test_an_unknown_ticket_is_told_so(dashboard: Dashboard, eventually: Eventually) -> None:
    async with deck_on(dashboard, "nonsense") as deck:
        await eventually(lambda: deck.socket.close_code == 4401)


async def test_a_page_of_another_origin_gets_no_frames(dashboard: Dashboard) -> None:
    url = f"{dashboard.url.replace('http', 'ws')}/frames?ticket={dashboard.hub.tickets.issue()}"
    with pytest.raises(HTTPClientError, match="403"):
        await websocket_connect(HTTPRequest(url, headers={"Origin": "http://evil.example"}))


async def test_messages_that_cannot_be_read_are_answered_and_many_of_them_end_it(
    dashboard: Dashboard, eventually: Eventually
) -> None:
    async with deck_on(dashboard) as deck:
        await deck.socket.write_message("nonsense")
        await eventually(lambda: "message" in deck.last("error").get("reason", ""))
        for _ in range(30):
            await deck.socket.write_message('{"t":"view"}')
        await eventually(lambda: deck.socket.close_code == 1008)


async def test_a_page_holds_its_ticket_and_all_it_needs(dashboard: Dashboard) -> None:
    async with httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http:
        for path in ("/", "/d/furnace", "/d/furnace%20shift?w=15m&theme=light"):
            page = await http.get(path)
            assert page.status_code == 200
            assert "<title>Tidewire</title>" in page.text
            assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []
            first = "deck-overview.js" if path == "/" else "deck-charts.js"
            for name in re.findall(r'rel="modulepreload" href="(.+?)"', page.text):
                assert (await http.get(name)).status_code == 200
            assert f'/{first}">' in page.text
        assert len(dashboard.hub.tickets._tickets) == 3
        module = await http.get(f"/assets/{bundle_version()}/deck.js")
        assert module.content == bundle_path().read_bytes()
        assert module.headers["content-type"].startswith("text/javascript")
        assert "immutable" in module.headers["cache-control"]
        for part in bundle_path().parent.glob("deck-*.js"):
            answer = await http.get(f"/assets/{bundle_version()}/{part.name}")
            assert answer.content == part.read_bytes(), part.name
        assert (await http.get(f"/assets/{bundle_version()}/notebook.js")).status_code == 404
        font = await http.get("/assets/inter-latin.woff2")
        assert font.headers["content-type"] == "font/woff2"
        assert font.content[:4] == b"wOF2"
        assert (await http.get("/assets/../app.py")).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5006"])
async def test_another_host_name_is_refused(dashboard: Dashboard, host: str) -> None:
    async with httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http:
        for path in ("/", "/frames?ticket=x", "/assets/inter-latin.woff2"):
            answer = await http.get(path, headers={"Host": host})
            assert answer.status_code == 421
            assert "--dashboard-allowed-hosts" in answer.text
        assert (await http.get("/", headers={"Host": "LOCALHOST:1234"})).status_code == 200


async def test_the_badge_follows_the_service(dashboard: Dashboard, service: Any, eventually: Eventually) -> None:
    await service.publish("m", 1.0)
    async with deck_on(dashboard) as deck:
        await deck.say(t="hello", page="deck", hidden=False)
        await eventually(lambda: deck.last("status").get("state") == "live")
        await eventually(lambda: deck.last("status").get("service_ok") and deck.last("status").get("redis_ok"))
        await service.stop()
        await eventually(lambda: deck.last("status")["state"] == "reconnecting")
        lost = deck.last("status")
        assert lost["retry_at_ms"] is not None
        assert lost["service"] == service.url
        await eventually(lambda: deck.last("status")["service_ok"] is False)
        await service.start()
        await deck.say(t="retry")
        await eventually(lambda: deck.last("status")["state"] == "live")


async def test_only_loopback_is_listened_on() -> None:
    with pytest.raises(InvalidInput, match="loopback"):
        async with running_dashboard(DashboardSettings(dashboard_host="0.0.0.0")):
            pass


async def test_a_taken_port_is_named_with_the_option_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"{port}.*--port"):
            async with running_dashboard(DashboardSettings(dashboard_port=port)):
                pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    program = "from tidewire_dashboard.command import command; command()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "--port", "0", "--url", "http://127.0.0.1:9", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), HANG_S)
    url = re.search(r"http://127\.0\.0\.1:\d+", line.decode())
    assert url is not None
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        assert (await http.get(url[0])).status_code == 200
    started = time.monotonic()
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), HANG_S) == 0
    assert time.monotonic() - started < generous(2)


async def test_the_page_of_a_fresh_installation_never_tells_a_password(service: Any) -> None:
    settings = DashboardSettings(url=service.url, dashboard_port=0, redis="redis://user:hunter2@127.0.0.1:6379/0")
    async with running_dashboard(settings) as dashboard:
        assert "hunter2" not in dashboard.hub.shared.snippet
        assert "redis://127.0.0.1:6379/0" in dashboard.hub.shared.snippet
