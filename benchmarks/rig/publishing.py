"""A thread that publishes a past, and then goes on until its block ends."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import tidewire

__all__ = ["Publishing"]


class Publishing(ABC, threading.Thread):
    """A context manager; its block begins when the past is in the log.

    Args:
        redis: where to.
        interval_s: between two calls of `live`.
        limit_s: for the past.
    """

    def __init__(self, redis: str, interval_s: float, limit_s: float = 120.0) -> None:
        super().__init__(daemon=True)
        self._redis, self._interval_s, self._limit_s = redis, interval_s, limit_s
        self._ended, self._began = threading.Event(), threading.Event()

    @abstractmethod
    def past(self, publisher: tidewire.Publisher) -> None:
        """Publish the past; it is flushed afterwards."""

    @abstractmethod
    def live(self, publisher: tidewire.Publisher) -> None:
        """Publish what is due now."""

    def __enter__(self) -> Self:
        self.start()
        if not self._began.wait(self._limit_s):
            raise RuntimeError(f"the past could not be published within {self._limit_s:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        with tidewire.Publisher(self._redis) as publisher:
            self.past(publisher)
            publisher.flush(60)
            self._began.set()
            due_s = time.monotonic()
            while not self._ended.wait(max(0.0, due_s - time.monotonic())):
                due_s += self._interval_s
                self.live(publisher)
