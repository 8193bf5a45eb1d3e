"""Puts the parts of the service together; the only module that does."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.di import Provide
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tidewire.errors import LogUnavailable
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.auth.authenticator import Authenticator
from tidewire_service.auth.request_rates import RequestRates
from tidewire_service.auth.tickets import Tickets
from tidewire_service.auth.tokens import TokenStore
from tidewire_service.history.rates import Rates
from tidewire_service.http_server.slow_clients import SlowClients
from tidewire_service.hub.counters import summed
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.group_commit import GroupCommits
from tidewire_service.ingest.inbox import Inbox
from tidewire_service.ingest.sweeper import sweep_each_minute
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.log_opening import open_log
from tidewire_service.operations.memory import Memory
from tidewire_service.operations.readiness import Readiness
from tidewire_service.operations.redis_checks import check_when_reached
from tidewire_service.operations.self_metrics import SelfMetrics, process_name
from tidewire_service.operations.tasks import end_all, keep_running
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.routes import otlp, readings
from tidewire_service.routes.catalog import CatalogReads, get_catalog
from tidewire_service.routes.documents import DOCUMENT_ROUTES, SavedDocuments
from tidewire_service.routes.health import get_live, get_ready
from tidewire_service.routes.history import HistoryReads, get_history
from tidewire_service.routes.influx import INFLUX_ROUTES, InfluxWrites
from tidewire_service.routes.influx_store import LineStore
from tidewire_service.routes.metrics import get_metrics
from tidewire_service.routes.otlp import OtlpExports, post_metrics
from tidewire_service.routes.pushgateway import PUSH_ROUTES, Pushes
from tidewire_service.routes.readings import Posts, post_readings
from tidewire_service.routes.schema import add_policy, get_schema_asset, openapi_config
from tidewire_service.routes.stream import StreamShortcut, parse_stream_query, stream_route
from tidewire_service.routes.tickets import create_ticket
from tidewire_service.routes.whoami import get_whoami
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.streams import Streams
from tidewire_service.web.authorization import AuthorizationMiddleware
from tidewire_service.web.cors import cors_config
from tidewire_service.web.declaration import RouteTable, check_declared
from tidewire_service.web.foreign_bodies import ForeignBodies
from tidewire_service.web.head import HeadAsGet
from tidewire_service.web.origin_guard import OriginGuard
from tidewire_service.web.problems import exception_handler
from tidewire_service.web.request_log import RequestLog
from tidewire_service.web.shortcut import PostShortcut

if TYPE_CHECKING:
    from tidewire_service.auth.jwt import JwtVerifier

__all__ = ["create_app"]


def create_app(
    settings: ServiceSettings, *, log: PartitionedLog | RedisLog | None = None, worker: int | None = None
) -> Litestar:
    """Return the service as an ASGI app; nothing is connected before its lifespan starts.

    Args:
        settings: of the service.
        log: the log to use, closed with the app; if None, one is opened by the settings.
        worker: number of this process, if several share the port; else None.

    The app's state has ``hub``, ``streams``, ``inboxes``, ``readiness`` and ``drain``, a coroutine function that ends
    all streams within `drain_s`; a server awaits it before it waits for its connections, and registers each connection
    with ``slow_clients``.
    """
    hub = Hub(open_log(settings) if log is None else log, settings)
    log = hub.log
    limit_counters = LimitCounters()
    streams = Streams(hub, settings, limit_counters)
    jwt = _jwt(settings)
    authenticator = Authenticator(TokenStore(log.home) if settings.auth else None, jwt)
    streams.end_reason = authenticator.end_reason
    slow_clients = SlowClients(settings, limit_counters)
    memory = Memory(settings.soft_memory_bytes, streams.quota)
    inboxes = [
        Inbox(log, settings.limits, settings.lease_ttl_ms, part.log_time_ms, part.partition.number)
        for part in hub.parts
    ]
    rates = Rates()
    readiness = Readiness(hub)
    telemetry = Telemetry()
    process = process_name(settings.port, worker)
    self_metrics = SelfMetrics(log, telemetry.registry, process, settings.self_metrics_s, hub.log_time_ms)
    # None: not needed with these settings
    tasks: dict[str, Callable[[], Coroutine[Any, Any, None]] | None] = {
        "redis_checks": lambda: check_when_reached(log),
        "slow_clients": slow_clients.watch,
        "inbox": lambda: _all(inbox.run() for inbox in inboxes),
        "sweeper": lambda: _all(
            sweep_each_minute(part, inbox.lease) for part, inbox in zip(hub.parts, inboxes, strict=True)
        ),
        "tokens": authenticator.watch if settings.auth else None,
        "jwks": None if jwt is None else jwt.watch,
        "memory": memory.watch if settings.soft_memory_bytes else None,
        "self_metrics": self_metrics.publish if settings.self_metrics_s else None,
    }
    failures = Counter(dict.fromkeys(tasks, 0))
    for number, inbox in enumerate(inboxes):
        hub.on_inbox(inbox.on_message, number)
    hub.add_observer(lambda entry: rates.observe(entry.body))
    _export_core(telemetry, hub, streams, inboxes, failures)
    _export_edge(telemetry, authenticator, streams, slow_clients)

    async def drain() -> None:
        readiness.draining = True
        await streams.drain()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await hub.start()
        running = [
            asyncio.create_task(keep_running(name, run, failures), name=f"tidewire-{name.replace('_', '-')}")
            for name, run in tasks.items()
            if run is not None
        ]
        try:
            yield
        finally:
            await end_all(running)
            with contextlib.suppress(LogUnavailable):
                await authenticator.store_last_used()
                await self_metrics.finish()
            await streams.drain()
            await streams.close()
            await hub.close()
            await log.close()

    tickets = Tickets(log, settings.stream_age_s)
    commits = GroupCommits(log)
    posts = Posts(hub, settings, telemetry, streams.quota, commits)
    bodies = ForeignBodies(settings, streams.quota, posts.slots)
    influx = InfluxWrites(LineStore(hub, settings, telemetry, streams.quota), bodies)
    exports = OtlpExports(hub, settings, telemetry, streams.quota, bodies, commits)
    telemetry.export("tidewire_posts", lambda: {"taking": posts.in_progress}, gauge=True)
    app = Litestar(
        route_handlers=[
            stream_route(streams),
            post_readings,
            get_history,
            get_catalog,
            get_live,
            get_ready,
            get_metrics,
            get_whoami,
            create_ticket,
            get_schema_asset,
            *DOCUMENT_ROUTES,
            *INFLUX_ROUTES,
            *PUSH_ROUTES,
            post_metrics,
        ],
        dependencies={
            "posts": _dependency(posts),
            "influx": _dependency(influx),
            "pushes": _dependency(Pushes(hub, settings, telemetry, streams.quota, bodies)),
            "otlp": _dependency(exports),
            "history_reads": _dependency(HistoryReads(hub, settings)),
            "catalog_reads": _dependency(CatalogReads(hub, rates, settings)),
            "documents": _dependency(SavedDocuments(log.home, settings.max_matching_s)),
            "readiness": _dependency(readiness),
            "telemetry": _dependency(telemetry),
            "tickets": _dependency(tickets),
        },
        guards=[check_declared],
        exception_handlers={Exception: exception_handler(limit_counters)},
        after_request=add_policy,
        openapi_config=openapi_config(auth=settings.auth),
        cors_config=cors_config(settings),
        lifespan=[lifespan],
        logging_config=None,
        request_max_body_size=None,  # each route declares its own
    )
    routes = RouteTable(app.routes)
    app.state.update(
        hub=hub,
        streams=streams,
        inboxes=inboxes,
        readiness=readiness,
        drain=drain,
        slow_clients=slow_clients,
        failures=failures,
    )
    shortcut = PostShortcut(
        StreamShortcut(app.asgi_handler, streams),
        {readings.PATH: posts.publish, otlp.PATH: exports.export, **influx.handlers},
        limit_counters,
    )
    token_rates = RequestRates(settings.max_requests_per_s, "max_requests_per_s")
    address_rates = RequestRates(settings.max_requests_per_s_per_address, "max_requests_per_s_per_address")
    parse_stream = partial(parse_stream_query, max_patterns=settings.max_patterns)
    authorized = AuthorizationMiddleware(
        shortcut, routes, authenticator, streams, token_rates, address_rates, tickets, parse_stream, limit_counters
    )
    app.asgi_handler = HeadAsGet(RequestLog(OriginGuard(authorized, routes, settings, limit_counters), telemetry))
    if settings.trusted_proxies:  # X-Forwarded-For and -Proto are believed only from these
        app.asgi_handler = ProxyHeadersMiddleware(app.asgi_handler, list(settings.trusted_proxies))  # type: ignore[assignment,arg-type]
    return app


def _dependency(value: Any) -> Provide:
    provide: Callable[[], Any] = lambda: value  # noqa: E731 - one line says it
    return Provide(provide, sync_to_thread=False)


def _jwt(settings: ServiceSettings) -> JwtVerifier | None:
    if not (settings.jwt_issuer or settings.jwt_audience or settings.jwt_jwks):
        return None
    from tidewire_service.auth.jwt import JwtVerifier  # noqa: PLC0415 - cryptography costs 60 ms at import

    return JwtVerifier(settings)


async def _all(running: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all of some tasks; the first that fails ends the others."""
    async with asyncio.TaskGroup() as tasks:
        for one in running:
            tasks.create_task(one)


def _export_core(
    telemetry: Telemetry, hub: Hub, streams: Streams[Hub], inboxes: Sequence[Inbox], failures: Counter[str]
) -> None:
    telemetry.export("tidewire_hub", lambda: hub.counters)
    telemetry.export("tidewire_hub", hub.gauges, gauge=True)
    telemetry.export("tidewire_partition_look_age_s", hub.look_ages, gauge=True, label="partition")
    telemetry.export_histogram(
        "tidewire_publish_to_write_seconds", "From the append to the write of a flush", hub.latencies
    )
    telemetry.export("tidewire_inbox", lambda: summed(one.counters for one in inboxes))
    telemetry.export("tidewire_streams", lambda: {"open": len(streams)}, gauge=True)
    telemetry.export("tidewire_stream_ends", lambda: streams.ends, label="reason")  # type: ignore[arg-type,return-value]
    telemetry.export("tidewire_task_failures", lambda: failures, label="task")


def _export_edge(
    telemetry: Telemetry, authenticator: Authenticator, streams: Streams[Hub], slow_clients: SlowClients
) -> None:
    telemetry.export("tidewire_connections_closed", lambda: slow_clients.closed, label="reason")
    telemetry.export("tidewire_connections", lambda: {"waiting": float(len(slow_clients))}, gauge=True)
    telemetry.export("tidewire_auth", lambda: authenticator.counters, label="outcome")
    telemetry.export("tidewire_streams_refused", lambda: streams.quota.refused, label="limit")
    telemetry.export("tidewire_limits_reached", lambda: streams.limit_counters.reached, label="limit")
    telemetry.export("tidewire_memory", lambda: {"short": float(streams.quota.memory_short)}, gauge=True)
