"""Refuses requests with an oversized head, a foreign Host or a foreign origin, before any route sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from tidewire.errors import shown
from tidewire_service.errors import (
    ForeignOrigin,
    HeadersTooLarge,
    HostMalformed,
    HostNotServed,
    PathNotFound,
    RequestRefused,
    UrlTooLong,
)
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.settings import ANY_HOST, ServiceSettings
from tidewire_service.web.declaration import RouteTable
from tidewire_service.web.problems import refuse

__all__ = ["OriginGuard", "host_name"]

_PROBES: Final = "/health/"  # what asks these knows an address, and they tell nothing that a foreign page may not know
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# On every answer; the schema page alone widens its own policy.
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
)


def host_name(authority: str) -> str | None:
    """Return the host of ``host[:port]``, lower case and without brackets; None for any other form."""
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
    if not host or not port.isascii() or (port and not port.isdigit()):
        return None
    return host.lower()


class OriginGuard:
    """An ASGI middleware in front of the authorization.

    A browser says which page sent a request (``Origin``, ``Sec-Fetch-Site``): pages of other sites may not write,
    stream or read. A name that an attacker rebinds to 127.0.0.1 is not among the allowed hosts. Other programs send
    neither header and pass.
    """

    def __init__(
        self, app: ASGIApp, routes: RouteTable, settings: ServiceSettings, limit_counters: LimitCounters
    ) -> None:
        """Guard `app`, with the limits, hosts and origins of `settings`."""
        self._app = app
        self._routes = routes
        self._limit_counters = limit_counters
        self._max_header_bytes = settings.max_header_bytes
        self._max_url_bytes = settings.max_url_bytes
        self._hosts = frozenset(name.lower().strip("[]") for name in (*settings.allowed_hosts, settings.host))
        self._any_host = ANY_HOST in settings.allowed_hosts
        self._origins = frozenset(settings.allowed_origins)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Refuse the request, or pass it on. Not a coroutine function, so that an open stream keeps no frame of it."""
        if scope["type"] != ScopeType.HTTP:
            return self._app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is not None:
            self._limit_counters.count(refusal.limit)
            self._routes.authorizing(scope)  # a route may have words of its own for it
            return refuse(scope, _with_headers(send), refusal)
        scope["tidewire.send"] = send  # type: ignore[typeddict-unknown-key]  # what a stream steps by hand
        return self._app(scope, receive, _with_headers(send, self._allowed_origin(scope) if self._origins else b""))

    def _allowed_origin(self, scope: HTTPScope) -> bytes:
        """Return the request's origin if it is in `allowed_origins`, else nothing."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        return origin if origin.decode("latin-1").lower() in self._origins else b""

    def _refusal(self, scope: HTTPScope) -> RequestRefused | None:
        size = 0
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            size += len(name) + len(value) + 4
            if name == b"host" and name in found:
                return HostMalformed("the request names its Host twice")
            found[name] = value
        if size > self._max_header_bytes:
            return HeadersTooLarge(size, self._max_header_bytes)
        url = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if url > self._max_url_bytes:
            return UrlTooLong(url, self._max_url_bytes)
        if "//" in scope["path"]:  # the router ignores empty levels, so the authorization would see another path
            return PathNotFound()
        return self._foreign_host(scope, found) or self._foreign_page(scope, found)

    def _foreign_host(self, scope: HTTPScope, headers: dict[bytes, bytes]) -> RequestRefused | None:
        if b"host" not in headers and scope["http_version"] == "1.0":
            return None  # HTTP/1.0 has no such header; a browser, which could be led here by a foreign name, sends it
        given = headers.get(b"host", b"").decode("latin-1")
        host = host_name(given)
        if host is None:
            return HostMalformed(f"the Host {shown(given)} is not of the form name:port")
        if host not in self._hosts and not self._any_host and not scope["path"].startswith(_PROBES):
            detail = (
                f"the Host {shown(given)} is not one of this service; add its name to allowed_hosts if it should be"
            )
            return HostNotServed(detail)
        return None

    def _foreign_page(self, scope: HTTPScope, headers: dict[bytes, bytes]) -> RequestRefused | None:
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        site = headers.get(b"sec-fetch-site", b"")
        if origin:
            own = origin in self._origins or _same_origin(origin, headers.get(b"host", b"").decode("latin-1").lower())
            if own:
                return None
            detail = f"pages of {shown(origin)} may not use this service; add it to allowed_origins if they should"
            return ForeignOrigin(detail)
        if site in (b"", b"same-origin", b"none"):
            return None
        followed_a_link = (
            headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
        )
        if followed_a_link and scope["method"] == "GET":
            declaration = self._routes.find(scope["method"], scope["path"])
            if declaration is None or not declaration.stream:
                return None
        return ForeignOrigin("the request comes from a page of another site")


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS.get(parts.scheme)
        if default is None or parts.hostname is None:
            return False
        port = parts.port or default
    except ValueError:
        return False
    own_port = host.rpartition(":")[2] if not host.endswith("]") and ":" in host else str(default)
    return host_name(host) == parts.hostname and own_port == str(port)


def _with_own(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    headers = list(headers)
    given = {name.lower() for name, _ in headers}
    return [*headers, *(header for header in _HEADERS if header[0] not in given)]


_with_own_once = lru_cache(maxsize=8)(_with_own)


def _with_headers(send: Send, origin: bytes = b"") -> Send:
    """Return a `send` that adds the headers of every answer; not a coroutine function, which each send would pay for.

    A page of an allowed origin may read refusals too; without the header it would see network errors.
    """

    def sending(message: Message) -> object:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            # a stream's are always the same tuple
            message["headers"] = _with_own_once(headers) if type(headers) is tuple else _with_own(headers)
            if origin and not any(name.lower() == b"access-control-allow-origin" for name, _ in message["headers"]):
                message["headers"] = [
                    *message["headers"], (b"access-control-allow-origin", origin), (b"vary", b"Origin"),
                ]  # fmt: skip
        return send(message)

    return sending  # type: ignore[return-value]  # called and awaited, which is all that an ASGI app does with it
