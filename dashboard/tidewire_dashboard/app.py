"""Wires the dashboard together: its pages and routes, and its server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import panel as pn
from bokeh.server.server import Server
from jinja2 import Template
from panel.io.server import get_server
from tornado.web import StaticFileHandler

from tidewire.errors import InvalidInput
from tidewire.livestore.history_cache import HistoryCache
from tidewire_dashboard import frame_socket
from tidewire_dashboard.bokeh_server import application_of, configure_application
from tidewire_dashboard.deck import ASSETS, MODULES, Deck, bundle_path, first_modules, module_folder
from tidewire_dashboard.exports import ExportFile
from tidewire_dashboard.exposure import check_exposure
from tidewire_dashboard.frame_socket import FrameSocket, SocketHub
from tidewire_dashboard.login import EVERYBODY, Logins
from tidewire_dashboard.login_page import COOKIE, LoginProvider
from tidewire_dashboard.logs import log_request
from tidewire_dashboard.oauth import oauth_handler, oauth_options
from tidewire_dashboard.origin_guard import guard_rules
from tidewire_dashboard.page_headers import PageHeaders
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.shared_views import SharedViews
from tidewire_dashboard.source import Source

__all__ = ["Dashboard", "running_dashboard"]

_STATIC: Final = Path(__file__).with_name("static")
_MEDIA_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2"}
_MAX_BODY_BYTES: Final = 64 << 10  # only the log-in form is posted
_CACHE_S: Final = 365 * 86_400
# A page that vanished without closing its socket is forgotten within a minute: a ping is not answered in time, five
# seconds for the closing handshake, the life of a session without a socket (its page may reconnect), the next check.
SESSION_S: Final = 25.0
CHECK_SESSIONS_S: Final = 5.0

# The page has the background of its theme from the start, so that nothing flashes before the module has loaded. It
# tells the deck all it needs. Bokeh and Panel, two megabytes and half a second of script, run once the deck has drawn.
_PAGE: Final = Template("""{% extends base %}
{% block title %}Tidewire{% endblock %}
{% block preamble %}
<script>
// Panel loads a module by a shim that reads and copies it; what that imports of ours, the browser loads itself.
window.esmsInitOptions = { skip: [{{ module_folder|tojson }}] };
</script>
{% endblock %}
{% block postamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
{% for module in modules %}<link rel="modulepreload" href="{{ module }}">
{% endfor %}<style>
html, body { margin: 0; height: 100%; background: #0E1116; overflow: hidden; }
html[data-theme="light"] { background: #F4F6F9; }
@media (prefers-color-scheme: light) { html:not([data-theme="dark"]) { background: #F4F6F9; } }
</style>
<script>
const theme = new URLSearchParams(location.search).get("theme");
if (theme) document.documentElement.dataset.theme = theme;
</script>
{% endblock %}
{% block js_resources %}{% endblock %}
{% block inner_body %}
<div id="tidewire-page" data-page='{{ given|tojson }}'></div>
<script type="module" async src="{{ modules[0] }}"></script>
<div style="position: absolute; inset: 0; visibility: hidden">{% for root in roots %}{{ embed(root) }}{% endfor %}</div>
<template id="panel-scripts">
{{ bokeh_js }}
{{ plot_script }}
</template>
<script>
for (const { src } of document.getElementById("panel-scripts").content.querySelectorAll("script[src]"))
  document.head.append(Object.assign(document.createElement("link"), { rel: "prefetch", href: src }));
</script>
{% endblock %}
""")


class Dashboard:
    """A dashboard that listens.

    Attributes:
        url: its address.
        source: the readings that it shows.
        hub: the connected viewers.
        server: Bokeh's server.
    """

    def __init__(self, settings: DashboardSettings, source: Source, hub: SocketHub) -> None:
        self.source = source
        self.hub = hub
        self.server = _server(settings, hub)
        scheme = "https" if settings.dashboard_tls_cert else "http"
        self.url = f"{scheme}://{_bracketed(settings.dashboard_host)}:{self.server.port}"


@asynccontextmanager
async def running_dashboard(settings: DashboardSettings, started: Source | None = None) -> AsyncIterator[Dashboard]:
    """Run a dashboard in this event loop until the block ends; `started` is its source if that runs already.

    Raises:
        InvalidInput: other machines could use it without a log-in, a file cannot be read, or the port is taken.
    """
    check_exposure(settings)
    history_cache = HistoryCache(settings.url, settings.token)
    source = started or Source(settings)
    shared = SharedViews(source, history_cache, redis=settings.redis, token=settings.token)
    logins = Logins(settings.url) if settings.dashboard_login else None
    hub = SocketHub(shared, logins)
    dashboard = Dashboard(settings, source, hub)
    try:
        with source if started is None else nullcontext():
            dashboard.server.start()
            threshold_task = asyncio.create_task(shared.saved_decks.watch(), name="tidewire-thresholds")
            try:
                yield dashboard
            finally:
                threshold_task.cancel()
                await asyncio.gather(threshold_task, return_exceptions=True)
    finally:
        dashboard.server.unlisten()
        dashboard.server.stop()
        await hub.close()
        await history_cache.close()
        if logins is not None:
            await logins.close()


def _server(settings: DashboardSettings, hub: SocketHub) -> Server:
    fonts = {"path": str(_STATIC)}
    module = {"path": str(bundle_path().parent)}
    hosts = (*settings.dashboard_allowed_hosts, settings.dashboard_host)
    https = settings.dashboard_https or bool(settings.dashboard_tls_cert)
    login_options = oauth_options(settings)
    login_provider = None
    if hub.logins is not None:
        oauth = oauth_handler(settings.dashboard_oauth_provider) if login_options else None
        login_provider = login_options["auth_provider"] = LoginProvider(hub.logins, https=https, oauth=oauth)
    try:
        server = get_server(
            {"/": lambda: _page("overview", hub), "/d/{slug}": lambda: _page("deck", hub)},
            port=settings.dashboard_port,
            address=settings.dashboard_host,
            title="Tidewire",
            location=False,
            extra_patterns=[
                ("/frames", FrameSocket, {"hub": hub}),
                (r"/exports/([A-Za-z0-9_-]+\.[a-z]+)", ExportFile, {"exports": hub.shared.requests.exports}),
                *(() if login_provider is None else login_provider.routes),
                (rf"/{module_folder()}/({MODULES})", _CachedFile, module),
                (rf"/{ASSETS}/(inter-[a-z-]+\.woff2)", _CachedFile, fonts),
            ],
            **login_options,
            http_server_kwargs=_tls_options(settings) | _request_limits(settings),
            unused_session_lifetime_milliseconds=round(SESSION_S * 1e3),
            check_unused_sessions_milliseconds=round(CHECK_SESSIONS_S * 1e3),
            keep_alive_milliseconds=0,  # Bokeh's pings expect no answer; Tornado's do
        )
    except OSError as error:
        reason = f"cannot listen on this port ({error.strerror or error}); choose another one with --port"
        raise InvalidInput("port", settings.dashboard_port, reason) from error
    configure_application(
        application_of(server),
        guard=guard_rules(hosts, embeds=bool(settings.dashboard_embed_origins)),
        transform=PageHeaders.embeddable_by(settings.dashboard_embed_origins),
        origins=[f"{_bracketed(host)}:*" for host in hosts],
        ping_s=frame_socket.PING_S,
        log_request=log_request,
    )
    return server


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


def _page(page: str, hub: SocketHub) -> Deck:
    """Return the deck of a new session, and set the page template of the session's document."""
    login = EVERYBODY if hub.logins is None else hub.logins.find(pn.state.cookies.get(COOKIE, ""))
    # A login that ended between the page's two requests gives no ticket: the page will reload.
    ticket = "" if login is None else hub.tickets.issue(login)
    pn.state.on_session_destroyed(lambda _context: hub.tickets.session_ended(ticket))
    prefix = (pn.state.base_url or "/").rstrip("/")
    given = {
        "page": page,
        "socket_path": f"{prefix}/frames",
        "ticket": ticket,
        "viewer": "" if login is None or hub.logins is None else login.name,
        "assets": f"{prefix}/{ASSETS}",
        "dashboard_prefix": prefix,
    }
    document = pn.state.curdoc
    if document is not None:
        document.template = _PAGE
        document.template_variables["given"] = given
        document.template_variables["module_folder"] = f"{prefix}/{module_folder()}/"
        document.template_variables["modules"] = [f"{prefix}/{module}" for module in first_modules(page)]
    return Deck(sizing_mode="stretch_both", **given)  # type: ignore[no-untyped-call]  # Panel is not typed


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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
