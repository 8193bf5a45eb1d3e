"""PUT, POST and DELETE /metrics/job/…: what scripts push to a Prometheus Pushgateway.

A group is what was pushed under one path. What leaves it has ended: its series are FINISHED and not stale.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from litestar import Request, Response, delete, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import (
    FINISHED,
    Batch,
    EncodedBatch,
    encode_batch,
    labels_of_series_key,
    series_key,
)
from tidewire_service.errors import ScopeMissing
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.prometheus_text import Samples, group_labels, read_samples
from tidewire_service.ingest.rows import METRIC_NOT_ALLOWED
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, Foreign, declare
from tidewire_service.web.foreign_bodies import ForeignBodies, header_credentials
from tidewire_service.web.problems import Refusal, problem_of

__all__ = ["PUSH_ROUTES", "Pushes"]

_INLINE_BYTES: Final = 8 * 1024  # parsed on the event loop, about 3 ms; more goes to a thread
_FEW: Final = 100  # metrics of a group that are encoded on the event loop, about 1 ms
_LIMITS: Final = ("series", "metrics")
_TEXT: Final = "text/plain; charset=utf-8"

T = TypeVar("T")
Record = dict[str, dict[str, float | None]]
"""A group as it is remembered: metric → series key → value."""


class _Change(NamedTuple):
    """What a push changes: the batches to append, and the group afterwards."""

    batches: list[EncodedBatch]
    record: Record


def _changed(before: Record, samples: Samples, now_ms: float, replace: bool) -> _Change:
    """Return what samples change in a group; with `replace`, all that does not come again has ended."""
    pushed: Record = {}
    for metric, labels, value in samples.found:
        pushed.setdefault(metric, {})[series_key(labels)] = value
    gone = {
        metric: {key: value for key, value in series.items() if key not in pushed.get(metric, {})}
        for metric, series in before.items()
        if replace or metric in pushed
    }
    kept = {} if replace else {metric: series for metric, series in before.items() if metric not in pushed}
    return _Change([*_encoded(pushed, now_ms, None), *_encoded(gone, now_ms, FINISHED)], kept | pushed)


def _encoded(record: Record, now_ms: float, text: str | None) -> Iterator[EncodedBatch]:
    """Yield a reading of each series; an end repeats the last number, and needs one."""
    for metric, series in record.items():
        for key, value in series.items():
            if text is None or value is not None:
                labels = labels_of_series_key(key)
                texts: list[str | None] | None = None if text is None else [text]
                yield encode_batch(Batch(metric=metric, labels=labels, time=[now_ms], value=[value], text=texts))


async def _run(in_thread: bool, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.to_thread(work, *arguments) if in_thread else work(*arguments)


class Pushes:
    """Stores what is pushed, and remembers each group in Redis.

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

    async def push(self, request: Request[Any, Any, State], *, replace: bool) -> Response[bytes]:
        """Store the samples of a body.

        Args:
            request: a PUT or a POST.
            replace: all other metrics leave the group; else only what has the name of one that comes.
        """
        group = group_labels(request.scope["raw_path"].decode("ascii", "replace"))
        identity = identity_of_request(request.scope)
        async with self._bodies.one(request, "max_body_bytes", "max_body_bytes") as body:
            settings, large = self._settings, len(body) > _INLINE_BYTES
            samples = await _run(large, read_samples, body, group, settings.limits, settings.max_rows)
            metrics = dict.fromkeys(sample.metric for sample in samples.found)
            forbidden = await _run(large, lambda: [m for m in metrics if not identity.scopes.may_publish(m)])
            if forbidden:
                raise ScopeMissing(f"{forbidden[0]} {METRIC_NOT_ALLOWED}")
            before = await self._record(group)
            change = await _run(
                large or len(before) > _FEW, _changed, before, samples, self._hub.log_time_ms(), replace
            )
            await self._store(group, change)
        self._telemetry.left_out.labels("pushgateway").inc(samples.left_out)
        return Response(b"", status_code=200)

    async def delete(self, request: Request[Any, Any, State]) -> Response[bytes]:
        """End all series of a group; 202, whether there was one or not."""
        group = group_labels(request.scope["raw_path"].decode("ascii", "replace"))
        scopes = identity_of_request(request.scope).scopes
        before = await self._record(group)
        gone = {metric: series for metric, series in before.items() if scopes.may_publish(metric)}
        left = {metric: series for metric, series in before.items() if metric not in gone}
        ends = await _run(len(before) > _FEW, lambda: list(_encoded(gone, self._hub.log_time_ms(), FINISHED)))
        await self._store(group, _Change(ends, left))
        return Response(b"", status_code=202)

    async def _store(self, group: dict[str, str], change: _Change) -> None:
        """Append what was pushed and the ends of what is gone, then remember the group.

        A failure between the two leaves the record of before: the next push ends what it would have ended.
        """
        most, count = self._settings.max_rows, sum(map(len, change.record.values()))
        if count > most:
            raise LimitExceeded("max_rows", most, count, "push to more groups")
        refused: list[str] = []
        if change.batches:
            appended = await self._hub.log.append(change.batches)
            for batch, result in zip(change.batches, appended.results, strict=True):
                if isinstance(result, str):
                    refused.append(f"{batch.metric}{batch.series}: {result}")
                    self._quota.limit_counters.count(f"max_{result}" if result in _LIMITS else "")
            self._telemetry.accepted.labels("pushgateway").inc(len(change.batches) - len(refused))
            self._telemetry.rejected.labels("pushgateway", "metric").inc(len(refused))
        with self._hub.log.beside():
            key, silent_ms = self._key(group), int(self._settings.retention_silent_s * 1e3)
            if change.record:
                await self._hub.log.redis.set(key, msgspec.json.encode(change.record), px=silent_ms)
            else:
                await self._hub.log.redis.delete(key)
        if refused:
            raise InvalidInput("body", refused[0], f"and {len(refused) - 1} more: a limit; the others are stored")

    def _key(self, group: dict[str, str]) -> str:
        return self._hub.log.keys.group(hashlib.sha256(series_key(group).encode()).hexdigest())

    async def _record(self, group: dict[str, str]) -> Record:
        with self._hub.log.beside():
            found = await self._hub.log.redis.get(self._key(group))
        try:
            return msgspec.json.decode(found or b"{}", type=Record)
        except msgspec.MsgspecError:
            return {}  # another program wrote it; the next push replaces it


def _wording(error: Exception) -> Refusal:
    """Word a refusal as a Pushgateway does: a line of text, and 400 for whatever cannot be stored."""
    problem, headers = problem_of(error)
    status = 400 if isinstance(error, InvalidInput) or problem.status == 413 else problem.status
    return Refusal(status, _TEXT, f"{problem.detail}\n".encode(), headers)


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
