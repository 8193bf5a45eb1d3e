"""Waiting for what a test expects, with limits that only a hang reaches, however busy the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

__all__ = ["HANG_MS", "HANG_S", "Eventually", "eventually", "generous"]

# The limit of every wait whose length is not what the test is about. A wait ends when its condition holds, so that a
# large number costs nothing but the time that a real hang takes to be told. Several fit into pytest's timeout.
HANG_S = 60.0
HANG_MS = HANG_S * 1e3
# What the product promises in seconds holds on a machine of its own; tests share theirs, and benchmarks/ measure.
_GENEROUS = 10.0


def generous(bound_s: float) -> float:
    """Return a bound of the product as tests check it: ten times, so that it tells a fault from a busy machine."""
    return _GENEROUS * bound_s


class Eventually(Protocol):
    """The type of `eventually`."""

    async def __call__(self, condition: Callable[[], Any], what: str = "", *, limit_s: float = HANG_S) -> Any: ...


async def eventually(condition: Callable[[], Any], what: str = "", *, limit_s: float = HANG_S) -> Any:
    """Wait until a condition (plain or awaitable) holds; return what it returned, or fail after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {limit_s:g} s: {what or condition}")
        await asyncio.sleep(0.01)
