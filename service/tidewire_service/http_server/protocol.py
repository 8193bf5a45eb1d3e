"""Extends uvicorn's HTTP protocol: lets streams write to the transport, and refuses more requests.

It refuses heads and requests that never end, and requests that two parsers could read differently (RFC 9112, sections
6.1 and 11.2). What it relies on in uvicorn and httptools is listed in the package's docstring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal, cast

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidewire_service.http_server.slow_clients import SlowClients
from tidewire_service.http_server.stream_writer import DIRECT, StreamWriter, Wire

__all__ = ["StreamingHttpProtocol", "connection_of"]

_MAX_HEAD_BYTES: Final = 256 * 1024  # above the origin guard's limit, a setting, which answers with a problem
_EXTENSION: Final = "tidewire.connection"
_VERSIONS: Final = ("1.0", "1.1")
# curl and the like send a name as it was typed.
_NO_ASCII: Final = "an address is ASCII; write other characters as %XX (curl -G --data-urlencode 'metric=…' does)"
_UPGRADE_HEADERS: Final = (b"upgrade", b"http2-settings")
# what those that are too slow are told, by reason
_TOO_SLOW: Final = {
    "head_timeout": (408, "Request Timeout", "the head did not arrive within head_timeout_s; try again"),
    "body_timeout": (503, "Service Unavailable", "the body did not arrive within body_timeout_s; try again"),
    "max_waiting": (503, "Service Unavailable", "more connections than max_waiting were awaited; try again"),
}
_RETRY_AFTER_S: Final = 1
_log = structlog.get_logger("tidewire_service")


class StreamingHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which each request finds by `connection_of` its scope.

    Args:
        slow_clients: closes the connection when its client is too slow.

    Attributes:
        on_lost: called once when the connection is gone; set by the stream that is open on it.
    """

    on_lost: Callable[[], None] | None = None
    _writer: StreamWriter | None = None
    _upgrading = False

    def __init__(self, *args: Any, slow_clients: SlowClients, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slow_clients = slow_clients
        self._phase: Literal["head", "body", "done"] = "head"
        self._awaited: Literal["head", "body"] | None = "head"

    def stream_writer(self) -> StreamWriter | None:
        """Return a writer that bypasses `send` for an HTTP/1.1 body; None if uvicorn is not as expected."""
        self._writer = StreamWriter(self._direct, self._wire, self.flow) if DIRECT else None
        return self._writer

    def release(self) -> None:
        """Drop the references to a stream that has ended."""
        self.on_lost = self._writer = None

    # -- what the peer reads

    def pause_writing(self) -> None:
        """Pause the writer: the peer has to read first."""
        super().pause_writing()
        if self._writer is not None:
            self._writer.paused = True
        if self.on_lost is None:  # a stream has its own deadline
            self._slow_clients.await_reading(self)

    def resume_writing(self) -> None:
        """Resume the writer, before uvicorn resumes what waits in `drain`."""
        if self._writer is not None:
            self._writer.paused = False
        self._slow_clients.reading_resumed(self)
        super().resume_writing()

    @property
    def unsent_bytes(self) -> int:
        """What the peer has not read yet."""
        return self._direct.get_write_buffer_size()

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start with no head read."""
        self._direct = transport
        self._wire = Wire(transport)
        super().connection_made(cast("asyncio.Transport", self._wire))
        self._in_head = False
        self._head_bytes = 0
        self._slow_clients.await_request(self, "head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the writer, then tell the stream, which leaves the hub only at its next step."""
        if self._writer is not None:
            self._writer.lose()
        super().connection_lost(exc)
        self._slow_clients.forget(self)
        if self.on_lost is not None:
            self.on_lost()
        self._unset_keepalive_if_required()  # uvicorn forgets to after an error
        # both refer back to this object, and the collector runs seldom
        self.cycle = self.scope = None  # type: ignore[assignment]

    @property
    def address(self) -> str:
        """The client's address."""
        return self.client[0] if self.client else "-"

    @property
    def closed(self) -> bool:
        """Whether it is gone, or about to be."""
        return self._direct.is_closing()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def held_by_server(self) -> bool:
        """Whether the server is not reading, or is still answering the request before."""
        return bool(self.pipeline) or self.flow.read_paused or (self._phase != "body" and self._answering)

    def time_out(self, reason: str) -> None:
        """Answer if a request has begun, and close.

        The answer is 503 with a time to try again if there is a body, or too many wait, and else 408 in plain text:
        after a 408 exporters delete what they were sending, and Telegraf after a 408 in JSON.
        """
        if self._phase == "body" or self._head_bytes:
            self._refuse(*_TOO_SLOW[reason])
        else:
            self.transport.close()  # it never sent anything

    def abort(self) -> None:
        """End the connection without an answer."""
        self._direct.abort()

    def _refuse(self, status: int, title: str, detail: str = "") -> None:
        """Answer a request that never reaches the app, and close; without an answer if another one has begun."""
        if self.transport.is_closing():
            return
        if self._phase != "body" or not self.cycle.response_started:
            if self._phase == "body" or not self._answering:
                self.transport.write(_refusal(status, title, detail))
            _log.info("request_refused", status=status, method="-", address=self.address, reason=title)
        self.transport.close()

    # -- what the peer sends

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; refuse what is not HTTP, and a head that does not end."""
        self._unset_keepalive_if_required()
        self._completed = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._slow_clients.closed["malformed"] += 1
            ascii_line = self._phase == "body" or data.partition(b"\n")[0].isascii()
            self._refuse(400, "This is not HTTP/1.1 as it should be", "" if ascii_line else _NO_ASCII)
            return
        if self._in_head:
            self._head_bytes += len(data)
            self._bound_head()
        self._update_deadline()

    def _update_deadline(self) -> None:
        """Start or stop the deadline; an idle connection has only uvicorn's keep-alive timer."""
        if self._phase == "done" and self._answering:
            self._awaited = None
            self._slow_clients.request_received(self)
            return
        awaited: Literal["head", "body"] = "body" if self._phase == "body" else "head"
        if awaited != self._awaited or self._completed:
            self._awaited = awaited
            self._slow_clients.await_request(self, awaited)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It reads the body of a request with ``Upgrade`` as another request, and we never upgrade.

        So such a request is parsed again without its upgrade headers: RFC 9110, section 7.8, allows a server to ignore
        them. Clients in Java ask for HTTP/2 in this way, also when they post.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self._upgrading = False
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserInvalidMethodError("this is no proxy")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = (token.strip().lower() for token in value.split(b","))
                lines.append(b"connection: " + b", ".join(token for token in tokens if token not in _UPGRADE_HEADERS))
            elif name not in _UPGRADE_HEADERS:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """Add the connection to the scope of the next request."""
        super().on_message_begin()
        self._in_head = True
        self._phase = "head"
        self._head_bytes = 0
        extensions: dict[str, Any] = {_EXTENSION: self}
        self.scope["extensions"] = extensions

    def on_headers_complete(self) -> None:
        """Check the head once it is complete.

        Raises:
            HttpParserError: another version of HTTP, an unknown transfer coding, or two hosts.
        """
        self._in_head = False
        if self.parser.should_upgrade():
            self._upgrading = True  # it will be parsed again
            return
        if self.parser.get_http_version() not in _VERSIONS:
            raise httptools.HttpParserError("another version")
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            raise httptools.HttpParserError("another transfer coding than chunked")
        if b"://" in self.url and not self.url.startswith(b"/"):
            self._check_target_names_host()
        super().on_headers_complete()
        self._phase = "body"
        if self.parser.get_http_version() == "1.0":
            _end_by_closing(self.cycle)

    def _check_target_names_host(self) -> None:
        """Require an absolute target to name the same host as ``Host``.

        RFC 9112, section 3.2.2, trusts the target; the origin guard trusts the header.
        """
        authority = self.url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
        if [value.lower() for name, value in self.headers if name == b"host"] != [authority.lower()]:
            raise httptools.HttpParserError("the target names another host than Host")

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        if self._upgrading:
            return
        super().on_message_complete()
        self._phase = "done"
        self._completed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer of a chunked body."""
        super().on_header(name, value)
        if not self._in_head:
            self._head_bytes += len(name) + len(value)
            self._bound_head()

    def _bound_head(self) -> None:
        if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
            self._slow_clients.closed["head_too_large"] += 1
            if self._in_head:
                self._refuse(431, "Request Header Fields Too Large")
            self.transport.close()


def connection_of(scope: Mapping[str, Any]) -> StreamingHttpProtocol | None:
    """Return the connection of a request; None under another server."""
    connection: StreamingHttpProtocol | None = scope.get("extensions", {}).get(_EXTENSION)
    return connection


def _end_by_closing(cycle: RequestResponseCycle) -> None:
    """Let the end of the connection end a body without a length: HTTP/1.0 knows no chunks."""
    send = cycle.send
    cycle.chunked_encoding = False

    def sending(message: Any) -> Coroutine[Any, Any, None]:
        cycle.expected_content_length = len(message.get("body", b""))  # what comes is what was to come
        return send(message)

    cycle.send = sending  # type: ignore[method-assign]


def _refusal(status: int, title: str, detail: str) -> bytes:
    more = b""
    media_type = b"application/problem+json"
    if status == HTTPStatus.REQUEST_TIMEOUT:
        media_type = b"text/plain; charset=utf-8"
        body = f"{title}: {detail}\n".encode()
    else:
        body = b'{"type":"urn:tidewire:problem:%b","title":"%b","status":%d%b%b}' % (
            title.lower().replace(" ", "-").encode(),
            title.encode(),
            status,
            b',"detail":"%b"' % detail.encode() if detail else b"",
            b',"retry_after_s":%d' % _RETRY_AFTER_S if status == HTTPStatus.SERVICE_UNAVAILABLE else b"",
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        more = b"retry-after: %d\r\n" % _RETRY_AFTER_S
    return (b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b") % (
        status,
        title.encode(),
        media_type,
        len(body),
        more,
        body,
    )
