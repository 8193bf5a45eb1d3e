"""Parses OTLP requests, protobuf or JSON, into the project's own messages; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidewire_service.errors import MalformedBody

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

__all__ = ["parse_json", "parse_protobuf"]

_MAX_LEVELS: Final = 20  # of a JSON text: what OTLP needs is 11


def parse_protobuf(body: bytes) -> ExportMetricsServiceRequest:
    """Parse a request in protobuf.

    Raises:
        MalformedBody: it is none.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - 60 ms and 12 MB for those who have no OTLP
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

    try:
        return metrics_service_pb2.ExportMetricsServiceRequest.FromString(body)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedBody("body", body[:60], f"is no ExportMetricsServiceRequest: {str(error)[:200]}") from None


def parse_json(body: bytes) -> ExportMetricsServiceRequest:
    """Parse a request in JSON; fields that are unknown are left out, as OTLP asks.

    Raises:
        MalformedBody: it is none.
    """
    from google.protobuf import json_format  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    if not body.lstrip().startswith(b"{"):
        raise MalformedBody("body", body[:60], "is no JSON object")
    try:
        json_format.Parse(body, request, ignore_unknown_fields=True, max_recursion_depth=_MAX_LEVELS)
    except (json_format.Error, RecursionError, ValueError, TypeError, AttributeError) as error:
        raise MalformedBody("body", body[:60], f"is no ExportMetricsServiceRequest: {str(error)[:200]}") from None
    return request
