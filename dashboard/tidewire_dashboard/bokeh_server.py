"""Holds everything that relies on private or undocumented parts of Bokeh, Panel and Tornado.

`oauth.py` overrides hooks of the classes in `OAUTH_HANDLERS`; these hooks are in the table too. Each row has a test of
the same number in tests/dashboard/test_bokeh_reliance.py, which fails when an upgrade changes what is relied on.

| # | relied on | tested with | fallback | test: the part still |
|---|---|---|---|---|
| 1 | `Server._tornado` is a Tornado `Application` | Bokeh 3.9.2 | none: no start | is one |
| 2 | its `settings` hold the ping interval, the ping timeout and `log_function` | Tornado 6.6.1 | none | are read |
| 3 | `default_router.rules` is a list that is matched in order | Tornado 6.6.1 | none | puts the guard first |
| 4 | `transforms` is a list of classes applied to every answer | Tornado 6.6.1 | none | adds our headers |
| 5 | `websocket_origins` is a set that Bokeh's socket reads anew | Bokeh 3.9.2 | none: sockets refused | is read |
| 6 | Panel puts a dot before the address of the log-in page | Panel 1.9.4 | none: no log-in | does so |
| 7 | `_component_resource_path` gives a component's module address | Panel 1.9.4 | Panel's own address | is called |
| 8 | `AUTH_PROVIDERS`, and the names of the cookies of the redirects | Panel 1.9.4 | none: no start | exist |
| 9 | `_redirect_uri`, `set_secure_cookie`, `get_authenticated_user` of these handlers | Panel 1.9.4 | none | are used |
| 10 | the module loader's option `skip` | es-module-shims 1.10.1 | it copies each module | leaves ours alone |
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from bokeh.server.auth_provider import AuthProvider
from bokeh.server.server import Server
from panel.auth import AUTH_PROVIDERS, CODE_COOKIE_NAME, STATE_COOKIE_NAME
from panel.custom import JSComponent
from panel.io.state import state
from tornado.routing import Rule
from tornado.web import Application, OutputTransform, RequestHandler

__all__ = [
    "OAUTH_HANDLERS",
    "OAUTH_STATE_COOKIES",
    "BokehLogin",
    "VersionedComponent",
    "application_of",
    "configure_application",
]

OAUTH_HANDLERS: Final[dict[str, type[RequestHandler]]] = AUTH_PROVIDERS
OAUTH_STATE_COOKIES: Final = (STATE_COOKIE_NAME, CODE_COOKIE_NAME)
"""Cookies of the redirects to the provider and back; all others that Panel sets hold what the provider sent."""


def application_of(server: Server) -> Application:
    """Return the Tornado application of a Bokeh server, for which Bokeh has no public name."""
    application: Application = server._tornado
    return application


def configure_application(
    application: Application,
    *,
    guard: Sequence[Rule],
    transform: type[OutputTransform],
    origins: Iterable[str],
    ping_s: float,
    log_request: Callable[[RequestHandler], None],
) -> None:
    """Set what `get_server` has no argument for.

    Args:
        application: Bokeh's.
        guard: rules that are matched before every route.
        transform: applied to every answer.
        origins: origins of the pages that may open Bokeh's socket, ``host:port``.
        ping_s: interval and timeout of the pings of all sockets.
        log_request: called after each answer.
    """
    application.settings["websocket_ping_interval"] = ping_s  # of Bokeh's sockets as of ours
    application.settings["websocket_ping_timeout"] = ping_s
    application.settings["log_function"] = log_request
    application.default_router.rules[:0] = guard
    application.transforms.append(transform)
    allowed: set[str] = application.websocket_origins  # type: ignore[attr-defined]  # BokehTornado's
    allowed.clear()
    allowed.update(origins)


class BokehLogin(AuthProvider):
    """Tells Bokeh who a request comes from.

    Args:
        name_of: gives the name of a request's viewer, None for a stranger.
        login_path: gives the way from a request's page to the log-in page, beginning with a dot.
    """

    def __init__(
        self, name_of: Callable[[RequestHandler], Awaitable[str | None]], login_path: Callable[[RequestHandler], str]
    ) -> None:
        self._name_of = name_of
        self._login_path = login_path
        super().__init__()

    @property
    def get_user_async(self) -> Callable[[Any], Awaitable[str | None]]:  # type: ignore[override]  # handed handlers
        """Return the function that finds the name of a request's viewer."""
        return self._name_of

    @property
    def get_login_url(self) -> Callable[[Any], str]:
        """Return the function that gives the address of the log-in page, before which Panel puts a dot."""
        return lambda handler: self._login_path(handler).removeprefix(".")

    @property
    def get_user(self) -> None:
        """Return None: `get_user_async` is used instead."""
        return


class VersionedComponent(JSComponent):
    """A component whose module has an address with a version in it; Panel's own has none."""

    _render_policy = "manual"

    @classmethod
    def module_path(cls) -> str:
        """Return the path of the module below the server's root."""
        raise NotImplementedError

    @classmethod
    def _component_resource_path(cls, esm_path: os.PathLike[str], compiled: Any) -> str:
        """Return the module's address, relative to the page."""
        return f"{state.rel_path}/{cls.module_path()}".removeprefix("/")
