"""Telemetry: structured logs and the Prometheus registry of one service process; nothing here runs per reading."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewire import __version__
from tidewire.commands.terminal import plain_lines
from tidewire_service.hub.counters import Latencies
from tidewire_service.settings import LogFormat

__all__ = ["Telemetry", "configure_logging"]

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


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
        # plain, because the default prints the local variables of every frame, and so tokens and passwords
        plain = structlog.dev.plain_traceback
        last = [_without_controls, structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),  # a filtered-out event costs nothing
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
    for name in ("httpx", "httpcore"):  # they write the URLs of their requests, which may hold a ticket
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # to the same handler; `web.request_log` logs access
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"


def _without_controls(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Let nothing of what others sent move the cursor of a terminal; as a processor of structlog."""
    return {name: plain_lines(value) if isinstance(value, str) else value for name, value in event.items()}


class Telemetry:
    """The counters of one process.

    Attributes:
        registry: what ``/metrics`` shows.
        requests: by method, route and status; a path without a route counts as ``-``, which bounds their number.
        seconds: how long requests took, by route; without streams.
        accepted: readings accepted, by ingest path.
        rejected: rows or messages refused, by ingest path and reason.
        lossy: values that float64 does not hold exactly, by ingest path.
        left_out: fields that say nothing new with each reading, and are not stored, by ingest path.
        repeated: calls that had been accepted before, by ingest path; their readings were not appended again.
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
        self.accepted = Counter("tidewire_readings_accepted", "Readings accepted", ["ingest"], registry=self.registry)
        self.rejected = Counter(
            "tidewire_rows_rejected", "Rows or messages refused", ["ingest", "reason"], registry=self.registry
        )
        self.lossy = Counter("tidewire_values_lossy", "Integers rounded", ["ingest"], registry=self.registry)
        self.left_out = Counter("tidewire_fields_left_out", "Fields not stored", ["ingest"], registry=self.registry)
        self.repeated = Counter(
            "tidewire_calls_repeated", "Calls that had been accepted before", ["ingest"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        # with several workers on one port, it shows which of them a scrape reached
        process = Gauge("tidewire_process", "This process", ["version", "pid"], registry=self.registry)
        process.labels(__version__, str(os.getpid())).set(1)

    def export(
        self, prefix: str, read: Callable[[], Mapping[str, float]], *, gauge: bool = False, label: str = ""
    ) -> None:
        """Export a mapping of names to numbers, read at each scrape.

        Args:
            prefix: first part of the metric's name; the rest is the key, unless there is a label.
            read: returns the mapping.
            gauge: the numbers may decrease.
            label: if given, export one metric whose values of this label are the keys; for few keys.
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
        return ()  # the names are known only at a scrape
