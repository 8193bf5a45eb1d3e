"""A server whose answer comes a byte at a time and has no end: no wait for a piece is long, all together are."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["HEAD", "dripping"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
_EACH_S = 0.02


@contextmanager
def dripping(begins: bytes, drop: bytes = b"x", *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Give every connection the same beginning, and then drops until the client has gone; yield the port.

    Args:
        begins: sent at once, such as `HEAD`, or ``b"HTTP/1.1 200 OK\\r\\nX: "`` for headers that drip.
        drop: sent every 20 ms.
        tls: of a server that speaks HTTPS.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    serving: list[threading.Thread] = []

    def drip(plain: socket.socket) -> None:
        with plain, suppress(OSError), plain if tls is None else tls.wrap_socket(plain, True) as connection:
            connection.recv(65_536)
            connection.sendall(begins)
            while not ended.wait(_EACH_S):
                connection.sendall(drop)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                serving.append(threading.Thread(target=drip, args=(connection,), daemon=True))
                serving[-1].start()

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *serving):
            thread.join(5)
