"""Measures how long one callback keeps an event loop from all others."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

__all__ = ["HELD_S", "measured"]

T = TypeVar("T")

# The rule itself, in CPU time; what keeps it stays below a third of it on a quiet machine. Neighbours still stretch CPU
# time, by their use of the caches and by the pages that the kernel takes back.
HELD_S: Final = 0.05
_RUNS: Final = 3


async def measured(run: Callable[[], Awaitable[T]], rule_s: float = HELD_S) -> tuple[float, list[T]]:
    """Return the longest stretch of CPU time that one callback of this event loop took, the least of up to three runs.

    A stretch that the code takes is in every run; what the machine adds is not.

    Args:
        run: what is measured; it prepares itself again each time.
        rule_s: a run that keeps it is the last one.

    Returns:
        The stretch in seconds, and what each run returned: 1 to 3 results, oldest first.
    """
    least_s, results = float("inf"), list[T]()
    while least_s >= rule_s and len(results) < _RUNS:
        held_s, result = await _measured_once(run)
        least_s = min(least_s, held_s)
        results.append(result)
    return least_s, results


async def _measured_once(run: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    """Measure one run; without the garbage collector, which would visit all objects of all tests before."""
    held_s = 0.0

    async def watch() -> None:
        nonlocal held_s
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            held_s, before = max(held_s, now - before), now

    gc.disable()
    watching = asyncio.create_task(watch())
    try:
        await asyncio.sleep(0)  # it has begun
        result = await run()
        await asyncio.sleep(0)  # the last step counts, also if it was the only one
    finally:
        watching.cancel()
        gc.enable()
    return held_s, result
