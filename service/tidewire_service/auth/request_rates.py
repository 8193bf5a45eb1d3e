"""Limits requests per second by token and by address, with one token bucket each; the number of buckets is bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

from tidewire_service.errors import RateExceeded

__all__ = ["RequestRates"]

_BURST_S: Final = 2.0  # seconds' worth of requests that may arrive at once
_MAX_BUCKETS: Final = 20_000  # the least recently used is dropped first: it is full again by then


class RequestRates:
    """Refuses requests that arrive too fast.

    Args:
        per_s: largest number of requests per second of one key; 0 for no limit.
        limit: name of the setting, for the error.
    """

    def __init__(self, per_s: float, limit: str) -> None:
        self._per_s = per_s
        self._limit = limit
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, key: str) -> None:
        """Count one request of a token or address.

        Raises:
            RateExceeded: the rate is too high; says after what time one more request is allowed.
        """
        if not self._per_s:
            return
        now_s = time.monotonic()
        most = max(1.0, self._per_s * _BURST_S)
        left, at_s = self._buckets.get(key, (most, now_s))
        left = min(most, left + (now_s - at_s) * self._per_s)
        if left < 1:
            wait_s = (1 - left) / self._per_s
            detail = f"more than {self._per_s:g} requests a second ({self._limit}); try again in {wait_s:.1f} s"
            raise RateExceeded(detail, limit=self._limit, retry_after_s=wait_s)
        self._buckets[key] = (left - 1, now_s)
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
