"""Publisher lifecycle: flushes publishers at interpreter exit, and resets them in the child of a fork."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import Final, Protocol

__all__ = ["RegisteredPublisher", "register_publisher"]

_EXIT_S: Final = 2.0  # longest that leaving the interpreter waits for what is buffered


class RegisteredPublisher(Protocol):
    """The methods of a publisher that this module calls."""

    def _begin(self) -> None:
        """Reset to the state after creation."""

    def _close(self, timeout_s: float) -> None:
        """Flush within a time, then end the thread."""


_publishers: weakref.WeakSet[RegisteredPublisher] = weakref.WeakSet()


def register_publisher(publisher: RegisteredPublisher) -> None:
    """Flush a publisher at interpreter exit, and reset it in the child of a fork."""
    _publishers.add(publisher)
    _flush_at_child_exit()


def _flush_at_exit() -> None:
    deadline = time.monotonic() + _EXIT_S
    for publisher in tuple(_publishers):
        publisher._close(max(0.0, deadline - time.monotonic()))


_registered_in: set[int] = set()  # ids of processes, of which this is one


def _flush_at_child_exit(_: object = None) -> None:
    """Flush also at the end of a child of multiprocessing, such as a pool's: it leaves without `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _registered_in:
        _registered_in.clear()
        _registered_in.add(os.getpid())
        util.Finalize(None, _flush_at_exit, exitpriority=0)


def _after_fork() -> None:
    for publisher in tuple(_publishers):
        publisher._begin()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # its child forgets the parent's finalizers first, and calls this then
        util.register_after_fork(_publishers, _flush_at_child_exit)


atexit.register(_flush_at_exit)
os.register_at_fork(after_in_child=_after_fork)
