"""The meter of the event loop tells a stretch of the code from one of the machine."""

from __future__ import annotations

import asyncio
import time

from loop_meter import measured


def work(seconds: float) -> None:
    """Use CPU time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_a_stretch_in_every_run_is_found() -> None:
    async def run() -> str:
        await asyncio.sleep(0)
        work(0.2)
        await asyncio.sleep(0)
        return "done"

    held_s, results = await measured(run, rule_s=0.1)
    assert held_s >= 0.2
    assert results == ["done"] * 3


async def test_a_stretch_of_one_step_is_found() -> None:
    async def run() -> None:
        work(0.2)

    assert (await measured(run, rule_s=0.1))[0] >= 0.2


async def test_a_stretch_in_one_run_is_the_machines() -> None:
    stretches_s = [0.2, 0.0]

    async def run() -> None:
        work(stretches_s.pop(0))

    held_s, results = await measured(run, rule_s=0.1)
    assert held_s < 0.1
    assert len(results) == 2
