"""GET /health/live and /health/ready: whether the process runs, and whether it can do its work."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from tidewire.model.answers import ReadinessJson
from tidewire_service.operations.readiness import Readiness
from tidewire_service.web.declaration import declare

__all__ = ["get_live", "get_ready"]

_NO_STORE = {"Cache-Control": "no-store"}


@get("/health/live", summary="Is the process running", sync_to_thread=False, **declare("nothing", logged="never"))
def get_live() -> Response[dict[str, bool]]:
    """Answer that the process runs."""
    return Response({"live": True}, headers=_NO_STORE)


@get(
    "/health/ready",
    summary="Can it do its work",
    description="200 if Redis answers and the hub's position is verified against its clock; else 503 and why.",
    **declare("nothing", logged="never", answers={200: (ReadinessJson, "Ready"), 503: (ReadinessJson, "Not ready")}),
)
async def get_ready(readiness: NamedDependency[Readiness]) -> Response[bytes]:
    """Check readiness and return the result."""
    found = await readiness.check()
    headers = _NO_STORE if found.ready else {**_NO_STORE, "Retry-After": "1"}
    status = 200 if found.ready else 503
    return Response(msgspec.json.encode(found), status_code=status, media_type="application/json", headers=headers)
