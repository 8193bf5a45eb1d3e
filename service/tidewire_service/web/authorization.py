"""Authorizes requests: each is denied unless the token's scopes grant what its route needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable
from tidewire_service.auth.authenticator import Authenticator
from tidewire_service.auth.request_rates import RequestRates
from tidewire_service.auth.scopes import ANYONE, Identity
from tidewire_service.auth.tickets import Tickets
from tidewire_service.errors import (
    RateExceeded,
    RequestRefused,
    ScopeMissing,
    TicketRequestMalformed,
    TokenUndecided,
    Unauthenticated,
)
from tidewire_service.hub.hub import Hub
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.request_scope import address_of, is_head, last_event_id
from tidewire_service.streams.streams import StreamRequest, Streams
from tidewire_service.web.declaration import Declaration, Need, RouteTable, declaration_in
from tidewire_service.web.problems import refuse, send_problem
from tidewire_service.web.query import parse_query

__all__ = ["TICKET_FIELD", "AuthorizationMiddleware", "authorization_of", "identity_of_request"]

_READS: Final = frozenset({"GET", "HEAD"})
TICKET_FIELD: Final = b"ticket="


def _need_of(declaration: Declaration | None, method: str) -> Need:
    """Return the scope that a request needs; if no route matches, the one that its method suggests."""
    if method == "OPTIONS":
        return "nothing"  # a preflight carries no token; the origin guard has checked its origin
    if declaration is not None:
        return declaration.needs
    return "subscribe" if method in _READS else "edit"


def identity_of_request(scope: Any) -> Identity:
    """Return the identity that the authorization middleware found."""
    found: Identity = scope.get("tidewire.identity", ANYONE)
    return found


class AuthorizationMiddleware:
    """An ASGI middleware; it sets ``scope["tidewire.identity"]``.

    Args:
        app: to call if the request is granted.
        routes: what each route declares.
        authenticator: authenticates requests.
        streams: refuse a subscriber with 200 and `bye`, since any other status ends an `EventSource` for good.
        rates: limits the requests of each identity.
        address_rates: limits the requests from each address.
        tickets: open streams without a token.
        parse_stream: parses the query string of a stream; returns the request, and the cursor in the query.
        limit_counters: counts the limits that were reached.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: RouteTable,
        authenticator: Authenticator,
        streams: Streams[Hub],
        rates: RequestRates,
        address_rates: RequestRates,
        tickets: Tickets,
        parse_stream: Callable[[bytes], tuple[StreamRequest, str]],
        limit_counters: LimitCounters,
    ) -> None:
        self._app = app
        self._routes = routes
        self._limit_counters = limit_counters
        self._tickets = tickets
        self._parse_stream = parse_stream
        self._authenticator = authenticator
        self._streams = streams
        self._rates = rates
        self._address_rates = address_rates

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Grant or refuse the request. Not a coroutine function, so that an open stream keeps no frame of it."""
        if scope["type"] != ScopeType.HTTP:
            return self._app(scope, receive, send)
        declaration = self._routes.authorizing(scope)
        need = _need_of(declaration, scope["method"])
        try:
            if need == "nothing":
                return self._app(scope, receive, send)
            self._address_rates.count(address_of(scope))
            if self._authenticator.open:
                return self._app(scope, receive, send)
            authorization = authorization_of(scope)
            if declaration is not None and declaration.foreign is not None:
                authorization = declaration.foreign.credentials(authorization, scope["query_string"])
            if not authorization and _answers_with_stream(scope) and TICKET_FIELD in scope["query_string"]:
                return self._authorize_ticket(scope, receive, send)
            identity = self._authenticator.identity(authorization)
            if identity is None:
                return self._authorize_refreshed(scope, receive, send, authorization, need)
            self._grant(scope, identity, need)
        except RequestRefused as refusal:
            return self._refuse(scope, send, refusal)
        return self._app(scope, receive, send)

    async def _authorize_refreshed(
        self, scope: HTTPScope, receive: Receive, send: Send, authorization: str, need: Need
    ) -> None:
        try:
            self._grant(scope, await self._authenticator.refreshed_identity(authorization), need)
        except RequestRefused as refusal:
            await self._refuse(scope, send, refusal)
            return
        except LogUnavailable:
            if _answers_with_stream(scope):
                await self._streams.put_off(send)
                return
            await send_problem(scope, send, TokenUndecided())
            return
        await self._app(scope, receive, send)

    async def _authorize_ticket(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve a stream that has a ticket instead of a token."""
        try:
            query = parse_query(scope["query_string"])
            ticket = query.one("ticket")
            identity = await self._tickets.identity(ticket, tuple(query.all("metric")))
            if self._authenticator.end_reason(identity) is not None:
                raise Unauthenticated(
                    "the token that the ticket was made with has expired or was revoked", token_given=True
                )
            self._grant(scope, identity, "subscribe")
            turned_away = self._streams.turned_away(identity, scope)
            if turned_away is not None:  # the browser reconnects with the same ticket and without a cursor
                await self._streams.turn_away(send, send, *turned_away)
                return
            request, address_cursor = self._parse_stream(scope["query_string"])
            if not is_head(scope):
                await self._tickets.redeem(
                    ticket,
                    request,
                    self._streams.hub.start_ids(request.replay),
                    last_event_id=last_event_id(scope),
                    address_cursor=address_cursor,
                )
        except (InvalidInput, LimitExceeded) as error:
            await self._refuse(scope, send, TicketRequestMalformed(str(error)))
            return
        except RequestRefused as refusal:
            await self._refuse(scope, send, refusal)
            return
        except LogUnavailable:
            await self._streams.put_off(send)
            return
        await self._app(scope, receive, send)

    def _grant(self, scope: HTTPScope, identity: Identity, need: Need) -> None:
        """Check that an identity has the scope that the route needs, and store it in the ASGI scope.

        Raises:
            ScopeMissing: the token does not allow it.
            RateExceeded: too many requests.
        """
        self._rates.count(identity.id)
        if need != "anybody" and not getattr(identity.scopes, need):
            self._authenticator.counters["forbidden"] += 1
            raise ScopeMissing(f"the token {identity.name!r} has no scope to {_WORDS[need]}")
        scope["tidewire.identity"] = identity  # type: ignore[typeddict-unknown-key]  # ours

    def _refuse(self, scope: HTTPScope, send: Send, refusal: RequestRefused) -> Awaitable[None]:
        self._limit_counters.count(refusal.limit)
        if isinstance(refusal, RateExceeded):
            self._authenticator.counters["limited"] += 1
            if _answers_with_stream(scope):
                return self._streams.put_off(send, refusal.limit)
        return refuse(scope, send, refusal)


_WORDS: Final[dict[str, str]] = {
    "publish": "publish (--publish)",
    "subscribe": "read anything (--subscribe)",
    "edit": "change decks (--edit)",
    "operate": "read the counters (--operate)",
}


def authorization_of(scope: HTTPScope) -> str:
    """Return the Authorization header; empty if there is none.

    Raises:
        Unauthenticated: there are two.
    """
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) > 1:
        raise Unauthenticated("the request has two Authorization headers", token_given=True)
    return found[0].decode("latin-1") if found else ""


def _answers_with_stream(scope: HTTPScope) -> bool:
    declaration = declaration_in(scope)
    return declaration is not None and declaration.stream
