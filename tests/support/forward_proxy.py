"""A forward proxy for HTTP and HTTPS in a thread, which records what goes through it."""

from __future__ import annotations

import http.server
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

__all__ = ["ForwardProxy", "forward_proxy"]


class ForwardProxy:
    """Sends every request to one server, whatever host it names: that host need not exist.

    Attributes:
        url: for ``HTTP_PROXY`` and ``HTTPS_PROXY``.
        paths: of the requests so far, without their queries.
        tunnels: the host and port of each HTTPS connection so far.
    """

    def __init__(self, target: str) -> None:
        self.paths: list[str] = []
        self.tunnels: list[str] = []
        outer, address = self, urlsplit(target)

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                asked = urlsplit(self.path)  # a proxy is asked for a whole URL
                outer.paths.append(asked.path)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                query = f"?{asked.query}" if asked.query else ""
                lines = [f"{self.command} {asked.path}{query} HTTP/1.1", f"host: {address.netloc}", "connection: close"]
                dropped = {"host", "connection", "proxy-connection"}
                lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in dropped]
                self.close_connection = True
                with socket.create_connection((address.hostname, address.port), 10) as upstream:
                    upstream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
                    upstream.settimeout(0.5)
                    while not outer.closed.is_set():
                        try:
                            piece = upstream.recv(65_536)
                        except TimeoutError:
                            continue  # a stream may be silent
                        if not piece:
                            return
                        try:
                            self.wfile.write(piece)
                        except OSError:
                            return  # the client went

            def do_CONNECT(self) -> None:
                outer.tunnels.append(self.path)
                self.close_connection = True
                with socket.create_connection((address.hostname, address.port), 10) as upstream:
                    self.send_response(200)
                    self.end_headers()
                    ends = {self.connection: upstream, upstream: self.connection}
                    while not outer.closed.is_set():
                        for end in select.select(list(ends), [], [], 0.5)[0]:
                            piece = end.recv(65_536)
                            if not piece:
                                return
                            ends[end].sendall(piece)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self.closed = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def forward_proxy(target: str) -> Iterator[ForwardProxy]:
    """Run a proxy in front of a server until the block ends."""
    proxy = ForwardProxy(target)
    thread = threading.Thread(target=proxy.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closed.set()
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join(5)
