"""Measures how long one callback keeps an event loop from all others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class LoopMeter:
    """The longest stretch of CPU time that one callback of this event loop took, seconds."""

    def __init__(self) -> None:
        self.held_s = 0.0

    async def watch(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.held_s, before = max(self.held_s, now - before), now


@asynccontextmanager
async def measured() -> AsyncIterator[LoopMeter]:
    meter = LoopMeter()
    watching = asyncio.create_task(meter.watch())
    yield meter
    watching.cancel()
