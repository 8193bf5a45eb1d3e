"""What clients of InfluxDB ask of a server before they write: whether it is there, its version, and its databases."""

from __future__ import annotations

import contextlib
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import Request, Response, get, route
from litestar.datastructures import State
from litestar.di import NamedDependency

from tidewire_service.operations.readiness import Readiness
from tidewire_service.routes.influx_answers import HEADERS, PROBES, V1, VERSION, json_answer
from tidewire_service.web.declaration import Body, declare
from tidewire_service.web.post_request import read_body
from tidewire_service.web.query import parse_query

__all__ = ["INFLUX_PROBES"]

_QUERY_BYTES: Final = 64 * 1024


@route(
    "/ping",
    http_method=["GET", "POST"],
    include_in_schema=False,
    sync_to_thread=False,
    status_code=200,
    **declare("nothing", logged="never", foreign=V1),
)
def ping(request: Request[Any, Any, State]) -> Response[bytes]:
    """Answer that a server of version 1.8 is there: some clients choose their version by it."""
    verbose = parse_query(request.scope["query_string"]).one("verbose")
    if verbose in ("", "0", "false"):
        return Response(b"", status_code=204, headers=HEADERS)
    return json_answer({"version": VERSION}).response()


@get("/health", include_in_schema=False, **declare("nothing", logged="never", foreign=PROBES))
async def health(readiness: NamedDependency[Readiness]) -> Response[bytes]:
    """Tell whether lines can be written, as InfluxDB tells it."""
    ready = (await readiness.check()).ready
    content: dict[str, Any] = {
        "name": "influxdb",
        "message": "ready for queries and writes" if ready else "not ready; /health/ready says why",
        "status": "pass" if ready else "fail",
        "checks": [],
        "version": VERSION,
    }
    return json_answer(content, 200 if ready else 503).response()


@get(
    ["/ready", "/api/v2/ready"],
    include_in_schema=False,
    sync_to_thread=False,
    **declare("nothing", logged="never", foreign=PROBES),
)
def ready() -> Response[bytes]:
    """Answer that a server has started."""
    return json_answer({"status": "ready"}).response()


@route(
    "/query",
    http_method=["GET", "POST"],
    include_in_schema=False,
    status_code=200,
    **declare("publish", logged="failures", body=Body({}, _QUERY_BYTES), foreign=V1),
)
async def query(request: Request[Any, Any, State]) -> Response[bytes]:
    """Answer what clients ask before they write: databases are not needed here, and each of them is there."""
    parameters = dict(parse_query(request.scope["query_string"]).fields)
    if request.method == "POST":
        body = await read_body(
            request.scope, request.receive, _QUERY_BYTES, limit="max_foreign_body_bytes", may_be_empty=True
        )
        with contextlib.suppress(ValueError):
            parameters |= dict(parse_qsl(body.decode("latin-1"), max_num_fields=100))
    statement = " ".join(parameters.get("q", "").upper().rstrip("; ").split())
    result: dict[str, Any] = {"statement_id": 0}
    if statement == "SHOW DATABASES":
        values = [[parameters.get("db") or "tidewire"]]
        result["series"] = [{"name": "databases", "columns": ["name"], "values": values}]
    elif not statement.startswith(("CREATE DATABASE ", "CREATE RETENTION POLICY ")):
        result["error"] = "this server only takes writes; GET /v1/history reads what was written"
    return json_answer({"results": [result]}).response()


INFLUX_PROBES: Final = [ping, health, ready, query]
"""Not in the OpenAPI document: InfluxDB's own describes them."""
