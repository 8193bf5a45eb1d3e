"""Finds the server that takes the log's appends, for each form of a URL.

A URL names the server itself, or Sentinels that say which one is the primary (`sentinel`), or nodes of a Cluster, each
of which says where the log's hash slot is (`cluster`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from redis.connection import parse_url

from tidewire.redislog.cluster import BlockingEndpoint, Endpoint
from tidewire.redislog.redis_url import Address, RedisTarget
from tidewire.redislog.sentinel import BlockingSentinel, Sentinel

__all__ = ["BlockingLocator", "Locator", "Socket", "blocking_locator_of", "locator_of"]


class Locator(Protocol):
    """Says where the log's server is.

    Attributes:
        target: what the URL names.
        on_moved: called with the new address when it has changed, from wherever that was heard; or None.
        clustered: the server is a node of a Cluster.
        reached: a connection to the server that was found has once been good.
    """

    target: RedisTarget
    on_moved: Callable[[Address], None] | None
    clustered: bool
    reached: bool

    @property
    def address(self) -> Address | None:
        """Of the server; None as long as nobody has said it."""

    async def locate(self) -> Address:
        """Return the address of now.

        Raises:
            redis.ConnectionError: nobody can say it; the message says who was asked, and what each answered.
        """

    def doubt(self) -> None:
        """Take note that the server at the address did not serve: the next `locate` asks."""

    async def close(self) -> None:
        """Ask no more."""


class Socket:
    """The server behind a Unix socket."""

    clustered = False

    def __init__(self, target: RedisTarget) -> None:
        self.target = target
        self.reached = False
        self.address: Address | None = Address(parse_url(target.url)["path"], 0)  # type: ignore[no-untyped-call]
        self.on_moved: Callable[[Address], None] | None = None

    async def locate(self) -> Address:
        """Return the address."""
        assert self.address is not None  # noqa: S101 - set above
        return self.address

    def doubt(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


BlockingLocator = Socket | BlockingEndpoint | BlockingSentinel


def locator_of(target: RedisTarget, key: str) -> Socket | Endpoint | Sentinel:
    """Return the locator of what a URL names, for asyncio; it asks nothing before it is needed.

    Args:
        target: what the URL names.
        key: of the log; in a Cluster it tells the hash slot.
    """
    if target.sentinels is not None:
        return Sentinel(target)
    return Socket(target) if target.url.startswith("unix:") else Endpoint(target, key)


def blocking_locator_of(target: RedisTarget, key: str) -> BlockingLocator:
    """Return the locator for one thread; see `locator_of`."""
    if target.sentinels is not None:
        return BlockingSentinel(target)
    return Socket(target) if target.url.startswith("unix:") else BlockingEndpoint(target, key)
