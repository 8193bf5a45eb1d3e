"""The HTTP server of one process: uvicorn, whose shutdown ends the streams first."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Generator, Sequence
from functools import partial
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from tidewire_service.http_server.protocol import StreamingHttpProtocol
from tidewire_service.settings import ServiceSettings

__all__ = ["Entrance", "Server", "listening_socket", "make_server"]

_GRACE_S: Final = 5.0  # after the drain, for requests that are still being answered
_BACKLOG: Final = 2_048
_OTHER_FILES: Final = 1_000  # Redis, files, requests under way
_SEND_BUFFER_BYTES: Final = 120 * 1024  # the kernel doubles it; a stalled peer pinned 3.9 MB without
_GC_THRESHOLDS: Final = (50_000, 20, 5)
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger("tidewire_service")


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what a callback raised, except that a peer closed a connection with TLS before something was written.

    Whoever wrote learns it from the connection; in clear text uvloop raises the same, and reports nothing.
    """
    error = context.get("exception")
    if isinstance(error, RuntimeError) and "the handler is closed" in str(error) and "SSL" in context["message"]:
        _log.debug("connection_closed", reason=str(error))
    else:
        loop.default_exception_handler(context)


class Server(uvicorn.Server):
    """uvicorn waits for open connections before it tells the app to stop, and streams never end by themselves.

    So the first signal, or `stop`, starts the drain at once; the second one ends without waiting.
    """

    def __init__(self, config: uvicorn.Config, app: Litestar) -> None:
        super().__init__(config)
        self._litestar = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop; return normally, so that the process exits with 0."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_on_loop_error)
        with self.capture_signals():
            await self._serve(sockets)

    def stop(self) -> None:
        """Start the end; from any thread or a signal handler."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._start_drain)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on the first signal, without waiting on the second."""
        if self.should_exit:
            self.force_exit = True
        self.stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGINT and SIGTERM. uvicorn's handler raises them again, so the process would not exit with 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start_drain(self) -> None:
        if self._drain is None:
            _log.info("drain_started", streams=len(self._litestar.state.streams))
            self._drain = asyncio.create_task(self._litestar.state.drain(), name="tidewire-drain")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then connections, then the app."""
        self._start_drain()
        await super().shutdown(sockets)
        if self._drain is not None:
            await self._drain


class Entrance:
    """Calls Litestar's ASGI handler without `Litestar.__call__`, whose coroutine would stay with each open stream."""

    def __init__(self, app: Litestar) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the awaitable that answers a request."""
        app = self._app
        if scope["type"] != ScopeType.HTTP or app.before_send:
            return app(scope, receive, send)
        scope["app"] = scope["litestar_app"] = app
        return app.asgi_handler(scope, receive, send)


def listening_socket(host: str, port: int, *, shared: bool = False, silence_s: float = 30.0) -> socket.socket:
    """Return a socket bound to an address; what it accepts inherits its options.

    Args:
        host: address or name.
        port: 0 for a free one.
        shared: other processes bind to the same port; the kernel spreads connections over them.
        silence_s: the kernel ends a connection whose peer acknowledges nothing for so long: it vanished without a FIN.

    Raises:
        OSError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: else asyncio sets no TCP_NODELAY
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence_s * 1e3))
        sock.bind((host, port))
        sock.listen(_BACKLOG)
        sock.set_inheritable(True)
    except OSError:
        sock.close()
        raise
    return sock


def make_server(app: Litestar, settings: ServiceSettings) -> Server:
    """Return the server of an app; `serve(sockets=[…])` runs it."""
    config = uvicorn.Config(
        Entrance(app),
        interface="asgi3",
        host=settings.host,
        port=settings.port,
        http=partial(StreamingHttpProtocol, slow_clients=app.state.slow_clients),  # type: ignore[arg-type]  # called, no more
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=int(settings.drain_s + _GRACE_S),
        timeout_keep_alive=30,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )
    return Server(config, app)


def _allow_connections(wanted: int) -> None:
    """Raise this process's limit of open files: the usual 1,024 would end streams long before `max_streams` does."""
    import resource  # noqa: PLC0415 - POSIX only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a limit that it does not report
        allowed = soft
    if allowed < wanted:
        write = _log.warning if allowed < wanted / 4 else _log.info
        write("open_files_limited", allowed=allowed, wanted=wanted)


def run(
    app: Litestar, settings: ServiceSettings, sockets: Sequence[socket.socket], *, more_connections: int = 0
) -> bool:
    """Serve until SIGINT or SIGTERM, or until the log is split otherwise; return whether nobody needs to start anew.

    The app may open `more_connections` besides those of its clients.

    What exists by now stays, so the collector skips it. It runs seldom: with thousands of connections a full collection
    takes as long as many flushes, and what a stream leaves behind has no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    if sys.platform != "win32":
        _allow_connections(settings.max_streams + settings.max_waiting + more_connections + _OTHER_FILES)
    server, changed = make_server(app, settings), list[bool]()

    def end() -> None:
        changed.append(True)
        server.stop()

    if (hub := app.state.get("hub")) is not None:  # an edge has none
        hub.on_layout_changed = end
    server.run(list(sockets))
    return not changed
