"""Faults rows 12 to 14: a service process ends, by force or gracefully, and everybody comes back at once."""

from __future__ import annotations

import asyncio
import itertools
import resource
import time
from collections import Counter

import httpx
import pytest
from waiting import HANG_S, eventually

from .conftest import World
from .processes import Service
from .proxy import Proxy

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]


@pytest.mark.long
async def test_row_12_subscribers_of_a_killed_service_resume_on_another(world: World) -> None:
    first, second = await asyncio.gather(world.service(), world.service())
    balancer = await world.proxy(first.address, second.address)
    subscribers = [world.subscriber(balancer.address, "**" if n % 2 else f"plant/{n % 5}/*") for n in range(200)]
    await world.all_live()
    assert await first.count("subscriptions_live") == 200
    feed = world.feed().start(METRICS)
    await eventually(lambda: len(world.book.acked) > 100)
    first.kill()
    killed_s = time.time()
    await eventually(lambda: all(s.ledger.count("cut") for s in subscribers))
    await world.all_live()
    back_s = time.time() - killed_s
    assert await second.count("subscriptions_live") == 200
    seen = len(world.book.acked)
    await eventually(lambda: len(world.book.acked) > seen + 100)
    await feed.stop()
    await world.settled()
    print(f"row 12: 200 subscribers live again {back_s:.2f} s after the kill, {len(world.book.acked)} acknowledged")
    assert {s.ledger.count("cut") for s in subscribers} == {1}
    assert {s.ledger.count(kind) for s in subscribers for kind in ("gap", "reset")} == {0}
    # no orphan state: one hub connection is left, and the lease of the inbox goes over
    await eventually(lambda: world.valkey.connections("tidewire-hub") == 1)
    world.valkey.client.xadd("tw:in", {"metric": "durable", "value": "1"})
    await eventually(lambda: world.valkey.client.xlen("tw:in") == 0, "the other process takes the inbox")
    assert not second.errors()


class Agent:
    """Posts through a proxy with a sequence, and notes every status; a refused connection is tried again."""

    def __init__(self, world: World, url: str, name: str) -> None:
        self._world = world
        self._http = httpx.AsyncClient(base_url=url, timeout=HANG_S, trust_env=False)
        self._name = name
        self.statuses: Counter[int] = Counter()
        self.torn = 0

    async def run(self, stop: asyncio.Event) -> None:
        feed = self._world.feed()  # only for its numbers
        for sequence in itertools.count(1):
            batches = feed.batches(METRICS)
            for batch in batches:
                self._world.book.tried(batch.metric, [batch.body])
            body = b"[" + b",".join(batch.body for batch in batches) + b"]"
            headers = {"content-type": "application/json", "idempotency-key": f"{self._name}:{sequence}"}
            while True:
                try:
                    answer = await self._http.post("/v1/readings", content=body, headers=headers)
                except httpx.TransportError:
                    self.torn += 1
                    await asyncio.sleep(0.01)
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    break
            epoch = answer.json()["cursor"].partition(".")[0]
            self._world.book.acknowledged([batch.body for batch in batches], epoch, ())
            if stop.is_set():
                await self._http.aclose()
                return


@pytest.mark.long
async def test_row_13_a_rolling_restart_shows_no_5xx_and_loses_nothing(world: World) -> None:
    services: list[Service] = list(
        await asyncio.gather(world.service("", "--drain-s=2"), world.service("", "--drain-s=2"))
    )
    balancer: Proxy = await world.proxy(*(service.address for service in services), balance=True)
    subscribers = [world.subscriber(balancer.address) for _ in range(60)]
    await world.all_live()
    stop = asyncio.Event()
    agents = [Agent(world, f"http://127.0.0.1:{balancer.port}", f"agent-{n}") for n in range(4)]
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    await eventually(lambda: len(world.book.acked) > 100)
    exits = []
    for service in services:
        told_s = time.time()
        assert await service.terminate() == 0
        exits.append(time.time() - told_s)
        byes = [
            page.at_s - told_s for s in subscribers for page in s.ledger.of("bye") if told_s <= page.at_s < told_s + 5
        ]
        assert byes
        if len(byes) >= 10:
            assert max(byes) - min(byes) > 0.1, "the ends are spread over the drain window"
        await service.start()
        seen = len(world.book.acked)
        await eventually(lambda seen=seen: len(world.book.acked) > seen + 100)
    stop.set()
    await asyncio.gather(*running)
    await world.all_live()
    await world.settled()
    statuses = sum((agent.statuses for agent in agents), Counter())
    torn = sum(agent.torn for agent in agents)
    print(f"row 13: exits after {exits} s; statuses {dict(statuses)}, {torn} torn connections")
    assert set(statuses) == {200}
    assert {status for s in subscribers for status in s.statuses} == {200}
    assert max(exits) < world.lateness.allow(2.0 + 1.5), "exit within the grace"
    reasons = {page.data for s in subscribers for page in s.ledger.of("bye")}
    assert all(b'"drain"' in reason for reason in reasons)
    assert {s.ledger.count(kind) for s in subscribers for kind in ("gap", "reset")} == {0}
    assert not [error for service in services for error in service.errors()]


@pytest.mark.long
async def test_row_14_a_storm_of_reconnects_is_served_from_the_ring(world: World) -> None:
    count = 2_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    link = await world.redis_proxy()
    service = await world.service(link.url)
    subscribers = [world.subscriber(service.address, retry_s=0.0) for _ in range(count)]
    await world.all_live()
    feed = world.feed()
    await feed.publish(*METRICS)
    await eventually(lambda: all(s.ledger.got for s in subscribers))
    before, started = link.commands.copy(), time.monotonic()
    for subscriber in subscribers:
        subscriber.cut()
    for _ in range(20):  # 100 batches to replay or to see live
        await feed.publish(*METRICS)
    await eventually(lambda: all(len(s.ledger.got) == 21 * len(METRICS) for s in subscribers))
    took_s = time.monotonic() - started
    asked = link.commands - before
    total = sum(asked.values())
    await world.settled()
    print(f"row 14: {count} back in {took_s:.2f} s; {total} Redis commands: {dict(asked)}")
    assert total < count / 100 + 10 * took_s, "1 % of the clients, and what the hub and the lease ask for each second"
    assert {s.ledger.count(kind) for s in subscribers for kind in ("gap", "reset")} == {0}
    memory_mb, descriptors = service.footprint()
    for subscriber in subscribers:
        await subscriber.end()

    def back_to_base() -> bool:
        return service.footprint()[1] < 100

    await world.lateness.within(10, back_to_base, "I6: descriptors are given back within 10 s")
    left_mb, left = service.footprint()
    print(f"row 14: {memory_mb:.0f} MB and {descriptors} descriptors at the peak, {left_mb:.0f} MB and {left} after")
    assert not service.errors()
