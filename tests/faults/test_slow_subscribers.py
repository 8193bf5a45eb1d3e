"""Faults rows 15 and 16: subscribers that read slowly, not at all, or are gone without a word."""

from __future__ import annotations

import asyncio
import time

import pytest
from waiting import eventually, generous

from .clients import percentile
from .conftest import World

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]


@pytest.mark.parametrize("rate_bps", [1, 0], ids=["1 B/s", "not at all"])
@pytest.mark.long
async def test_row_15_a_slow_subscriber_costs_the_others_nothing_and_catches_up(world: World, rate_bps: int) -> None:
    ring_mb = 4
    service = await world.service("", f"--ring-bytes={ring_mb << 20}", "--write-timeout-s=60")
    healthy = [world.subscriber(service.address) for _ in range(8)]
    path = await world.proxy(service.address)
    path.receive_bytes = 32 * 1024
    for _ in range(3):
        world.subscriber(path.address)
    await world.all_live()
    feed = world.feed()

    async def load(calls: int) -> list[float]:
        """Publish; return the latencies of the healthy, sorted."""
        since_s = time.time()
        for _ in range(calls):
            await feed.publish(*(f"plant/{n}/{'x' * 150}" for n in range(40)))
            await asyncio.sleep(0.01)
        done = len(world.book.acked)
        await eventually(lambda: all(len(s.ledger.got) == done for s in healthy))
        return sorted(late for s in healthy for late in s.ledger.latencies_s(world.book, since_s))

    base = await load(60)
    memory_mb, _ = service.footprint()
    if rate_bps:
        path.rate_bps = rate_bps
    else:
        path.black_hole()
    suffering = await load(240)
    fallbacks = await service.count("fallbacks_slow")
    grown_mb = service.footprint()[0] - memory_mb
    path.rate_bps = path.receive_bytes = 0
    path.forward()
    if rate_bps:
        path.close_all()  # the kernel's tiny buffer makes what is under way slow for a minute
    await world.settled()
    before_ms, during_ms = (percentile(values, 0.99) * 1e3 for values in (base, suffering))
    print(
        f"row 15: p99 of the healthy {before_ms:.1f} -> {during_ms:.1f} ms, {fallbacks:g} fell back, "
        f"memory +{grown_mb:.1f} MB over {len(world.book.acked)} batches"
    )
    assert fallbacks >= 3
    bound_ms = 3 * before_ms + generous(100) + 5e3 * world.lateness.max_s  # who waits for the slow ones waits a minute
    assert during_ms < bound_ms, "others are not delayed"
    assert grown_mb < 4 * ring_mb + 5, "bounded by the ring, not by what the slow ones miss"
    assert {s.ledger.count(kind) for s in world.subscribers for kind in ("gap", "reset")} == {0}
    assert {s.ledger.count("cut") for s in healthy} == {0}
    assert not service.errors()


async def test_row_16_a_stalled_subscriber_is_reaped_by_the_write_deadline(world: World) -> None:
    service = await world.service("", "--write-timeout-s=2")
    path = await world.proxy(service.address)
    path.receive_bytes = 32 * 1024
    stalled = world.subscriber(path.address)
    healthy = world.subscriber(service.address)
    await world.all_live()
    _, base = service.footprint()
    feed = world.feed().start([f"plant/{n}/{'x' * 200}" for n in range(100)], per_call=100)
    path.black_hole()

    async def is_stalled() -> bool:
        return await service.count("fallbacks_slow") >= 1

    await eventually(is_stalled)
    stalled_s = time.monotonic()

    async def reaped() -> bool:
        return await service.count("subscriptions_live") + await service.count("subscriptions_catching_up") == 1

    await world.lateness.within(2 * 1 + 2, reaped, "2 heartbeats + write timeout")
    took_s = time.monotonic() - stalled_s
    await world.lateness.within(10, lambda: service.footprint()[1] < base, "I6: its descriptor is given back")
    path.close_all()
    path.forward()
    await feed.stop()
    await world.settled()
    print(f"row 16: stalled, reaped after {took_s:.2f} s")
    assert healthy.ledger.count("cut") == 0
    assert stalled.ledger.count("cut") >= 1
    assert not service.errors()


async def test_row_16_an_idle_subscriber_that_vanished_without_fin_is_reaped(world: World) -> None:
    service = await world.service("", "--write-timeout-s=2")
    gone = [world.subscriber(service.address) for _ in range(5)]
    healthy = world.subscriber(service.address)
    await world.all_live()
    _, base = service.footprint()
    for subscriber in gone:
        subscriber.vanish()  # nothing is published: there are only heartbeats, which no full buffer will ever stop
    gone_s = time.monotonic()

    async def reaped() -> bool:
        return await service.count("subscriptions_live") == 1

    await world.lateness.within(2 * 1 + 2 + 1, reaped, "2 heartbeats + write timeout, looked at each second")
    print(f"row 16: vanished, reaped after {time.monotonic() - gone_s:.2f} s")
    assert service.footprint()[1] <= base - 5 + 1
    assert healthy.ledger.count("cut") == 0
    assert not service.errors()


async def test_connections_cut_while_a_flush_writes_cost_the_others_nothing(world: World) -> None:
    service = await world.service()
    steady = [world.subscriber(service.address) for _ in range(3)]
    cut = [world.subscriber(service.address) for _ in range(30)]
    await world.all_live()
    feed = world.feed().start(METRICS, every_s=0.002)
    for turn in range(60):
        for subscriber in cut[turn % 3 :: 3]:
            subscriber.cut()
        await asyncio.sleep(0.03)
    await feed.stop()
    await world.settled()
    assert [len(subscriber.statuses) for subscriber in steady] == [1, 1, 1], "nobody else was cut"
    assert not service.errors()
