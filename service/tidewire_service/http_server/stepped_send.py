"""Steps a coroutine by hand: most ASGI sends complete at once, and a task for each would cost more than the write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

__all__ = ["step"]


def step(coroutine: Awaitable[Any]) -> Coroutine[Any, Any, None] | None:
    """Run a coroutine until it suspends; return the rest of it to be awaited, or None if it has completed.

    Raises:
        Exception: whatever the coroutine raised before it suspended.
    """
    stepped: Any = coroutine
    try:
        pending = stepped.send(None)
    except StopIteration:
        return None
    return _finish(stepped, pending)


async def _finish(coroutine: Any, pending: Any) -> None:
    await _Rest(coroutine, pending)


class _Rest:
    """Awaits what a coroutine is suspended on, and then the rest of it."""

    def __init__(self, coroutine: Any, pending: Any) -> None:
        self._coroutine = coroutine
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, None]:
        pending = self._pending
        while True:
            try:
                value = yield pending
            except BaseException as error:
                pending = self._step(self._coroutine.throw, error)
            else:
                pending = self._step(self._coroutine.send, value)
            if pending is self:
                return

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        try:
            return step(value)
        except StopIteration:
            return self
