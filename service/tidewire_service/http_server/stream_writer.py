"""Writes the body of a stream to the transport directly, without ASGI's `send`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl

__all__ = ["DIRECT", "StreamWriter", "Wire"]


class Wire:
    """The transport as uvicorn sees it; while `held` is a list, writes are collected there.

    It reports no socket, so uvicorn uses the addresses that the transport knows instead of making a Python socket for
    each connection.
    """

    __slots__ = ("_transport", "held")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.held: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows, except its socket."""
        if name == "socket":
            return default
        found = self._transport.get_extra_info(name, default)
        return found[:2] if name in {"peername", "sockname"} and isinstance(found, tuple) else found

    def write(self, data: bytes) -> None:
        """Write, or collect."""
        if self.held is None:
            self._transport.write(data)
        else:
            self.held.append(data)


class StreamWriter:
    """Writes the body of a chunked response straight to the transport; the bytes of one flush are framed once.

    It relies on two things that are not uvicorn's public API: `flow.write_paused`, and that a response without a length
    is chunked. `DIRECT` says whether the first is there; if not, streams go through ASGI's `send`. It is all that a
    flush touches of a connection: writing to 1,000 of them costs as much in cache misses as in instructions.

    Attributes:
        paused: the peer has to read first.
        lost: the connection is gone; what is written goes nowhere.
        wrote: something was written; reset by the reader of it.
        park: called with bytes for which there is no room; its result is that of `write`.
    """

    __slots__ = ("_flow", "_put", "_transport", "_wire", "lost", "park", "paused", "wrote")

    _data = _framed = b""  # of the newest write of any stream: a flush hands the same object to all

    def __init__(self, transport: asyncio.Transport, wire: Wire, flow: FlowControl) -> None:
        self._transport = transport
        self._wire = wire
        self._flow = flow
        self._put: Callable[[bytes], None] = transport.write
        self.paused = flow.write_paused
        self.lost = self.wrote = False
        self.park: Callable[[bytes], bool] = _refuse

    def __enter__(self) -> None:
        """Hold what is written from here on: the head of the response and the beginning of its body go out as one."""
        self._wire.held = []
        self._put = self._wire.write

    def __exit__(self, *_: object) -> None:
        held, self._wire.held = self._wire.held, None
        if self.lost:
            return
        self._put = self._transport.write
        if held:
            self._transport.write(b"".join(held))

    def lose(self) -> None:
        """Drop all later writes: uvloop raises once the connection is gone, and a flush has others to serve."""
        self.lost, self._put = True, _drop

    @property
    def held_bytes(self) -> int:
        """What waits until the writer is left."""
        return sum(map(len, self._wire.held or ()))

    def write(self, data: bytes) -> bool:
        """Write a chunk; if the peer has to read first, it is parked, and False."""
        if self.paused:
            return self.park(data)
        self.wrote = True
        if data is not StreamWriter._data:
            StreamWriter._data = data
            StreamWriter._framed = b"%x\r\n%b\r\n" % (len(data), data)
        self._put(StreamWriter._framed)
        return True

    async def write_when_drained(self, data: bytes) -> None:
        """Write a chunk as soon as the peer has read."""
        while self._flow.write_paused:  # also ends when the connection does: then the bytes go nowhere
            await self._flow.drain()
        self.paused = False
        self.write(data)


def _drop(data: bytes) -> None:
    pass


def _refuse(data: bytes) -> bool:
    return False


DIRECT: Final = {"write_paused", "_is_writable_event"} <= set(FlowControl.__init__.__code__.co_names)
