"""Puts the parts of an edge together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tidewire_service.edge.identities import Identities
from tidewire_service.edge.readiness import EdgeReadiness
from tidewire_service.edge.relay import Relay
from tidewire_service.edge.routes import EdgeAuthorization, get_ready, passed_route, stream_route
from tidewire_service.edge.settings import EdgeSettings
from tidewire_service.edge.upstream import Upstream
from tidewire_service.http_server.slow_clients import SlowClients
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.operations.memory import Memory
from tidewire_service.operations.tasks import end_all, keep_running
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.routes.catalog import get_catalog
from tidewire_service.routes.health import get_live
from tidewire_service.routes.history import get_history
from tidewire_service.routes.metrics import get_metrics
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.streams import Streams
from tidewire_service.web.cors import cors_config
from tidewire_service.web.declaration import RouteTable, check_declared, query_of
from tidewire_service.web.head import HeadAsGet
from tidewire_service.web.origin_guard import OriginGuard
from tidewire_service.web.problems import exception_handler
from tidewire_service.web.request_log import RequestLog

__all__ = ["create_edge"]


def create_edge(own: EdgeSettings, settings: ServiceSettings) -> Litestar:
    """Return an edge as an ASGI app; nothing is connected before its lifespan starts.

    Args:
        own: where it reads from, and its bounds.
        settings: those that it shares with the service.

    The app's state has ``relay``, ``streams``, ``readiness``, and what `make_server` asks for.
    """
    limit_counters = LimitCounters()
    upstream = Upstream(own.upstream)
    identities = Identities(upstream)
    relay = Relay(upstream, identities, own)
    streams = Streams(relay, settings, limit_counters)
    streams.end_reason = identities.end_reason
    relay.end = streams.end
    slow_clients = SlowClients(settings, limit_counters)
    memory = Memory(settings.soft_memory_bytes, streams.quota)
    readiness = EdgeReadiness(upstream)
    telemetry = Telemetry()
    tasks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "slow_clients": slow_clients.watch,
        "identities": identities.watch,
        "upstream": upstream.watch,
    }
    if settings.soft_memory_bytes:
        tasks["memory"] = memory.watch
    failures = Counter(dict.fromkeys(tasks, 0))
    _export(telemetry, relay, identities, streams, slow_clients, failures)

    async def drain() -> None:
        readiness.draining = True
        await streams.drain()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        running = [
            asyncio.create_task(keep_running(name, run, failures), name=f"tidewire-{name.replace('_', '-')}")
            for name, run in tasks.items()
        ]
        try:
            yield
        finally:
            await end_all(running)
            await streams.drain()
            await streams.close()
            await relay.close()
            await upstream.close()

    app = Litestar(
        route_handlers=[
            stream_route(streams, identities),
            passed_route("/v1/catalog", query_of(get_catalog), upstream),
            passed_route("/v1/history", query_of(get_history), upstream),
            get_live,
            get_ready,
            get_metrics,
        ],
        dependencies={
            "readiness": Provide(lambda: readiness, sync_to_thread=False),
            "telemetry": Provide(lambda: telemetry, sync_to_thread=False),
        },
        guards=[check_declared],
        exception_handlers={Exception: exception_handler(limit_counters)},
        openapi_config=None,
        cors_config=cors_config(settings),
        lifespan=[lifespan],
        logging_config=None,
    )
    routes = RouteTable(app.routes)
    app.state.update(relay=relay, streams=streams, readiness=readiness, drain=drain, slow_clients=slow_clients)
    authorized = EdgeAuthorization(
        app.asgi_handler, routes, identities, token=own.token, required=settings.auth, limit_counters=limit_counters
    )
    app.asgi_handler = HeadAsGet(RequestLog(OriginGuard(authorized, routes, settings, limit_counters), telemetry))
    if settings.trusted_proxies:  # X-Forwarded-For and -Proto are believed only from these
        app.asgi_handler = ProxyHeadersMiddleware(app.asgi_handler, list(settings.trusted_proxies))  # type: ignore[assignment,arg-type]
    return app


def _export(
    telemetry: Telemetry,
    relay: Relay,
    identities: Identities,
    streams: Streams[Relay],
    slow_clients: SlowClients,
    failures: Counter[str],
) -> None:
    telemetry.export("tidewire_edge", relay.gauges, gauge=True)
    telemetry.export("tidewire_edge", lambda: {**relay.counters, "identities_asked": identities.asked})
    telemetry.export("tidewire_streams", lambda: {"open": len(streams)}, gauge=True)
    telemetry.export("tidewire_stream_ends", lambda: streams.ends, label="reason")  # type: ignore[arg-type,return-value]
    telemetry.export("tidewire_task_failures", lambda: failures, label="task")
    telemetry.export("tidewire_connections_closed", lambda: slow_clients.closed, label="reason")
    telemetry.export("tidewire_connections", lambda: {"waiting": float(len(slow_clients))}, gauge=True)
    telemetry.export("tidewire_streams_refused", lambda: streams.quota.refused, label="limit")
    telemetry.export("tidewire_limits_reached", lambda: streams.limit_counters.reached, label="limit")
