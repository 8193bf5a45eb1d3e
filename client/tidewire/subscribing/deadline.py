"""Ends the requests of a blocking httpx client in time, however slowly a server drips: httpx bounds each wait alone.

A deadline holds for all that a thread does in its block over the connections of a `BoundedClient`: to connect, to
agree on TLS, to send and to read. To look up a name is the system's, and takes as long as that allows.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any, Final, TypeAlias

import httpcore  # comes with httpx
import httpx

__all__ = ["SENT", "BoundedClient", "Deadline"]

SENT: Final = "http11.receive_response_headers.started"  # httpx's trace: the request is sent, the answer awaited
_SocketOption: TypeAlias = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Deadline:
    """The time that one request may take. It has not begun when it is made."""

    def __init__(self) -> None:
        self._began_s = inf

    def begin(self) -> None:
        """Count from now on."""
        self._began_s = time.monotonic()

    @contextmanager
    def within(self, limit_s: float | None) -> Iterator[None]:
        """Let what this thread does in the block end some seconds after the beginning; None for never.

        Raises:
            httpx.TimeoutException: it did not.
        """
        if limit_s is None:
            yield
            return
        token = _held.set((self, limit_s))
        try:
            yield
        finally:
            _held.reset(token)

    def left_s(self, limit_s: float) -> float:
        """Return the seconds that are left of a limit; `inf` before the beginning, 0 or less when it is over."""
        return inf if self._began_s == inf else self._began_s + limit_s - time.monotonic()


_held: ContextVar[tuple[Deadline, float] | None] = ContextVar("_held", default=None)


def _left_s(timeout_s: float | None, error: type[httpcore.TimeoutException], among: int = 1) -> float | None:
    """Return how long one wait may take, of which as many as `among` share what is left."""
    if (held := _held.get()) is None:
        return timeout_s
    deadline, limit_s = held
    left_s = deadline.left_s(limit_s)
    if left_s <= 0:
        raise error(f"not done within {limit_s:g} s")
    left_s /= among
    return min(left_s, inf if timeout_s is None else timeout_s) if left_s < inf else timeout_s


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a name that answers; each gets its share of the time that is left."""
        if _held.get() is None:
            return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # no resolver takes every name that a URL may have
            raise httpcore.ConnectError(str(error)) from error
        failed: Exception = httpcore.ConnectError("it has no address")
        for tried, (*_, address) in enumerate(found):
            share_s = _left_s(timeout, httpcore.ConnectTimeout, among=len(found) - tried)
            try:
                numeric, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)  # with its zone
                return _Stream(super().connect_tcp(numeric, port, share_s, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


class BoundedClient(httpx.Client):
    """A client over whose connections deadlines hold, also of those through a proxy."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for transport in (self._transport, *self._mounts.values()):  # httpx takes no network of one's own
            if isinstance(transport, httpx.HTTPTransport):
                transport._pool._network_backend = _Network()
