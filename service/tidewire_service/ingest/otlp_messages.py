"""Parses OTLP requests, protobuf or JSON, into the project's own messages; pure.

A request is counted before it is parsed: two bytes of protobuf, or three of JSON, make an empty message of 70, so that
64 MiB would take 2.4 GB, and hold the interpreter for 2 s.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from tidewire.errors import InvalidInput, LimitExceeded, shown
from tidewire_service.errors import MalformedBody, encodable
from tidewire_service.ingest.json_rows import BOM
from tidewire_service.ingest.otlp_parts import count_parts

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

__all__ = ["parse_json", "parse_protobuf"]

_MAX_LEVELS: Final = 20  # of a JSON text: what OTLP needs is 11
_SMALL_BYTES: Final = 256 * 1024  # of protobuf: at most 9 MB and 8 ms, so it is counted after it is parsed
_PARTS_OF_A_POINT: Final = 2  # on average, of a request that has as many data points as it may
_LEAST_PARTS: Final = 1_000_000  # that any request may have: 70 MB and 70 ms
_BYTES_OF_A_PART: Final = (
    12  # more parts than one in so many bytes: exporters make one in 14, and what is empty takes 2
)
_MAX_JSON_PARTS: Final = 500_000  # objects and lists, 4 µs each; of 8 MiB an exporter makes 200,000
_MAX_REFUSED: Final = 10_000  # data points that cannot be read, 20 µs and 0.5 KB each
_POINT_LEVELS: Final = 5  # above a data point
_KINDS: Final = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential_histogram",
    "exponential_histogram": "exponential_histogram",
    "summary": "summary",
}
_DIGITS: Final = 1_000  # of an integer that is read; more are too many for any field
_SAID: Final = 1_000  # characters of an error that are looked at: it may quote all of the body
_LEVEL: Final = re.compile(r"Failed to parse (\S+) field: ")
_AT: Final = re.compile(r" at [A-Za-z]+\.([\w.\[\]]*\w\]?)\.*$")
_REMEDY: Final = "export fewer at a time"


def parse_protobuf(body: bytes, max_points: int) -> ExportMetricsServiceRequest:
    """Parse a request in protobuf.

    Args:
        body: unpacked.
        max_points: largest number of data points; all messages may be twice as many, or 1,000,000, or one for 12 bytes
            if that is more.

    Raises:
        MalformedBody: it is none.
        LimitExceeded: it has too many data points, or too many attributes and other parts.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - 60 ms and 12 MB for those who have no OTLP
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

    message = metrics_service_pb2.ExportMetricsServiceRequest
    try:
        if len(body) > _SMALL_BYTES:
            most_parts = max(_PARTS_OF_A_POINT * max_points, _LEAST_PARTS, len(body) // _BYTES_OF_A_PART)
            points, parts = count_parts(body, message, max_points, most_parts)
            if points > max_points:
                raise LimitExceeded("max_foreign_rows", max_points, points, _REMEDY)
            if parts > most_parts:
                raise LimitExceeded("max_foreign_rows", most_parts, parts, f"attributes count too; {_REMEDY}")
        return message.FromString(body)
    except (DecodeError, RecursionError, ValueError) as error:
        raise _malformed(body, error) from None


def parse_json(body: bytes) -> tuple[ExportMetricsServiceRequest, dict[int, InvalidInput]]:
    """Parse a request in JSON; fields that are unknown are left out, as OTLP asks.

    Args:
        body: unpacked.

    Returns:
        The request without the data points that cannot be read, and these: each by its number in the request, from 0.

    Raises:
        MalformedBody: it is none, or has too many data points that cannot be read.
        LimitExceeded: it has too many objects and lists.
    """
    from google.protobuf import json_format  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    body = body.removeprefix(BOM)
    if not body.lstrip().startswith(b"{"):
        raise MalformedBody("body", body[:60], "is no JSON object")
    parts = body.count(b"{") + body.count(b"[")
    if parts > _MAX_JSON_PARTS:
        raise LimitExceeded("max_foreign_rows", _MAX_JSON_PARTS, parts, f"attributes count too; {_REMEDY}")
    unreadable = (
        json_format.Error, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
    )  # fmt: skip
    try:
        content = json.loads(body.decode(), object_pairs_hook=_object, parse_int=_integer, parse_float=_float)
        taken = list(_taken(content))
        json_format.ParseDict(content, request, ignore_unknown_fields=True, max_recursion_depth=_MAX_LEVELS)
    except unreadable as error:
        raise _malformed(body, error) from None
    refused: dict[int, InvalidInput] = {}
    number = 0
    for (resource, scope, index), kind, points in taken:
        metric = request.resource_metrics[resource].scope_metrics[scope].metrics[index]
        found = getattr(metric, kind).data_points
        for point in points:
            one = found.add()
            try:
                if not isinstance(point, dict):
                    raise TypeError("expected an object")
                json_format.ParseDict(
                    point, one, ignore_unknown_fields=True, max_recursion_depth=_MAX_LEVELS - _POINT_LEVELS
                )
            except unreadable as error:
                del found[-1]
                if len(refused) >= _MAX_REFUSED:
                    raise MalformedBody(
                        "dataPoints", number, f"is one of more than {_MAX_REFUSED} unreadable"
                    ) from None
                refused[number] = _refusal(metric.name, point, error)
            number += 1
    return request, refused


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key comes twice in {shown([key for key, _ in pairs])}")
    return found


def _integer(text: str) -> float:
    """Read an integer; in Python, so that other threads have their turn in a list of millions."""
    return int(text) if len(text) <= _DIGITS else math.inf


def _float(text: str) -> float:
    """Read another number; likewise."""
    return float(text)


def _listed(parent: Any, *spellings: str) -> list[Any]:
    """Return a list in an object, which may be spelled as in JSON or as in protobuf; empty if it is something else."""
    given = [name for name in spellings if name in parent] if isinstance(parent, dict) else []
    if len(given) > 1:
        raise ValueError(f"{given[0]} comes in two spellings")
    found = parent[given[0]] if given else None
    return found if isinstance(found, list) else []


def _taken(content: Any) -> Iterator[tuple[tuple[int, int, int], str, list[Any]]]:
    """Take the data points out of a request; yield those of each metric, with its place and the name of its kind."""
    for resource, resource_metrics in enumerate(_listed(content, "resourceMetrics", "resource_metrics")):
        for scope, scope_metrics in enumerate(_listed(resource_metrics, "scopeMetrics", "scope_metrics")):
            for index, metric in enumerate(_listed(scope_metrics, "metrics")):
                for name, kind in _KINDS.items() if isinstance(metric, dict) else ():
                    data = metric.get(name)
                    points = _listed(data, "dataPoints", "data_points")
                    if points:
                        metric[name] = {key: value for key, value in data.items() if value is not points}
                        yield (resource, scope, index), kind, points


def _refusal(metric: str, point: Any, error: Exception) -> InvalidInput:
    """Say what is wrong with a data point: which field of it, and of which metric it is."""
    where, reason = _cause(error)
    field = where.partition("[")[0].partition(".")[0]
    value = point[field] if isinstance(point, dict) and field in point else point
    return InvalidInput(where or "data point", value, f"{reason} (of the metric {shown(metric)})")


def _cause(error: Exception) -> tuple[str, str]:
    """Return which field an error is of, as a path, and what is wrong, without what is said of each level above it."""
    text = str(error)
    at = _AT.search(text[-_SAID:])
    text = (text[: -len(at[0])] if at else text)[:_SAID]
    levels = _LEVEL.findall(text)
    where = at[1] if at else ".".join(levels)
    return encodable(where[: _SAID // 10]), encodable(_LEVEL.sub("", text).rstrip(".")[:200])


def _malformed(body: bytes, error: Exception) -> MalformedBody:
    where, reason = _cause(error)
    said = f"{where}: {reason}" if where else reason
    return MalformedBody("body", body[:60], f"is no ExportMetricsServiceRequest: {said}")
