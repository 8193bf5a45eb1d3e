"""Answers HEAD as GET: the same head, which says how long a body would be, and no body."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

__all__ = ["HeadAsGet"]


class HeadAsGet:
    """An ASGI middleware in front of all others; `request_scope.is_head` tells which requests it changed.

    The app is given a copy of the scope: by its own, the server knows that it must leave the body out.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Answer HEAD with what `app` answers to GET."""
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on. Not a coroutine function, so that an open stream keeps no frame of it."""
        if scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD":
            scope = cast("HTTPScope", {**scope, "method": "GET", "tidewire.head": True})
        return self._app(scope, receive, send)
