"""Checks the URL of a Redis: what can never work is said when it is given, and not at each attempt to connect."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis
from redis.asyncio.connection import SSLConnection
from redis.connection import parse_url

from tidewire.errors import InvalidInput
from tidewire.settings import without_password

__all__ = ["check_redis_url"]

_EXPECTED: Final = "expected redis://host:port, or …/3 for the database 3"
_ESCAPED: Final = "in a password, # is written %23, ? %3F and / %2F"
_OPTIONS: Final = frozenset(
    {"client_name", "db", "health_check_interval", "max_connections", "password", "username"}
    | {"socket_connect_timeout", "socket_keepalive", "socket_read_size", "socket_timeout"}
)
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_ciphers"}
    | {"ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile", "ssl_min_version", "ssl_password"}
)
_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_POSITIVE: Final = ("max_connections", "socket_connect_timeout", "socket_read_size", "socket_timeout")
_SOCKET_PATH_BYTES: Final = 103 if sys.platform == "darwin" else 107  # with its end, what the system has room for


def check_redis_url(url: str) -> None:
    """Check a URL, also what redis-py finds out only when it connects, or silently takes for something else.

    Raises:
        InvalidInput: no URL of a Redis; a host, database, path or option that can never work; a file of an option
            that cannot be read.
    """
    try:
        parts = urlsplit(url)
        fault = _fault(url, parts)
    except (ValueError, OSError, redis.RedisError) as error:  # UnicodeError and SSLError are among them
        fault = str(error)
    if fault:
        raise InvalidInput("url", without_password(url), fault)


def _fault(url: str, parts: SplitResult) -> str:
    """Return what is wrong, empty if nothing is."""
    if not url.startswith(("redis://", "rediss://", "unix://")) or not url.isprintable():
        return _EXPECTED
    try:
        good = parts.port != 0 and "#" not in url
    except ValueError:  # says what it found, which may be a part of a password
        good = False
    if not good:
        return f"{_EXPECTED}; {_ESCAPED}"
    if parts.scheme == "unix":
        path = unquote(parts.path)
        if parts.hostname or not path.strip("/"):
            return "expected unix:///path/of/the.socket, with three slashes"
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
            return f"the path of a socket has at most {_SOCKET_PATH_BYTES} bytes"
    else:
        database, host = parts.path.strip("/"), unquote(parts.hostname or "")
        if (database and not (database.isascii() and database.isdecimal())) or " " in host:
            return _EXPECTED
        host.encode("idna")
    return _fault_of_options(url, parts)


def _fault_of_options(url: str, parts: SplitResult) -> str:
    known = _OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _OPTIONS
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    for name in names:
        shown = name if re.fullmatch(r"\w{1,40}", name, re.ASCII) else "…"  # it may be a part of a password
        if name in _TLS_OPTIONS and parts.scheme != "rediss":
            return f"{name} is an option of TLS: use rediss://, or leave it out"
        if name not in known:
            return f"{shown} is not an option; those are {', '.join(sorted(known))}; {_ESCAPED}"
        if names.count(name) > 1:
            return f"{name} is given twice"
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    if any(options.get(name, 1) <= 0 for name in _POSITIVE) or options.get("health_check_interval", 0) < 0:
        return "expected times and sizes above zero"
    if options.get("db", 0) < 0:
        return _EXPECTED
    if parts.scheme == "rediss":
        for name in _FILES:
            if name in options and not os.access(options[name], os.R_OK):
                return f"{name}: {options[name]!r} cannot be read"
        used = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
        # reads the files; without a password OpenSSL would ask the terminal for that of a key
        SSLConnection(**({"ssl_password": ""} | used)).ssl_context.get()
    return ""
