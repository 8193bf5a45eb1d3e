"""Logs viewers in through an identity provider: Panel's OAuth handlers get a token from it, the service checks it.

The token is a JSON Web Token, and the service accepts those of the provider (``--jwt-issuer``) like its own tokens. So
scopes, expiry and refusals are the same for both ways to log in. The provider's tokens stay in this process; the
browser gets the same cookie as after any other log-in.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler

from tidewire.errors import InvalidInput, ServiceRefused, ServiceUnavailable, shown
from tidewire_dashboard.bokeh_server import OAUTH_HANDLERS, OAUTH_STATE_COOKIES
from tidewire_dashboard.login_page import LoginPage
from tidewire_dashboard.settings import DashboardSettings

__all__ = ["PROVIDERS", "oauth_handler", "oauth_options"]

_log = logging.getLogger("tidewire")
PROVIDERS: Final = ("generic", "auth_code", "auth0", "azure", "azurev2", "gitlab", "google", "okta")
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_FAILED: Final = "The identity provider did not log you in, or it took too long. Try again."
_UNREACHABLE: Final = "The identity provider cannot be reached. Try again."


def oauth_options(settings: DashboardSettings) -> dict[str, Any]:
    """Return Panel's options for the identity provider, empty if there is none.

    Raises:
        InvalidInput: the provider is not supported, or a setting is missing or wrong.
    """
    provider = settings.dashboard_oauth_provider
    if not provider:
        return {}
    if provider not in PROVIDERS:
        reason = f"expected one that issues JSON Web Tokens, which the service can verify: {', '.join(PROVIDERS)}"
        raise InvalidInput("--oauth-provider", provider, reason)
    if not settings.dashboard_login:
        raise InvalidInput("--oauth-provider", provider, "has no effect without --login")
    if not settings.dashboard_oauth_key:
        raise InvalidInput("--oauth-key", "", "is missing; give the client id that the provider issued")
    extra: dict[str, Any] = {}
    for given in settings.dashboard_oauth_params:
        name, equals, value = given.partition("=")
        if not (name and equals and value):
            raise InvalidInput("--oauth-params", given, "expected NAME=VALUE, such as tenant=example.org")
        if "://" in value and urlsplit(value).scheme != "https" and urlsplit(value).hostname not in _LOOPBACK:
            raise InvalidInput("--oauth-params", given, "expected an https:// address")
        extra[name] = value.split() if name == "scope" else value
    wanted = ("AUTHORIZE_URL", "TOKEN_URL") if provider in ("generic", "auth_code") else ()
    missing = [name for name in wanted if name not in extra]
    if missing:
        raise InvalidInput("--oauth-params", "", f"lacks {missing[0]}=https://…, which {provider} requires")
    return {
        "oauth_key": settings.dashboard_oauth_key,
        "oauth_secret": settings.dashboard_oauth_secret or None,
        "oauth_extra_params": {"scope": ["openid", "profile", "email"], **extra},
        "oauth_jwt_user": "sub",
        "cookie_secret": secrets.token_urlsafe(32),  # signs the state of unfinished log-ins; a restart invalidates them
    }


class _OAuth(LoginPage):
    """GET redirects to the provider, and receives its answer."""

    _provider_values: dict[str, str]  # what Panel would put into cookies, by their names: the provider's tokens

    @property
    def _redirect_uri(self) -> str:
        scheme = "https" if self._https else self.request.protocol
        return f"{scheme}://{self.request.host}{self.request.path}"  # the host is one of the allowed ones

    def set_secure_cookie(self, name: str, value: str | bytes, *_args: Any, **_kwargs: Any) -> None:
        """Set the cookies that the redirects need; keep the values of all others in this process."""
        if name in OAUTH_STATE_COOKIES:
            super().set_secure_cookie(name, value, httponly=True, samesite="Lax", secure=self._https, path="/")
        else:
            self._provider_values[name] = value if isinstance(value, str) else value.decode()

    async def get_authenticated_user(self, *args: Any, **kwargs: Any) -> Any:
        """Redirect to the provider; when it has answered, log in with the first token that the service accepts."""
        self._provider_values = {}
        user = await super().get_authenticated_user(*args, **kwargs)  # type: ignore[misc]  # Panel's
        if kwargs.get("code") is None:
            return user
        refused: ServiceRefused | None = None
        for name in ("id_token", "access_token"):
            try:
                cookie, login = await self._logins.admit(self._provider_values.get(name, ""))
            except ServiceRefused as error:
                refused = refused or error
                continue
            self._logins.forget(self.get_cookie(self.COOKIE) or "")
            self._set_cookie(cookie)
            return login.name
        assert refused is not None  # noqa: S101 - otherwise the loop has returned
        raise refused

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show the log-in page with an error message, never with text of the request or the provider."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, ServiceRefused):
            self.show(403, error.detail, "/")
        elif isinstance(error, ServiceUnavailable):
            self.show(503, error.reason, "/")
        elif isinstance(error, HTTPError):
            self.show(403, _FAILED, "/")
        else:
            self.show(502, _UNREACHABLE, "/")

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """Log why a log-in failed, without the request's address, which contains the provider's code."""
        _log.info("a log-in through the identity provider failed: %s", shown(str(error) or kind.__name__))


def oauth_handler(provider: str) -> type[RequestHandler]:
    """Return the handler of ``/oauth`` for one of `PROVIDERS`."""
    return type("OAuth", (_OAuth, OAUTH_HANDLERS[provider]), {"__doc__": _OAuth.__doc__})
