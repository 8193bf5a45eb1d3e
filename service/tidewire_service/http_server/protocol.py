"""uvicorn's HTTP protocol, handed to the streams: to write past it, to abort it, to hear of its end.

And it is stricter about what it takes: heads without end, requests without end, and whatever two readers could take
for different requests (RFC 9112, sections 6.1 and 11.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal, cast

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidewire_service.http_server.slow_clients import SlowClients
from tidewire_service.http_server.stream_writer import DIRECT, StreamWriter, Wire

__all__ = ["StreamingHttpProtocol"]

_MAX_HEAD_BYTES: Final = 256 * 1024  # read before the origin guard, whose own limit is a setting, can answer
_VERSIONS: Final = ("1.0", "1.1")
_HOP: Final = (b"upgrade", b"http2-settings")
_log = structlog.get_logger("tidewire_service")


class StreamingHttpProtocol(HttpToolsProtocol):
    """As uvicorn's; puts itself into ``scope["extensions"]["tidewire.connection"]``.

    Args:
        slow_clients: watches that what is begun comes to an end.

    Attributes:
        on_lost: called once the connection is gone; of the stream that is open on it.
    """

    on_lost: Callable[[], None] | None = None
    _writer: StreamWriter | None = None
    _upgrading = False

    def __init__(self, *args: Any, slow_clients: SlowClients, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slow_clients = slow_clients
        self._phase: Literal["head", "body", "done"] = "head"
        self._owes: Literal["head", "body"] | None = "head"

    def stream_writer(self) -> StreamWriter | None:
        """Return what writes the body of an HTTP/1.1 response past `send`, or None if uvicorn is not as expected."""
        self._writer = StreamWriter(self._direct, self._wire, self.flow) if DIRECT else None
        return self._writer

    def release(self) -> None:
        """Forget the stream that ended."""
        self.on_lost = self._writer = None

    # -- what the peer takes

    def pause_writing(self) -> None:
        """Tell the writer that the peer has to read first."""
        super().pause_writing()
        if self._writer is not None:
            self._writer.paused = True
        if self.on_lost is None:  # a stream is watched by the streams
            self._slow_clients.reads_slowly(self)

    def resume_writing(self) -> None:
        """Tell the writer that it may go on; before whoever waits in `drain`."""
        if self._writer is not None:
            self._writer.paused = False
        self._slow_clients.reads_again(self)
        super().resume_writing()

    @property
    def unsent_bytes(self) -> int:
        """What the peer has not taken yet."""
        return self._direct.get_write_buffer_size()

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start with no head read."""
        self._direct = transport
        self._wire = Wire(transport)
        super().connection_made(cast("asyncio.Transport", self._wire))
        self._in_head = False
        self._head_bytes = 0
        self._slow_clients.owes(self, "head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the writer, then the stream, which leaves the hub at its next step only."""
        if self._writer is not None:
            self._writer.lose()
        super().connection_lost(exc)
        self._slow_clients.gone(self)
        if self.on_lost is not None:
            self.on_lost()
        self._unset_keepalive_if_required()  # uvicorn forgets to after an error
        # both lead back here, and the collector walks seldom
        self.cycle = self.scope = None  # type: ignore[assignment]

    @property
    def address(self) -> str:
        """Where the connection comes from."""
        return self.client[0] if self.client else "-"

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def held_back(self) -> bool:
        """Whether it is we who do not read, or who are still answering the request before."""
        return bool(self.pipeline) or self.flow.read_paused or (self._phase != "body" and self._answering)

    def give_up(self) -> None:
        """Say that the request came too slowly, and close."""
        if self._phase == "body" or self._head_bytes:
            self._refuse(408, "Request Timeout")
        else:
            self.transport.close()  # it never said anything

    def cut(self) -> None:
        """End the connection without a word."""
        self._direct.abort()

    def _refuse(self, status: int, title: str) -> None:
        """Answer what never reaches the origin guard, and close; within an answer there is no place for another one."""
        if self.transport.is_closing():
            return
        if self._phase != "body" or not self.cycle.response_started:
            if self._phase == "body" or not self._answering:
                self.transport.write(_refusal(status, title))
            _log.info("request_refused", status=status, method="-", address=self.address, reason=title)
        self.transport.close()

    # -- what the peer sends

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; what is no HTTP, or a head that does not end, is refused."""
        self._unset_keepalive_if_required()
        self._completed = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._slow_clients.closed["malformed"] += 1
            self._refuse(400, "This is not HTTP/1.1 as it should be")
            return
        if self._in_head:
            self._head_bytes += len(data)
            self._bound_head()
        self._note_what_is_owed()

    def _note_what_is_owed(self) -> None:
        """Start or stop the clock: of a connection that is idle only uvicorn's keep-alive runs."""
        if self._phase == "done" and self._answering:
            self._owes = None
            self._slow_clients.settled(self)
            return
        owes: Literal["head", "body"] = "body" if self._phase == "body" else "head"
        if owes != self._owes or self._completed:
            self._owes = owes
            self._slow_clients.owes(self, owes)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It takes the body of a request with ``Upgrade`` for another request, and we never upgrade.

        So such a request is parsed once more, without what asks for it: RFC 9110, section 7.8, allows to ignore that.
        Clients in Java ask for HTTP/2 in this way, also when they post.
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
                lines.append(b"connection: " + b", ".join(token for token in tokens if token not in _HOP))
            elif name not in _HOP:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """Add the connection to the scope of the next request."""
        super().on_message_begin()
        self._in_head = True
        self._phase = "head"
        self._head_bytes = 0
        extensions: dict[str, Any] = {"tidewire.connection": self}
        self.scope["extensions"] = extensions

    def on_headers_complete(self) -> None:
        """Take the end of the head.

        Raises:
            HttpParserError: another version of HTTP, a coding of the transfer that we do not know, or two hosts.
        """
        self._in_head = False
        if self.parser.should_upgrade():
            self._upgrading = True  # it will be parsed once more
            return
        if self.parser.get_http_version() not in _VERSIONS:
            raise httptools.HttpParserError("another version")
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            raise httptools.HttpParserError("another coding of the transfer than chunked")
        if b"://" in self.url and not self.url.startswith(b"/"):
            self._check_target_names_host()
        super().on_headers_complete()
        self._phase = "body"

    def _check_target_names_host(self) -> None:
        """Hold an absolute target to ``Host``: RFC 9112, section 3.2.2, believes it, the origin guard the header."""
        authority = self.url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
        if [value.lower() for name, value in self.headers if name == b"host"] != [authority.lower()]:
            raise httptools.HttpParserError("the target names another host than Host")

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        if self._upgrading:
            return
        super().on_message_complete()
        self._phase = "done"
        self._completed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer of a chunked body."""
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


def _refusal(status: int, title: str) -> bytes:
    body = b'{"type":"urn:tidewire:problem:%b","title":"%b","status":%d}' % (
        title.lower().replace(" ", "-").encode(),
        title.encode(),
        status,
    )
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
    ) % (status, title.encode(), len(body), body)
