"""GET /v1/stream: checks the request and serves the stream."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.handlers import asgi
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable
from tidewire.model.durations import parse_duration_ms
from tidewire.model.pattern import compile_patterns
from tidewire.model.vector_cursor import parse_cursor
from tidewire_service.auth.scopes import ANYONE
from tidewire_service.hub.conflation import MAX_SERIES
from tidewire_service.hub.hub import Hub
from tidewire_service.hub.subscription import OnSlow, Replay
from tidewire_service.request_scope import is_head, last_event_id
from tidewire_service.streams.streams import StreamRequest, Streams
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import declaration_in, declare
from tidewire_service.web.query import CURSOR_NAMES, parse_query

__all__ = [
    "STREAM_PATH",
    "STREAM_QUERY",
    "StreamShortcut",
    "parse_stream_query",
    "parse_stream_request",
    "stream_route",
]

STREAM_PATH: Final = "/v1/stream"
STREAM_QUERY: Final = frozenset({"metric", "label", "replay", "every", "on_slow", "ticket", *CURSOR_NAMES})
_EVERY_MS: Final = (100, 3_600_000)  # shortest and longest interval of a conflated stream


def parse_stream_request(query_string: bytes, last_event_id: str, max_patterns: int) -> StreamRequest:
    """Parse the request for a stream.

    Args:
        query_string: percent-encoded.
        last_event_id: the header's value; wins over a cursor in the query, and that over ``replay=``; empty means none.
        max_patterns: largest number of patterns of one stream.

    Raises:
        InvalidInput: a field is malformed; InvalidPattern and InvalidCursor are subclasses.
        LimitExceeded: too many patterns.
    """
    request, cursor = parse_stream_query(query_string, max_patterns)
    given = last_event_id or cursor
    return msgspec.structs.replace(request, cursor=parse_cursor(given)) if given else request


@lru_cache(maxsize=512)
def parse_stream_query(query_string: bytes, max_patterns: int) -> tuple[StreamRequest, str]:
    """Parse what does not change when a client reconnects, and return it with the text of its cursor.

    Cached, because many clients reconnect at once with the same query; parsing was 31 % of a connect.

    Raises:
        InvalidInput: a field is malformed; InvalidPattern is a subclass.
        LimitExceeded: too many patterns.
    """
    query = parse_query(query_string, STREAM_QUERY)
    patterns = query.patterns(max_patterns)
    replay = query.one("replay") or "last"
    request = StreamRequest(
        patterns=tuple(pattern.text for pattern in patterns),
        labels=query.labels(),
        replay=Replay(replay) if replay in ("last", "none") else Replay("span", _span_ms(replay)),
        every_ms=_every_ms(query.one("every")),
        on_slow=_on_slow(query.one("on_slow")),
    )
    return request, query.cursor()


def _every_ms(every: str) -> int:
    if not every:
        return 0
    every_ms = parse_duration_ms("every", every)
    shortest, longest = _EVERY_MS
    if not shortest <= every_ms <= longest or every_ms != int(every_ms):
        raise InvalidInput("every", every, "expected an interval of whole milliseconds from 100ms to 1h")
    return int(every_ms)


def _on_slow(given: str) -> OnSlow:
    try:
        return OnSlow(given or OnSlow.CATCHUP)
    except ValueError:
        raise InvalidInput("on_slow", given, f"expected one of {', '.join(OnSlow)}") from None


async def check_width(request: StreamRequest, streams: Streams[Hub]) -> None:
    """Check how many metrics a stream matches.

    Raises:
        LimitExceeded: more than `max_metrics_per_stream` match now.
    """
    hub, max_metrics = streams.hub, streams.settings.max_metrics_per_stream
    if hub.metric_count <= max_metrics:
        return
    found = len(await _matching(request, hub))
    if found > max_metrics:
        raise LimitExceeded("max_metrics_per_stream", max_metrics, found, "name fewer, or narrow the patterns")


async def check_conflatable(request: StreamRequest, hub: Hub) -> None:
    """Check that the series of a conflated stream fit into one event.

    Raises:
        InvalidInput: more than 2,000 series match now.
    """
    if not request.every_ms or request.labels:  # with label filters the limit applies to what is sent
        return
    metrics = await _matching(request, hub)
    try:
        series = len(metrics) if len(metrics) > MAX_SERIES else await hub.log.series_count(metrics)
    except (
        LogUnavailable
    ):  # a refusal would end an EventSource for good; series beyond the limit are left out and announced
        return
    if series > MAX_SERIES:
        raise InvalidInput("every", f"{series} series", f"one conflated stream holds {MAX_SERIES}; narrow the patterns")


async def _matching(request: StreamRequest, hub: Hub) -> list[str]:
    return list(await hub.tails_matching(compile_patterns(request.patterns), request.identity.scopes.narrowed_to))


def _span_ms(replay: str) -> float:
    try:
        return parse_duration_ms("replay", replay)
    except InvalidInput as error:
        raise InvalidInput("replay", replay, f"expected last, none, or a span; {error.reason}") from None


def stream_route(streams: Streams[Hub]) -> Any:
    """Return the route: a raw ASGI app, so that the hub writes directly to the socket."""

    @asgi(STREAM_PATH, copy_scope=False, **declare("subscribe", query=STREAM_QUERY, stream=True, operation=_OPERATION))
    async def get_stream(scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request and serve the stream until it ends."""
        if scope["type"] != ScopeType.HTTP:
            raise NotFoundException
        request = stream_request(scope, streams.settings.max_patterns)
        await check_width(request, streams)
        await check_conflatable(request, streams.hub)
        if is_head(scope):
            await streams.answer_head(send)
            return
        matched = await streams.hub.match(request, request.identity.scopes.narrowed_to)
        await streams.serve(scope, receive, send, scope.get("tidewire.send", send), request, matched)  # type: ignore[arg-type]

    return get_stream


def stream_request(scope: HTTPScope, max_patterns: int) -> StreamRequest:
    """Parse and check an HTTP request for a stream.

    Raises:
        InvalidInput: a field is malformed, or a label or name is not allowed.
    """
    request = parse_stream_request(scope["query_string"], last_event_id(scope), max_patterns)
    identity = identity_of_request(scope)
    return request if identity is ANYONE else msgspec.structs.replace(request, identity=identity)


class StreamShortcut:
    """An ASGI middleware that opens plain streams without Litestar, which was half of the cost of a connection.

    It passes all other requests on: another path, HEAD, a malformed request (the app says what is wrong), one from a
    page of another origin (the app adds CORS headers), a conflated stream or one that may be too wide (the app may
    refuse it), and one whose patterns take long to match (the app does that in turns).
    """

    def __init__(self, app: ASGIApp, streams: Streams[Hub]) -> None:
        """Open plain streams with `streams`, and pass the rest to `app`."""
        self._app = app
        self._streams = streams

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve the request. Not a coroutine function, so that an open stream has one frame less."""
        request = self._plain(scope)
        if request is None:
            return self._app(scope, receive, send)
        scope["path_template"] = STREAM_PATH
        return self._streams.serve(scope, receive, send, scope["tidewire.send"], request)  # type: ignore[arg-type,typeddict-item]

    def _plain(self, scope: Scope) -> StreamRequest | None:
        if scope["type"] != ScopeType.HTTP or scope["path"] != STREAM_PATH or scope["method"] != "GET":
            return None
        declaration = declaration_in(scope)
        if declaration is None or not declaration.stream or is_head(scope):
            return None
        if any(name == b"origin" for name, _ in scope["headers"]):
            return None
        try:
            request = stream_request(scope, self._streams.settings.max_patterns)
        except (InvalidInput, LimitExceeded):
            return None
        hub, max_metrics = self._streams.hub, self._streams.settings.max_metrics_per_stream
        if request.every_ms or hub.metric_count > max_metrics:
            return None
        return request if hub.attaches_at_once(request, request.identity.scopes.narrowed_to) else None


def _parameter(
    name: str, description: str, *, where: str = "query", many: bool = False, required: bool = False
) -> Parameter:
    text = Schema(type=OpenAPIType.STRING)
    schema = Schema(type=OpenAPIType.ARRAY, items=text) if many else text
    return Parameter(name=name, param_in=where, schema=schema, description=description, required=required)


_OPERATION: Final = Operation(
    operation_id="GetStream",
    summary="Stream readings live",
    description=(
        "Server-Sent Events. Data events are unnamed and hold one batch; their `id` is a cursor. `hello`, `live`, "
        "`gap`, `reset`, `skipped` and `bye` are control events. With `Last-Event-ID` or `cursor` "
        "a stream continues where it ended, exactly once, for as long as the log reaches back."
    ),
    parameters=[
        _parameter("metric", "a metric, or a pattern with `*` and `**`; may be repeated", many=True, required=True),
        _parameter("label", "`name:value`; may be repeated, all must hold", many=True),
        _parameter(
            "replay",
            "`last` (default): the last reading of each series, by its own time; `none`; or a span such as `5m`",
        ),
        _parameter("every", "conflation, `100ms` to `1h`: one event per interval with last, min, max, mean and count"),
        _parameter("on_slow", "what a slow client gets: `catchup` (default), `conflate` or `disconnect`"),
        _parameter("cursor", "where to continue, if there is no `Last-Event-ID`"),
        _parameter("lastEventId", "the same, as a polyfill adds it when it reconnects; wins over `cursor`"),
        _parameter("last-event-id", "the same"),
        _parameter("ticket", "of `POST /v1/tickets`, instead of a token"),
        _parameter("Last-Event-ID", "where to continue; an `EventSource` sends it when it reconnects", where="header"),
    ],
    responses={
        "200": OpenAPIResponse(
            description="The stream",
            content={
                "text/event-stream": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, description="events"))
            },
        ),
        "422": OpenAPIResponse(description="A field cannot be read; do not retry"),
    },
)
