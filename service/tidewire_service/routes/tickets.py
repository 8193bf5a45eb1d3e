"""POST /v1/tickets: a ticket for one stream of a browser, whose `EventSource` cannot send a token."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from msgspec import Meta

from tidewire.errors import InvalidInput
from tidewire.model.pattern import compile_pattern
from tidewire_service.auth.tickets import FIRST_USE_S, Tickets
from tidewire_service.ingest.json_rows import BOM
from tidewire_service.routes.stream import STREAM_PATH
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, declare

__all__ = ["TicketJson", "create_ticket"]

_MAX_BODY_BYTES: Final = 16 * 1024
_PATTERNS: Final = Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING), min_items=1, max_items=64)
_BODY: Final = Schema(
    type=OpenAPIType.OBJECT, required=["metric"], properties={"metric": _PATTERNS}, additional_properties=False
)


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    metric: Annotated[list[str], Meta(min_length=1, max_length=64)]


class TicketJson(msgspec.Struct, frozen=True):
    """A ticket.

    Attributes:
        ticket: value of ``ticket=`` in the stream's URL; opens one stream and its reconnects.
        expires_s: time within which it must first be used.
        url: path and query of the stream.
    """

    ticket: str
    expires_s: int
    url: str


@post(
    "/v1/tickets",
    summary="Get a ticket for one stream",
    description='Body: `{"metric": ["furnace/**"]}`. For browsers: an EventSource cannot send an Authorization header.',
    **declare(
        "subscribe",
        body=Body({"application/json": _BODY}, _MAX_BODY_BYTES),
        answers={201: (TicketJson, "The ticket")},
        refusals={422: "A field cannot be read", 503: "Redis does not answer"},
    ),
)
async def create_ticket(request: Request[Any, Any, State], tickets: NamedDependency[Tickets]) -> Response[bytes]:
    """Create a ticket."""
    try:
        wanted = msgspec.json.decode((await request.body()).removeprefix(BOM), type=_Wanted)
    except msgspec.MsgspecError as error:
        raise InvalidInput("body", "", f'expected {{"metric": ["furnace/**"]}}; {error}') from None
    patterns = tuple(compile_pattern(pattern).text for pattern in wanted.metric)
    text = await tickets.create(identity_of_request(request.scope), patterns)
    query = urlencode([*(("metric", pattern) for pattern in patterns), ("ticket", text)])
    answer = TicketJson(text, FIRST_USE_S, f"{STREAM_PATH}?{query}")
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(answer), status_code=201, media_type="application/json", headers=headers)
