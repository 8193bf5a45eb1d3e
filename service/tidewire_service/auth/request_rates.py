"""Requests per second of one token, and from one address: a bucket each, bounded in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from tidewire_service.errors import RateExceeded

__all__ = ["RequestRates"]

_BURST_S: Final = 2.0  # seconds' worth of requests that may come at once
_KEPT: Final = 20_000  # buckets; the one not used for longest goes first: it is full again by then


class RequestRates:
    """Refuses what comes too fast.

    Args:
        per_s: requests a second of one key; 0 for no limit.
        bound: the setting that says so.
        clock_s: any clock that rises.
    """

    def __init__(self, per_s: float, bound: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._bound = bound
        self._clock_s = clock_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, key: str) -> None:
        """Count one request.

        Raises:
            RateExceeded: with the time after which one more is allowed.
        """
        if not self._per_s:
            return
        now_s = self._clock_s()
        most = max(1.0, self._per_s * _BURST_S)
        left, at_s = self._buckets.get(key, (most, now_s))
        left = min(most, left + (now_s - at_s) * self._per_s)
        if left < 1:
            wait_s = (1 - left) / self._per_s
            detail = f"more than {self._per_s:g} requests a second ({self._bound}); try again in {wait_s:.1f} s"
            raise RateExceeded(detail, limit=self._bound, retry_after_s=wait_s)
        self._buckets[key] = (left - 1, now_s)
        self._buckets.move_to_end(key)
        while len(self._buckets) > _KEPT:
            self._buckets.popitem(last=False)
