"""The app: the only place where the parts of the service are put together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.di import Provide

from tidewire.redis_log import RedisLog
from tidewire_service.audit import audit_when_reached
from tidewire_service.gate import STREAM_PATH, Gate
from tidewire_service.hub import Hub, HubSettings
from tidewire_service.ingest.inbox import Inbox
from tidewire_service.ingest.sweeper import sweep_each_minute
from tidewire_service.problems import problem_response
from tidewire_service.rates import Rates
from tidewire_service.readiness import Readiness
from tidewire_service.routes.catalog import CatalogReads, get_catalog
from tidewire_service.routes.health import get_live, get_ready
from tidewire_service.routes.history import HistoryReads, get_history
from tidewire_service.routes.metrics import get_metrics
from tidewire_service.routes.readings import Posts, post_readings
from tidewire_service.routes.schema import add_policy, get_schema_asset, openapi_config
from tidewire_service.routes.stream import STREAM_PATH_ITEM, StreamDoor, stream_route
from tidewire_service.settings import ServiceSettings
from tidewire_service.stream import StreamSettings
from tidewire_service.streams import Streams
from tidewire_service.tasks import end_all, keep_running
from tidewire_service.telemetry import Observed, Telemetry

__all__ = ["create_app"]


def create_app(settings: ServiceSettings, *, log: RedisLog | None = None) -> Litestar:
    """Return the service as an ASGI app; nothing is connected before its lifespan starts.

    Args:
        settings: everything that can be chosen.
        log: the Redis log to use; one of its own, by the settings, if None. Closed with the app.

    The app's state has ``hub``, ``streams``, ``inbox``, ``readiness`` and ``drain``, a coroutine function that ends all
    streams within `drain_s`; a server awaits it before it waits for its connections.
    """
    if log is None:
        log = RedisLog(
            settings.redis,
            prefix=settings.prefix,
            retention=settings.retention,
            limits=settings.limits,
            timeout_s=settings.redis_timeout_s,
        )
    hub = Hub(
        log,
        settings.redis,
        HubSettings(tick_ms=settings.tick_ms, ring_bytes=settings.ring_bytes),
        limits=msgspec.structs.asdict(settings.limits),
    )
    streams = Streams(hub, _stream_settings(settings))
    inbox = Inbox(log, settings.limits, settings.lease_ttl_ms)
    rates = Rates()
    readiness = Readiness(hub)
    telemetry = Telemetry()
    failures: Counter[str] = Counter()
    hub.on_inbox = inbox.on_message
    hub.add_observer(lambda entry: rates.observe(entry.body))
    _show(telemetry, hub, streams, inbox, failures)

    async def drain() -> None:
        readiness.draining = True
        await streams.drain()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await hub.start()
        tasks = [
            asyncio.create_task(
                keep_running("audit", lambda: audit_when_reached(log), failures), name="tidewire-audit"
            ),
            asyncio.create_task(keep_running("inbox", inbox.run, failures), name="tidewire-inbox"),
            asyncio.create_task(
                keep_running("sweeper", lambda: sweep_each_minute(hub, inbox.lease), failures), name="tidewire-sweeper"
            ),
        ]
        try:
            yield
        finally:
            await end_all(tasks)
            await streams.drain()
            await streams.close()
            await hub.close()
            await log.close()

    app = Litestar(
        route_handlers=[
            stream_route(streams, settings.max_patterns),
            post_readings,
            get_history,
            get_catalog,
            get_live,
            get_ready,
            get_metrics,
            get_schema_asset,
        ],
        dependencies={
            "posts": _provided(Posts(log, settings, telemetry)),
            "history_reads": _provided(HistoryReads(hub, settings)),
            "catalog_reads": _provided(CatalogReads(hub, rates, settings)),
            "readiness": _provided(readiness),
            "telemetry": _provided(telemetry),
        },
        exception_handlers={Exception: problem_response},
        after_request=add_policy,
        openapi_config=openapi_config(),
        cors_config=_cors(settings),
        lifespan=[lifespan],
        logging_config=None,
        request_max_body_size=None,  # `Posts` bounds what it reads; nothing else reads a body
    )
    app.openapi_schema.paths = {**(app.openapi_schema.paths or {}), STREAM_PATH: STREAM_PATH_ITEM}
    app.state.update(hub=hub, streams=streams, inbox=inbox, readiness=readiness, drain=drain)
    door = StreamDoor(app.asgi_handler, streams, settings.max_patterns)
    app.asgi_handler = Observed(Gate(door, settings), telemetry)
    return app


def _provided(value: Any) -> Provide:
    provide: Callable[[], Any] = lambda: value  # noqa: E731 - one line says it
    return Provide(provide, sync_to_thread=False)


def _stream_settings(settings: ServiceSettings) -> StreamSettings:
    return StreamSettings(
        heartbeat_s=settings.heartbeat_s,
        retry_min_ms=settings.retry_min_ms,
        retry_max_ms=settings.retry_max_ms,
        max_age_s=settings.stream_age_s,
        write_timeout_s=settings.write_timeout_s,
        drain_s=settings.drain_s,
        max_streams=settings.max_streams,
    )


def _cors(settings: ServiceSettings) -> CORSConfig | None:
    """Return what pages of the allowed origins may do; nobody else's may read anything."""
    if not settings.allowed_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.allowed_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "Content-Encoding", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["Retry-After", "Tidewire-Cursor"],
        max_age=600,
    )


def _show(telemetry: Telemetry, hub: Hub, streams: Streams, inbox: Inbox, failures: Counter[str]) -> None:
    telemetry.show("tidewire_hub", lambda: hub.counters)
    telemetry.show("tidewire_hub", hub.gauges, falls=True)
    telemetry.time("tidewire_publish_to_write_seconds", "From the append to the write of a flush", hub.latencies)
    telemetry.show("tidewire_inbox", lambda: inbox.counters)
    telemetry.show("tidewire_streams", lambda: {"open": len(streams)}, falls=True)
    telemetry.show("tidewire_stream_ends", lambda: streams.ends, label="reason")  # type: ignore[arg-type,return-value]
    telemetry.show("tidewire_task_failures", lambda: failures, label="task")
