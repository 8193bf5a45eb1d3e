"""Passes requests on to the upstream and its answers back, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from litestar.types import HTTPScope, Send

from tidewire.errors import ServiceUnreachable
from tidewire.subscribing.service_answer import Answer
from tidewire_service.edge.upstream import Upstream
from tidewire_service.errors import UpstreamAway
from tidewire_service.http_server.protocol import connection_of
from tidewire_service.request_scope import is_head, request_id

__all__ = ["pass_on", "send_answer"]

_HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_OURS: Final = frozenset({"date", "server", "tidewire-request"})  # of an answer, which the edge has of its own
_PASSED_ON: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "if-match", "if-modified-since", "if-none-match", "range"}
)  # of a request; who may ask, and from which page, the edge has judged
_log = structlog.get_logger("tidewire_service")


def _named_in(connection: str) -> Iterable[str]:
    return (name.strip().lower() for name in connection.split(","))


def _answer_headers(headers: Mapping[str, str], *, without: Iterable[str] = ()) -> list[tuple[bytes, bytes]]:
    dropped = {*_HOP_BY_HOP, *_OURS, *without, *_named_in(headers.get("connection", ""))}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items() if name not in dropped]


async def pass_on(upstream: Upstream, scope: HTTPScope, send: Send, authorization: str) -> None:
    """Answer a request with what the upstream answers to it.

    Raises:
        UpstreamAway: it does not answer.
    """
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name.decode("latin-1") in _PASSED_ON
    }
    headers.setdefault("accept-encoding", "identity")  # what the client did not ask for, it may not understand
    query = scope["query_string"].decode("ascii")  # the guard of the app has read it
    target = scope["path"] + (f"?{query}" if query else "")
    begun = False
    try:
        async with upstream.ask("HEAD" if is_head(scope) else "GET", target, authorization, headers) as answer:
            begun = True
            await send({"type": "http.response.start", "status": answer.status,
                        "headers": _answer_headers(answer.headers)})  # fmt: skip
            async for chunk in answer.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except ServiceUnreachable as error:
        if not begun:
            raise UpstreamAway from error
        _log.warning("answer_cut", request=request_id(scope), reason=error.why)
        if (connection := connection_of(scope)) is not None:
            connection.abort()  # an end that looks whole would be a lie
            return
        raise
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer of the upstream that was read."""
    # what was compressed was decompressed
    headers: list[Any] = _answer_headers(answer.headers, without=("content-encoding", "content-length"))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
