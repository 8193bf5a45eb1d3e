"""Gives each request an id, counts it and logs it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from itertools import count
from time import perf_counter
from typing import Any, Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter, Histogram

from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.request_scope import is_head, request_id
from tidewire_service.web.declaration import declaration_in

__all__ = ["RequestLog"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PATH_CHARS: Final = 200
_log = structlog.get_logger("tidewire_service")


class RequestLog:
    """An ASGI middleware that counts and logs requests: method, path and status, never the query.

    The id in ``scope["tidewire.request"]`` is in every log line about a request, up to the end of its stream. A refused
    request gets it in the header ``Tidewire-Request``.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        """Log the answers of `app`."""
        self._app = app
        self._telemetry = telemetry
        self._ids = (f"{prefix}-{number}" for prefix in (secrets.token_hex(3),) for number in count(1))
        # methods, routes and statuses are few; to look one up was a twentieth of opening a stream
        self._counted: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}
        self._log: Any = None  # bound at the first request, when logging is configured

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on and log its answer. Not a coroutine function: an open stream keeps no frame of it."""
        if scope["type"] != ScopeType.HTTP:
            return self._app(scope, receive, send)
        started = perf_counter()
        id_ = scope["tidewire.request"] = next(self._ids)  # type: ignore[typeddict-unknown-key]  # ours

        def sending(message: Message) -> object:  # not a coroutine function, which each send of a stream would pay for
            if message["type"] == "http.response.start":
                scope.pop("tidewire.send", None)  # type: ignore[typeddict-item]  # it refers to this function, and this one to the scope
                self._record(scope, message["status"], perf_counter() - started)
                if message["status"] >= 400:
                    message["headers"] = [*message.get("headers", ()), (b"tidewire-request", id_.encode())]
            return send(message)

        return self._app(scope, receive, sending)  # type: ignore[arg-type]  # called and awaited, no more

    def _record(self, scope: HTTPScope, status: int, seconds: float) -> None:
        route = scope.get("path_template") or "-"
        method = "HEAD" if is_head(scope) else scope["method"] if scope["method"] in _METHODS else "other"
        counted = self._counted.get((method, route, status))
        if counted is None:
            counted = self._counted[method, route, status] = self._telemetry.requests.labels(method, route, str(status))
        counted.inc()
        declaration = declaration_in(scope) if "path_template" in scope else None  # a refused request has no route yet
        if declaration is None or not declaration.stream:
            timed = self._timed.get(route)
            if timed is None:
                timed = self._timed[route] = self._telemetry.seconds.labels(route)
            timed.observe(seconds)
        if self._log is None:
            self._log = _log.bind()
        write = self._log.info
        logged = "always" if declaration is None else declaration.logged
        if logged == "never" or (logged == "failures" and status < 400):
            write = self._log.debug  # probes ask all the time, and "not ready" is a normal answer
        elif status >= 500:
            write = self._log.warning
        # the raw path: still percent-encoded, so that nothing in it can start a line of its own
        path = (scope.get("raw_path") or b"")[:_PATH_CHARS].decode("ascii", "backslashreplace")
        id_ = request_id(scope)
        write("request_answered", request=id_, method=method, path=path, status=status, ms=round(seconds * 1e3, 2))
