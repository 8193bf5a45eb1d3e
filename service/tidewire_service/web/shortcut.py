"""Answers what is posted most without Litestar, which was more than half of the cost of a small request.

The routes stay those of the app: it describes them, answers pages of other origins, and says what is wrong with a
request that has no such route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from tidewire_service.limit_counters import LimitCounters
from tidewire_service.web.answer import Answer
from tidewire_service.web.declaration import declaration_in
from tidewire_service.web.problems import refusal_of

__all__ = ["Handler", "PostShortcut"]

Handler: TypeAlias = Callable[[HTTPScope, Receive], Awaitable[Answer]]
"""Answers a request that was authorized, or raises what the app's handler would."""


class PostShortcut:
    """An ASGI middleware that answers some posts itself.

    It leaves to the app whatever is not plain: another path or method, a query where the route has none (the app says
    what is wrong), and a page of another origin (the app adds CORS headers).

    Args:
        app: answers the rest.
        handlers: by path.
        limit_counters: count the limits that are reached.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[str, Handler], limit_counters: LimitCounters) -> None:
        self._app = app
        self._handlers = handlers
        self._limit_counters = limit_counters

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer the request, or pass it on."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            return self._app(scope, receive, send)
        handler, declaration = self._handlers.get(scope["path"]), declaration_in(scope)
        if (
            handler is None
            or declaration is None
            or (scope["query_string"] and declaration.foreign is None)
            or any(name == b"origin" for name, _ in scope["headers"])
        ):
            return self._app(scope, receive, send)
        scope["path_template"] = scope["path"]
        return self._answer(handler, scope, receive, send)

    async def _answer(self, handler: Handler, scope: HTTPScope, receive: Receive, send: Send) -> None:
        try:
            answer = await handler(scope, receive)
        except Exception as error:  # as the app's handler of exceptions
            answer = refusal_of(scope, error, self._limit_counters)
        await answer.send(send)
