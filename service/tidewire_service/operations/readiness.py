"""Readiness: checks on each request, within a second, whether this process can accept readings and stream them."""

from __future__ import annotations

import asyncio
from typing import Final

from tidewire.errors import LogUnavailable
from tidewire.model.answers import ReadinessJson
from tidewire_service.hub.hub import Hub

__all__ = ["Readiness"]

_STALE_S: Final = 2.0  # the hub reads the log's clock every 0.5 s
_PING_S: Final = 1.0


class Readiness:
    """Checks Redis and the hub.

    Attributes:
        draining: the process is about to end and should get no new requests.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.draining = False

    async def check(self) -> ReadinessJson:
        """Return the readiness now."""
        hub = self._hub
        redis_ms, reason = None, ""
        try:
            async with asyncio.timeout(_PING_S):
                redis_ms = round(await hub.ping() * 1e3, 3)
        except TimeoutError:
            reason = f"Redis at {hub.log.url} did not answer within {_PING_S:g} s"
        except LogUnavailable as error:
            reason = str(error)
        age_s = hub.clock_age_s if hub.ready else None
        if self.draining:
            reason = "the service is about to end"
        elif not reason and not hub.ready:
            reason = hub.trouble or "the hub has no verified position yet"
        elif not reason and age_s is not None and age_s > _STALE_S:
            reason = hub.trouble or f"the hub last read the log's clock {age_s:.1f} s ago"
        return ReadinessJson(
            not reason,
            reason,
            redis_ms,
            str(hub.position),
            None if age_s is None else round(age_s, 3),
            hub.degraded,
        )
