"""Where the service is, and how an HTTP client should go there."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from tidewire.errors import InvalidInput
from tidewire.settings import ClientSettings, load_settings, without_password

__all__ = ["checked_token", "client_options", "service_url"]

_EXPECTED: Final = "expected http://host:port or https://host:port of a Tidewire service"


def service_url(url: str | None) -> str:
    """Return the base URL of the service: the argument, else ``TIDEWIRE_URL``, else its default, without a final slash.

    Raises:
        InvalidInput: not http:// or https://, no host, or a port that is none.
    """
    base = url or load_settings(ClientSettings).url
    if not isinstance(base, str):
        raise InvalidInput("url", base, _EXPECTED)
    try:
        parts = urlsplit(base)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and base.isprintable()
    except ValueError as error:
        raise InvalidInput("url", without_password(base), f"{error}; {_EXPECTED}") from None
    if not good or " " in base:
        raise InvalidInput("url", without_password(base), _EXPECTED)
    return base.rstrip("/")


def checked_token(token: str) -> str:
    """Return a bearer token as given.

    Raises:
        InvalidInput: no text that a header can hold, such as one with the line end of its file.
    """
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("token", "…", "expected the token alone: printable ASCII without spaces or line ends")
    return token


def client_options(base: str) -> dict[str, Any]:
    """Return options of an httpx client for a service: a proxy of the environment is never used for this machine."""
    return {"trust_env": urlsplit(base).hostname not in {"127.0.0.1", "localhost", "::1"}, "follow_redirects": False}
