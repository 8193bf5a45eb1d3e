"""The dashboard as a Panel application: imported once a first page has drawn, since that takes a second."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import panel as pn
from bokeh.server.server import Server
from panel.io.server import get_server

from tidewire_dashboard.bokeh_server import BokehLogin
from tidewire_dashboard.deck import Deck
from tidewire_dashboard.frame_socket import SocketHub
from tidewire_dashboard.login import EVERYBODY
from tidewire_dashboard.login_page import COOKIE, LoginGate
from tidewire_dashboard.page import PAGE, page_variables

__all__ = ["CHECK_SESSIONS_S", "SESSION_S", "panel_server"]

# A page that vanished without closing its socket is forgotten within a minute: a ping is not answered in time, five
# seconds for the closing handshake, the life of a session without a socket (its page may reconnect), the next check.
SESSION_S: Final = 25.0
CHECK_SESSIONS_S: Final = 5.0


def panel_server(
    hub: SocketHub, routes: Sequence[Any], gate: LoginGate | None, oauth_options: Mapping[str, Any]
) -> Server:
    """Return Bokeh's server with the deck in it; it has sessions and an application, and listens to nothing.

    Args:
        hub: the connected viewers.
        routes: of the dashboard's own, which come before Bokeh's.
        gate: tells who is logged in; None if everybody may see everything.
        oauth_options: Panel's options of the identity provider, empty if there is none.
    """
    login: dict[str, Any] = {} if gate is None else {"auth_provider": BokehLogin(gate.name_of, gate.login_path)}
    handler = signal.getsignal(signal.SIGINT)
    server = get_server(
        {"/": lambda: _page("overview", hub), "/d/{slug}": lambda: _page("deck", hub)},
        port=0,
        address="127.0.0.1",
        title="Tidewire",
        location=False,
        extra_patterns=[*routes],
        **login,
        **oauth_options,
        unused_session_lifetime_milliseconds=round(SESSION_S * 1e3),
        check_unused_sessions_milliseconds=round(CHECK_SESSIONS_S * 1e3),
        keep_alive_milliseconds=0,  # Bokeh's pings expect no answer; Tornado's do
    )
    server.unlisten()  # the event loop has not accepted anything on this port of its own
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGINT, handler)  # Panel has installed one that stops the event loop
    return server


def _page(page: str, hub: SocketHub) -> Deck:
    """Return the deck of a new session, and set the page template of the session's document."""
    login = EVERYBODY if hub.logins is None else hub.logins.find(pn.state.cookies.get(COOKIE, ""))
    # A login that ended between the page's two requests gives no ticket: the page will reload.
    ticket = "" if login is None else hub.tickets.issue(login)
    pn.state.on_session_destroyed(lambda _context: hub.tickets.session_ended(ticket))
    viewer = "" if login is None or hub.logins is None else login.name
    prefix = (pn.state.base_url or "/").rstrip("/")
    variables = page_variables(page, ticket=ticket, viewer=viewer, prefix=prefix)
    document = pn.state.curdoc
    if document is not None:
        document.template = PAGE
        document.template_variables.update(variables)
    return Deck(sizing_mode="stretch_both", **variables["given"])  # type: ignore[no-untyped-call]  # Panel is not typed
