"""Parses OTLP requests, protobuf or JSON, into the project's own messages; pure.

A request is counted before it is parsed: two bytes of protobuf, or three of JSON, make an empty message of 70, so that
64 MiB would take 2.4 GB, and hold the interpreter for 2 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidewire.errors import LimitExceeded
from tidewire_service.errors import MalformedBody, encodable
from tidewire_service.ingest.otlp_parts import count_parts

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

__all__ = ["parse_json", "parse_protobuf"]

_MAX_LEVELS: Final = 20  # of a JSON text: what OTLP needs is 11
_SMALL_BYTES: Final = 256 * 1024  # of protobuf: at most 9 MB and 8 ms, so it is counted after it is parsed
_PARTS_OF_A_POINT: Final = 2  # on average, of a request that has as many data points as it may
_LEAST_PARTS: Final = 1_000_000  # that any request may have: 70 MB and 70 ms
_MAX_JSON_PARTS: Final = 500_000  # objects and lists, 4 µs each; of 8 MiB an exporter makes 200,000
_REMEDY: Final = "export fewer at a time"


def parse_protobuf(body: bytes, max_points: int) -> ExportMetricsServiceRequest:
    """Parse a request in protobuf.

    Args:
        body: unpacked.
        max_points: largest number of data points; all messages may be twice as many, or 1,000,000 if that is more.

    Raises:
        MalformedBody: it is none.
        LimitExceeded: it has too many data points, or too many attributes and other parts.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - 60 ms and 12 MB for those who have no OTLP
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

    message = metrics_service_pb2.ExportMetricsServiceRequest
    try:
        if len(body) > _SMALL_BYTES:
            most_parts = max(_PARTS_OF_A_POINT * max_points, _LEAST_PARTS)
            points, parts = count_parts(body, message, max_points, most_parts)
            if points > max_points:
                raise LimitExceeded("max_foreign_rows", max_points, points, _REMEDY)
            if parts > most_parts:
                raise LimitExceeded("max_foreign_rows", most_parts, parts, f"attributes count too; {_REMEDY}")
        return message.FromString(body)
    except (DecodeError, RecursionError, ValueError) as error:
        raise _malformed(body, error) from None


def parse_json(body: bytes) -> ExportMetricsServiceRequest:
    """Parse a request in JSON; fields that are unknown are left out, as OTLP asks.

    Args:
        body: unpacked.

    Raises:
        MalformedBody: it is none.
        LimitExceeded: it has too many objects and lists.
    """
    from google.protobuf import json_format  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    if not body.lstrip().startswith(b"{"):
        raise MalformedBody("body", body[:60], "is no JSON object")
    parts = body.count(b"{") + body.count(b"[")
    if parts > _MAX_JSON_PARTS:
        raise LimitExceeded("max_foreign_rows", _MAX_JSON_PARTS, parts, f"attributes count too; {_REMEDY}")
    try:
        json_format.Parse(body, request, ignore_unknown_fields=True, max_recursion_depth=_MAX_LEVELS)
    except (json_format.Error, RecursionError, ValueError, TypeError, AttributeError) as error:
        raise _malformed(body, error) from None
    return request


def _malformed(body: bytes, error: Exception) -> MalformedBody:
    return MalformedBody("body", body[:60], f"is no ExportMetricsServiceRequest: {encodable(str(error)[:200])}")
