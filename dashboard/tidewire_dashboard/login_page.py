"""Serves the log-in page, and tells which requests come from a viewer who is logged in."""

from __future__ import annotations

import secrets
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from tornado.web import RequestHandler

from tidewire.errors import ServiceRefused, ServiceUnavailable
from tidewire_dashboard.login import Login, Logins

__all__ = ["COOKIE", "LoginGate", "LoginPage", "local_path"]

COOKIE: Final = "tidewire_login"
_MAX_NEXT_CHARS: Final = 8_192
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>Log in · Tidewire</title>
<link rel="icon" href="data:,">
<style nonce="{nonce}">
:root {{ --page: #0E1116; --card: #161B22; --line: #2A313C; --text: #E6EAF0; --soft: #9AA4B2; --accent: #2F81F7;
  --fill: #1A66D9; --bad: #FF7B72; }}
@media (prefers-color-scheme: light) {{ :root {{ --page: #F4F6F9; --card: #FFF; --line: #D5DBE3; --text: #1B222C;
  --soft: #5B6675; --accent: #0B62D6; --fill: #0B62D6; --bad: #B42318; }} }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--page); color: var(--text);
  font: 15px/1.5 Inter, system-ui, sans-serif; }}
form {{ width: min(360px, calc(100vw - 48px)); padding: 28px; box-sizing: border-box; background: var(--card);
  border: 1px solid var(--line); border-radius: 12px; }}
h1 {{ margin: 0 0 4px; font-size: 20px; font-weight: 600; }}
p {{ margin: 0 0 18px; color: var(--soft); }}
label {{ display: block; margin-bottom: 6px; font-weight: 500; }}
input {{ width: 100%; box-sizing: border-box; padding: 9px 11px; font: inherit; color: inherit;
  background: var(--page); border: 1px solid var(--line); border-radius: 8px; }}
button, .provider {{ width: 100%; margin-top: 16px; padding: 9px; font: inherit; font-weight: 600; color: #FFF;
  background: var(--fill); border: 0; border-radius: 8px; cursor: pointer; }}
.provider {{ display: block; box-sizing: border-box; margin: 0 0 20px; text-align: center; text-decoration: none; }}
:is(input, button, .provider):focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px; }}
.bad {{ color: var(--bad); }}
code {{ font-size: 13px; }}
</style>
</head>
<body>
<main>
<form method="post" action="{action}">
<h1>Tidewire</h1>
{message}{provider}
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" spellcheck="false" required autofocus>
<input name="next" type="hidden" value="{next}">
<button>Log in</button>
</form>
</main>
<script nonce="{nonce}">
// A share link carries its token behind the "#", which no browser sends and no server logs.
const link = new URLSearchParams(location.hash.slice(1));
if (link.get("token")) {{
  history.replaceState(null, "", location.pathname);
  document.querySelector('[name="token"]').value = link.get("token");
  if (link.get("next")) document.querySelector('[name="next"]').value = link.get("next");
  document.querySelector("form").submit();
}}
</script>
</body>
</html>
"""
_PROMPT: Final = (
    "<p>Enter a token of the service. <code>tidewire token create --subscribe '**' --name me</code> creates one.</p>"
)
_PROVIDER: Final = '<a class="provider" href="{}">Log in with your organisation</a>'


def local_path(given: str) -> str:
    """Return the given path if it surely leads to a page of this dashboard, ``/`` otherwise."""
    good = (
        given.startswith("/")
        and not given.startswith(("//", "/\\"))
        and "\\" not in given
        and given.isprintable()
        and len(given) <= _MAX_NEXT_CHARS
    )
    return given if good else "/"


class LoginPage(RequestHandler):
    """Base of the handlers of log-in and log-out: knows the logins, sets the cookie and shows the page."""

    COOKIE: Final = COOKIE

    def initialize(self, gate: LoginGate) -> None:
        """Receive the arguments of the route."""
        self._logins = gate.logins
        self._https = gate.https
        self._oauth = gate.oauth is not None

    def _request_summary(self) -> str:
        """Return the request for the log, without its query, which may hold a code of the identity provider."""
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    def _set_cookie(self, value: str) -> None:
        self.set_cookie(COOKIE, value, httponly=True, samesite="Lax", secure=self._https, path="/")

    def show(self, status: int, error: str, next_path: str) -> None:
        """Answer with the log-in page.

        Args:
            status: HTTP status of the answer.
            error: a sentence that says what went wrong, or empty.
            next_path: page to open after the log-in.
        """
        nonce, next_path = secrets.token_urlsafe(12), local_path(next_path)
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        )
        prefix = self.request.path.rpartition("/")[0]
        provider = f"{prefix}/oauth?{urlencode({'next': next_path})}"
        self.finish(
            _PAGE.format(
                nonce=nonce,
                action=escape(f"{prefix}/login"),
                message=f'<p class="bad" role="alert">{escape(error)}</p>' if error else _PROMPT,
                provider=_PROVIDER.format(escape(provider)) if self._oauth else "",
                next=escape(next_path),
            )
        )


class _LoginHandler(LoginPage):
    """GET shows the form, POST takes the token."""

    def get(self) -> None:
        """Show the form."""
        self.show(200, "", self.get_query_argument("next", "/"))

    async def post(self) -> None:
        """Log in, and redirect to the page that the viewer asked for."""
        token, next_path = self.get_body_argument("token", "").strip(), self.get_body_argument("next", "/")
        try:
            cookie, _ = await self._logins.admit(token)
        except ServiceRefused as error:
            self.show(403, error.detail, next_path)
            return
        except ServiceUnavailable as error:
            self.show(503, error.reason, next_path)
            return
        self._logins.forget(self.get_cookie(COOKIE) or "")
        self._set_cookie(cookie)
        self.redirect(local_path(next_path), status=303)


class _LogoutHandler(LoginPage):
    """POST logs out; there is no GET, so that no link of another site can log a viewer out."""

    def post(self) -> None:
        """Log out, and redirect to the log-in page."""
        self._logins.forget(self.get_cookie(COOKIE) or "")
        self.clear_cookie(COOKIE)
        self.redirect(f"{self.request.path.rpartition('/')[0]}/login", status=303)


class LoginGate:
    """Tells who a request comes from; every page and socket is asked for it.

    Args:
        logins: the viewers who are logged in.
        https: whether viewers use HTTPS; the cookie is then never sent over HTTP.
        oauth: the handler of ``/oauth``; None without an identity provider.
    """

    def __init__(self, logins: Logins, *, https: bool, oauth: type[RequestHandler] | None = None) -> None:
        self.logins = logins
        self.https = https
        self.oauth = oauth

    async def login_of(self, handler: RequestHandler) -> Login | None:
        """Return the login that a request comes with, None for a stranger's."""
        return await self.logins.find_checked(handler.get_cookie(COOKIE) or "")

    async def name_of(self, handler: RequestHandler) -> str | None:
        """Return the name of who a request comes from, None for a stranger's."""
        login = await self.login_of(handler)
        return None if login is None else login.name

    def login_path(self, handler: RequestHandler) -> str:
        """Return the way from the page of a request to the log-in page: ``./login``, ``./../login``."""
        depth = handler.request.path.count("/") - 1
        return f"./{'../' * depth}login"

    @property
    def routes(self) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
        """The routes of log-in and log-out."""
        oauth = [] if self.oauth is None else [("/oauth", self.oauth)]
        handlers = [("/login", _LoginHandler), ("/logout", _LogoutHandler), *oauth]
        return [(path, handler, {"gate": self}) for path, handler in handlers]
