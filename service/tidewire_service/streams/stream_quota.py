"""Limits how many streams may be open: in all, per token, per address, and while memory is short."""

from __future__ import annotations

from collections import Counter

import msgspec

from tidewire_service.limit_counters import LimitCounters

__all__ = ["StreamLimits", "StreamQuota"]


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Largest numbers of streams, 0 for no limit; each is described in `settings.ServiceSettings`."""

    max_streams: int
    max_streams_per_token: int
    max_streams_per_address: int


class StreamQuota:
    """Counts the open streams and refuses more than allowed.

    Args:
        limits: largest numbers of streams.
        limit_counters: counts refusals with those of the other limits.

    Attributes:
        memory_short: refuse all new streams.
        refused: number of refused streams, by limit.
    """

    def __init__(self, limits: StreamLimits, limit_counters: LimitCounters | None = None) -> None:
        self.limits = limits
        self.limit_counters = limit_counters or LimitCounters()
        self.memory_short = False
        self.refused = dict.fromkeys((*StreamLimits.__struct_fields__, "soft_memory_bytes"), 0)
        self._open = 0
        self._by_token: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()

    def refusal(self, token: str, address: str) -> str:
        """Return the limit that refuses a new stream, and count the refusal; empty if it may open.

        Args:
            token: id of its token; empty for none.
            address: of the client; empty if unknown.
        """
        limits = self.limits
        limit = ""
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
        limits = self.limits
        self._open += 1
        if limits.max_streams_per_token:
            self._by_token[token] += 1
        if limits.max_streams_per_address:
            self._by_address[address] += 1

    def leave(self, token: str, address: str) -> None:
        """Count a stream that has ended."""
        self._open -= 1
        for counted, key in ((self._by_token, token), (self._by_address, address)):
            if key in counted:
                counted[key] -= 1
                if counted[key] <= 0:
                    del counted[key]
