"""POST /v1/metrics: what OpenTelemetry SDKs and collectors export with OTLP over HTTP, as protobuf or JSON.

Source of paths, answers and the statuses after which a client tries again: opentelemetry-proto, docs/specification.md.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.types import HTTPScope, Receive

from tidewire.errors import InvalidInput, PublishConflict
from tidewire.redislog.calls import Once
from tidewire_service.auth.scopes import Identity
from tidewire_service.errors import MediaTypeNotSupported, ScopeMissing, encodable
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.group_commit import GroupCommits
from tidewire_service.ingest.interval_quantiles import IntervalQuantiles
from tidewire_service.ingest.otlp import Points, PointsReader
from tidewire_service.ingest.otlp_messages import parse_json, parse_protobuf
from tidewire_service.ingest.rows import METRIC_NOT_ALLOWED, Rejected
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota
from tidewire_service.web.answer import Answer
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, Foreign, declare
from tidewire_service.web.foreign_bodies import ForeignBodies, header_credentials
from tidewire_service.web.post_request import headers_of
from tidewire_service.web.problems import problem_of

__all__ = ["PATH", "OtlpExports", "post_metrics"]

PATH: Final = "/v1/metrics"
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_SIZES: Final = {  # the settings that bound a body as sent and unpacked; of JSON 1 MiB takes 0.5 s of a thread
    _PROTOBUF: ("max_foreign_body_bytes", "max_foreign_decompressed_bytes"),
    _JSON: ("max_decompressed_bytes", "max_decompressed_bytes"),
}
_ONCE_MS: Final = 15 * 60_000  # an exporter repeats within a minute
_NAMED: Final = 5  # refused data points that an answer names
_COUNTED: Final = frozenset({"metric", "labels", "unit", "time", "value"})
_STORED_OTHERWISE: Final = "came before, and other data points of it were refused then; it is not stored again"


class OtlpExports:
    """Stores what is exported, a request at a time.

    Args:
        hub: whose clock counts.
        settings: of the service.
        telemetry: counts.
        quota: counts the limits that are reached.
        bodies: takes what is posted.
        commits: appends.
    """

    def __init__(
        self,
        hub: Hub,
        settings: ServiceSettings,
        telemetry: Telemetry,
        quota: StreamQuota,
        bodies: ForeignBodies,
        commits: GroupCommits,
    ) -> None:
        self._hub = hub
        self._telemetry = telemetry
        self._quota = quota
        self._bodies = bodies
        self._commits = commits
        self._quantiles = IntervalQuantiles()
        self._max_points = settings.max_foreign_rows
        self._reader = PointsReader(
            settings.limits,
            settings.max_foreign_rows,
            settings.otlp_attributes,
            self._quantiles,
            buckets=settings.otlp_buckets,
        )

    async def export(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Store the good data points of a request, and say how many are not."""
        given = headers_of(scope).get(b"content-type", b"").decode("latin-1")
        media_type = given.partition(";")[0].strip().lower()
        if media_type not in (_PROTOBUF, _JSON):
            accept = f"{_PROTOBUF}, {_JSON}"
            raise MediaTypeNotSupported(f"the Content-Type must be one of {accept}", accept=accept)
        identity = identity_of_request(scope)
        async with self._bodies.one(scope, receive, *_SIZES[media_type]) as body:
            now_ms = float(int(self._hub.log_time_ms()))

            def read() -> tuple[Points, str]:
                if media_type == _JSON:
                    parsed, unreadable = parse_json(body)
                else:
                    parsed, unreadable = parse_protobuf(body, self._max_points), {}
                points = self._reader.read(parsed, now_ms, unreadable)
                narrowed = points.intake.narrowed(identity.scopes.may_publish)
                return points._replace(intake=narrowed), hashlib.sha256(body).hexdigest()

            points, digest = await asyncio.to_thread(read)
            rejected = await self._append(points, identity, digest)
        return self._answer(media_type, points, rejected)

    async def _append(self, points: Points, identity: Identity, digest: str) -> list[Rejected]:
        """Append, and return all refusals."""
        intake = points.intake
        if not intake.batches:
            return intake.rejected
        # of what is stored of the body, not its bytes: with another token or limit that may be more
        kept = hashlib.sha256(repr(sorted({row for rows in intake.rows for row in rows})).encode()).hexdigest()
        # a point without a time is of now: what comes again is another reading
        once = Once(f"{identity.id}.otlp.{digest}", kept, _ONCE_MS) if points.timed else None
        try:
            appended = await self._commits.append(intake.batches, once=once)
        except PublishConflict:
            raise InvalidInput("body", digest[:12], _STORED_OTHERWISE) from None
        pairs = zip(intake.batches, appended.results, strict=True)
        stored_series = {(batch.metric, batch.series) for batch, result in pairs if not isinstance(result, str)}
        for key, histogram in points.histograms:
            if (f"{key[0]}/count", key[1]) in stored_series:
                self._quantiles.remember(key, histogram)
        if appended.duplicate:
            self._telemetry.repeated.labels("otlp").inc()
        else:
            stored = zip(intake.batches, appended.results, strict=True)
            accepted = sum(batch.readings for batch, result in stored if not isinstance(result, str))
            self._telemetry.accepted.labels("otlp").inc(accepted)
            self._telemetry.lossy.labels("otlp").inc(points.lossy)
        late = intake.refused(appended.results) if any(isinstance(one, str) for one in appended.results) else []
        return sorted(intake.rejected + late, key=lambda one: one.row)

    def _answer(self, media_type: str, points: Points, rejected: list[Rejected]) -> Answer:
        for one in rejected:
            self._quota.limit_counters.count(one.limit)
            self._telemetry.rejected.labels("otlp", one.field if one.field in _COUNTED else "other").inc()
        rows = {one.row: one for one in reversed(rejected)}  # the first reason of each
        if len(rows) == points.points and rows and all(one.reason == METRIC_NOT_ALLOWED for one in rejected):
            raise ScopeMissing(f"{rejected[0].value} {METRIC_NOT_ALLOWED}")
        if not rows:
            return Answer(200, media_type, b"{}" if media_type == _JSON else b"", {})
        named = [f"data point {row}: {rows[row].field} {rows[row].value}: {rows[row].reason}" for row in sorted(rows)]
        message = "; ".join(named[:_NAMED]) + (f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
        return Answer(200, media_type, _partial_success(media_type, len(rows), encodable(message)), {})


def _partial_success(media_type: str, rejected: int, message: str) -> bytes:
    if media_type == _JSON:
        partial = {"rejectedDataPoints": str(rejected), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": partial})
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - the request has loaded it

    answer = metrics_service_pb2.ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = rejected
    answer.partial_success.error_message = message
    return answer.SerializeToString()


def _status(error: Exception) -> tuple[int, str, dict[str, str]]:
    problem, headers = problem_of(error)
    return 400 if isinstance(error, InvalidInput) else problem.status, problem.detail, headers


def _as_protobuf(error: Exception) -> Answer:
    """Word a refusal as a `google.rpc.Status`, whose second field is the message."""
    status, text, headers = _status(error)
    message = text.encode()
    length, rest = bytearray(), len(message)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return Answer(status, _PROTOBUF, b"\x12" + bytes(length) + message, headers)


def _as_json(error: Exception) -> Answer:
    status, text, headers = _status(error)
    return Answer(status, _JSON, msgspec.json.encode({"message": text}), headers)


_BODY: Final = Body(
    {
        _PROTOBUF: Schema(type=OpenAPIType.STRING, description="ExportMetricsServiceRequest"),
        _JSON: Schema(type=OpenAPIType.OBJECT, description="ExportMetricsServiceRequest"),
    },
    None,
)


@post(
    PATH,
    status_code=200,
    include_in_schema=False,
    **declare(
        "publish", logged="failures", body=_BODY, foreign=Foreign(_as_protobuf, header_credentials, json=_as_json)
    ),
)
async def post_metrics(request: Request[Any, Any, State], otlp: NamedDependency[OtlpExports]) -> Response[bytes]:
    """Store the data points of an export."""
    return (await otlp.export(request.scope, request.receive)).response()
