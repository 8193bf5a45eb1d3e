"""A dashboard bounds what it takes and how long it waits for it; who watches stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
from waiting import HANG_S, generous

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings

HOST = b"Host: localhost\r\n"
SLOW = {
    "says nothing": b"",
    "stops in its head": b"GET / HTTP/1.1\r\nX: ",
    "stops in its body": b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\ntoken=",
    "stops in a chunk": b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nff\r\nx",
    "is silent after an answer": b"GET /assets/inter-latin.woff2 HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.fixture
async def board(service: Any) -> AsyncIterator[Dashboard]:
    settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_timeout_s=1.0)
    async with running_dashboard(settings) as dashboard:
        yield dashboard


async def _closed_after_s(port: int, sent: bytes) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = time.monotonic()
    writer.write(sent)
    async with asyncio.timeout(HANG_S):
        while await reader.read(1 << 16):
            pass
    writer.close()
    return time.monotonic() - started


async def test_slow_senders_are_closed_and_a_viewer_stays(board: Dashboard) -> None:
    address = f"{board.url.replace('http', 'ws')}/frames?ticket={board.hub.tickets.issue()}"
    socket = await websocket_connect(HTTPRequest(address, headers={"Origin": board.url}))
    port = board.server.port
    closed = await asyncio.gather(*(_closed_after_s(port, sent) for sent in SLOW.values()))
    for name, after_s in zip(SLOW, closed, strict=True):
        assert 0.8 < after_s < generous(1), (name, after_s)
    await socket.write_message('{"t":"hello","page":"overview","hidden":false}')
    assert await asyncio.wait_for(socket.read_message(), HANG_S) is not None
    assert len(board.hub.shared.viewers) == 1
    socket.close()


async def test_a_body_that_is_too_long_is_not_read(board: Dashboard) -> None:
    async with httpx.AsyncClient(base_url=board.url, trust_env=False, timeout=HANG_S) as http:
        for path in ("/login", "/", "/frames"):
            try:
                answer = await http.post(path, content=b"x" * (1 << 20))
            except httpx.TransportError:
                continue  # closed before all of it was sent
            assert answer.status_code in (400, 413), path
        assert (await http.get("/")).status_code == 200
