"""The shell of the pump: what it does when an operation ends in another way than Redis being away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidewire.errors import LogUnavailable
from tidewire.lineage import Clock, Seen
from tidewire.redis_log import RedisLog
from tidewire_service.hub import Hub


class FailingLog(RedisLog):
    """A real log whose clock can fail in a way that nobody foresaw."""

    failing = False

    async def clock(self, seen: Seen | None = None) -> Clock:
        if self.failing:
            raise RuntimeError("unforeseen")
        return await super().clock(seen)


async def test_who_waits_for_a_look_is_told_of_any_failure_and_the_pump_goes_on(valkey: Any, eventually: Any) -> None:
    log = FailingLog(valkey.url)
    hub = Hub(log, valkey.url)
    await hub.start()
    try:
        await eventually(lambda: hub.ready)
        log.failing = True
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="unforeseen"):
                await asyncio.wait_for(hub.look(), 5)
        assert hub.counters["pump_errors"] >= 1
        log.failing = False
        assert (await asyncio.wait_for(hub.look(), 5)).epoch == hub.position.epoch
        await eventually(lambda: hub.ready)
        log.failing = True
        waiting = asyncio.create_task(hub.look())
        await asyncio.sleep(0)
    finally:
        await hub.close()
        await log.close()
    with pytest.raises((LogUnavailable, asyncio.CancelledError)):
        await asyncio.wait_for(waiting, 5)
