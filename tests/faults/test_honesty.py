"""Faults I8: the client's state and the dashboard's show a fault within 5 s, and its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
import pytest
from waiting import eventually

from tidewire.model.states import Live, Lost, State, StreamBatch
from tidewire.subscribing.subscriber import astream
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.source import Source

from .conftest import World

pytestmark = pytest.mark.fault
SHOWN_S = 5.0


async def _shown(world: World, since_s: float, condition: Callable[[], bool], what: str) -> float:
    """Wait until something is shown; return how long after the fault that was."""
    await eventually(condition, what)
    took_s: float = time.monotonic() - since_s
    assert took_s <= world.lateness.allow(SHOWN_S), f"{what}: shown after {took_s:.1f} s"
    return took_s


@pytest.mark.long
async def test_the_dashboard_shows_within_5_s_what_happens_to_service_and_redis(world: World) -> None:
    service = await world.service()
    feed = world.feed()
    await feed.publish("plant/1", "plant/2")
    took: dict[str, float] = {}
    with Source(DashboardSettings(url=service.url)) as source:

        def shows(**expected: object) -> Callable[[], bool]:
            return lambda: expected.items() <= msgspec.to_builtins(source.message()).items()

        well = shows(state="live", service_ok=True, redis_ok=True)
        await eventually(well)
        for fault in ("service killed", "service stalled", "redis killed", "redis stalled"):
            victim = service if fault.startswith("service") else world.valkey
            since_s = time.monotonic()
            if fault.endswith("stalled"):
                victim.pause()
            else:
                victim.kill()
            if fault == "service killed":
                took[fault] = await _shown(world, since_s, shows(state="reconnecting", service_ok=False), fault)
            elif fault == "service stalled":
                took[fault] = await _shown(world, since_s, shows(service_ok=False), fault)
            else:
                took[fault] = await _shown(world, since_s, shows(service_ok=True, redis_ok=False), fault)
                assert source.feed.status.state == "live", "the stream stands, and its readings are old"
            if fault.endswith("stalled"):
                victim.resume()
            else:
                await victim.start()
            await eventually(well, f"all is well again after: {fault}")
        await feed.publish("plant/1")
        newest = world.book.acked[-1].id
        await eventually(lambda: source.feed.positions.get(0) == newest)
    print("I8, dashboard: " + ", ".join(f"{fault} shown after {seconds:.1f} s" for fault, seconds in took.items()))
    assert not service.errors()


async def test_the_clients_state_tells_of_a_lost_service_at_once_and_of_its_return(world: World) -> None:
    service = await world.service()
    feed = world.feed()
    states: list[tuple[float, State | StreamBatch]] = []

    async def follow() -> None:
        async for item in astream("**", url=service.url, states=True):
            at_s = time.monotonic()
            states.append((at_s, item))

    following = asyncio.create_task(follow())
    try:
        await eventually(lambda: any(isinstance(item, Live) for _, item in states))
        await feed.publish("plant/1")
        since_s = time.monotonic()
        service.kill()
        await eventually(lambda: isinstance(states[-1][1], Lost))
        lost_s = states[-1][0] - since_s
        assert lost_s <= world.lateness.allow(SHOWN_S)
        await service.start()
        await eventually(lambda: isinstance(states[-1][1], Live))
        await feed.publish("plant/2")
        await eventually(lambda: isinstance(states[-1][1], StreamBatch))
        seen = [item.metric for _, item in states if isinstance(item, StreamBatch)]
        assert seen == ["plant/1", "plant/2"], "each once"
        print(f"I8, client: lost after {lost_s * 1e3:.0f} ms")
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
