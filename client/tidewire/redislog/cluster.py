"""Finds the server at the address of a URL; if that is a node of a Cluster, the primary of the log's hash slot.

A server that is no node of a Cluster is where the URL says, and nothing is asked. Of a Cluster any node that is known
says who has the slot (CLUSTER SLOTS). It is asked when somebody was not served where the slot was: never more often
than twenty times a second, one question at a time, and its answer is taken as a whole. What it says may be out of date;
then that server does not serve either, and another node is asked.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url as parse_async_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.crc import key_slot
from redis.retry import Retry

from tidewire.redislog.redis_url import Address, RedisTarget

__all__ = ["BlockingEndpoint", "Endpoint", "Shard", "parse_slots"]

_LOOK_EACH_S: Final = 0.05
_ANSWER_S: Final = 0.5  # that one node has for an answer, connecting included
_MOST_NODES: Final = 1_000
_SHOWN: Final = 3  # nodes whose failure is told
_QUESTION: Final = ("CLUSTER", "SLOTS")


class Shard(NamedTuple):
    """Consecutive hash slots, and who serves them.

    Attributes:
        first, last: slots, both inclusive.
        primary: who takes what is written.
        replicas: who follow it.
    """

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...]


def parse_slots(reply: Any, asked: Address, address_map: Mapping[Address, Address]) -> list[Shard]:
    """Return the shards of a reply to CLUSTER SLOTS.

    Args:
        reply: for each range of slots its first and last, then its nodes, the primary first.
        asked: where it came from; a node without a host is there.
        address_map: where nodes are reached that a Cluster names otherwise.

    Raises:
        ValueError: it is no such reply.
    """

    def address_of(node: Any) -> Address:
        host, port = (node[0] or b"").decode(), int(node[1])
        if host == "?":  # it should be a host name, and has none
            more = dict(zip(node[3][::2], node[3][1::2], strict=True)) if len(node) > 3 else {}
            host = more.get(b"ip", b"").decode()
        named = Address(host or asked.host, port)
        return address_map.get(named, named)

    try:
        return [
            Shard(int(first), int(last), address_of(primary), tuple(map(address_of, replicas)))
            for first, last, primary, *replicas in reply
        ]
    except (TypeError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"answered {reply!r:.80}") from error


def _why(error: BaseException) -> str:
    """Return why a node said nothing."""
    if isinstance(error, (TimeoutError, redis.TimeoutError)):
        return f"no answer within {_ANSWER_S:g} s"
    text = str(error) or type(error).__name__
    if "cluster support disabled" in text or "unknown command" in text.lower():
        return "is no node of a Cluster: write redis://"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{text}; its user needs the command cluster|slots"
    return text


class _Endpoint:
    """What is known of where the server is; no I/O.

    Attributes:
        address: where it is; None as long as no node of a Cluster has said it.
        clustered: the URL names nodes of a Cluster, or a server said that it is one.
        reached: a connection to the server at an address has once been good.
    """

    def __init__(self, target: RedisTarget, key: str) -> None:
        options = parse_url(target.url)  # type: ignore[no-untyped-call]
        named = Address(options.get("host") or "127.0.0.1", int(options.get("port") or 6379))
        self.target = target
        self.reached = False
        self.clustered = bool(target.nodes)
        self.address: Address | None = None if self.clustered else named
        self.on_moved: Callable[[Address], None] | None = None
        self.slot = int(key_slot(key.encode()))
        self.shards: list[Shard] = []
        self._named = target.nodes or (named,)
        self._doubted = self.clustered
        self._new = False  # that it is a Cluster
        self._looked_s = float("-inf")
        self._troubles: dict[Address, str] = {}

    def doubt(self) -> None:
        """Take note that the server at the address did not serve: of a Cluster, the next `locate` asks."""
        self._doubted = self.clustered

    def found_cluster(self) -> None:
        """Take note that the server says that it is a node of a Cluster."""
        if not self.clustered:
            self.clustered = self._doubted = self._new = True
            self.address = None

    def _wait_s(self) -> float:
        """Return how long to wait before the next question."""
        return max(0.0, self._looked_s + _LOOK_EACH_S - time.monotonic())

    def _nodes(self) -> list[Address]:
        """Return whom to ask: those that failed when they were asked last come last."""
        known = dict.fromkeys(self._named)
        for shard in self.shards:
            known.update(dict.fromkeys((shard.primary, *shard.replicas)))
        nodes = list(known)[:_MOST_NODES]
        random.shuffle(nodes)
        self._troubles = {node: why for node, why in self._troubles.items() if node in known}
        return sorted(nodes, key=lambda node: node in self._troubles)

    def _take(self, node: Address, reply: Any) -> bool:
        """Adopt an answer; return False if nobody has the slot in it."""
        shards = parse_slots(reply, node, self.target.address_map)
        found = [shard.primary for shard in shards if shard.first <= self.slot <= shard.last]
        if not found:
            self._troubles[node] = f"says that no node has the hash slot {self.slot}"
            return False
        self._troubles.pop(node, None)
        self.shards = shards
        moved = self._new or self.address not in {None, found[0]}
        self.address, self._doubted, self._new = found[0], False, False
        if moved and self.on_moved is not None:
            self.on_moved(self.address)
        return True

    def _fail(self, node: Address, error: BaseException) -> None:
        self._troubles[node] = _why(error)

    @property
    def _trouble(self) -> str:
        shown = [f"{node}: {why}" for node, why in list(self._troubles.items())[:_SHOWN]]
        return f"no node of the Cluster says where the log is ({'; '.join(shown)})"

    def _located(self) -> Address:
        """Return the last address, also if it is in doubt and no node says a better one."""
        if self.address is None:
            raise redis.ConnectionError(self._trouble)
        return self.address

    def _options(self, node: Address, parse: Callable[[str], Any]) -> dict[str, Any]:
        named = dict(parse(self.target.url))
        kept = ("ssl_", "connection_class", "username", "password")
        options = {option: value for option, value in named.items() if option.startswith(kept)}
        return options | {
            "host": node.host,
            "port": node.port,
            "socket_timeout": _ANSWER_S,
            "socket_connect_timeout": _ANSWER_S,
            "protocol": 2,
            "client_name": "tidewire-locator",
        }


class Endpoint(_Endpoint):
    """The server at the address of a URL, or the primary of the log's slot, for asyncio."""

    def __init__(self, target: RedisTarget, key: str) -> None:
        super().__init__(target, key)
        self._looking = asyncio.Lock()

    async def locate(self) -> Address:
        """Return the address of now; ask if it is in doubt.

        Raises:
            redis.ConnectionError: no node says where the slot is.
        """
        if self._doubted:
            async with self._looking:
                if self._doubted:
                    await asyncio.sleep(self._wait_s())
                    await self._look()
        return self._located()

    async def _look(self) -> None:
        self._looked_s = time.monotonic()
        for node in self._nodes():
            try:
                if self._take(node, await self._ask(node)):
                    return
            except (redis.RedisError, OSError, ValueError, RuntimeError) as error:  # uvloop's for a closed transport
                self._fail(node, error)

    async def _ask(self, node: Address) -> Any:
        options = self._options(node, parse_async_url)
        make = options.pop("connection_class", redis.asyncio.Connection)
        connection = make(**options, retry=AsyncRetry(NoBackoff(), 0))
        try:
            async with asyncio.timeout(_ANSWER_S):
                await connection.connect()
                await connection.send_command(*_QUESTION)
                return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Do nothing: nothing is asked in between."""


class BlockingEndpoint(_Endpoint):
    """The server at the address of a URL, or the primary of the log's slot, for one thread."""

    def locate(self) -> Address:
        """Return the address of now; see `Endpoint.locate`."""
        if self._doubted:
            time.sleep(self._wait_s())
            self._looked_s = time.monotonic()
            for node in self._nodes():
                try:
                    if self._take(node, self._ask(node)):
                        break
                except (redis.RedisError, OSError, ValueError) as error:
                    self._fail(node, error)
        return self._located()

    def _ask(self, node: Address) -> Any:
        options = self._options(node, parse_url)
        make = options.pop("connection_class", redis.Connection)
        connection = make(**options, retry=Retry(NoBackoff(), 0))
        try:
            connection.connect()
            connection.send_command(*_QUESTION)
            return connection.read_response()
        finally:
            connection.disconnect()

    def close(self) -> None:
        """Do nothing: nothing is asked in between."""
