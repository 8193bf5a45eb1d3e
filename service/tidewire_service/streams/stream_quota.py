"""Limits how many streams may be open: in all, per token, per address, and while memory is short."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tidewire_service.limit_counters import LimitCounters
from tidewire_service.settings import ServiceSettings

__all__ = ["StreamQuota"]

_LIMITS: Final = ("max_streams", "max_streams_per_token", "max_streams_per_address", "soft_memory_bytes")


class StreamQuota:
    """Counts the open streams and refuses more than allowed.

    Args:
        settings: largest numbers of streams; 0 for no limit per token or address.
        limit_counters: counts refusals with those of the other limits.

    Attributes:
        memory_short: refuse all new streams.
        refused: number of refused streams, by limit.
    """

    def __init__(self, settings: ServiceSettings, limit_counters: LimitCounters) -> None:
        self.limit_counters = limit_counters
        self.memory_short = False
        self.refused = dict.fromkeys(_LIMITS, 0)
        self._settings = settings
        self._open = 0
        self._by_token: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()

    def refusal(self, token: str, address: str) -> str:
        """Return the limit that refuses a new stream, and count the refusal; empty if it may open.

        Args:
            token: id of its token; empty for none.
            address: of the client; empty if unknown.
        """
        limits, limit = self._settings, ""
        if self._open >= limits.max_streams:
            limit = "max_streams"
        elif self.memory_short:
            limit = "soft_memory_bytes"
        elif token and 0 < limits.max_streams_per_token <= self._by_token[token]:
            limit = "max_streams_per_token"
        elif address and 0 < limits.max_streams_per_address <= self._by_address[address]:
            limit = "max_streams_per_address"
        if limit:
            self.refused[limit] += 1
            self.limit_counters.count(limit)
        return limit

    def enter(self, token: str, address: str) -> None:
        """Count a stream that opens."""
        self._open += 1
        if self._settings.max_streams_per_token:
            self._by_token[token] += 1
        if self._settings.max_streams_per_address:
            self._by_address[address] += 1

    def leave(self, token: str, address: str) -> None:
        """Count a stream that has ended."""
        self._open -= 1
        for counted, key in ((self._by_token, token), (self._by_address, address)):
            if key in counted:
                counted[key] -= 1
                if counted[key] <= 0:
                    del counted[key]
