"""Self metrics: publishes each process's health as readings `tidewire/…`, which the deck of that name shows."""

from __future__ import annotations

import asyncio
import platform
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from tidewire.errors import LogUnavailable
from tidewire.model.batch import FINISHED, EncodedBatch, encode_batch, make_batch
from tidewire.redislog.partitioned_log import PartitionedLog

__all__ = ["SELF_METRICS", "SelfMetrics", "process_name", "quantile"]

_log = structlog.get_logger("tidewire_service")


class _SelfMetric(NamedTuple):
    """One self metric: which samples of /metrics it is the sum of, as a value or as a rate."""

    metric: str
    unit: str
    kind: Literal["now", "rate"]
    factor: float
    samples: tuple[str, ...]


_TABLE: Final = (
    _SelfMetric(
        "tidewire/accepted", "/s", "rate", 1, ("tidewire_readings_accepted_total", "tidewire_inbox_readings_total")
    ),
    _SelfMetric("tidewire/cpu", "%", "rate", 100, ("process_cpu_seconds_total",)),
    _SelfMetric("tidewire/deliveries", "/s", "rate", 1, ("tidewire_hub_deliveries_total",)),
    _SelfMetric("tidewire/errors", "/s", "rate", 1, ("5xx",)),
    _SelfMetric(
        "tidewire/gaps",
        "/s",
        "rate",
        1,
        ("tidewire_hub_gaps_trimmed_total", "tidewire_hub_gaps_lost_total", "tidewire_hub_resets_total"),
    ),
    _SelfMetric("tidewire/loop-lateness", "ms", "now", 1e3, ("tidewire_hub_loop_late_s",)),
    _SelfMetric("tidewire/memory", "By", "now", 1, ("process_resident_memory_bytes",)),
    _SelfMetric("tidewire/metrics", "{metrics}", "now", 1, ("tidewire_hub_metrics",)),
    _SelfMetric("tidewire/refused", "/s", "rate", 1, ("tidewire_limits_reached_total", "tidewire_rows_rejected_total")),
    _SelfMetric("tidewire/streams", "{streams}", "now", 1, ("tidewire_streams_open",)),
)
_LATENCY: Final = "tidewire/latency"
_REDIS: Final = "tidewire/redis"
SELF_METRICS: Final = (*(row.metric for row in _TABLE), _LATENCY, _REDIS)
"""The names of all self metrics; at most twelve, since a deck without saved charts shows no more."""
_BUCKETS: Final = re.compile(r"tidewire_publish_to_write_seconds_bucket (\S+)")


def process_name(port: int, worker: int | None = None) -> str:
    """Return the label that distinguishes this process: ``host:port``, with ``#worker`` if there are several."""
    return f"{platform.node() or 'localhost'}:{port}" + ("" if worker is None else f"#{worker}")


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return a quantile of a histogram, by linear interpolation within its bucket; None if it holds nothing.

    Args:
        share: 0 to 1.
        buckets: (upper bound, how many at or below it), ascending; the last bound is infinite.

    Source: `histogram_quantile` of Prometheus.
    """
    if not buckets or not buckets[-1][1]:
        return None
    wanted, low, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return low
            found = low + (bound - low) * ((wanted - below) / (count - below) if count > below else 0.0)
            return min(found, bound)  # 0.001 + 0.009 is more than 0.01
        low, below = bound, count
    return low


class SelfMetrics:
    """Appends a dozen readings at an interval; readings that cannot be appended are dropped, not retried.

    A process that ends says so: its series are FINISHED then, and not stale for as long as they are kept.

    Args:
        log: to append to.
        registry: the Prometheus metrics of this process.
        process: value of the label `process`.
        every_s: the interval.
        clock_ms: returns the log's clock, Unix ms; this machine's if None.
    """

    def __init__(
        self,
        log: PartitionedLog,
        registry: CollectorRegistry,
        process: str,
        every_s: float,
        clock_ms: Callable[[], float] | None = None,
    ) -> None:
        self._log = log
        self._registry = registry
        self._labels = {"process": process}
        self._every_s = every_s
        self._clock_ms = clock_ms
        self._before: tuple[float, Mapping[str, float]] | None = None
        self._last: dict[str, tuple[float, str]] = {}  # value and unit

    async def publish(self) -> None:
        """Append at each interval; until cancelled."""
        while True:
            try:
                batches = self.batches()
                batches.append(self._batch(_REDIS, await self._log.ping() * 1e3, "ms"))
                await self._append(batches)
            except LogUnavailable as error:
                _log.debug("self_metrics_left_out", error=str(error))
            await asyncio.sleep(self._every_s)

    async def finish(self) -> None:
        """Append the end of each series.

        Raises:
            LogUnavailable: Redis does not answer.
        """
        ends = [self._batch(metric, value, unit, FINISHED) for metric, (value, unit) in self._last.items()]
        if ends:
            await self._append(ends)

    async def _append(self, batches: list[EncodedBatch]) -> None:
        """Append to each partition by itself: one that is away shall not keep the others from saying so.

        Raises:
            LogUnavailable: one or more do not answer; the others have theirs.
        """
        places = self._log.layout.split(batch.metric for batch in batches)
        appends = (self._log.parts[number].append([batches[at] for at in own]) for number, own in places.items())
        for answer in await asyncio.gather(*appends, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    def batches(self) -> list[EncodedBatch]:
        """Return the current readings. A rate is over the time since the previous call; the first call has none."""
        now_s, samples = time.monotonic(), self._samples()
        before_s, before = self._before or (now_s, samples)
        self._before = (now_s, samples)
        passed_s = now_s - before_s
        found = []
        for metric, unit, kind, factor, names in _TABLE:
            present = [name for name in names if name in samples]
            value = sum(samples[name] for name in present)
            if kind == "rate":
                value -= sum(before.get(name, 0.0) for name in present)
            if present and (kind == "now" or passed_s > 0):
                found.append(self._batch(metric, factor * (value if kind == "now" else value / passed_s), unit))
        buckets = [
            (float(bound[1]), value - before.get(name, 0.0))
            for name, value in samples.items()
            if (bound := _BUCKETS.fullmatch(name))
        ]
        p99_s = quantile(0.99, buckets)
        if p99_s is not None:
            found.append(self._batch(_LATENCY, p99_s * 1e3, "ms"))
        return found

    def _batch(self, metric: str, value: float, unit: str, text: str | None = None) -> EncodedBatch:
        self._last[metric] = value, unit
        now_ms = None if self._clock_ms is None else self._clock_ms()
        return encode_batch(make_batch(metric, value, unit=unit, labels=self._labels, text=text, now_ms=now_ms))

    def _samples(self) -> dict[str, float]:
        """Return the sum of the samples per metric, histogram buckets by bound, and the 5xx except those of /health."""
        found: defaultdict[str, float] = defaultdict(float)
        for family in self._registry.collect():
            for sample in family.samples:
                name: Any = sample.name
                if name.endswith("_bucket"):
                    name = f"{name} {sample.labels['le']}"
                elif name == "tidewire_http_requests_total":
                    failed = sample.labels["status"].startswith("5") and not sample.labels["route"].startswith(
                        "/health/"
                    )
                    found["5xx"] += sample.value if failed else 0.0
                found[name] += sample.value
        return found
