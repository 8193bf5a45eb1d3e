"""What clients of InfluxDB write: line protocol in the paths of its versions 1, 2 and 3."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.types import HTTPScope, Receive

from tidewire.errors import InvalidInput
from tidewire_service.ingest.line_times import PRECISIONS, Precision
from tidewire_service.routes.influx_answers import V1, V2, V3, Version, answer_to_lines
from tidewire_service.routes.influx_probes import INFLUX_PROBES
from tidewire_service.routes.influx_store import LineStore
from tidewire_service.web.answer import Answer
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, declare
from tidewire_service.web.foreign_bodies import ForeignBodies
from tidewire_service.web.query import parse_query
from tidewire_service.web.shortcut import Handler

__all__ = ["INFLUX_ROUTES", "InfluxWrites"]

_PATHS: Final[dict[Version, str]] = {"v1": "/write", "v2": "/api/v2/write", "v3": "/api/v3/write_lp"}
_ALIASES: Final = {
    "n": "ns", "nanosecond": "ns", "u": "us", "µ": "us", "μ": "us", "microsecond": "us", "millisecond": "ms",
    "second": "s",
}  # fmt: skip


class InfluxWrites:
    """Takes bodies of line protocol and answers in the words of a version.

    Args:
        store: stores lines.
        bodies: takes what is posted.
    """

    def __init__(self, store: LineStore, bodies: ForeignBodies) -> None:
        self._store = store
        self._bodies = bodies

    @property
    def handlers(self) -> dict[str, Handler]:
        """What answers the paths of all versions."""
        return {path: partial(self.write, version) for version, path in _PATHS.items()}

    async def write(self, version: Version, scope: HTTPScope, receive: Receive) -> Answer:
        """Store the good lines of a body and name the bad ones, in the words of a version."""
        query = parse_query(scope["query_string"])
        precision = _precision(query.one("precision"), version)
        whole = version == "v3" and query.one("accept_partial").lower() == "false"
        async with self._bodies.one(scope, receive, "max_foreign_body_bytes", "max_foreign_decompressed_bytes") as body:
            outcome = await self._store.store(body, precision, identity_of_request(scope), whole=whole)
        return answer_to_lines(version, outcome, stored=not whole or outcome.accepted > 0)


def _precision(given: str, version: Version) -> Precision:
    """Return the precision of the times of a body.

    Raises:
        InvalidInput: it is not one of this version.
    """
    if not given:
        return "auto" if version == "v3" else "ns"
    found = _ALIASES.get(given, given)
    known = [unit for unit in PRECISIONS if version == "v1" or unit not in ("m", "h")]
    if version == "v3":
        known.append("auto")
    if found not in known:
        raise InvalidInput("precision", given, f"is unknown; expected one of {', '.join(known)}")
    return found


_LINES: Final = Body({"text/plain": Schema(type=OpenAPIType.STRING, description="line protocol")}, None)
_WRITE: Final[dict[str, Any]] = {"status_code": 200, "include_in_schema": False}


@post(_PATHS["v1"], **_WRITE, **declare("publish", logged="failures", body=_LINES, foreign=V1))
async def write_v1(request: Request[Any, Any, State], influx: NamedDependency[InfluxWrites]) -> Response[bytes]:
    """Store line protocol as InfluxDB 1 does."""
    return (await influx.write("v1", request.scope, request.receive)).response()


@post(_PATHS["v2"], **_WRITE, **declare("publish", logged="failures", body=_LINES, foreign=V2))
async def write_v2(request: Request[Any, Any, State], influx: NamedDependency[InfluxWrites]) -> Response[bytes]:
    """Store line protocol as InfluxDB 2 does."""
    return (await influx.write("v2", request.scope, request.receive)).response()


@post(_PATHS["v3"], **_WRITE, **declare("publish", logged="failures", body=_LINES, foreign=V3))
async def write_v3(request: Request[Any, Any, State], influx: NamedDependency[InfluxWrites]) -> Response[bytes]:
    """Store line protocol as InfluxDB 3 does."""
    return (await influx.write("v3", request.scope, request.receive)).response()


INFLUX_ROUTES: Final = [write_v1, write_v2, write_v3, *INFLUX_PROBES]
"""What clients of InfluxDB call. Not in the OpenAPI document: InfluxDB's own describes them."""
