"""PUT, POST and DELETE /metrics/job/…: what scripts push to a Prometheus Pushgateway.

A group is what was pushed under one path. What leaves it has ended: its series are FINISHED and not stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from litestar import Request, Response, delete, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType

from tidewire.errors import InvalidInput
from tidewire_service.errors import ScopeMissing
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.prometheus_text import Sample, Samples, group_labels, read_samples
from tidewire_service.ingest.pushed_groups import PushedGroups, changed
from tidewire_service.ingest.rows import METRIC_NOT_ALLOWED
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota
from tidewire_service.web.answer import Answer
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, Foreign, declare
from tidewire_service.web.foreign_bodies import ForeignBodies, header_credentials
from tidewire_service.web.problems import problem_of

__all__ = ["PUSH_ROUTES", "Pushes"]

_INLINE_BYTES: Final = 8 * 1024  # parsed on the event loop, about 3 ms; more goes to a thread
_LIMITS: Final = ("series", "metrics")
_TEXT: Final = "text/plain; charset=utf-8"


def _read(body: bytes, group: dict[str, str], settings: ServiceSettings, may_publish: Callable[[str], bool]) -> Samples:
    """Parse a body, of which all metrics may be published, or raise `ScopeMissing`."""
    samples = read_samples(body, group, settings.limits, settings.max_rows, settings.max_decompressed_bytes)
    for metric in dict.fromkeys(sample.metric for sample in samples.found):
        if not may_publish(metric):
            raise ScopeMissing(f"{metric} {METRIC_NOT_ALLOWED}")
    return samples


class Pushes:
    """Stores what is pushed.

    Args:
        hub: whose log is written.
        settings: of the service.
        telemetry: counts.
        quota: counts the limits that are reached.
        bodies: takes what is pushed.
    """

    def __init__(
        self, hub: Hub, settings: ServiceSettings, telemetry: Telemetry, quota: StreamQuota, bodies: ForeignBodies
    ) -> None:
        self._hub = hub
        self._settings = settings
        self._telemetry = telemetry
        self._quota = quota
        self._bodies = bodies
        self._groups = PushedGroups(
            hub.log, settings.max_rows, settings.max_decompressed_bytes, settings.retention_silent_s
        )

    async def push(self, request: Request[Any, Any, State], *, replace: bool) -> Response[bytes]:
        """Store the samples of a body.

        Args:
            request: a PUT or a POST.
            replace: all other metrics that the token may publish leave the group; else only what has the name of one
                that comes.
        """
        group = _group_of(request)
        may_publish = identity_of_request(request.scope).scopes.may_publish
        async with self._bodies.one(request.scope, request.receive, "max_body_bytes", "max_body_bytes") as body:
            large = len(body) > _INLINE_BYTES
            read = partial(_read, body, group, self._settings, may_publish)
            found, left_out = await asyncio.to_thread(read) if large else read()
            await self._change(group, found, may_publish, replace=replace, large=large)
        self._telemetry.left_out.labels("pushgateway").inc(left_out)
        return Response(b"", status_code=200)

    async def delete(self, request: Request[Any, Any, State]) -> Response[bytes]:
        """End the series of a group that the token may publish; 202, whether there was one or not."""
        may_publish = identity_of_request(request.scope).scopes.may_publish
        await self._change(_group_of(request), [], may_publish, replace=True)
        return Response(b"", status_code=202)

    async def _change(
        self,
        group: dict[str, str],
        samples: list[Sample],
        may_publish: Callable[[str], bool],
        *,
        replace: bool,
        large: bool = False,
    ) -> None:
        stored = await self._groups.change(
            group,
            lambda before: changed(before, samples, self._hub.log_time_ms(), replace=replace, may_publish=may_publish),
            in_thread=large,
        )
        self._telemetry.accepted.labels("pushgateway").inc(stored.accepted)
        self._telemetry.rejected.labels("pushgateway", "metric").inc(len(stored.refused))
        for _, reason in stored.refused:
            self._quota.limit_counters.count(f"max_{reason}" if reason in _LIMITS else "")
        if stored.refused:
            batch, reason = stored.refused[0]
            others = len(stored.refused) - 1
            said = f"and {others} more: a limit; the others are stored"
            raise InvalidInput("body", f"{batch.metric}{batch.series}: {reason}", said)


def _group_of(request: Request[Any, Any, State]) -> dict[str, str]:
    return group_labels(request.scope["raw_path"].decode("ascii", "replace"))


def _wording(error: Exception) -> Answer:
    """Word a refusal as a Pushgateway does: a line of text, and 400 for whatever cannot be stored."""
    problem, headers = problem_of(error)
    status = 400 if isinstance(error, InvalidInput) or problem.status == 413 else problem.status
    return Answer(status, _TEXT, f"{problem.detail}\n".encode(), headers)


_BODY: Final = Body({"text/plain": Schema(type=OpenAPIType.STRING, description="Prometheus' text format")}, None)
_PATHS: Final = ["/metrics/job/{group:path}", "/metrics/job@base64/{group:path}"]
_PUSHED: Final[dict[str, Any]] = {
    "include_in_schema": False,
    **declare("publish", logged="failures", body=_BODY, foreign=Foreign(_wording, header_credentials)),
}


@put(_PATHS, **_PUSHED)
async def put_group(request: Request[Any, Any, State], pushes: NamedDependency[Pushes]) -> Response[bytes]:
    """Replace a group."""
    return await pushes.push(request, replace=True)


@post(_PATHS, **_PUSHED)
async def post_group(request: Request[Any, Any, State], pushes: NamedDependency[Pushes]) -> Response[bytes]:
    """Replace the metrics of a group that come."""
    return await pushes.push(request, replace=False)


@delete(_PATHS, status_code=202, **_PUSHED)
async def delete_group(request: Request[Any, Any, State], pushes: NamedDependency[Pushes]) -> Response[bytes]:
    """End a group."""
    return await pushes.delete(request)


PUSH_ROUTES: Final = [put_group, post_group, delete_group]
"""What clients of a Pushgateway call. Not in the OpenAPI document: the Pushgateway's own page describes them."""
