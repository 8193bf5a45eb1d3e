"""Where the service is, and how an HTTP client should go there."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tidewire.errors import InvalidInput
from tidewire.settings import ClientSettings, load_settings

__all__ = ["client_options", "service_url"]


def service_url(url: str | None) -> str:
    """Return the base URL of the service: the argument, else ``TIDEWIRE_URL``, else its default, without a final slash.

    Raises:
        InvalidInput: not http:// or https://.
    """
    base = (url or load_settings(ClientSettings).url).rstrip("/")
    if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).netloc:
        raise InvalidInput("url", base, "expected http://host:port or https://host:port of a Tidewire service")
    return base


def client_options(base: str) -> dict[str, Any]:
    """Return options of an httpx client for a service: a proxy of the environment is never used for this machine."""
    return {"trust_env": urlsplit(base).hostname not in {"127.0.0.1", "localhost", "::1"}, "follow_redirects": False}
