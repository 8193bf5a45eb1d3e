"""Checks the address and token of a service, and chooses proxies and certificate authorities for it."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from tidewire.errors import InvalidInput
from tidewire.settings import ClientSettings, load_settings, url_fault, without_password

__all__ = ["checked_token", "client_options", "dashboard_url", "service_url", "verification"]

_EXPECTED: Final = "expected http://host:port or https://host:port of a Tidewire service"


def service_url(url: str | None) -> str:
    """Return the base URL of the service: the argument, else ``TIDEWIRE_URL``, else its default, without a final slash.

    Raises:
        InvalidInput: not http:// or https://, no host, a port that is none, or a query.
    """
    base = url or load_settings(ClientSettings).url
    if not isinstance(base, str):
        raise InvalidInput("url", base, _EXPECTED)
    try:
        parts = urlsplit(base)
        host = (parts.hostname or "").encode("idna")
        good = parts.scheme in {"http", "https"} and host and parts.port != 0 and base.isprintable()
    except ValueError as error:
        raise InvalidInput("url", without_password(base), f"{url_fault(error)}; {_EXPECTED}") from None
    if not good or {" ", "?", "#"} & set(base):  # paths are appended to it
        raise InvalidInput("url", without_password(base), _EXPECTED)
    return base.rstrip("/")


def dashboard_url(given: str) -> str:
    """Return the base URL of a dashboard for links to it, without a final slash; empty for none.

    Raises:
        InvalidInput: nothing that a link can lead to, as for `service_url`.
    """
    try:
        return service_url(given) if given else ""
    except InvalidInput:
        shown = without_password(given) if isinstance(given, str) else given
        raise InvalidInput("dashboard", shown, "expected http://host:port or https://host:port") from None


def checked_token(token: str) -> str:
    """Return a bearer token as given.

    Raises:
        InvalidInput: no text that a header can hold, such as one with the line end of its file.
    """
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("token", "…", "expected the token alone: printable ASCII without spaces or line ends")
    return token


def client_options(base: str) -> dict[str, Any]:
    """Return options of an httpx client: proxies of the environment are used, except for this machine."""
    return {"trust_env": not _is_local(base), "follow_redirects": False, "verify": verification(base)}


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def verification(url: str) -> ssl.SSLContext:
    """Return the certificate authorities that a server is verified with.

    The authorities of this machine, so that a company's own works everywhere once it is installed there, or those of
    the file that ``SSL_CERT_FILE`` names; httpx alone knows only the ones of a package. For plain HTTP on this machine,
    where nothing is verified, there are none: to load them takes 20 ms of CPU, and a dashboard has eight clients.
    """
    return _no_authorities() if _is_local(url) and urlsplit(url).scheme == "http" else _authorities()


@lru_cache(maxsize=1)
def _no_authorities() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=1)
def _authorities() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.get_ca_certs():  # none installed, or in a folder that is read as needed
        import certifi  # noqa: PLC0415 - comes with httpx

        context.load_verify_locations(certifi.where())
    return context
