"""A dashboard that starts while very many series live: when its pages are right, and what that costs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

import tidewire
from rig.contenders import tidewire as service_command
from rig.deck import Viewer, value
from rig.processes import REDIS, SERVER, Child, Redis, free_port
from rig.publishing import Publishing
from tidewire.livestore.view_frame import FLAG_PARTIAL, SNAPSHOT, unpack_frame

__all__ = ["Returned", "returned"]

LABELS = 4  # series of a metric
DECK_CHARTS, DECK_WINDOW_MS = 20, 300_000
PAST_S = 900
EACH_S = 0.02  # between two batches of live readings
LIMIT_S = 600


class Returned(NamedTuple):
    """What one start took, from the start of the process on, s.

    Attributes:
        listening: the port answers.
        values: the overview has every series with a value of its last two intervals.
        deck: all charts of a deck are full and live.
        cpu: CPU of the process until then, and what its imports take of it.
    """

    listening: float
    values: float
    deck: float
    cpu: float


class _Living(Publishing):
    """Publishes `count` series at `rate` readings/s in all, after their past at the same rate, one reading a batch."""

    def __init__(self, redis: str, count: int, rate: float) -> None:
        super().__init__(redis, EACH_S, LIMIT_S)
        self._count, self._rate = count, rate
        self._next = 0

    def past(self, publisher: tidewire.Publisher) -> None:
        interval_s = self._count / self._rate
        started_s = time.time()
        turns = int(PAST_S / interval_s)
        for turn in range(turns):
            for n in range(self._count):
                self._publish(publisher, n, started_s - (turns - turn - n / self._count) * interval_s)
            publisher.flush(60)

    def live(self, publisher: tidewire.Publisher) -> None:
        for _ in range(round(self._rate * EACH_S)):
            self._publish(publisher, self._next % self._count, time.time())
            self._next += 1

    def _publish(self, publisher: tidewire.Publisher, n: int, at_s: float) -> None:
        publisher.publish(f"plant/{n // LABELS:04d}", value(n, at_s), time=at_s * 1e3, labels={"line": str(n % LABELS)})


async def _watch(url: str, count: int, interval_s: float) -> tuple[float, float]:
    """Open the overview and a deck; return when both were right, on the monotonic clock."""
    page = Viewer(url, "/d/plant")
    ticket = await page.page()
    socket = await websocket_connect(
        HTTPRequest(f"{url.replace('http', 'ws', 1)}/frames?ticket={ticket}", request_timeout=60),
        max_message_size=64 << 20,
    )
    await socket.write_message('{"t":"hello","page":"overview","hidden":false}')
    everything = {"t": "view", "view": 1, "series": None, "window_ms": 120_000, "buckets": 40, "fps": 2}
    await socket.write_message(json.dumps(everything))
    values_s = deck_s = 0.0
    asked, held = False, np.zeros((0, 0))
    try:
        while not (values_s and deck_s):
            message = await socket.read_message()
            if not isinstance(message, bytes):
                continue
            frame = unpack_frame(message)
            now_ms, records = time.time() * 1e3, frame.records
            if frame.view == 1:
                fresh = records["last_time_ms"] > now_ms - 2.5 * interval_s * 1e3
                if not values_s and len(records) == count and fresh.mean() > 0.999:
                    values_s = time.monotonic()
                if not asked and len(records) >= DECK_CHARTS * LABELS:
                    asked = True
                    series = list(range(DECK_CHARTS * LABELS))
                    deck = {"view": 0, "series": series, "window_ms": DECK_WINDOW_MS, "buckets": 300, "fps": 5}
                    await socket.write_message(json.dumps({"t": "view", **deck}))
                    await socket.write_message(json.dumps({"t": "look", "series": series}))
            elif not deck_s:
                drawn = frame.body["min"]
                if frame.kind == SNAPSHOT:
                    held = (~np.isnan(drawn)).sum(axis=1)
                wanted = 0.9 * min(DECK_WINDOW_MS / 1e3 / interval_s, frame.body.shape[1])
                whole = not (records["flags"] & FLAG_PARTIAL).any()
                fresh = records["last_time_ms"] > now_ms - 2.5 * interval_s * 1e3
                if len(records) == DECK_CHARTS * LABELS and whole and fresh.all() and (held >= wanted).all():
                    deck_s = time.monotonic()
            await socket.write_message(f"a{frame.view}:{frame.seq}")
    finally:
        socket.close()
        page.close()
    return values_s, deck_s


def returned(count: int, rate: float, starts: int, *, other: str = "") -> tuple[list[Returned], list[Returned]]:
    """Start a dashboard some times while `count` series live; `other` is the `tidewire` of another checkout.

    The two start in turns, since a machine may be twice as fast as it was a minute before; none of the other if that is
    empty.
    """
    own = str(Path(sys.executable).parent / "tidewire")
    found: dict[str, list[Returned]] = {program: [] for program in (own, other) if program}
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis())
        port = free_port()
        service = stack.enter_context(Child(service_command(port, redis.port, program=own), REDIS, name="service"))
        service.listening(port)
        stack.enter_context(_Living(redis.url, count, rate))
        time.sleep(12)  # the service knows rates from then on
        for program in list(found) * starts:
            listens = free_port()
            command = [program, "dashboard", "--port", str(listens), "--url", f"http://127.0.0.1:{port}"]
            started_s = time.monotonic()
            with Child(command, SERVER, name="dashboard") as dashboard:
                dashboard.listening(listens, 60)
                listening_s = time.monotonic()
                watched = asyncio.wait_for(_watch(f"http://127.0.0.1:{listens}", count, count / rate), LIMIT_S)
                values_s, deck_s = asyncio.run(watched)
                used = psutil.Process(dashboard.pid).cpu_times()
            found[program].append(Returned(
                listening_s - started_s, values_s - started_s, deck_s - started_s, used.user + used.system
            ))  # fmt: skip
    return found[own], found.get(other, [])
