"""GET /metrics: the counters of this process for Prometheus."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.web.declaration import declare

__all__ = ["get_metrics"]


@get(
    "/metrics",
    summary="Counters for Prometheus",
    media_type="text/plain",
    sync_to_thread=False,
    **declare("operate", logged="failures"),
)
def get_metrics(telemetry: NamedDependency[Telemetry]) -> Response[bytes]:
    """Answer with the counters; their number does not grow with metrics or subscribers."""
    return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)
