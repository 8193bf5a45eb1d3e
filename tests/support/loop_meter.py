"""Measures how long one callback keeps an event loop from all others."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["HELD_S", "LoopMeter", "measured"]

# The rule itself. It is CPU time: what else the machine does stretches it only by its use of the caches, and what keeps
# the rule stays below a third of it.
HELD_S: Final = 0.05


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
    """Measure; without the garbage collector, which would visit all objects of all tests before."""
    meter = LoopMeter()
    gc.disable()
    watching = asyncio.create_task(meter.watch())
    await asyncio.sleep(0)  # it has begun
    try:
        yield meter
        await asyncio.sleep(0)  # the last step counts, also if it was the only one
    finally:
        watching.cancel()
        gc.enable()
