"""The HTTP API of an edge: the reading half of the service's."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.handlers import asgi
from litestar.openapi.spec import Operation
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from tidewire.errors import ServiceUnavailable
from tidewire.model.answers import ReadinessJson
from tidewire_service.auth.scopes import ANYONE
from tidewire_service.edge.identities import Identities
from tidewire_service.edge.proxy import pass_on, send_answer
from tidewire_service.edge.readiness import EdgeReadiness
from tidewire_service.edge.relay import Relay, SelectionsFull
from tidewire_service.edge.upstream import Upstream, UpstreamRefused
from tidewire_service.edge.viewer import ViewerRequest
from tidewire_service.errors import RequestRefused, ScopeMissing, Unauthenticated, UpstreamAway
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.request_scope import is_head, last_event_id
from tidewire_service.routes.stream import STREAM_PATH, STREAM_QUERY, parse_stream_query, parse_stream_request
from tidewire_service.streams.streams import Streams
from tidewire_service.web.authorization import TICKET_FIELD, authorization_of
from tidewire_service.web.declaration import RouteTable, declare
from tidewire_service.web.problems import refuse

__all__ = ["EdgeAuthorization", "get_ready", "passed_route", "stream_route"]

_SCOPE_KEY: Final = "tidewire.authorization"
_NO_STORE: Final = {"Cache-Control": "no-store"}
_READ: Final = Operation(operation_id="Read", summary="As the service answers")  # of a raw app, which is only read


class EdgeAuthorization:
    """An ASGI middleware that finds what a request's upstream requests are authorized with; the upstream judges it.

    Args:
        app: to call.
        routes: what each route declares.
        identities: of tokens; asked here for ``/metrics`` only.
        token: of requests that bring none; empty for none.
        required: refuse requests that bring neither a token nor a ticket.
        limit_counters: counts the limits that were reached.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: RouteTable,
        identities: Identities,
        *,
        token: str,
        required: bool,
        limit_counters: LimitCounters,
    ) -> None:
        self._app = app
        self._routes = routes
        self._identities = identities
        self._own = f"Bearer {token}" if token else ""
        self._required = required
        self._limit_counters = limit_counters

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on, or refuse it. Not a coroutine function, so that an open stream keeps no frame of it."""
        if scope["type"] != ScopeType.HTTP:
            return self._app(scope, receive, send)
        declaration = self._routes.authorizing(scope)
        if scope["method"] == "OPTIONS" or (declaration is not None and declaration.needs == "nothing"):
            return self._app(scope, receive, send)
        try:
            authorization = authorization_of(scope)
            ticket = declaration is not None and declaration.stream and TICKET_FIELD in scope["query_string"]
            if not authorization and not ticket:
                if self._required:
                    raise Unauthenticated("this edge asks for a token: Authorization: Bearer …", token_given=False)
                authorization = self._own
        except RequestRefused as refusal:
            return refuse(scope, send, refusal)
        scope[_SCOPE_KEY] = authorization  # type: ignore[typeddict-unknown-key]  # ours
        if declaration is not None and declaration.needs == "operate":
            return self._operate(scope, receive, send, authorization)
        return self._app(scope, receive, send)

    async def _operate(self, scope: HTTPScope, receive: Receive, send: Send, authorization: str) -> None:
        try:
            identity = await self._identities.identity(authorization)
            if not identity.scopes.operate:
                raise ScopeMissing(f"the token {identity.name!r} has no scope to read the counters (--operate)")
        except UpstreamRefused as refused:
            await send_answer(send, refused.answer)
        except ServiceUnavailable:
            await refuse(scope, send, UpstreamAway())
        except RequestRefused as refusal:
            await refuse(scope, send, refusal)
        else:
            await self._app(scope, receive, send)


def _authorization(scope: HTTPScope) -> str:
    found: str = scope.get(_SCOPE_KEY, "")  # type: ignore[assignment]  # ours
    return found


def stream_route(streams: Streams[Relay], identities: Identities) -> Any:
    """Return the route of streams: a raw ASGI app, so that a relay writes directly to the socket."""
    relay, settings = streams.hub, streams.settings

    @asgi(STREAM_PATH, copy_scope=False, **declare("subscribe", query=STREAM_QUERY, stream=True, operation=_READ))
    async def get_stream(scope: Scope, receive: Receive, send: Send) -> None:
        """Admit a viewer and serve its stream until it ends."""
        if scope["type"] != ScopeType.HTTP:
            raise NotFoundException
        try:
            request = await _viewer_request(scope, identities, settings.max_patterns)
            if is_head(scope):
                await streams.answer_head(send)
                return
            turned_away = streams.turned_away(request.identity, scope)
            if turned_away is not None:
                await streams.turn_away(send, send, *turned_away)
                return
            admitted = await relay.admit(request)
        except UpstreamRefused as refused:
            if refused.passing:  # any status but 200 would end an EventSource for good
                await streams.put_off(send)
            else:
                await send_answer(send, refused.answer)
            return
        except SelectionsFull:
            await streams.put_off(send, "max_selections")
            return
        except ServiceUnavailable:
            await streams.put_off(send)
            return
        try:
            await streams.serve(scope, receive, send, scope.get("tidewire.send", send), admitted)  # type: ignore[arg-type]
        finally:
            if admitted.own is not None:
                admitted.own.close()

    return get_stream


async def _viewer_request(scope: HTTPScope, identities: Identities, max_patterns: int) -> ViewerRequest:
    """Parse a request and find out whose it is.

    Raises:
        InvalidInput: a field is malformed.
        LimitExceeded: too many patterns.
        UpstreamRefused: the upstream does not know the token.
        ServiceUnavailable: it does not answer.
    """
    authorization, header_id = _authorization(scope), last_event_id(scope)
    given = parse_stream_request(scope["query_string"], header_id, max_patterns)
    _, address_id = parse_stream_query(scope["query_string"], max_patterns)
    by_ticket = not authorization and TICKET_FIELD in scope["query_string"]  # used once, so it opens one stream alone
    identity = ANYONE if by_ticket else await identities.identity(authorization)
    fields = {name: getattr(given, name) for name in given.__struct_fields__ if name != "identity"}
    return ViewerRequest(
        **fields,
        identity=identity,
        query=scope["query_string"].decode("ascii"),
        last_id=header_id or address_id,
        authorization=authorization,
        shared=not by_ticket and bool(identity.scopes.subscribe),  # who may see nothing is refused by the upstream
    )


def passed_route(path: str, query: frozenset[str], upstream: Upstream) -> Any:
    """Return a route whose requests the upstream answers."""

    @asgi(path, copy_scope=False, **declare("subscribe", query=query, operation=_READ))
    async def get_passed(scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != ScopeType.HTTP:
            raise NotFoundException
        await pass_on(upstream, scope, send, _authorization(scope))

    return get_passed


@get(
    "/health/ready", **declare("nothing", logged="never", answers={200: (ReadinessJson, "Ready")}), sync_to_thread=False
)
def get_ready(readiness: NamedDependency[EdgeReadiness]) -> Response[bytes]:
    """Return whether the upstream can be reached."""
    found = readiness.check()
    headers = _NO_STORE if found.ready else {**_NO_STORE, "Retry-After": "1"}
    status = 200 if found.ready else 503
    return Response(msgspec.json.encode(found), status_code=status, media_type="application/json", headers=headers)
