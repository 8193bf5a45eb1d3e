"""A dashboard under load: its processes, 80 live series, and viewers that speak to it as the deck in a page does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

import tidewire
from rig.contenders import tidewire as service_command
from rig.processes import REDIS, SERVER, Child, Redis, free_port
from rig.publishing import Publishing

__all__ = ["CHARTS", "RATE", "SERIES_EACH", "House", "Viewer", "found_token", "house", "publishing", "value"]

CHARTS, SERIES_EACH, RATE = 20, 4, 10
ACK_S = 0.016  # a page acknowledges a frame once it is drawn
_TOKEN = re.compile(r'"token":\s*"([^"]+)"')
_TICKET = re.compile(r'"ticket":\s*"([^"]+)"')


def value(n: int, at_s: float) -> float:
    """Return the reading of series `n` at a time."""
    return 100 + n + 5 * math.sin(at_s / (7 + n % 5)) + math.sin(at_s * (13 + n))


class House(NamedTuple):
    """What runs.

    Attributes:
        url: of the dashboard.
        redis: of the Redis.
        dashboard: its process, alone on the server's core.
    """

    url: str
    redis: str
    dashboard: Child


class _Plant(Publishing):
    """Publishes every series `rate` times a second, after `past_s` seconds of past at once."""

    def __init__(self, redis: str, rate: float, past_s: float, past_rate: float) -> None:
        super().__init__(redis, 1 / rate)
        self._past_s, self._past_rate = past_s, past_rate

    def past(self, publisher: tidewire.Publisher) -> None:
        now_s = time.time()
        past = [now_s - self._past_s + n / self._past_rate for n in range(int(self._past_s * self._past_rate))]
        for n in range(CHARTS * SERIES_EACH):
            for at in range(0, len(past), 1_000):
                part = past[at : at + 1_000]
                self._publish(publisher, n, [value(n, each) for each in part], [each * 1e3 for each in part])
            publisher.flush(60)

    def live(self, publisher: tidewire.Publisher) -> None:
        now_s = time.time()
        for n in range(CHARTS * SERIES_EACH):
            self._publish(publisher, n, [value(n, now_s)], [now_s * 1e3])

    def _publish(self, publisher: tidewire.Publisher, n: int, values: list[float], times_ms: list[float]) -> None:
        labels = {"line": str(n % SERIES_EACH)}
        publisher.publish(f"plant/{n // SERIES_EACH:02d}", values, time=times_ms, labels=labels)


def publishing(redis: str, rate: float = RATE, past_s: float = 0.0, past_rate: float = RATE) -> Publishing:
    """Return a context manager that publishes 80 series `rate` times a second, after their past."""
    return _Plant(redis, rate, past_s, past_rate)


@contextlib.contextmanager
def house(rate: float = RATE, past_s: float = 0.0, past_rate: float = RATE, *, program: str = "") -> Iterator[House]:
    """Run Redis, service and dashboard as processes, and publish 80 series `rate` times a second.

    `program` is the `tidewire` of another checkout; this one's if empty.
    """
    program = program or str(Path(sys.executable).parent / "tidewire")
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis())
        port, dashboard_port = free_port(), free_port()
        service = stack.enter_context(Child(service_command(port, redis.port, program=program), REDIS, name="service"))
        service.listening(port)
        stack.enter_context(publishing(redis.url, rate, past_s, past_rate))
        command = [program, "dashboard", "--port", str(dashboard_port), "--url", f"http://127.0.0.1:{port}"]
        dashboard = stack.enter_context(Child(command, SERVER, name="dashboard"))
        dashboard.listening(dashboard_port)
        _with_panel(f"http://127.0.0.1:{dashboard_port}/")
        yield House(f"http://127.0.0.1:{dashboard_port}", redis.url, dashboard)


class Viewer:
    """One page of a deck with all 80 series, at 5 frames/s: its document over Bokeh's socket, its frames over ours.

    Attributes:
        opened_s: from the request of the page to the first frame with readings; NaN before.
        arrivals: when frames of the charts came, `time.monotonic()`.
        bytes: of all frames.
    """

    def __init__(self, url: str, path: str = "/d/plant", window_ms: int = 300_000) -> None:
        self._url, self._path, self._window_ms = url, path, window_ms
        self._sockets: list[WebSocketClientConnection] = []
        self.opened_s = math.nan
        self.arrivals: list[float] = []
        self.bytes = 0

    async def page(self) -> str:
        """Open the page, and its document if it comes with one; return its ticket."""
        answer = await AsyncHTTPClient().fetch(f"{self._url}{self._path}", request_timeout=60)
        html = answer.body.decode()
        if _TOKEN.search(html) is None:  # the dashboard has not imported Panel: the page asks for it when it has drawn
            return _found(_TICKET, html)
        token = found_token(html)
        socket = await websocket_connect(
            HTTPRequest(f"{self._url.replace('http', 'ws', 1)}{self._path.rstrip('/')}/ws", request_timeout=60),
            subprotocols=["bokeh", token],
            max_message_size=64 << 20,
        )
        self._sockets.append(socket)
        await _message(socket)  # the server's greeting
        for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
            await socket.write_message(json.dumps(part))
        return _found(_TICKET, await _message(socket))

    async def run(self) -> None:
        """Open the page, then take frames until cancelled or the socket ends."""
        started = time.monotonic()
        try:
            ticket = await self.page()
            socket = await websocket_connect(
                HTTPRequest(f"{self._url.replace('http', 'ws', 1)}/frames?ticket={ticket}", request_timeout=60),
                max_message_size=64 << 20,
            )
            self._sockets.append(socket)
            await socket.write_message('{"t":"hello","page":"deck","hidden":false}')
            everything = list(range(CHARTS * SERIES_EACH))
            views = [(0, everything, self._window_ms, 340, 5), (1, None, 120_000, 40, 2)]
            for view, series, window_ms, buckets, fps in views:
                asked = {"view": view, "series": series, "window_ms": window_ms, "buckets": buckets, "fps": fps}
                await socket.write_message(json.dumps({"t": "view", **asked}))
            loop = asyncio.get_running_loop()
            while (message := await socket.read_message()) is not None:
                if isinstance(message, bytes):
                    self.bytes += len(message)
                    view, seq = int.from_bytes(message[26:28], "little"), int.from_bytes(message[4:8], "little")
                    if view == 0:
                        self.arrivals.append(time.monotonic())
                        if math.isnan(self.opened_s):
                            self.opened_s = self.arrivals[-1] - started
                    loop.call_later(ACK_S, _acknowledge, socket, f"a{view}:{seq}")
        finally:
            self.close()

    def vanish(self) -> None:
        """Cut both sockets without a word."""
        for socket in self._sockets:
            protocol = socket.protocol
            if protocol is not None and protocol.stream is not None:
                protocol.stream.close()

    def close(self) -> None:
        """Close the page, as a tab that is closed does."""
        for socket in self._sockets:
            socket.close()


def _with_panel(url: str) -> None:
    """Ask for a page with Panel's scripts, so that all later pages come with them."""
    request = urllib.request.Request(url, headers={"Tidewire-Panel": "1"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found_token(answer.read().decode())


async def _message(socket: WebSocketClientConnection) -> str:
    """Return the content of one of Bokeh's messages: header, metadata, content."""
    parts = [await socket.read_message() for _ in range(3)]
    return str(parts[2])


def found_token(html: str) -> str:
    """Return the token of Bokeh's session in a page."""
    return _found(_TOKEN, html)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise RuntimeError(f"no {pattern.pattern} in: {text[:400]}")
    return match[1]


def _acknowledge(socket: WebSocketClientConnection, message: str) -> None:
    with contextlib.suppress(WebSocketClosedError):
        socket.write_message(message).add_done_callback(lambda sent: sent.cancelled() or sent.exception())
