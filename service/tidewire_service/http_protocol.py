"""uvicorn's HTTP protocol, with the transport handed to the streams.

So that a peer that does not read can be aborted; the kernel's buffer for it is capped, and so is the head of a request,
which httptools collects without a limit of its own.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["DIRECT", "StreamWriter", "StreamingHttpProtocol"]

_SEND_BUFFER_BYTES: Final = 128 * 1024  # the kernel doubles it; a stalled peer pinned 3.9 MB without
_MAX_HEAD_BYTES: Final = 256 * 1024  # read before the gate, whose own limit is a setting, can answer in words
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class StreamWriter:
    """Writes the body of a chunked response straight to the transport; the bytes of one flush are framed once.

    It stands on two things of uvicorn that are not its public API: `flow.write_paused` and that a response without a
    length is chunked. `DIRECT` tells whether they are there; else streams go through ASGI's `send`.
    """

    __slots__ = ("_flow", "_transport")

    _data = _framed = b""  # of the newest write of any stream: a flush hands the same object to all

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport = transport
        self._flow = flow

    @property
    def closing(self) -> bool:
        """The connection is going or gone."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> bool:
        """Write a chunk; False, and nothing written, if the peer has to read first."""
        if self._flow.write_paused:
            return False
        if data is not StreamWriter._data:
            StreamWriter._data = data
            StreamWriter._framed = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(StreamWriter._framed)
        return True

    async def write_when_drained(self, data: bytes) -> None:
        """Write a chunk as soon as the peer has read."""
        while not self.write(data):
            await self._flow.drain()


DIRECT: Final = {"write_paused", "_is_writable_event"} <= set(FlowControl.__init__.__code__.co_names)


class StreamingHttpProtocol(HttpToolsProtocol):
    """As uvicorn's; puts the transport into ``scope["extensions"]["tidewire.transport"]``.

    And, for HTTP/1.1, a `StreamWriter` into ``"tidewire.writer"``.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Cap the send buffer of a new connection."""
        super().connection_made(transport)
        self._in_head = False
        self._head_bytes = 0
        sock: Any = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def on_message_begin(self) -> None:
        """Add the transport to the scope of the next request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        extensions: dict[str, Any] = {"tidewire.transport": self.transport}
        self.scope["extensions"] = extensions
        if DIRECT:
            extensions["tidewire.writer"] = StreamWriter(self.transport, self.flow)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; a head that does not end is refused."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            self._bound_head()

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        self._in_head = False
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer of a chunked body."""
        super().on_header(name, value)
        if not self._in_head:
            self._head_bytes += len(name) + len(value)
            self._bound_head()

    def _bound_head(self) -> None:
        if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
