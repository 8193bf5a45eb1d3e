"""Faults I6: tasks, descriptors, memory and what the hub holds return to their base within 10 s.

Connections to Redis stay within their pool, which keeps those that it once needed. `TIDEWIRE_FAULT_CROWDS=n` lets more
crowds come.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import NamedTuple

import pytest
from waiting import eventually

from .conftest import World
from .processes import Service

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]
BACK_S = 10.0
_POOL = 16
_OWN = 2
_MEMORY_MB = 24.0  # an allocator keeps what a crowd took; seven crowds in a row end where three do


class Held(NamedTuple):
    """What one service process holds."""

    tasks: float
    descriptors: int  # but for those to Redis, and this test's own few kept-alive connections
    subscriptions: float
    selections: float
    parked: float


async def _held(world: World, service: Service) -> Held:
    counters = await service.counters()
    hub = "tidewire_hub_"
    return Held(
        counters[f"{hub}loop_tasks"],
        service.footprint()[1] - world.valkey.connections("tidewire"),
        counters[f"{hub}subscriptions_live"] + counters[f"{hub}subscriptions_catching_up"],
        counters[f"{hub}selections"],
        counters[f"{hub}subscriptions_parked"],
    )


async def test_after_a_crowd_and_every_kind_of_end_all_is_given_back(world: World) -> None:
    service = await world.service("", "--write-timeout-s=2", f"--ring-bytes={1 << 20}")
    feed = world.feed()
    for _ in range(3):
        await feed.publish(*METRICS)
    path = await world.proxy(service.address)

    async def crowd() -> None:
        """Come in every way there is, suffer, and leave in every way there is."""
        path.receive_bytes = 32 * 1024
        crowd = [world.subscriber(service.address, f"plant/{n % 7}/*", "**") for n in range(60)]
        crowd += [world.subscriber(service.address, "**", replay=("last", "5m")[n % 2]) for n in range(30)]
        crowd += [world.subscriber(path.address, "**") for _ in range(10)]
        await world.all_live(crowd)
        feed.start([f"plant/{n}/{'x' * 200}" for n in range(100)], every_s=0.005, per_call=100)
        path.black_hole()  # ten stall: parked, then reaped
        for subscriber in crowd[:30]:
            subscriber.cut()
        world.valkey.pause()
        await asyncio.sleep(0.3)  # the pause itself
        world.valkey.resume()
        await eventually(lambda: all(s.ledger.got for s in crowd[:90]))

        async def reaped() -> bool:
            return (await _held(world, service)).subscriptions == 90

        await eventually(reaped, "the stalled are ended")
        await feed.stop()
        for subscriber in crowd[90:]:
            subscriber.vanish()
        for subscriber in crowd:
            await subscriber.end()
            world.subscribers.remove(subscriber)
        path.close_all()
        path.forward()

    async def empty() -> bool:
        now = await _held(world, service)
        return not now.subscriptions and not now.selections

    async def given_back() -> bool:
        now = await _held(world, service)
        now = now._replace(descriptors=now.descriptors - _OWN)
        return all(one <= other for one, other in zip(now, base, strict=True))

    await crowd()  # what is made at first use stays: pools, caches
    await eventually(empty)
    await feed.publish(*METRICS)
    base, memory_mb = await _held(world, service), service.footprint()[0]
    for _ in range(int(os.environ.get("TIDEWIRE_FAULT_CROWDS", "1"))):
        await crowd()
        left_s = time.monotonic()
        now = await _held(world, service)
        await world.lateness.within(BACK_S, given_back, f"as before: {base}; at first {now}")
        print(f"I6: {now} -> {base} within {time.monotonic() - left_s:.1f} s")
    grown_mb = service.footprint()[0] - memory_mb
    print(f"I6: memory {grown_mb:+.1f} MB after more crowds of 100")
    assert base.subscriptions == base.selections == base.parked == 0
    assert grown_mb < _MEMORY_MB
    assert world.valkey.connections("tidewire") <= _POOL + 2, "the pool, the live connection, the feed"
    assert not service.errors()
