"""uvicorn's HTTP protocol, handed to the streams: to write past it, to abort it, to hear of its end.

And it bounds the head of a request, which httptools collects without a limit of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["DIRECT", "StreamWriter", "StreamingHttpProtocol"]

_MAX_HEAD_BYTES: Final = 256 * 1024  # read before the gate, whose own limit is a setting, can answer in words
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Wire:
    """The transport as uvicorn sees it; what it writes while `held` is a list waits there.

    Asked for the socket it has none: uvicorn then takes the addresses that the transport knows, instead of making a
    Python socket for each connection.
    """

    __slots__ = ("_transport", "held")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.held: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return default
        found = self._transport.get_extra_info(name, default)
        return found[:2] if name in {"peername", "sockname"} and isinstance(found, tuple) else found

    def write(self, data: bytes) -> None:
        if self.held is None:
            self._transport.write(data)
        else:
            self.held.append(data)


class StreamWriter:
    """Writes the body of a chunked response straight to the transport; the bytes of one flush are framed once.

    It stands on two things of uvicorn that are not its public API: `flow.write_paused` and that a response without a
    length is chunked. `DIRECT` tells whether they are there; else streams go through ASGI's `send`.
    """

    __slots__ = ("_flow", "_transport", "_wire")

    _data = _framed = b""  # of the newest write of any stream: a flush hands the same object to all

    def __init__(self, transport: asyncio.Transport, wire: _Wire, flow: FlowControl) -> None:
        self._transport = transport
        self._wire = wire
        self._flow = flow

    def __enter__(self) -> None:
        """Hold what is written from here on: the head of the response and the beginning of its body go out as one."""
        self._wire.held = []

    def __exit__(self, *_: object) -> None:
        held, self._wire.held = self._wire.held, None
        if held:
            self._transport.write(b"".join(held))

    @property
    def closing(self) -> bool:
        """The connection is going or gone."""
        return self._transport.is_closing()

    @property
    def held_bytes(self) -> int:
        """What waits until the writer is left."""
        return sum(map(len, self._wire.held or ()))

    @property
    def paused(self) -> bool:
        """The peer has to read first."""
        return self._flow.write_paused

    def write(self, data: bytes) -> bool:
        """Write a chunk; False, and nothing written, if the peer has to read first."""
        if self._flow.write_paused:
            return False
        if data is not StreamWriter._data:
            StreamWriter._data = data
            StreamWriter._framed = b"%x\r\n%b\r\n" % (len(data), data)
        held = self._wire.held
        if held is None:
            self._transport.write(StreamWriter._framed)
        else:
            held.append(StreamWriter._framed)
        return True

    async def write_when_drained(self, data: bytes) -> None:
        """Write a chunk as soon as the peer has read."""
        while not self.write(data):
            await self._flow.drain()


DIRECT: Final = {"write_paused", "_is_writable_event"} <= set(FlowControl.__init__.__code__.co_names)


class StreamingHttpProtocol(HttpToolsProtocol):
    """As uvicorn's; puts itself into ``scope["extensions"]["tidewire.connection"]``.

    Attributes:
        on_lost: called once the connection is gone; of the stream that is open on it.
    """

    on_lost: Callable[[], None] | None = None

    def stream_writer(self) -> StreamWriter | None:
        """Return what writes the body of an HTTP/1.1 response past `send`, or None if uvicorn is not as expected."""
        return StreamWriter(self._direct, self._wire, self.flow) if DIRECT else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start with no head read."""
        self._direct = transport
        self._wire = _Wire(transport)
        super().connection_made(cast("asyncio.Transport", self._wire))
        self._in_head = False
        self._head_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the stream."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def on_message_begin(self) -> None:
        """Add the connection to the scope of the next request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        extensions: dict[str, Any] = {"tidewire.connection": self}
        self.scope["extensions"] = extensions

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
