"""Long-running tasks: started again after a failure, and ended when told, whatever happens at that moment."""

from __future__ import annotations

import asyncio
from collections import Counter

from waiting import HANG_S, Eventually

from tidewire_service.operations.tasks import end_all, keep_running


async def test_a_failed_task_is_started_again_and_counted(eventually: Eventually) -> None:
    failures: Counter[str] = Counter()
    runs = []

    async def run() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError("unforeseen")
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("it", run, failures))
    await eventually(lambda: len(runs) == 2)
    assert failures == {"it": 1}
    await end_all([task])
    assert task.cancelled()


async def test_a_failure_at_the_moment_of_the_end_does_not_hide_the_end() -> None:
    task: asyncio.Task[None]

    async def fail() -> None:
        task.cancel()
        raise RuntimeError("just then")

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("it", run, Counter()))
    await asyncio.wait([task], timeout=HANG_S)
    assert task.cancelled()


async def test_a_task_that_loses_its_first_cancellation_is_told_again() -> None:
    told = []

    async def deaf_once() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append(1)
                if len(told) == 2:
                    raise

    task = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)
    await end_all([task])
    assert task.cancelled()
    assert len(told) == 2
