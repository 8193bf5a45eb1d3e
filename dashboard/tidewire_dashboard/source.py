"""The source: the one SSE consumer of this process, its store, and what it knows of the service's health."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from tidewire.errors import ServiceUnavailable, ServiceUnreachable
from tidewire.livestore.feed import Feed
from tidewire.livestore.messages import Status
from tidewire.livestore.store import Store
from tidewire.model.answers import ReadinessJson
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire_dashboard.settings import DashboardSettings

__all__ = ["Source"]

_log = logging.getLogger("tidewire")
_HEALTH_S: Final = 1.0  # a fault is shown within 5 s; the service itself may need 3 of them to be sure
_HEALTH_TIMEOUT_S: Final = 2.0


class Health(msgspec.Struct, frozen=True):
    """What the service said of itself last; None where it is not known."""

    service_ok: bool | None = None
    redis_ok: bool | None = None
    redis: str = ""
    reason: str = ""


class Source:
    """The stream of all metrics into one store, for every viewer; a context manager that starts and stops its thread.

    Args:
        settings: which service, and how much memory.

    Attributes:
        store: what was received.
        feed: the subscription.
        health: what the service said of itself last; another object after each change.
    """

    def __init__(self, settings: DashboardSettings) -> None:
        self.url = settings.url.rstrip("/")
        self.store = Store(store_bytes=settings.store_bytes)
        self.health = Health()
        self.feed = Feed(
            self.store,
            ("**",),
            url=self.url,
            token=settings.token,
            replay_s=round(self.store.raw_ms / 1e3),
            beside=(self._watch_health,),
            name="tidewire-source",
        )

    def __enter__(self) -> Source:
        self.feed.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()

    def message(self) -> Status:
        """Return the `status` message, without the lag of one viewer."""
        health = self.health
        return msgspec.structs.replace(
            self.feed.message(), service_ok=health.service_ok, redis_ok=health.redis_ok, redis=health.redis
        )

    async def _watch_health(self) -> None:
        async with AsyncServiceClient(self.url, token="", timeout_s=_HEALTH_TIMEOUT_S) as client:
            while True:
                health = await _health(client)
                if (health.service_ok, health.redis_ok) != (self.health.service_ok, self.health.redis_ok):
                    _log.info("health of %s: %s", self.url, health)
                self.health = health
                await asyncio.sleep(_HEALTH_S)


async def _health(client: AsyncServiceClient) -> Health:
    try:
        answer = await client.fetch("GET", "/health/ready")  # 503 has the same shape
        ready = answer.decoded(ReadinessJson)
    except ServiceUnavailable as error:
        return Health(service_ok=False, reason=error.why if isinstance(error, ServiceUnreachable) else str(error))
    if ready.redis_ms is None:
        return Health(service_ok=True, redis_ok=False, reason=ready.reason)
    return Health(service_ok=True, redis_ok=True, redis=f"answers in {ready.redis_ms:.1f} ms", reason=ready.reason)
