"""A stream that is dropped again and again sees each reading exactly once, in order, by Last-Event-ID alone."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from typing import Any

import httpx
import pytest
from servers import Valkey
from waiting import HANG_S, Eventually

import tidewire

METRICS = [f"line-{n // 10}/sensor-{n % 10}" for n in range(30)]
READINGS = 10_000
DROPS = 20


class Listener:
    """Everything that a stream sent over all its connections; keeps nothing but the last id between them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.last_id = ""
        self.connections = 0
        self.seen: dict[str, list[float]] = defaultdict(list)
        self.total = 0
        self.controls: list[str] = []

    async def listen(self, http: httpx.AsyncClient, until: int) -> None:
        """Connect, and listen until so many readings were seen in all; then drop the connection, mid-event or not."""
        self.connections += 1
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with http.stream("GET", f"{self.url}/v1/stream?metric=line-*/*&replay=none", headers=headers) as answer:
            assert answer.status_code == 200
            rest = b""
            async for chunk in answer.aiter_raw():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    self._consume_block(block.decode())
                    if self.total >= until:
                        return

    def _consume_block(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        self.last_id = fields.get("id", self.last_id)
        if "event" in fields:
            self.controls.append(fields["event"])
        elif "data" in fields:
            batch = json.loads(fields["data"])
            self.seen[batch["metric"]] += batch["value"]
            self.total += len(batch["value"])


@pytest.mark.fault
async def test_a_stream_dropped_20_times_during_10000_readings_sees_each_exactly_once_in_order(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    chance = random.Random(20)
    cuts = sorted(chance.sample(range(200, READINGS - 200), DROPS))
    listener = Listener(service.url)
    expected: dict[str, list[float]] = defaultdict(list)

    async def publish() -> None:
        await eventually(lambda: "live" in listener.controls)
        with tidewire.Publisher(valkey.url, flush_after_s=0.005) as publisher:
            for n in range(READINGS):
                metric = METRICS[n % len(METRICS)]
                publisher.publish(metric, float(n))
                expected[metric].append(float(n))
                if n % 25 == 0:  # about 5,000 readings a second, in many small batches
                    await asyncio.sleep(0.005)
            assert await asyncio.to_thread(publisher.flush)

    async with httpx.AsyncClient(timeout=HANG_S, trust_env=False) as http, asyncio.TaskGroup() as group:
        group.create_task(publish())
        for until in [*cuts, READINGS]:
            await asyncio.wait_for(listener.listen(http, until), HANG_S)
    assert listener.connections == DROPS + 1
    assert listener.seen == expected
    assert not {"gap", "reset", "skipped"} & set(listener.controls)
