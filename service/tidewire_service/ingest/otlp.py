"""Turns the metrics of an OTLP request into batches and refused data points; pure.

A data point of a number is a reading of the metric's own name. One of a histogram or summary is several readings, a
level below: `count`, `sum`, `min`, `max`, and the quantiles `p50`, `p95` and `p99` of what came since the last export.

Source: opentelemetry-proto, metrics/v1/metrics.proto, and opentelemetry-specification, metrics/data-model.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import (
    IngestLimits,
    checked_labels,
    checked_name,
    checked_time_ms,
    checked_unit,
    series_key,
)
from tidewire.model.foreign_names import readable_name, readable_value
from tidewire_service.errors import limit_of
from tidewire_service.ingest.interval_quantiles import (
    QUANTILES,
    Histogram,
    IntervalQuantiles,
    explicit_buckets,
    exponential_buckets,
)
from tidewire_service.ingest.rows import Group, Intake, Rejected, encode_group

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

__all__ = ["Points", "PointsReader"]

_NO_VALUE: Final = 1  # the flag of a data point that says that its series has ended
_EXACT: Final = 2**53
_DELTA: Final = 1  # AggregationTemporality
_MAX_BUCKETS: Final = 1_000_000
_MAX_POINT_BUCKETS: Final = 2_000  # an SDK makes 160
_MAX_QUANTILES: Final = 100
_MAX_ATTRIBUTES: Final = 1_000  # of which those without a value are no labels
_QUANTILE_NAMES: Final = {0.0: "min", 1.0: "max"}
_TEMPORALITY: Final = "temporality"
_QUANTILES: Final = tuple(f"/{name}" for name in QUANTILES)


class Points(NamedTuple):
    """What was read of a request.

    Attributes:
        intake: batches and refusals; a row is a data point.
        points: number of data points.
        lossy: integers that float64 does not hold exactly.
        timed: each has a time of its own: what comes again is a repeat, and not a new reading.
        histograms: to remember once the batches are stored.
    """

    intake: Intake
    points: int
    lossy: int
    timed: bool
    histograms: list[tuple[tuple[str, str], Histogram]]


class _Reading(NamedTuple):
    level: str
    unit: str
    value: float | None
    labels: dict[str, str] | None = None


class PointsReader:
    """Reads the data points of requests.

    Args:
        limits: of a batch.
        max_points: largest number of data points of a request.
        attributes: of the resource that become labels.
        buckets: make readings of the buckets of histograms too.
        quantiles: what is remembered of histograms; changed by nothing here.
    """

    def __init__(
        self,
        limits: IngestLimits,
        max_points: int,
        attributes: Sequence[str],
        quantiles: IntervalQuantiles,
        *,
        buckets: bool = False,
    ) -> None:
        self._limits = limits
        self._max_points = max_points
        self._attributes = frozenset(attributes)
        self._buckets = buckets
        self._quantiles = quantiles

    def read(
        self,
        request: ExportMetricsServiceRequest,
        now_ms: float,
        unreadable: Mapping[int, InvalidInput] = MappingProxyType({}),
    ) -> Points:
        """Return the batches of a request and what was refused of it.

        Args:
            request: parsed.
            now_ms: the present, for points without a time and for the upper bound of times, Unix ms.
            unreadable: data points that are not in it, by their numbers in what was sent.

        Raises:
            LimitExceeded: it has too many data points.
        """
        reading = _Request(self._limits, self._quantiles, now_ms, unreadable, buckets=self._buckets)
        for resource in request.resource_metrics:
            own = {
                readable_name(attribute.key).replace("/", "."): readable_value(text)
                for attribute in resource.resource.attributes
                if attribute.key in self._attributes and (text := _text(attribute.value))
            }
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point, delta, kind in _points_of(metric):
                        if reading.points >= self._max_points:
                            most = self._max_points
                            raise LimitExceeded("max_foreign_rows", most, most + 1, "export fewer at a time")
                        reading.add(metric, own, point, kind, delta=delta)
        return reading.result()


def _points_of(metric: Any) -> Iterator[tuple[Any, bool, str]]:
    """Yield the data points of a metric, whether each counts since the one before, and what kind it is."""
    kind = metric.WhichOneof("data")
    if kind is not None:
        data = getattr(metric, kind)
        delta = kind not in ("gauge", "summary") and data.aggregation_temporality == _DELTA
        for point in data.data_points:
            yield point, delta, kind


class _Request:
    """Collects the readings of one request."""

    def __init__(
        self,
        limits: IngestLimits,
        quantiles: IntervalQuantiles,
        now_ms: float,
        unreadable: Mapping[int, InvalidInput],
        *,
        buckets: bool,
    ) -> None:
        self.points = 0
        self._unreadable = unreadable
        self._limits = limits
        self._quantiles = quantiles
        self._now_ms = now_ms
        self._buckets = buckets
        self._lossy = 0
        self._bucket_count = 0
        self._timed = True
        self._latest: dict[tuple[str, str], Histogram] = {}
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._full: list[Group] = []
        self._rejected: list[Rejected] = []
        self._histograms: list[tuple[tuple[str, str], Histogram]] = []

    def add(self, metric: Any, own: dict[str, str], point: Any, kind: str, *, delta: bool) -> None:
        """Add one data point, or refuse it as a whole; before it those that could not be read."""
        self._refuse_unreadable()
        number = self.points
        self.points += 1
        try:
            self._add(number, metric, own, point, kind, delta=delta)
        except InvalidInput as error:
            self._rejected.append(Rejected(number, error.field, error.value, error.reason, limit_of(error)))
        except LimitExceeded as error:
            refused = Rejected(number, error.limit, f"{error.got:.15g}", str(error), f"max_{error.limit}")
            self._rejected.append(refused)

    def _refuse_unreadable(self) -> None:
        while (error := self._unreadable.get(self.points)) is not None:
            self._rejected.append(Rejected(self.points, error.field, error.value, error.reason))
            self.points += 1

    def _add(self, number: int, metric: Any, own: dict[str, str], point: Any, kind: str, *, delta: bool) -> None:
        name = checked_name(readable_name(metric.name))
        stored = checked_labels(self._labels(own, point, delta=delta), self._limits)
        time_ms = self._now_ms
        if point.time_unix_nano:
            time_ms = checked_time_ms(_ms(point.time_unix_nano), now_ms=self._now_ms)
        readings = list(self._readings(metric, point, kind, (name, series_key(stored)), time_ms, delta=delta))
        made = [
            (
                checked_name(f"{name}/{one.level}" if one.level else name),
                checked_labels({**stored, **one.labels}, self._limits) if one.labels else stored,
                checked_unit(one.unit),
                one.value,
            )
            for one in readings
        ]
        if not point.time_unix_nano:
            self._timed = False  # not by a point that is refused
        for metric_name, labels_, unit, value in made:  # all of them or none
            self._collect(number, metric_name, labels_, unit, time_ms, value)

    def _labels(self, own: dict[str, str], point: Any, *, delta: bool) -> dict[str, str]:
        """Return the labels of a data point; its own attributes win over those of the resource.

        Raises:
            InvalidInput: two of them would be one label.
        """
        if len(point.attributes) > _MAX_ATTRIBUTES:
            raise LimitExceeded("labels", self._limits.labels, len(point.attributes), "use fewer attributes")
        labels = {} if not delta else {_TEMPORALITY: "delta"}
        for attribute in point.attributes:
            name, text = readable_name(attribute.key).replace("/", "."), readable_value(_text(attribute.value))
            if name and text and labels.setdefault(name, text) != text:
                raise InvalidInput("labels", attribute.key, f"would be the label {name!r}, as another attribute is")
        return own | labels

    def _readings(
        self, metric: Any, point: Any, kind: str, key: tuple[str, str], time_ms: float, *, delta: bool
    ) -> Iterator[_Reading]:
        unit = metric.unit
        ended = bool(point.flags & _NO_VALUE)
        if kind in ("gauge", "sum"):
            yield _Reading("", unit, None if ended else self._number(point))
            return
        yield _Reading("count", "", None if ended else float(point.count))
        if kind == "summary" or point.HasField("sum"):
            yield _Reading("sum", unit, None if ended else _finite(point.sum))
        if ended:
            return
        if kind == "summary":
            if len(point.quantile_values) > _MAX_QUANTILES:
                raise InvalidInput("quantile_values", len(point.quantile_values), f"are at most {_MAX_QUANTILES}")
            for one in point.quantile_values:
                yield _Reading(_quantile_name(one.quantile), unit, _finite(one.value))
            return
        for level in ("min", "max"):
            if point.HasField(level):
                yield _Reading(level, unit, _finite(getattr(point, level)))
        self._count_buckets(point, kind)
        histogram = _histogram(point, kind, time_ms)
        for level, value in self._quantiles.of(key, histogram, delta=delta, latest=self._latest.get(key)).items():
            yield _Reading(level, unit, _finite(value))
        if self._buckets:
            total = 0.0
            for (_, high), count in sorted(histogram.buckets.items()):
                total += count
                yield _Reading("bucket", "", total, {"le": "+Inf" if high == math.inf else f"{high:.12g}"})
        if not delta:
            self._latest[key] = histogram
            self._histograms.append((key, histogram))

    def _count_buckets(self, point: Any, kind: str) -> None:
        """Bound the work of a request: a bucket takes a byte of it, and 1 µs."""
        if kind == "histogram":
            count = len(point.bucket_counts) + len(point.explicit_bounds)
        else:
            count = len(point.positive.bucket_counts) + len(point.negative.bucket_counts)
        if count > _MAX_POINT_BUCKETS:
            raise InvalidInput("buckets", count, f"of a data point are at most {_MAX_POINT_BUCKETS}")
        self._bucket_count += count
        if self._bucket_count > _MAX_BUCKETS:
            raise InvalidInput(
                "buckets", self._bucket_count, f"of one request are at most {_MAX_BUCKETS}; export fewer"
            )

    def _number(self, point: Any) -> float | None:
        which = point.WhichOneof("value")
        if which == "as_int":
            self._lossy += abs(point.as_int) > _EXACT and int(float(point.as_int)) != point.as_int
            return float(point.as_int)
        return None if which is None else _finite(point.as_double)

    def _collect(
        self, number: int, name: str, labels: dict[str, str], unit: str, time_ms: float, value: float | None
    ) -> None:
        key = (name, series_key(labels), unit)
        group = self._groups.get(key)
        if group is None or len(group.rows) >= self._limits.readings:
            if group is not None:
                self._full.append(group)
            group = self._groups[key] = Group(name, labels, unit)
        group.rows.append(number)
        group.times.append(time_ms)
        group.values.append(value)
        group.texts.append(None)
        group.steps.append(None)

    def result(self) -> Points:
        self._refuse_unreadable()
        intake = Intake([], [], self._rejected)
        # the quantiles last: a request that comes again may have none, and its calls are cut as before up to them
        groups = sorted([*self._full, *self._groups.values()], key=lambda group: group.metric.endswith(_QUANTILES))
        for group in groups:
            encode_group(group, 0, len(group.rows), self._limits, intake)
        intake.rejected.sort(key=lambda rejected: rejected.row)
        return Points(intake, self.points, self._lossy, self._timed, self._histograms)


def _histogram(point: Any, kind: str, time_ms: float) -> Histogram:
    start_ms = _ms(point.start_time_unix_nano)
    least = point.min if point.HasField("min") else None
    greatest = point.max if point.HasField("max") else None
    if kind == "histogram":
        counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
        if counts and (len(counts) != len(bounds) + 1 or not _ascending(bounds)):
            raise InvalidInput(
                "explicit_bounds", len(bounds), "expected ascending bounds, one fewer than bucket_counts"
            )
        return Histogram(start_ms, time_ms, explicit_buckets(bounds, counts), None, least, greatest)
    if not -10 <= point.scale <= 20:
        raise InvalidInput("scale", point.scale, "expected -10 to 20")
    buckets = exponential_buckets(
        point.scale,
        (point.zero_threshold, point.zero_count),
        (point.positive.offset, point.positive.bucket_counts),
        (point.negative.offset, point.negative.bucket_counts),
    )
    return Histogram(start_ms, time_ms, buckets, point.scale, least, greatest)


def _ascending(bounds: Sequence[float]) -> bool:
    return all(math.isfinite(bound) for bound in bounds) and all(low < high for low, high in itertools.pairwise(bounds))


def _quantile_name(quantile: float) -> str:
    """Return ``p99.9`` for 0.999.

    Raises:
        InvalidInput: it does not lie between 0 and 1.
    """
    if not 0 <= quantile <= 1:
        raise InvalidInput("quantile", quantile, "expected a number from 0 to 1")
    return _QUANTILE_NAMES.get(quantile, f"p{quantile * 100:.6g}")


def _ms(nanoseconds: int) -> float:
    """Return Unix ms, to the microsecond."""
    return nanoseconds // 1_000 / 1e3


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: Any) -> str:
    """Return the value of an attribute as text; empty if it has none, or is bytes."""
    which = value.WhichOneof("value")
    if which == "string_value":
        return str(value.string_value)
    if which in (None, "bytes_value"):
        return ""
    return _json_text(_plain(value))


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if which == "kvlist_value":
        return {one.key: _plain(one.value) for one in value.kvlist_value.values}
    return None if which is None or which == "bytes_value" else getattr(value, which)


def _json_text(plain: Any) -> str:
    return msgspec.json.encode(plain).decode()
