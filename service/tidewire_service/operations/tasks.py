"""Long-running tasks: logs and counts each unexpected failure, and starts the task again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

__all__ = ["end_all", "keep_running"]

_PAUSE_S: Final = 1.0
_END_S: Final = 1.0  # after which a task is cancelled again
_END_TRIES: Final = 5
_log = structlog.get_logger("tidewire_service")


async def end_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they end. Cancel again those that swallowed it; log those that never end."""
    waiting = set(tasks)
    for _ in range(_END_TRIES):
        for task in waiting:
            task.cancel()
        if waiting:
            _, waiting = await asyncio.wait(waiting, timeout=_END_S)
    for task in waiting:
        _log.error("task_did_not_end", task=task.get_name())


async def keep_running(name: str, run: Callable[[], Coroutine[Any, Any, None]], failures: Counter[str]) -> None:
    """Run a coroutine that should never end, and start it again after a failure; until cancelled.

    Args:
        name: of the task, in logs and in `failures`.
        run: returns a new coroutine.
        failures: counts failures by name.
    """
    while True:
        try:
            await run()
        except Exception as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a TaskGroup hides a cancellation if a child fails meanwhile
                raise asyncio.CancelledError from error
            failures[name] += 1
            _log.error("task_failed", task=name, exc_info=error)
        else:
            return
        await asyncio.sleep(_PAUSE_S)
