"""Parses the URL of a Redis: what can never work is said when it is given, and not at each attempt to connect."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.asyncio.connection import SSLConnection
from redis.connection import parse_url

from tidewire.errors import InvalidInput
from tidewire.settings import url_fault, without_password

__all__ = ["Address", "RedisTarget", "Sentinels", "check_redis_url", "parse_redis_url"]

_EXPECTED: Final = "expected redis://host:port, or …/3 for the database 3"
_EXPECTED_SENTINELS: Final = (
    "expected redis+sentinel://host:port,host:port,host:port/NAME with the name of the primary, or …/NAME/3 for the "
    "database 3"
)
_ONE_HOST: Final = (
    "expected one host; Sentinels are written redis+sentinel://…/NAME, and the nodes of a Cluster redis+cluster://…"
)
_ESCAPED: Final = "in a password, # is written %23, ? %3F, / %2F and @ %40"
_EXPECTED_CLUSTER: Final = (
    "expected redis+cluster://host:port,host:port,host:port with some nodes of the Cluster, whose only database is 0"
)
_OTHER_FORMS: Final = {  # scheme: what to write instead
    "valkey": "Valkey is written redis://",
    "valkeys": "Valkey over TLS is written rediss://",
    "redis+unix": "a socket is written unix:///path/of/the.socket",
    "redis-cluster": f"the nodes of a Cluster are written so: {_EXPECTED_CLUSTER.removeprefix('expected ')}",
    "redis-socket": "a socket is written unix:///path/of/the.socket",
    "redis+ssl": "Redis over TLS is written rediss://",
    "redis+tls": "Redis over TLS is written rediss://",
}
_SENTINEL_PORT: Final = 26_379
_REDIS_PORT: Final = 6_379
_MOST_NODES: Final = 15  # of one URL
_MOST_MAPPED: Final = 100
_OPTIONS: Final = frozenset(
    {"client_name", "db", "health_check_interval", "max_connections", "password", "username"}
    | {"socket_connect_timeout", "socket_keepalive", "socket_read_size", "socket_timeout"}
)
_SENTINEL_OPTIONS: Final = frozenset({"sentinel_password", "sentinel_username"})
_CLUSTER_OPTIONS: Final = frozenset({"address_map"})
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_ciphers"}
    | {"ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile", "ssl_min_version", "ssl_password"}
)
_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_POSITIVE: Final = ("max_connections", "socket_connect_timeout", "socket_read_size", "socket_timeout")
_SOCKET_PATH_BYTES: Final = 103 if sys.platform == "darwin" else 107  # with its end, what the system has room for
_FORM_OF_SEVERAL: Final = re.compile(
    r"(?P<scheme>rediss?)\+(?:sentinel|cluster)://(?:(?P<user>[^/?#]*)@)?(?P<nodes>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?"
)
_NODE: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)  # as Sentinel's own documentation has it


class Address(NamedTuple):
    """Where a server listens.

    Attributes:
        host: a name or an address; or the path of a socket.
        port: 0 for a socket.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Sentinels(NamedTuple):
    """Who is asked for the primary; its repr has no password.

    Attributes:
        nodes: the Sentinels, at most 15, each once.
        name: of the primary, as they know it.
        username: of the Sentinels, empty for none.
        password: of the Sentinels, empty for none.
    """

    nodes: tuple[Address, ...]
    name: str
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Sentinels({', '.join(map(str, self.nodes))}, name={self.name!r})"


class RedisTarget(NamedTuple):
    """What a URL names; its repr has no password.

    Attributes:
        url: of one server, as redis-py takes it, with its password. With Sentinels its host is the first of them: only
            the user, the database and the options are the primary's.
        sentinels: who says where the primary is; None if the URL does.
        nodes: of a Cluster, who say where a hash slot is; empty if the URL names no Cluster.
        address_map: where nodes are reached that the Cluster names otherwise.
    """

    url: str
    sentinels: Sentinels | None = None
    nodes: tuple[Address, ...] = ()
    address_map: Mapping[Address, Address] = MappingProxyType({})

    def __repr__(self) -> str:
        of = f"nodes={', '.join(map(str, self.nodes))}" if self.nodes else repr(self.sentinels)
        return f"RedisTarget({without_password(self.url)!r}, {of})"


def check_redis_url(url: str) -> None:
    """Check a URL, also what redis-py finds out only when it connects, or silently takes for something else.

    Raises:
        InvalidInput: no URL of a Redis; a host, database, path or option that can never work; a file of an option
            that cannot be read.
    """
    parse_redis_url(url)


def parse_redis_url(url: str) -> RedisTarget:
    """Return what a URL names; see `check_redis_url` for what is refused.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; or ``redis+sentinel://`` or ``rediss+sentinel://``, followed by
            ``[user:password@]host[:port],host[:port]…/NAME[/DATABASE]``, whose ``?sentinel_username=`` and
            ``&sentinel_password=`` are those of the Sentinels. Or ``redis+cluster://`` or ``rediss+cluster://``,
            followed by ``[user:password@]host[:port],host[:port]…``, with ``?address_map=named:port=reached:port,…``.

    Raises:
        InvalidInput: it can never work.
    """
    target = RedisTarget(url)
    try:
        if url.startswith(("redis+sentinel://", "rediss+sentinel://")):
            target = _with_sentinels(url)
            fault = _fault(target.url, _split(target.url))
        elif url.startswith(("redis+cluster://", "rediss+cluster://")):
            target = _with_nodes(url)
            fault = _fault(target.url, _split(target.url))
        else:
            fault = _fault(url, _split(url))
    except (ValueError, OSError, redis.RedisError) as error:  # UnicodeError and SSLError are among them
        fault = str(error)
    if fault:
        raise InvalidInput("url", without_password(url), fault)
    return target


def _split(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ValueError: it has none.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ValueError(url_fault(error)) from None


def _with_sentinels(url: str) -> RedisTarget:
    """Return what the form with Sentinels names; of the rest of it, `_fault` finds the faults.

    Raises:
        ValueError: it is not of that form.
    """
    found, query = _several(url, _EXPECTED_SENTINELS)
    name, *database = found["path"].removeprefix("/").removesuffix("/").split("/")
    if not _NAME.fullmatch(unquote(name)) or len(database) > 1:
        raise ValueError(f"{_EXPECTED_SENTINELS}; {_ESCAPED}")
    if len(database) == 1 and not (database[0].isascii() and database[0].isdecimal()):
        raise ValueError(_EXPECTED_SENTINELS)
    own = _own(query, _SENTINEL_OPTIONS)
    if own.get("sentinel_username") and not own.get("sentinel_password"):
        raise ValueError("sentinel_username needs sentinel_password beside it")
    nodes = _nodes(found["nodes"], _SENTINEL_PORT, _EXPECTED_SENTINELS)
    sentinels = Sentinels(nodes, unquote(name), own.get("sentinel_username", ""), own.get("sentinel_password", ""))
    return RedisTarget(_plain(found, nodes[0], "".join(database), query, own), sentinels)


def _with_nodes(url: str) -> RedisTarget:
    """Return what the form with nodes of a Cluster names; of the rest of it, `_fault` finds the faults.

    Raises:
        ValueError: it is not of that form.
    """
    found, query = _several(url, _EXPECTED_CLUSTER)
    if found["path"] not in {"", "/", "/0"}:
        raise ValueError(f"{_EXPECTED_CLUSTER}; {_ESCAPED}")
    own = _own(query, _CLUSTER_OPTIONS)
    if any(option == "db" and value != "0" for option, value in query):
        raise ValueError(_EXPECTED_CLUSTER)
    nodes = _nodes(found["nodes"], _REDIS_PORT, _EXPECTED_CLUSTER)
    mapped: dict[Address, Address] = {}
    for pair in filter(None, own.get("address_map", "").split(",")):
        named, equals, reached = pair.partition("=")
        address = _address(named, _REDIS_PORT)
        if not equals or address is None or (at := _address(reached, _REDIS_PORT)) is None or address in mapped:
            raise ValueError("address_map: expected named:port=reached:port,… with each named address once")
        mapped[address] = at
    if len(mapped) > _MOST_MAPPED:
        raise ValueError(f"address_map: expected at most {_MOST_MAPPED} addresses")
    return RedisTarget(_plain(found, nodes[0], "", query, own), None, nodes, MappingProxyType(mapped))


def _several(url: str, expected: str) -> tuple[re.Match[str], list[tuple[str, str]]]:
    """Return the parts of a URL with several hosts, and its options."""
    found = _FORM_OF_SEVERAL.fullmatch(url)
    if found is None or not url.isprintable():
        raise ValueError(f"{expected}; {_ESCAPED}")
    if found["user"] is not None and "@" in found["user"]:
        raise ValueError(f"user and password are given once, before the first host; {_ESCAPED}")
    return found, parse_qsl(found["query"] or "", keep_blank_values=True)


def _own(query: list[tuple[str, str]], options: frozenset[str]) -> dict[str, str]:
    """Return the options that are ours, and not redis-py's."""
    own = {option: value for option, value in query if option in options}
    for option in own:
        if [given for given, _ in query].count(option) > 1:
            raise ValueError(f"{option} is given twice")
    return own


def _plain(
    found: re.Match[str], node: Address, database: str, query: list[tuple[str, str]], own: Mapping[str, str]
) -> str:
    """Return the URL of one server, as redis-py takes it."""
    user = "" if found["user"] is None else found["user"] + "@"
    rest = urlencode([(option, value) for option, value in query if option not in own], quote_via=quote)
    return f"{found['scheme']}://{user}{node}/{database}" + (f"?{rest}" if rest else "")


def _address(text: str, port: int) -> Address | None:
    """Return ``host[:port]``; None if it is not of that form."""
    found = _NODE.fullmatch(text)
    port = int((found and found["port"]) or port)
    if found is None or not 0 < port < 1 << 16:
        return None
    address = Address(found["v6"] or found["host"], port)
    address.host.encode("idna")
    return address


def _nodes(listed: str, port: int, expected: str) -> tuple[Address, ...]:
    nodes: dict[Address, None] = {}
    for node in listed.split(","):
        address = _address(node, port)
        if address is None:  # what it is may be a part of a password
            raise ValueError(f"{expected}; {_ESCAPED}")
        if address in nodes:  # the word of a Sentinel would count twice
            raise ValueError(f"{address} is given twice")
        nodes[address] = None
    if len(nodes) > _MOST_NODES:
        raise ValueError(f"expected at most {_MOST_NODES} addresses")
    return tuple(nodes)


def _fault(url: str, parts: SplitResult) -> str:
    """Return what is wrong, empty if nothing is."""
    if not url.startswith(("redis://", "rediss://", "unix://")) or not url.isprintable():
        if "sentinel" in parts.scheme:  # sentinel://, redis-sentinel:// of other clients
            return f"Sentinels are written so: {_EXPECTED_SENTINELS.removeprefix('expected ')}"
        forms = f"{_EXPECTED}, unix:///path, redis+sentinel://…/NAME for Sentinels, or redis+cluster://… for a Cluster"
        return _OTHER_FORMS.get(parts.scheme, forms)
    try:
        good = parts.port != 0 and "#" not in url
    except ValueError:  # says what it found, which may be a part of a password
        good = False
    if not good:
        return _ONE_HOST if "," in parts.netloc.rpartition("@")[2] else f"{_EXPECTED}; {_ESCAPED}"
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
        if "," in host:
            return _ONE_HOST
        host.encode("idna")
    return _fault_of_options(url, parts)


def _fault_of_options(url: str, parts: SplitResult) -> str:
    known = _OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _OPTIONS
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    for name in names:
        shown = name if re.fullmatch(r"\w{1,40}", name, re.ASCII) else "…"  # it may be a part of a password
        if name in _TLS_OPTIONS and parts.scheme != "rediss":
            return (
                f"{name} is an option of TLS: use rediss:// (or rediss+sentinel://, rediss+cluster://), or leave it out"
            )
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
