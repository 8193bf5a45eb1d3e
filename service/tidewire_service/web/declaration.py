"""Lets each route declare its scope, body, refusals and logging where it is defined.

A route without a declaration is closed: `check_declared` refuses every request to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Operation, Reference, Schema
from litestar.routes import ASGIRoute, BaseRoute, HTTPRoute

from tidewire_service.errors import MethodNotAllowed, RouteUndeclared
from tidewire_service.web.problems import MEDIA_TYPE, WORDING_KEY, Problem, Wording
from tidewire_service.web.query import parse_query

__all__ = [
    "Body",
    "Declaration",
    "Foreign",
    "Need",
    "RouteTable",
    "check_declared",
    "declaration_in",
    "declare",
    "query_of",
]

Need = Literal["nothing", "anybody", "publish", "subscribe", "edit", "operate"]
Logged = Literal["always", "failures", "never"]

_OPTION: Final = "tidewire"  # in a handler's `opt`
_SCOPE_KEY: Final = "tidewire.declaration"
_JSON: Final = b"application/json"


class Body(NamedTuple):
    """The request body that a route reads.

    Attributes:
        content: its OpenAPI schema, by media type.
        max_bytes: a longer body gets 413; None if the route itself bounds what it reads, by a setting.
    """

    content: Mapping[str, Schema | Reference]
    max_bytes: int | None


class Foreign(NamedTuple):
    """What is not Tidewire's way on a route that serves the clients of another service. Any query may be given there.

    Attributes:
        wording: words each refusal, wherever it is made.
        credentials: returns what the client's Authorization header and query string amount to: ``Bearer …``, or an
            empty text for no token.
        json: words them for a client that sends JSON; None if as for others.
    """

    wording: Wording
    credentials: Callable[[str, bytes], str]
    json: Wording | None = None

    def wording_for(self, headers: Iterable[tuple[bytes, bytes]]) -> Wording:
        """Return what words the refusals of a request."""
        if self.json is not None and any(n == b"content-type" and v.startswith(_JSON) for n, v in headers):
            return self.json
        return self.wording


class Declaration(NamedTuple):
    """What one handler declares.

    Attributes:
        needs: the scope that a request needs; ``anybody`` is any valid token, ``nothing`` is no token at all.
        logged: ``failures`` leaves out successes, ``never`` all requests; for routes that are called very often.
        body: that it reads; None if it reads none.
        query: the names in its query string; any other is refused.
        stream: it answers with a stream: it accepts tickets, and refuses with a stream that ends at once.
        media_types: of a successful answer, besides JSON.
        operation: of a raw ASGI app, which Litestar cannot describe and which only answers GET.
        foreign: it serves the clients of another service; None for Tidewire's own.
    """

    needs: Need
    logged: Logged = "always"
    body: Body | None = None
    query: frozenset[str] = frozenset()
    stream: bool = False
    media_types: tuple[str, ...] = ()
    operation: Operation | None = None
    foreign: Foreign | None = None


def declare(
    needs: Need,
    *,
    answers: Mapping[int, tuple[Any, str]] | None = None,
    refusals: Mapping[int, str] | None = None,
    logged: Logged = "always",
    body: Body | None = None,
    query: Iterable[str] = (),
    stream: bool = False,
    media_types: Iterable[str] = (),
    operation: Operation | None = None,
    foreign: Foreign | None = None,
) -> dict[str, Any]:
    """Return keyword arguments of a Litestar handler that declare its route: ``@get(path, **declare(…))``.

    `answers` maps a status to the type and description of an answer that is not a problem, `refusals` a status to the
    description of a problem, besides those of every route. `Declaration` describes the others.
    """
    declaration = Declaration(needs, logged, body, frozenset(query), stream, tuple(media_types), operation, foreign)
    arguments: dict[str, Any] = {"opt": {_OPTION: declaration}}
    if answers or refusals:
        arguments["responses"] = {
            status: ResponseSpec(type_, description=description, generate_examples=False)
            for status, (type_, description) in (answers or {}).items()
        } | {
            status: ResponseSpec(Problem, description=description, generate_examples=False, media_type=MEDIA_TYPE)
            for status, description in (refusals or {}).items()
        }
    if body is not None and body.max_bytes is not None:
        arguments["request_max_body_size"] = body.max_bytes
    return arguments


def _declared_by(handler: BaseRouteHandler) -> Declaration | None:
    declaration: Declaration | None = handler.opt.get(_OPTION)
    return declaration


def query_of(handler: BaseRouteHandler) -> frozenset[str]:
    """Return the names in the query string of a handler's route."""
    declaration = _declared_by(handler)
    return frozenset() if declaration is None else declaration.query


def declaration_in(scope: Mapping[str, Any]) -> Declaration | None:
    """Return the declaration that authorized a request; None if its path has no route."""
    declaration: Declaration | None = scope.get(_SCOPE_KEY)
    return declaration


async def check_declared(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Check the query, and that the handler is the one whose declaration authorized the request.

    A guard of the whole app.

    Raises:
        InvalidInput: the query has a name that the route does not know.
        MethodNotAllowed: the method is not GET, and the handler is a raw ASGI app.
        RouteUndeclared: the handler declares nothing, or the router chose another one than the authorization.
    """
    method = connection.scope.get("method")
    if method == "OPTIONS" and handler.fn.__module__.startswith("litestar."):
        return  # Litestar's own answer to a preflight; OPTIONS needs no token, so it reaches no handler of ours
    declared = _declared_by(handler)
    if declared is not None and declared.operation is not None and method != "GET":
        raise MethodNotAllowed("this path is read with GET", allowed="GET")  # Litestar gives a raw app every method
    if declared is None or declared is not declaration_in(connection.scope):
        raise RouteUndeclared(str(method), connection.scope["path"])
    if declared.foreign is None:
        parse_query(connection.scope["query_string"], declared.query)


class RouteTable:
    """Finds the declaration for a request by the same rules as the router finds its handler.

    Args:
        routes: of the app.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._exact: dict[str, dict[str, Declaration]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Declaration]]] = []
        for route in routes:
            declared = dict(_declarations_of(route))
            self._exact[route.path_format] = declared
            if "{" in route.path_format:
                levels = route.path_format.split("/")
                whole = {
                    f"{{{part.name}}}"
                    for part in route.path_components
                    if not isinstance(part, str) and part.type is Path
                }
                pattern = "/".join(
                    (".+" if level in whole else "[^/]+") if level.startswith("{") else re.escape(level)
                    for level in levels
                )
                self._patterns.append((re.compile(pattern), declared))

    def find(self, method: str, path: str) -> Declaration | None:
        """Return what the handler of a request declares; None if there is none, or it declares nothing."""
        path = path.rstrip("/") or "/"
        by_method = self._exact.get(path)
        if by_method is None:
            by_method = next((declared for pattern, declared in self._patterns if pattern.fullmatch(path)), {})
        return by_method.get("GET" if method == "HEAD" else method)

    def authorizing(self, scope: Any) -> Declaration | None:
        """Return the declaration for a request, and keep it in its scope for `declaration_in`."""
        declaration = self.find(scope["method"], scope["path"])
        scope[_SCOPE_KEY] = declaration
        if declaration is not None and declaration.foreign is not None:
            scope[WORDING_KEY] = declaration.foreign.wording_for(scope["headers"])
        return declaration

    def raw(self) -> Iterator[tuple[str, Operation]]:
        """Yield path and operation of each raw ASGI app."""
        for path, by_method in self._exact.items():
            for declaration in by_method.values():
                if declaration.operation is not None:
                    yield path, declaration.operation


def _declarations_of(route: BaseRoute) -> Iterator[tuple[str, Declaration]]:
    if isinstance(route, ASGIRoute):
        declared = _declared_by(route.route_handler)
        if declared is not None:
            yield "GET", declared
    elif isinstance(route, HTTPRoute):
        for handler in route.route_handlers:
            declared = _declared_by(handler)
            if declared is not None:
                yield from ((str(method), declared) for method in handler.http_methods)
