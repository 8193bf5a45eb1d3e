"""POST /v1/readings: stores the good rows of a body and names the bad ones."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import HeaderParameter
from litestar.types import HTTPScope, Receive

from tidewire.errors import InvalidInput, LogFull, LogUnavailable
from tidewire.redislog.calls import Once
from tidewire_service.auth.scopes import ANYONE
from tidewire_service.errors import MemoryShort, ScopeMissing
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.body import INGEST_FORMATS, BodyReader, checked_encoding, checked_format, unpacked
from tidewire_service.ingest.group_commit import GroupCommits
from tidewire_service.ingest.rows import METRIC_NOT_ALLOWED, Intake, Rejected
from tidewire_service.ingest.slots import Slot, Slots
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.request_scope import address_of
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota
from tidewire_service.web.answer import Answer
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, declare
from tidewire_service.web.post_request import call_name, headers_of, read_body
from tidewire_service.web.problems import MEDIA_TYPE, problem_of

__all__ = ["PATH", "AcceptedJson", "Posts", "post_readings"]

PATH: Final = "/v1/readings"


class AcceptedJson(msgspec.Struct, frozen=True):
    """The result of a body.

    Attributes:
        accepted: number of readings that were stored.
        rejected: rows that were not.
        cursor: the position after the append; a stream from here starts after these readings.
    """

    accepted: int
    rejected: list[Rejected]
    cursor: str


class Posts:
    """Accepts request bodies, at most `max_posts` at the same time; beyond that it answers 429.

    Attributes:
        slots: for bodies in progress, on other routes too.
    """

    def __init__(
        self, hub: Hub, settings: ServiceSettings, telemetry: Telemetry, quota: StreamQuota, commits: GroupCommits
    ) -> None:
        self._quota = quota
        self._hub = hub
        self._commits = commits
        self._settings = settings
        self._telemetry = telemetry
        self._accepted = telemetry.accepted.labels("http")
        self._reader = BodyReader(settings.limits, settings.max_rows)
        self.slots = Slots(settings.max_posts)

    @property
    def in_progress(self) -> int:
        """The number of bodies in progress."""
        return len(self.slots)

    async def publish(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Read, check and append the body of one request; return the answer."""
        if self._quota.memory_short:
            raise MemoryShort
        with self.slots.held(identity_of_request(scope).id, address_of(scope)) as slot:
            answer = await self._publish(scope, receive, slot)
        answer.headers["Tidewire-Time"] = f"{self._hub.log_time_ms():.0f}"  # for a sender whose clock is wrong
        return answer

    async def _publish(self, scope: HTTPScope, receive: Receive, slot: Slot) -> Answer:
        headers = headers_of(scope)
        form = checked_format(headers.get(b"content-type", b"").decode("latin-1"))
        packed = checked_encoding(headers.get(b"content-encoding", b"").decode("latin-1"))
        publisher, sequence, key = call_name(headers)
        async with slot.waiting():
            body = await read_body(scope, receive, self._settings.max_body_bytes)
        if packed:
            body = await asyncio.to_thread(unpacked, body, self._settings.max_decompressed_bytes)
        # whole: the text of a time has one length, so that a body that comes again is cut into the same calls
        intake = await self._reader.read(body, form, float(int(self._hub.log_time_ms())))
        identity = identity_of_request(scope)
        if identity is not ANYONE:
            intake = intake.narrowed(identity.scopes.may_publish)
        if not intake.batches:
            return self._all_refused(intake.rejected)
        if identity.id:  # so that no token can use the sequences or keys of another
            publisher = publisher and f"{identity.id}.{publisher}"
            key = key and f"{identity.id}.{key}"
        once = Once(key, hashlib.sha256(body).hexdigest()) if key else None
        try:
            appended = await self._commits.append(intake.batches, publisher=publisher, sequence=sequence, once=once)
        except LogUnavailable as error:
            if not error.stored:
                raise
            return self._stored_in_part(intake, error, named=bool(publisher or once))
        if appended.duplicate:
            self._telemetry.repeated.labels("http").inc()
        return self._answer(intake, appended.results, str(appended.cursor))

    def _answer(self, intake: Intake, results: tuple[int | str, ...], cursor: str) -> Answer:
        rejected = intake.rejected
        if any(isinstance(result, str) for result in results):
            rejected = sorted(rejected + intake.refused(results), key=lambda refused: refused.row)
            kept = [batch for batch, result in zip(intake.batches, results, strict=True) if not isinstance(result, str)]
        else:
            kept = intake.batches
        if not kept:
            return self._all_refused(rejected)
        accepted = sum(batch.readings for batch in kept)
        self._accepted.inc(accepted)
        self._count(rejected)
        return Answer(200, "application/json", msgspec.json.encode(AcceptedJson(accepted, rejected, cursor)), {})

    def _stored_in_part(self, intake: Intake, error: LogUnavailable, *, named: bool) -> Answer:
        """Answer for a body of several calls of which one failed: 503, with what was stored.

        Args:
            intake: the rows of the body.
            error: with the results of the calls that were stored.
            named: the body has a key or a sequence, under which it can be sent again as a whole.
        """
        done = {place: result for place, result in enumerate(error.stored) if result is not None}
        before = Intake([intake.batches[at] for at in done], [intake.rows[at] for at in done], intake.rejected)
        stored = zip(before.batches, done.values(), strict=True)
        accepted = sum(batch.readings for batch, result in stored if not isinstance(result, str))
        self._accepted.inc(accepted)
        reason = "was not stored" if isinstance(error, LogFull) else "may not have been stored"
        missing = (row for at, rows in enumerate(intake.rows) if at not in done for row in rows)
        left = [Rejected(row, "row", "", f"{reason}; send it again") for row in missing]
        refused = before.refused(tuple(done.values()))
        rejected = sorted(before.rejected + refused + left, key=lambda one: one.row)
        again = "send the same body again as it is: the rest is added" if named else "send the rows in rejected again"
        problem, headers = problem_of(error)
        problem = msgspec.structs.replace(
            problem,
            detail=f"{error}; {accepted} readings of the body were stored; {again}",
            accepted=accepted,
            rejected=[msgspec.to_builtins(row) for row in rejected],
        )
        return Answer(problem.status, MEDIA_TYPE, msgspec.json.encode(problem), headers)

    def _all_refused(self, rejected: list[Rejected]) -> Answer:
        self._count(rejected)
        first = rejected[0]
        problem, _ = problem_of(InvalidInput(first.field, None, first.reason))
        if all(row.reason == METRIC_NOT_ALLOWED for row in rejected):
            problem, _ = problem_of(ScopeMissing(first.reason))
        refused = msgspec.structs.replace(
            problem,
            value=first.value,
            detail=f"no row could be stored; row {first.row}: {first.field} {first.value}: {first.reason}",
            rejected=[msgspec.to_builtins(row) for row in rejected],
        )
        return Answer(refused.status, MEDIA_TYPE, msgspec.json.encode(refused), {})

    def _count(self, rejected: list[Rejected]) -> None:
        for row in rejected:
            self._quota.limit_counters.count(row.limit)
            field = row.field.partition("[")[0]
            self._telemetry.rejected.labels("http", field if field in _COUNTED else "other").inc()


_COUNTED: Final = frozenset({"metric", "labels", "unit", "time", "value", "text", "step", "row", "readings", "body"})


_EXAMPLE: Final = {"metric": "furnace/temperature", "labels": {"site": "A"}, "unit": "Cel", "value": 921.4}
_ROW: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="a reading, or a batch of columns of equal length; the time is Unix ms or RFC 3339, now if absent",
    required=["metric", "value"],
    properties={
        "metric": Schema(type=OpenAPIType.STRING),
        "labels": Schema(
            type=[OpenAPIType.OBJECT, OpenAPIType.NULL], additional_properties=Schema(type=OpenAPIType.STRING)
        ),
        "unit": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], description="UCUM, such as Cel or By/s"),
        **{name: Schema(description="one, or a list") for name in ("time", "value", "text", "step")},
    },
    examples=[_EXAMPLE],
)


_BODY: Final = Body(
    {form.media_types[0]: Schema(type=OpenAPIType.STRING, description=form.description) for form in INGEST_FORMATS}
    | {"application/json": Schema(one_of=[_ROW, Schema(type=OpenAPIType.ARRAY, items=_ROW, min_items=1)])},
    None,
)


@post(
    PATH,
    status_code=200,
    summary="Publish readings",
    description=(
        "A batch, a list of batches, or flat rows, in one of the media types below, with or without gzip. A row is "
        "a batch if its `value` is a list. Good rows are stored and bad ones named. 400 and 422: this can never work; "
        "413: split it; 429 and 503: wait for `Retry-After`, then try again. Of more than 500 batches, the first may "
        "be stored before Redis fails: with an `Idempotency-Key` the same body completes them, without one `rejected` "
        "names the rows to send again."
    ),
    **declare(
        "publish",
        logged="failures",
        body=_BODY,
        answers={200: (AcceptedJson, "At least one row was stored")},
        refusals={
            400: "The body cannot be read",
            403: "The token may publish none of the metrics",
            413: "Split it",
            415: "Another media type",
            422: "No row could be stored",
            429: "Try again",
            503: "Redis does not answer, or is full; `accepted` and `rejected` say what was stored, if anything was",
        },
    ),
)
async def post_readings(
    request: Request[Any, Any, State],
    posts: NamedDependency[Posts],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            description="any text without spaces, remembered for 24 h: the same body is answered again and not stored "
            "again, another body is refused",
        ),
    ] = None,
    tidewire_sequence: Annotated[
        str | None,
        HeaderParameter(
            name="Tidewire-Sequence",
            description="of the SDK's publisher instead of a key: `<publisher>:<number>`; a number that is not above "
            "the last one is a repeat, and is not stored again",
        ),
    ] = None,
) -> Response[bytes]:
    """Store the readings of a body."""
    return (await posts.publish(request.scope, request.receive)).response()
