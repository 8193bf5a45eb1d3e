"""What viewers cost the dashboard, beside Bokeh's own streaming: `python benchmarks/viewers.py [--full]`.

80 series at 10 readings/s; each viewer has a page of 20 charts of 4 series (and the list of the sidebar) at 5 frames/s
and acknowledges a frame 16 ms after it came. A viewer is a whole page: its HTML, its document, its two sockets. Beside
it the same charts as 20 figures with `ColumnDataSource.stream`; ingest is counted for the dashboard only.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rig.deck import RATE, House, Viewer, found_token, house
from rig.processes import SERVER, Child, Usage, free_port
from rig.results import Aim, Section, arguments
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

PEER_VIEWERS = 4  # more than these, and its process has no time left


class Cost(NamedTuple):
    """What so many viewers cost.

    Attributes:
        cores: of the dashboard's process, ingest included.
        each_ms_s: server time for one more viewer, ms per second.
        p95_gap_ms: between two frames of one viewer.
        slowest_fps: of the viewer with the fewest frames.
        memory_mb: for one more viewer.
        kib_s: frames, for one viewer.
    """

    cores: float
    each_ms_s: float
    p95_gap_ms: float
    slowest_fps: float
    memory_mb: float
    kib_s: float


async def cores(pid: int, seconds: float) -> float:
    """Return the share of one core that a process uses in the next seconds."""
    usage = Usage(pid)
    await asyncio.sleep(seconds)
    return usage.cores


async def measure(at: House, viewers: int, seconds: float) -> Cost:
    """Open so many pages, 20 a second, and look at the process once all draw."""
    pid = at.dashboard.pid
    alone = await cores(pid, 5)
    memory = Usage(pid).memory_bytes
    pages = [Viewer(at.url) for _ in range(viewers)]
    running: list[asyncio.Task[None]] = []
    for page in pages:
        running.append(asyncio.create_task(page.run()))
        await asyncio.sleep(0.05)
    async with asyncio.timeout(120):
        while not all(page.arrivals for page in pages):
            await asyncio.sleep(0.1)
            for task in running:
                if task.done():
                    task.result()
                    raise RuntimeError("a page ended by itself")
    await asyncio.sleep(5)
    for page in pages:
        page.arrivals.clear()
        page.bytes = 0
    used = await cores(pid, seconds)
    gaps = sorted(b - a for page in pages for a, b in zip(page.arrivals, page.arrivals[1:], strict=False))
    found = Cost(
        used,
        (used - alone) * 1e3 / viewers,
        gaps[int(len(gaps) * 0.95)] * 1e3,
        min(len(page.arrivals) for page in pages) / seconds,
        (Usage(pid).memory_bytes - memory) / viewers / 1e6,
        statistics.median(page.bytes for page in pages) / seconds / 1024,
    )
    await _end(running)
    return found


async def measure_bokeh(seconds: float) -> Cost:
    """The same for 20 Bokeh figures."""
    port = free_port()
    script = Path(__file__).with_name("peers") / "bokeh_figures.py"
    with Child([sys.executable, str(script), str(port)], SERVER, name="bokeh") as child:
        child.listening(port, 60)
        url = f"http://127.0.0.1:{port}/plant"
        first = asyncio.create_task(_bokeh_page(url, []))  # what its process needs once
        await asyncio.sleep(8)
        await _end([first])
        await asyncio.sleep(2)
        alone, memory = await cores(child.pid, 3), Usage(child.pid).memory_bytes
        sizes: list[list[int]] = [[] for _ in range(PEER_VIEWERS)]
        running = [asyncio.create_task(_bokeh_page(url, size)) for size in sizes]
        await asyncio.sleep(15)
        for size in sizes:
            size.clear()
        used = await cores(child.pid, seconds)
        found = Cost(
            used,
            (used - alone) * 1e3 / PEER_VIEWERS,
            float("nan"),
            float("nan"),
            (Usage(child.pid).memory_bytes - memory) / PEER_VIEWERS / 1e6,
            statistics.median(map(sum, sizes)) / seconds / 1024,
        )
        await _end(running)
    return found


async def _bokeh_page(url: str, sizes: list[int]) -> None:
    answer = await AsyncHTTPClient().fetch(url, request_timeout=60)
    token = found_token(answer.body.decode())
    request = HTTPRequest(f"{url.replace('http', 'ws', 1)}/ws", request_timeout=60)
    socket: WebSocketClientConnection = await websocket_connect(
        request, subprotocols=["bokeh", token], max_message_size=64 << 20
    )
    try:
        while (message := await socket.read_message()) is not None:
            sizes.append(len(message))
    finally:
        socket.close()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    counts, seconds = ((1, 100, 500), 30.0) if given.full else ((100,), 10.0)
    section = Section("viewers", "Viewers of the dashboard", given)
    found: dict[int, Cost] = {}
    for count in counts:
        with house(RATE, past_s=300.0) as at:
            found[count] = asyncio.run(measure(at, count, seconds))
    peer = asyncio.run(measure_bokeh(seconds))
    head = ["viewers of the 20 charts", "cores", "ms/s each", "gap p95 ms", "fewest frames/s", "MB each", "KiB/s each"]
    rows = [(f"{count:,}", *cost) for count, cost in found.items()]
    rows.append((f"{PEER_VIEWERS} with `ColumnDataSource.stream`", *peer))
    section.table(head, rows)
    section.raw("costs", {str(count): cost._asdict() for count, cost in found.items()} | {"bokeh": peer._asdict()})
    hundred, times = found[100], peer.each_ms_s / found[100].each_ms_s
    aims = [
        Aim("100 viewers, ingest included", "≤ 0.35 core", f"{hundred.cores:.2f}", hundred.cores <= 0.35),
        Aim("gap between frames, p95", "≤ 250 ms", f"{hundred.p95_gap_ms:.0f} ms", hundred.p95_gap_ms <= 250),
        Aim("memory of a viewer", "≤ 2 MB", f"{hundred.memory_mb:.2f} MB", hundred.memory_mb <= 2),
        Aim("server time of a viewer against Bokeh's", "at most 1/100", f"1/{times:.0f}", times >= 100),
    ]
    if 500 in found:
        aims.append(Aim("500 viewers", "≤ 1 core", f"{found[500].cores:.2f}", found[500].cores <= 1))
    section.aims(aims)
    section.write()


if __name__ == "__main__":
    main()
