"""Turns exceptions into RFC 9457 problem responses, by one table exception → status."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Send

from tidewire.errors import InvalidInput, LimitExceeded, LogFull, LogUnavailable, PublishConflict, shown
from tidewire_service.errors import (
    DeckNotFound,
    DocumentConflict,
    DocumentSpoilt,
    ForeignOrigin,
    HeadersTooLarge,
    HostMalformed,
    HostNotServed,
    MalformedBody,
    MediaTypeNotSupported,
    MemoryShort,
    MethodNotAllowed,
    PathNotFound,
    RateExceeded,
    RequestRefused,
    RouteUndeclared,
    ScopeMissing,
    TicketRequestMalformed,
    TokenUndecided,
    Unauthenticated,
    UpstreamAway,
    UrlTooLong,
    encodable,
    limit_of,
)
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.request_scope import address_of, request_id
from tidewire_service.web.answer import Answer

__all__ = [
    "MEDIA_TYPE",
    "WORDING_KEY",
    "Problem",
    "Wording",
    "exception_handler",
    "problem_of",
    "refusal_of",
    "refuse",
    "send_problem",
]

MEDIA_TYPE: Final = "application/problem+json"
WORDING_KEY: Final = "tidewire.wording"
"""In the scope of a request whose refusals are no problems: its `Wording`."""
_CUT: Final = "client disconnected prematurely"  # Litestar's detail if the client disconnects within a body
_log = structlog.get_logger("tidewire_service")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a problem response.

    Attributes:
        type: a URN for this kind of problem, which never changes.
        title: the kind in a few words.
        status: the HTTP status.
        detail: what happened here, what was expected, and what to do.
        field: what is wrong, if it is one thing: ``metric``, ``start``, ``body`` …
        value: of that field, shortened.
        limit: the setting that was exceeded, and what it allows.
        accepted: number of readings that were stored all the same.
        rejected: rows that were refused, as `POST /v1/readings` names them.
        retry_after_s: pause before the next try; also in ``Retry-After``.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | None = None
    limit: dict[str, float] | None = None
    accepted: int | None = None
    rejected: list[dict[str, Any]] | None = None
    retry_after_s: float | None = None


Wording = Callable[[Exception], Answer]
"""What words the refusals of a route whose clients understand no problems."""


# exception → (status, kind, title); the first that fits
_TABLE: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (Unauthenticated, 401, "unauthorized", "Unauthorized"),
    (ScopeMissing, 403, "forbidden", "Forbidden"),
    (RouteUndeclared, 403, "forbidden", "Forbidden"),
    (ForeignOrigin, 403, "foreign-origin", "Foreign origin"),
    (TokenUndecided, 503, "undecided", "Undecided"),
    (UpstreamAway, 503, "upstream-away", "The upstream does not answer"),
    (TicketRequestMalformed, 422, "unreadable", "Unreadable"),
    (RateExceeded, 429, "too-many-requests", "Too many requests"),
    (MemoryShort, 503, "short-of-memory", "Short of memory"),
    (HostMalformed, 400, "bad-host", "Bad Host"),
    (HostNotServed, 421, "misdirected-request", "Misdirected request"),
    (HeadersTooLarge, 431, "headers-too-large", "Headers too large"),
    (UrlTooLong, 414, "url-too-long", "URL too long"),
    (PathNotFound, 404, "not-found", "Not Found"),
    (DeckNotFound, 404, "no-such-deck", "No such deck"),
    (MethodNotAllowed, 405, "method-not-allowed", "Method not allowed"),
    (MediaTypeNotSupported, 415, "unsupported-media-type", "Unsupported media type"),
    (DocumentConflict, 412, "newer-version", "Newer version"),
    (DocumentSpoilt, 409, "spoilt-document", "Overwritten by another program"),
    (MalformedBody, 400, "malformed-body", "The body cannot be read"),
    (InvalidInput, 422, "invalid-input", "Something given can never work as it is"),
    (LimitExceeded, 413, "limit-exceeded", "A stated limit was passed"),
    (PublishConflict, 422, "publish-conflict", "The idempotency key came with another body"),
    (LogFull, 503, "log-full", "Redis is at its memory limit"),
    (LogUnavailable, 503, "log-unavailable", "Redis does not answer"),
)


def problem_of(error: Exception) -> tuple[Problem, dict[str, str]]:
    """Return the problem for an exception, and additional headers."""
    for exception, status, kind, title in _TABLE:
        if isinstance(error, exception):
            return _problem(status, kind, title, str(error), **_facts(error)), _headers(error)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _from_litestar(error)
    if isinstance(error, HTTPException) and error.detail == _CUT:
        return problem_of(MalformedBody("body", "", "ended before all of it had arrived; nothing of it was stored"))
    detail = "The service failed; the cause is in its log. Nothing that was not acknowledged was stored."
    return _problem(500, "internal-error", "Internal error", detail), {}


def _problem(status: int, kind: str, title: str, detail: str, **facts: Any) -> Problem:
    return Problem(type=f"urn:tidewire:problem:{kind}", title=title, status=status, detail=encodable(detail), **facts)


def _facts(error: Exception) -> dict[str, Any]:
    match error:
        case InvalidInput():
            return {"field": encodable(error.field), "value": encodable(error.value)}
        case LimitExceeded():
            return {"limit": {error.limit: error.allowed}, "value": f"{error.got:.15g}"}
        case LogUnavailable():
            return {"retry_after_s": error.retry_after_s}
    return {}


def _with_head(allowed: str) -> str:
    """Return the methods of ``Allow`` with HEAD, which every path that is read answers."""
    methods = {method.strip() for method in allowed.split(",")}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _headers(error: Exception) -> dict[str, str]:
    match error:
        case Unauthenticated():
            challenge = 'Bearer realm="tidewire"' + (', error="invalid_token"' if error.token_given else "")
            return {"WWW-Authenticate": challenge}
        case TokenUndecided() | UpstreamAway() | RateExceeded() | MemoryShort() | LogUnavailable():
            return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
        case MethodNotAllowed():
            return {"Allow": _with_head(error.allowed)}
        case MediaTypeNotSupported():
            given = {"Accept": error.accept, "Accept-Encoding": error.accept_encoding}
            return {name: value for name, value in given.items() if value}
        case DocumentConflict() | DocumentSpoilt() if error.version is not None:
            return {"ETag": f'"{error.version}"'}
    return {}


def _from_litestar(error: HTTPException) -> tuple[Problem, dict[str, str]]:
    title = HTTPStatus(error.status_code).phrase
    detail = error.detail or title
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "There is nothing at this path; /schema lists what there is"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = "This path does not support this method; /schema lists those that it does"
    elif isinstance(error.extra, list):
        parts = (
            f"{part.get('key', 'request')}: {part.get('message', '')}" for part in error.extra if isinstance(part, dict)
        )
        detail = f"{detail} ({'; '.join(parts)})"
    headers = {name: _with_head(value) for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return _problem(error.status_code, title.lower().replace(" ", "-"), title, detail), headers


def exception_handler(limit_counters: LimitCounters) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """Return the only exception handler of the app; it counts the limits that were reached."""
    return lambda request, error: refusal_of(request.scope, error, limit_counters).response()


def refusal_of(scope: Any, error: Exception, limit_counters: LimitCounters) -> Answer:
    """Return the answer to a request whose handler raised an error; count the limit, and log what is our fault."""
    limit_counters.count(limit_of(error))
    if problem_of(error)[0].status >= 500 and not isinstance(error, LogUnavailable):
        path = shown(scope["path"])
        _log.error("request_failed", request=request_id(scope), method=scope["method"], path=path, exc_info=error)
    return _worded(scope, error)


def refuse(scope: HTTPScope, send: Send, refusal: RequestRefused) -> Awaitable[None]:
    """Log the refusal of a request that no route has yet, and answer with its problem, or in the route's own words."""
    _log.info(
        "request_refused",
        request=request_id(scope),
        status=_worded(scope, refusal).status,
        method=scope["method"],
        address=address_of(scope) or "-",
        reason=str(refusal),
    )
    return send_problem(scope, send, refusal)


def _worded(scope: Any, error: Exception) -> Answer:
    wording: Wording | None = scope.get(WORDING_KEY)
    if wording is not None:
        return wording(error)
    problem, headers = problem_of(error)
    return Answer(problem.status, MEDIA_TYPE, msgspec.json.encode(problem), headers)


async def send_problem(scope: HTTPScope, send: Send, error: RequestRefused) -> None:
    """Answer with a refusal from a middleware; the connection is closed afterwards."""
    status, media_type, body, headers = _worded(scope, error)
    fields = {"content-type": media_type, "content-length": str(len(body)), "connection": "close", **headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
