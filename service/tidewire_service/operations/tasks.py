"""Long-running tasks: each is started again after a failure that nobody foresaw, which is logged and counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

__all__ = ["end_all", "keep_running"]

_PAUSE_S: Final = 1.0
_END_S: Final = 1.0  # after which a task is told again to end
_END_TRIES: Final = 5
_log = structlog.get_logger("tidewire_service")


async def end_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their ends; a task that lost its cancellation is told again, and named in the end."""
    waiting = set(tasks)
    for _ in range(_END_TRIES):
        for task in waiting:
            task.cancel()
        if waiting:
            _, waiting = await asyncio.wait(waiting, timeout=_END_S)
    for task in waiting:
        _log.error("task_did_not_end", task=task.get_name())


async def keep_running(name: str, run: Callable[[], Coroutine[Any, Any, None]], failures: Counter[str]) -> None:
    """Run something that should never end; until cancelled.

    Args:
        name: what it is, in logs and `failures`.
        run: makes the coroutine, anew after each failure.
        failures: counts failures by name.
    """
    while True:
        try:
            await run()
        except Exception as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a TaskGroup whose child fails meanwhile hides it
                raise asyncio.CancelledError from error
            failures[name] += 1
            _log.error("task_failed", task=name, exc_info=error)
        else:
            return
        await asyncio.sleep(_PAUSE_S)
