"""GET /health/live and /health/ready: is the process running, and can it do its work."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from tidewire.model.answers import ReadinessJson
from tidewire_service.operations.readiness import Readiness

__all__ = ["get_live", "get_ready"]

_NO_STORE = {"Cache-Control": "no-store"}


@get("/health/live", summary="Is the process running", sync_to_thread=False)
def get_live() -> Response[dict[str, bool]]:
    """Answer; that is all."""
    return Response({"live": True}, headers=_NO_STORE)


@get(
    "/health/ready",
    summary="Can it do its work",
    description="200 if Redis answers and the hub's position is verified against its clock; else 503 and why.",
    responses={
        200: ResponseSpec(ReadinessJson, description="Ready", generate_examples=False),
        503: ResponseSpec(ReadinessJson, description="Not ready", generate_examples=False),
    },
)
async def get_ready(readiness: NamedDependency[Readiness]) -> Response[bytes]:
    """Answer with what was found just now."""
    found = await readiness.check()
    headers = _NO_STORE if found.ready else {**_NO_STORE, "Retry-After": "1"}
    status = 200 if found.ready else 503
    return Response(msgspec.json.encode(found), status_code=status, media_type="application/json", headers=headers)
