"""The dashboard's HTTP server: answers at once, and hands over to Panel's application once that has been imported.

Until then a page has no scripts of Panel's; what only Panel serves waits for it.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, StaticFileHandler

from tidewire.errors import InvalidInput
from tidewire_dashboard import frame_socket
from tidewire_dashboard.assets import ASSETS, MODULES, bundle_path, module_folder
from tidewire_dashboard.exports import ExportFile
from tidewire_dashboard.frame_socket import FrameSocket, SocketHub
from tidewire_dashboard.login import EVERYBODY
from tidewire_dashboard.login_page import LoginGate
from tidewire_dashboard.logs import log_request
from tidewire_dashboard.origin_guard import guard_rules
from tidewire_dashboard.page import PANEL_HEADER, render_page
from tidewire_dashboard.page_headers import PageHeaders
from tidewire_dashboard.settings import DashboardSettings

if TYPE_CHECKING:
    from bokeh.server.server import Server

__all__ = ["DashboardServer", "bracketed"]

_STATIC: Final = Path(__file__).with_name("static")
_MEDIA_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2"}
_MAX_BODY_BYTES: Final = 64 << 10  # only the log-in form is posted
_CACHE_S: Final = 365 * 86_400


class DashboardServer:
    """Listens from the start on; used in one event loop, and closed.

    Args:
        settings: where to listen, who may come, and how long a request may take.
        hub: the connected viewers.

    Attributes:
        port: that it listens on.
        panel: Panel's server, which holds the sessions; None until `hand_over`.
        stop: set by whoever ends the dashboard; by the server itself when Panel cannot be imported.
        fault: why it cannot; None otherwise.

    Raises:
        InvalidInput: a file cannot be read, the port is taken, or a setting of the identity provider is wrong.
    """

    def __init__(self, settings: DashboardSettings, hub: SocketHub) -> None:
        self.panel: Server | None = None
        self.stop = asyncio.Event()
        self.fault: BaseException | None = None
        self._closing = False
        self._settings = settings
        self._hub = hub
        self._loading: asyncio.Task[None] | None = None
        https = settings.dashboard_https or bool(settings.dashboard_tls_cert)
        self._oauth_options, oauth = _identity_provider(settings)
        self._gate = None if hub.logins is None else LoginGate(hub.logins, https=https, oauth=oauth)
        hosts = (*settings.dashboard_allowed_hosts, settings.dashboard_host)
        self._guard = guard_rules(hosts, embeds=bool(settings.dashboard_embed_origins), gate=self._gate)
        self._origins = [f"{bracketed(host)}:*" for host in hosts]
        self._headers = PageHeaders.embeddable_by(settings.dashboard_embed_origins)
        self._front = _Front(self._without_panel())
        self._http = HTTPServer(self._front, **_tls_options(settings), **_request_limits(settings))
        try:
            sockets = bind_sockets(settings.dashboard_port, settings.dashboard_host)
        except OSError as error:
            reason = f"cannot listen on this port ({error.strerror or error}); choose another one with --port"
            raise InvalidInput("port", settings.dashboard_port, reason) from error
        self._http.add_sockets(sockets)
        self.port: int = sockets[0].getsockname()[1]

    async def load_panel(self) -> None:
        """Import Panel in a thread, and hand over to its application; once, whoever asks."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_panel(), name="tidewire-panel")
            self._loading.add_done_callback(self._note_fault)
        await asyncio.shield(self._loading)

    def hand_over(self) -> None:
        """Let Panel's application answer from now on; imports it if nobody has."""
        if self.panel is not None:
            return
        from tidewire_dashboard.bokeh_server import application_of, configure_application  # noqa: PLC0415
        from tidewire_dashboard.panel_app import panel_server  # noqa: PLC0415 - imports Panel

        self.panel = panel_server(self._hub, self._routes(), self._gate, self._oauth_options)
        application = application_of(self.panel)
        configure_application(
            application,
            guard=self._guard,
            transform=self._headers,
            origins=self._origins,
            ping_s=frame_socket.PING_S,
            log_request=log_request,
        )
        self.panel.start()
        self._front.application = application

    async def close(self) -> None:
        """Accept nothing more, and end Panel's sessions."""
        self._http.stop()
        self._closing = True
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)  # nothing ends a thread that imports
        if self.panel is not None:
            self.panel.stop()

    async def _load_panel(self) -> None:
        await asyncio.to_thread(_import_panel)
        if not self._closing:
            self.hand_over()

    def _note_fault(self, loading: asyncio.Task[None]) -> None:
        if not loading.cancelled() and (fault := loading.exception()) is not None:
            self.fault = fault
            self.stop.set()

    def _routes(self) -> list[Any]:
        return [
            ("/frames", FrameSocket, {"hub": self._hub}),
            (r"/exports/([A-Za-z0-9_-]+\.[a-z]+)", ExportFile, {"exports": self._hub.shared.requests.exports}),
            *(() if self._gate is None else self._gate.routes),
            (rf"/{module_folder()}/({MODULES})", _CachedFile, {"path": str(bundle_path().parent)}),
            (rf"/{ASSETS}/(inter-[a-z-]+\.woff2)", _CachedFile, {"path": str(_STATIC)}),
        ]

    def _without_panel(self) -> Application:
        """Return the application that answers until Panel's does."""
        page = {"server": self, "hub": self._hub, "gate": self._gate}
        return Application(
            [
                *self._guard,
                *self._routes(),
                ("/", _Page, page | {"page": "overview"}),
                ("/d/[^/]+", _Page, page | {"page": "deck"}),
                (".*", _Later, {"server": self}),
            ],
            transforms=[self._headers],
            websocket_ping_interval=frame_socket.PING_S,
            websocket_ping_timeout=frame_socket.PING_S,
            log_function=log_request,
        )


class _Front(HTTPServerConnectionDelegate):
    """Hands each request to the application of the moment; open sockets stay with the one that accepted them."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        return self.application.start_request(server_conn, request_conn)


class _Later(RequestHandler):
    """Waits for Panel, and sends the browser to the same address."""

    def initialize(self, server: DashboardServer) -> None:
        """Receive the arguments of the route."""
        self._server = server

    async def get(self) -> None:
        """Answer once Panel has been imported."""
        await self._server.load_panel()
        path = "/" + self.request.path.lstrip("/")  # never one with two slashes, which is another host
        self.redirect(f"{path}?{self.request.query}" if self.request.query else path, status=307)


class _Page(RequestHandler):
    """Answers a page without Panel's scripts, unless it asks for them."""

    def initialize(self, page: str, server: DashboardServer, hub: SocketHub, gate: LoginGate | None) -> None:
        """Receive the arguments of the route."""
        self._page, self._server, self._hub, self._gate = page, server, hub, gate

    async def get(self) -> None:
        """Answer the page, or the way to the log-in."""
        login = EVERYBODY
        if self._gate is not None:
            found = await self._gate.login_of(self)
            if found is None:
                self.redirect(f"{self._gate.login_path(self)}?{urlencode({'next': self.request.uri})}")
                return
            login = found
        if PANEL_HEADER in self.request.headers:
            await self._server.load_panel()
            self.redirect(str(self.request.uri), status=307)  # that of a page: it begins with one slash
            return
        ticket = self._hub.tickets.issue(login, with_session=False)
        viewer = "" if self._gate is None else login.name
        self.set_header("Cache-Control", "no-store")  # as Bokeh's page: a ticket is for one page
        self.finish(render_page(self._page, ticket=ticket, viewer=viewer))


class _CachedFile(StaticFileHandler):
    """Files whose address changes with their content, so that browsers may cache them."""

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        """Return how long a browser may cache the file, in seconds."""
        return _CACHE_S

    def get_content_type(self) -> str:
        """Return the media type from our own table, since those of operating systems differ."""
        return _MEDIA_TYPES.get(Path(self.path).suffix, "application/octet-stream")

    def set_extra_headers(self, path: str) -> None:
        """Let browsers cache the file without asking again, and forbid them to guess its type."""
        self.set_header("Cache-Control", f"public, max-age={_CACHE_S}, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")


def bracketed(host: str) -> str:
    """Return a host as it is written in an address."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _import_panel() -> None:
    from tidewire_dashboard import panel_app  # noqa: F401, PLC0415 - imports Panel


def _identity_provider(settings: DashboardSettings) -> tuple[dict[str, Any], type[RequestHandler] | None]:
    """Return Panel's options for the identity provider and the handler of its redirects: nothing without one."""
    if not settings.dashboard_oauth_provider:
        return {}, None
    from tidewire_dashboard.oauth import oauth_handler, oauth_options  # noqa: PLC0415 - imports Panel

    return oauth_options(settings), oauth_handler(settings.dashboard_oauth_provider)


def _tls_options(settings: DashboardSettings) -> dict[str, Any]:
    """Return the options of Tornado's server for HTTPS, empty for HTTP."""
    if not settings.dashboard_tls_cert:
        return {}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.dashboard_tls_cert, settings.dashboard_tls_key)
    except OSError as error:  # ssl.SSLError is one
        reason = f"cannot be read with its key ({error.strerror or error}); expected two PEM files that belong together"
        raise InvalidInput("--tls-cert", settings.dashboard_tls_cert, reason) from error
    return {"ssl_options": context}


def _request_limits(settings: DashboardSettings) -> dict[str, Any]:
    """Return the limits of Tornado's server for the size and time of a request; its defaults are 100 MB and an hour."""
    wait_s = settings.dashboard_timeout_s
    return {"idle_connection_timeout": wait_s, "body_timeout": wait_s, "max_body_size": _MAX_BODY_BYTES}
