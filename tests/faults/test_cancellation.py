"""A cancelled call of the log ends: a shutdown, a deadline and a closed stream depend on it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidewire.redis_log import RedisLog

pytestmark = pytest.mark.fault


async def test_a_cancelled_call_is_cancelled_wherever_it_is(world: Any) -> None:
    log = RedisLog(world.valkey.url)
    await log.ping()

    async def calls() -> None:
        for _ in range(500):
            await log.ping()

    try:
        for turn in range(100):
            task = asyncio.create_task(calls())
            await asyncio.sleep(0.0002 * (turn % 20))  # wherever it is by then
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), f"turn {turn}"
        await log.ping()
    finally:
        await log.close()
