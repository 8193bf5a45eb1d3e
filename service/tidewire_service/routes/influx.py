"""What clients of InfluxDB ask of a server: line protocol in the paths of its versions 1, 2 and 3, and their probes.

Each client has statuses after which it deletes data. Telegraf's output for version 1 does after any 4xx with a JSON or
an empty body, so there a refused token is plain text, and what passes is 503: docs/from-where-you-are.md lists them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Set
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response, get, post, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType

from tidewire.errors import InvalidInput, PublishConflict
from tidewire.model.batch import EncodedBatch
from tidewire.redislog.calls import Once
from tidewire_service.auth.credentials import bearer_of
from tidewire_service.auth.scopes import Identity
from tidewire_service.errors import RateExceeded
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.line_protocol import PRECISIONS, LineSlice, LineSlices
from tidewire_service.ingest.rows import METRIC_NOT_ALLOWED, Rejected
from tidewire_service.operations.readiness import Readiness
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, Foreign, declare
from tidewire_service.web.foreign_bodies import ForeignBodies, header_credentials
from tidewire_service.web.post_request import read_body
from tidewire_service.web.problems import Refusal, problem_of
from tidewire_service.web.query import parse_query

__all__ = ["INFLUX_ROUTES", "InfluxWrites"]

_INLINE_BYTES: Final = 4 * 1024  # parsed on the event loop, 5 ms if each line has a series of its own
_ONCE_MS: Final = 15 * 60_000  # clients repeat within minutes; 1,000 agents with a body each 10 s are 90,000 keys
_STORED_OTHERWISE: Final = (
    "and what is with it came before, and was stored with other refusals (its times, the token or a limit); send only "
    "the lines that were refused then"
)
_NAMED: Final = 100  # refused lines that an answer names
_QUERY_BYTES: Final = 64 * 1024
_VERSION: Final = "1.8.10"  # after a 2.x some clients ask for buckets
_HEADERS: Final = {"X-Influxdb-Version": _VERSION, "X-Influxdb-Build": "OSS"}
_JSON: Final = "application/json"
_ALIASES: Final = {
    "n": "ns", "nanosecond": "ns", "u": "us", "µ": "us", "μ": "us", "microsecond": "us", "millisecond": "ms",
    "second": "s",
}  # fmt: skip
_CODES: Final = {
    400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not found", 405: "method not allowed",
    413: "request too large", 422: "unprocessable entity", 429: "too many requests", 503: "unavailable",
}  # fmt: skip
_COUNTED: Final = frozenset({"metric", "labels", "unit", "time", "value", "text", "line"})

Version = Literal["v1", "v2", "v3"]


class _Outcome:
    """What became of the lines of a body."""

    def __init__(self) -> None:
        self.lines = self.refused = self.accepted = self.lossy = 0
        self.named: list[tuple[Rejected, str]] = []
        self.only_scope = True
        self.stored_before = False

    def add(self, part: LineSlice, rejected: list[Rejected], refused: Set[int]) -> None:
        self.lines += part.lines
        self.lossy += part.lossy
        self.refused += len(refused)
        self.only_scope = self.only_scope and all(row.reason == METRIC_NOT_ALLOWED for row in rejected)
        self.named += [(row, part.starts.get(row.row, "")) for row in rejected[: _NAMED - len(self.named)]]


class InfluxWrites:
    """Accepts bodies of line protocol, in slices: each is parsed, appended and forgotten before the next.

    Args:
        hub: whose log is written.
        settings: of the service.
        telemetry: counts.
        quota: counts the limits that are reached.
        bodies: takes what is posted.
    """

    def __init__(
        self, hub: Hub, settings: ServiceSettings, telemetry: Telemetry, quota: StreamQuota, bodies: ForeignBodies
    ) -> None:
        self._hub = hub
        self._settings = settings
        self._telemetry = telemetry
        self._quota = quota
        self._bodies = bodies

    async def write(self, request: Request[Any, Any, State], version: Version) -> Response[bytes]:
        """Store the good lines of a body and name the bad ones, in the words of a version."""
        query = parse_query(request.scope["query_string"])
        precision = _precision(query.one("precision"), version)
        whole = version == "v3" and query.one("accept_partial").lower() == "false"
        async with self._bodies.one(request, "max_foreign_body_bytes", "max_foreign_decompressed_bytes") as body:
            outcome = await self._store(body, precision, identity_of_request(request.scope), whole=whole)
        return _answer(version, outcome, stored=not whole or outcome.accepted > 0)

    async def _store(self, body: bytes, precision: str, identity: Identity, *, whole: bool) -> _Outcome:
        """Parse and append a body, a slice at a time.

        Args:
            body: unpacked.
            precision: of its times.
            identity: who sends it.
            whole: append nothing if a line is refused.
        """
        now_ms = float(int(self._hub.log_time_ms()))
        limits, most = self._settings.limits, self._settings.max_foreign_rows

        def slices() -> LineSlices:
            return LineSlices(body, limits, precision, most, now_ms)

        checked = _Outcome()
        if whole:
            async for part in self._parts(slices(), len(body), identity):
                checked.add(part, part.intake.rejected, part.refused)
            if checked.refused:
                self._count(checked)
                return checked
        outcome = _Outcome()
        async for part in self._parts(slices(), len(body), identity):
            await self._append(part, identity, outcome)
        self._count(outcome)
        return outcome

    async def _parts(self, slices: LineSlices, size: int, identity: Identity) -> AsyncIterator[LineSlice]:
        def read() -> LineSlice | None:
            part = slices.read()
            if part is None:
                return None
            intake = part.intake.narrowed(identity.scopes.may_publish)
            return part._replace(intake=intake, refused=part.refused | {row.row for row in intake.rejected})

        while (part := read() if size <= _INLINE_BYTES else await asyncio.to_thread(read)) is not None:
            yield part

    async def _append(self, part: LineSlice, identity: Identity, outcome: _Outcome) -> None:
        intake, rejected, refused = part.intake, part.intake.rejected, part.refused
        if intake.batches:
            once = None
            if part.key:
                once = Once(f"{identity.id}.influx.{part.key}", _digest(intake.batches), _ONCE_MS)
            try:
                appended = await self._hub.log.append(intake.batches, once=once)
            except PublishConflict:
                rows = sorted({row for rows in intake.rows for row in rows})
                again = Rejected(rows[0], "line", part.starts[rows[0]], _STORED_OTHERWISE)
                named = sorted([*rejected, again], key=lambda row: row.row)
                outcome.add(part, named, refused | set(rows))
                outcome.stored_before = True
                return
            if appended.duplicate:
                self._telemetry.repeated.labels("influx").inc()
            late = intake.refused(appended.results) if any(isinstance(r, str) for r in appended.results) else []
            refused = refused | {row.row for row in late}
            rejected = sorted(rejected + late, key=lambda row: row.row)
            kept = zip(intake.batches, appended.results, strict=True)
            accepted = sum(batch.readings for batch, result in kept if not isinstance(result, str))
            outcome.accepted += accepted
            if not appended.duplicate:
                self._telemetry.accepted.labels("influx").inc(accepted)
                self._telemetry.lossy.labels("influx").inc(part.lossy)
                self._telemetry.left_out.labels("influx").inc(part.left_out)
        outcome.add(part, rejected, refused)

    def _count(self, outcome: _Outcome) -> None:
        for row, _ in outcome.named:
            self._quota.limit_counters.count(row.limit)
            field = row.field.partition("[")[0]
            self._telemetry.rejected.labels("influx", field if field in _COUNTED else "other").inc()
        if unnamed := outcome.refused - len({row.row for row, _ in outcome.named}):
            self._telemetry.rejected.labels("influx", "other").inc(max(0, unnamed))


def _digest(batches: Iterable[EncodedBatch]) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.body)
        digest.update(b"\n")
    return digest.hexdigest()


def _precision(given: str, version: Version) -> str:
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


def _answer(version: Version, outcome: _Outcome, *, stored: bool) -> Response[bytes]:
    if not outcome.refused:
        headers = {**_HEADERS, "Tidewire-Lossy": str(outcome.lossy)} if outcome.lossy else _HEADERS
        return Response(b"", status_code=204, headers=headers)
    first = outcome.named[0][0]
    some = stored and (outcome.accepted > 0 or outcome.stored_before)
    reason = f"line {first.row}: {first.field} {first.value}: {first.reason}"
    what = "partial write" if some else "unable to parse" if stored else "nothing was written"
    message = f"{what}: {outcome.refused} of {outcome.lines} lines: {reason}"
    if not some and outcome.only_scope:
        return _refusal(version, 403, f"forbidden: {reason}").response()
    content: dict[str, Any] = {"error": message}
    if version == "v2":
        content = {"code": "invalid", "message": message, "line": first.row}
    elif version == "v3":
        content = {
            # a client looks for these very words
            "error": "partial write of line protocol occurred" if stored else "parsing failed for write_lp endpoint",
            "data": [
                {
                    "error_message": f"{row.field} {row.value}: {row.reason}",
                    "line_number": row.row,
                    "original_line": start,
                }
                for row, start in outcome.named
            ],
        }
    return Response(msgspec.json.encode(content), status_code=400, media_type=_JSON, headers=_HEADERS)


def _refusal(version: Version, status: int, text: str, headers: dict[str, str] | None = None) -> Refusal:
    headers = {**_HEADERS, **(headers or {})}
    if version == "v1" and 400 <= status < 500 and status != 400:
        return Refusal(status, "text/plain; charset=utf-8", text.encode(), headers)
    content = {"code": _CODES.get(status, "internal error"), "message": text} if version == "v2" else {"error": text}
    return Refusal(status, _JSON, msgspec.json.encode(content), headers)


def _wording(version: Version) -> Any:
    """Return what words the refusals of a version."""

    def word(error: Exception) -> Refusal:
        problem, headers = problem_of(error)
        status = problem.status
        if isinstance(error, InvalidInput):
            status = 400
        if version == "v1":
            if isinstance(error, RateExceeded):
                status = 503  # any 4xx is an order to delete
            elif status in (413, 415):
                status = 400  # to keep it would not help
        return _refusal(version, status, problem.detail, headers)

    return word


def _credentials_v1(authorization: str, query: bytes) -> str:
    try:
        parameters = dict(parse_qsl(query.decode("latin-1"), max_num_fields=100))
    except ValueError:
        parameters = {}
    return bearer_of(authorization, parameters.get("p", ""))


_V1: Final = Foreign(_wording("v1"), _credentials_v1)
_V2: Final = Foreign(_wording("v2"), header_credentials)
_V3: Final = Foreign(_wording("v3"), header_credentials)
_LINES: Final = Body({"text/plain": Schema(type=OpenAPIType.STRING, description="line protocol")}, None)
_WRITE: Final[dict[str, Any]] = {"status_code": 200, "include_in_schema": False}


@post("/write", **_WRITE, **declare("publish", logged="failures", body=_LINES, foreign=_V1))
async def write_v1(request: Request[Any, Any, State], influx: NamedDependency[InfluxWrites]) -> Response[bytes]:
    """Store line protocol as InfluxDB 1 does."""
    return await influx.write(request, "v1")


@post("/api/v2/write", **_WRITE, **declare("publish", logged="failures", body=_LINES, foreign=_V2))
async def write_v2(request: Request[Any, Any, State], influx: NamedDependency[InfluxWrites]) -> Response[bytes]:
    """Store line protocol as InfluxDB 2 does."""
    return await influx.write(request, "v2")


@post("/api/v3/write_lp", **_WRITE, **declare("publish", logged="failures", body=_LINES, foreign=_V3))
async def write_v3(request: Request[Any, Any, State], influx: NamedDependency[InfluxWrites]) -> Response[bytes]:
    """Store line protocol as InfluxDB 3 does."""
    return await influx.write(request, "v3")


@route(
    "/ping",
    http_method=["GET", "POST"],
    include_in_schema=False,
    sync_to_thread=False,
    status_code=200,
    **declare("nothing", logged="never", foreign=_V1),
)
def ping(request: Request[Any, Any, State]) -> Response[bytes]:
    """Answer that a server of version 1.8 is there: some clients choose their version by it."""
    verbose = parse_query(request.scope["query_string"]).one("verbose")
    if verbose in ("", "0", "false"):
        return Response(b"", status_code=204, headers=_HEADERS)
    return Response(msgspec.json.encode({"version": _VERSION}), status_code=200, media_type=_JSON, headers=_HEADERS)


@get("/health", include_in_schema=False, **declare("nothing", logged="never", foreign=_V2))
async def health(readiness: NamedDependency[Readiness]) -> Response[bytes]:
    """Tell whether lines can be written, as InfluxDB tells it."""
    ready = (await readiness.check()).ready
    content: dict[str, Any] = {
        "name": "influxdb",
        "message": "ready for queries and writes" if ready else "not ready; /health/ready says why",
        "status": "pass" if ready else "fail",
        "checks": [],
        "version": _VERSION,
    }
    return Response(msgspec.json.encode(content), status_code=200 if ready else 503, media_type=_JSON, headers=_HEADERS)


@get(
    ["/ready", "/api/v2/ready"],
    include_in_schema=False,
    sync_to_thread=False,
    **declare("nothing", logged="never", foreign=_V2),
)
def ready() -> Response[bytes]:
    """Answer that a server has started."""
    return Response(msgspec.json.encode({"status": "ready"}), media_type=_JSON, headers=_HEADERS)


@route(
    "/query",
    http_method=["GET", "POST"],
    include_in_schema=False,
    status_code=200,
    **declare("publish", logged="failures", body=Body({}, _QUERY_BYTES), foreign=_V1),
)
async def query(request: Request[Any, Any, State]) -> Response[bytes]:
    """Answer what clients ask before they write: databases are not needed here, and each of them is there."""
    parameters = dict(parse_query(request.scope["query_string"]).fields)
    if request.method == "POST":
        body = await read_body(request, _QUERY_BYTES, limit="max_foreign_body_bytes", may_be_empty=True)
        with contextlib.suppress(ValueError):
            parameters |= dict(parse_qsl(body.decode("latin-1"), max_num_fields=100))
    statement = " ".join(parameters.get("q", "").upper().rstrip("; ").split())
    result: dict[str, Any] = {"statement_id": 0}
    if statement == "SHOW DATABASES":
        values = [[parameters.get("db") or "tidewire"]]
        result["series"] = [{"name": "databases", "columns": ["name"], "values": values}]
    elif not statement.startswith(("CREATE DATABASE ", "CREATE RETENTION POLICY ")):
        result["error"] = "this server only takes writes; GET /v1/history reads what was written"
    return Response(msgspec.json.encode({"results": [result]}), media_type=_JSON, headers=_HEADERS)


INFLUX_ROUTES: Final = [write_v1, write_v2, write_v3, ping, health, ready, query]
"""What clients of InfluxDB call. Not in the OpenAPI document: InfluxDB's own describes them."""
