"""The soft memory limit: above it, new streams and bodies are refused while there is still memory to answer."""

from __future__ import annotations

import asyncio
from typing import Final

import psutil
import structlog

from tidewire_service.streams.stream_quota import StreamQuota

__all__ = ["Memory"]

_CHECK_S: Final = 1.0
_EASED: Final = 0.95  # share of the limit below which the shortage ends, so that it does not flap around the limit
_log = structlog.get_logger("tidewire_service")


class Memory:
    """Watches the resident memory of this process.

    Args:
        limit_bytes: the soft limit; 0 for none.
        quota: its `memory_short` is set while memory is short.
    """

    def __init__(self, limit_bytes: int, quota: StreamQuota) -> None:
        self._limit_bytes = limit_bytes
        self._quota = quota
        self._process = psutil.Process()

    def check(self) -> None:
        """Compare the memory in use with the limit, once."""
        used = self._process.memory_info().rss
        short = used > self._limit_bytes * (_EASED if self._quota.memory_short else 1.0)
        if short != self._quota.memory_short:
            self._quota.memory_short = short
            _log.warning("memory_short" if short else "memory_eased", bytes=used, soft_memory_bytes=self._limit_bytes)

    async def watch(self) -> None:
        """Check every second; until cancelled."""
        while self._limit_bytes:
            self.check()
            await asyncio.sleep(_CHECK_S)
