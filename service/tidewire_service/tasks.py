"""Long-running tasks: each is started again after a failure that nobody foresaw, which is logged and counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

__all__ = ["keep_running"]

_PAUSE_S: Final = 1.0
_log = structlog.get_logger("tidewire_service")


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
            failures[name] += 1
            _log.error("task_failed", task=name, exc_info=error)
        else:
            return
        await asyncio.sleep(_PAUSE_S)
