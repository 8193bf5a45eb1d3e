"""Telemetry: structured logs and the Prometheus registry of one service process; nothing here runs per reading."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import count
from time import perf_counter
from typing import Any, Final, TextIO

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewire import __version__
from tidewire_service.hub.counters import Latencies
from tidewire_service.settings import LogFormat
from tidewire_service.web.origin_guard import STREAM_PATH
from tidewire_service.web.problems import request_id

__all__ = ["RequestLog", "Telemetry", "configure_logging"]

_log = structlog.get_logger("tidewire_service")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET: Final = ("/metrics", "/v1/readings")  # asked many times a minute: only their failures are logged
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PATH_CHARS: Final = 200


def configure_logging(level: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send the events of structlog and of the standard library to one stream, as JSON unless it is a terminal.

    Args:
        level: the least severe level that is written.
        form: ``json``, ``console``, or ``auto``.
        stream: standard error if None.
    """
    stream = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and not stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any]
    if as_json:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # plain: the default prints the local variables of every frame, and with them tokens and passwords
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),  # what is filtered out costs nothing
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in (
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
    ):  # theirs go the same way; access is logged by `RequestLog`
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"


class Telemetry:
    """The counters of one process.

    Attributes:
        registry: what ``/metrics`` shows.
        requests: requests by method, route and status; a path without a route counts as ``-``, so the size stays flat.
        seconds: how long requests took, by route; streams are not in it.
        accepted: readings taken, by ingest path.
        rejected: rows or messages refused, by ingest path and reason.
        repeated: calls that had been taken before, by ingest path; their readings were not appended again.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tidewire_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "tidewire_http_seconds",
            "Time to answer, without streams",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.accepted = Counter("tidewire_readings_accepted", "Readings taken", ["ingest"], registry=self.registry)
        self.rejected = Counter(
            "tidewire_rows_rejected", "Rows or messages refused", ["ingest", "reason"], registry=self.registry
        )
        self.repeated = Counter(
            "tidewire_calls_repeated", "Calls that had been taken before", ["ingest"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        # with several workers on one port, this tells which of them a scrape reached
        process = Gauge("tidewire_process", "This process", ["version", "pid"], registry=self.registry)
        process.labels(__version__, str(os.getpid())).set(1)

    def export(
        self, prefix: str, read: Callable[[], Mapping[str, float]], *, gauge: bool = False, label: str = ""
    ) -> None:
        """Export a mapping of names to numbers, read at each scrape.

        Args:
            prefix: first part of the metric's name; the rest is the key, unless there is a label.
            read: returns the mapping.
            gauge: the numbers may fall.
            label: one metric with the keys as this label's values, for few keys.
        """
        self.registry.register(_MappingCollector(prefix, read, gauge, label))

    def export_histogram(self, name: str, meaning: str, latencies: Latencies) -> None:
        """Export a histogram, read at each scrape."""
        self.registry.register(_HistogramCollector(name, meaning, latencies))


class _HistogramCollector(Collector):
    """A histogram, read at scrape time."""

    def __init__(self, name: str, meaning: str, latencies: Latencies) -> None:
        self._name, self._meaning, self._latencies = name, meaning, latencies

    def collect(self) -> Iterable[Metric]:
        yield HistogramMetricFamily(
            self._name, self._meaning, buckets=self._latencies.cumulative(), sum_value=self._latencies.total_s
        )


class _MappingCollector(Collector):
    """A mapping as metrics, read at scrape time."""

    def __init__(self, prefix: str, read: Callable[[], Mapping[str, float]], gauge: bool, label: str) -> None:
        self._prefix = prefix
        self._read = read
        self._family = GaugeMetricFamily if gauge else CounterMetricFamily
        self._label = label

    def collect(self) -> Iterable[Metric]:
        found = dict(self._read())
        if self._label:
            family = self._family(self._prefix, self._prefix.replace("_", " "), labels=[self._label])
            for key, value in found.items():
                family.add_metric([str(key)], value)
            yield family
            return
        for name, value in found.items():
            yield self._family(f"{self._prefix}_{name}", name.replace("_", " "), value=value)

    def describe(self) -> Iterable[Metric]:
        return ()  # names are known only when there is something to show


class RequestLog:
    """An ASGI app around the app that counts and logs requests: method, path and status, never the query.

    Each has an id in ``scope["tidewire.request"]``, which every line of the log about it has, to the end of a stream;
    a refused request is told it in the header ``Tidewire-Request``.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        """Watch what `app` answers."""
        self._app = app
        self._telemetry = telemetry
        self._ids = (f"{prefix}-{number}" for prefix in (secrets.token_hex(3),) for number in count(1))
        self._counted: dict[tuple[str, str, int], Counter] = {}  # methods, routes and statuses are few
        self._log: Any = None  # looked up once, at the first request: logs are configured by then

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request on and log its answer; a plain function: an open stream keeps no frame of it."""
        if scope["type"] != ScopeType.HTTP:
            return self._app(scope, receive, send)
        started = perf_counter()
        id_ = scope["tidewire.request"] = next(self._ids)  # type: ignore[typeddict-unknown-key]  # ours

        def sending(message: Message) -> object:  # a plain function: a stream's sends pay no coroutine for it
            if message["type"] == "http.response.start":
                scope.pop("tidewire.send", None)  # type: ignore[typeddict-item]  # it leads here, and this to the scope
                self._note(scope, message["status"], perf_counter() - started)
                if message["status"] >= 400:
                    message["headers"] = [*message.get("headers", ()), (b"tidewire-request", id_.encode())]
            return send(message)

        return self._app(scope, receive, sending)  # type: ignore[arg-type]  # called and awaited, no more

    def _note(self, scope: HTTPScope, status: int, seconds: float) -> None:
        route = scope.get("path_template") or "-"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        counted = self._counted.get((method, route, status))
        if counted is None:  # looked up once: it was a twentieth of opening a stream
            counted = self._counted[method, route, status] = self._telemetry.requests.labels(method, route, str(status))
        counted.inc()
        if route != STREAM_PATH:
            self._telemetry.seconds.labels(route).observe(seconds)
        if self._log is None:
            self._log = _log.bind()
        write = self._log.info
        if route.startswith("/health/") or (status < 400 and route.startswith(_QUIET)):
            write = self._log.debug  # "are you ready?" is asked all the time, and "no" is an answer
        elif status >= 500:
            write = self._log.warning
        # the raw path: still percent-encoded, so that nothing in it can start a line of its own
        path = (scope.get("raw_path") or b"")[:_PATH_CHARS].decode("ascii", "backslashreplace")
        id_ = request_id(scope)
        write("request_answered", request=id_, method=method, path=path, status=status, ms=round(seconds * 1e3, 2))
