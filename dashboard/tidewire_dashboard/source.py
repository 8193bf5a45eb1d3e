"""Consumes the one SSE stream of this process into its store, and polls the health of the service."""

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
_POLL_HEALTH_S: Final = 1.0  # a fault is shown within 5 s; the service itself may need 3 of them to be sure
_HEALTH_TIMEOUT_S: Final = 2.0


class Health(msgspec.Struct, frozen=True):
    """The last known health of the service; None where it is unknown."""

    service_ok: bool | None = None
    redis_ok: bool | None = None
    redis: str = ""
    reason: str = ""


class Source:
    """Reads all metrics into one store for all viewers; a context manager that starts and stops its thread.

    Args:
        settings: the service to read from and the memory to use.

    Attributes:
        store: the newest readings.
        feed: the subscription.
        health: the last known health of the service; replaced by a new object at each poll.
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
            replay_s=None,
            beside=(self._poll_health,),
            name="tidewire-source",
        )

    def __enter__(self) -> Source:
        self.feed.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()

    def message(self) -> Status:
        """Return the `status` message, except for the lag, which each viewer has of its own."""
        health = self.health
        return msgspec.structs.replace(
            self.feed.message(), service_ok=health.service_ok, redis_ok=health.redis_ok, redis=health.redis
        )

    async def _poll_health(self) -> None:
        async with AsyncServiceClient(self.url, token="", timeout_s=_HEALTH_TIMEOUT_S) as client:
            while True:
                health = await _read_health(client)
                if (health.service_ok, health.redis_ok) != (self.health.service_ok, self.health.redis_ok):
                    _log.info("health of %s: %s", self.url, health)
                self.health = health
                await asyncio.sleep(_POLL_HEALTH_S)


async def _read_health(client: AsyncServiceClient) -> Health:
    try:
        answer = await client.fetch("GET", "/health/ready")  # 503 has the same shape
        ready = answer.decoded(ReadinessJson)
    except ServiceUnavailable as error:
        return Health(service_ok=False, reason=error.why if isinstance(error, ServiceUnreachable) else str(error))
    if ready.redis_ms is None:
        return Health(service_ok=True, redis_ok=False, reason=ready.reason)
    return Health(service_ok=True, redis_ok=True, redis=f"answers in {ready.redis_ms:.1f} ms", reason=ready.reason)
