"""The connections of a log: several reads down one of them, giving up all of them, and leaving a server at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import redis
import redis.asyncio
import redis.connection
from redis.asyncio.connection import AbstractConnection

from tidewire.redislog.cluster import BlockingEndpoint, Endpoint
from tidewire.redislog.locator import BlockingLocator, Locator, Socket
from tidewire.redislog.redis_url import Address
from tidewire.redislog.refusals import NoLog, refusal_of, says_cluster
from tidewire.redislog.sentinel import BlockingSentinel

__all__ = ["BlockingConnections", "ConnectionPool", "Wire", "names_another_server"]

_COMMANDS_AT_ONCE: Final = 200  # sent before their replies are read: bounds what Redis buffers for us

_ELSEWHERE: Final = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,  # MASTERDOWN too
    redis.exceptions.AskError,  # MOVED too
    redis.exceptions.ConnectionError,  # LOADING too
    redis.exceptions.TimeoutError,
    OSError,
)


def names_another_server(error: BaseException | None) -> bool:
    """Return whether an error says that the server of a connection may no longer be the one behind the URL."""
    if isinstance(error, redis.exceptions.ConnectionError) and isinstance(error.__cause__, asyncio.TimeoutError):
        return False  # all connections of the pool were busy
    return isinstance(error, _ELSEWHERE) and not isinstance(error, redis.exceptions.AuthenticationError)


class _Elsewhere(redis.ConnectionError):
    """The server is a node of a Cluster, so the log may be at another one: connect again."""


class _Greeting:
    """What a log asks of the server at the other end of a new connection; shared by the connections of a pool."""

    def __init__(self, locator: Locator | BlockingLocator) -> None:
        self._locator = locator
        self._by_sentinel = locator.target.sentinels is not None
        self._known = False  # what the server is

    @property
    def _question(self) -> str:
        """The role of each server that Sentinels name; else what it is, until that is known."""
        if self._by_sentinel:
            return "ROLE"
        return "" if self._known else "HELLO"

    async def exchange(self, connection: AbstractConnection) -> None:
        """Log in, select the database, and ask.

        Raises:
            NoLog: the server can hold no log.
            _Elsewhere: it is a node of a Cluster, which nobody knew.
            ReadOnlyError: it was the primary a moment ago, or will be one in a moment.
        """
        await connection.on_connect()
        if question := self._question:
            await connection.send_command(question)
            try:
                answer = await connection.read_response()
            except redis.ResponseError:  # before Redis 6, or a user who may not ask
                answer = None
            self._check(answer)

    def exchange_blocking(self, connection: Any) -> None:
        """Do as `exchange`."""
        connection.on_connect()
        if question := self._question:
            connection.send_command(question)
            try:
                answer = connection.read_response()
            except redis.ResponseError:  # as above
                answer = None
            self._check(answer)

    def _check(self, answer: Any) -> None:
        address = self._locator.address
        if self._by_sentinel:
            if isinstance(answer, list) and answer[:1] == [b"slave"]:
                raise redis.ReadOnlyError(f"{address} says so")
        elif refusal := refusal_of(answer, str(address)):
            raise NoLog(refusal)
        elif says_cluster(answer) and not self._locator.clustered:
            if isinstance(self._locator, Endpoint | BlockingEndpoint):
                self._locator.found_cluster()
                raise _Elsewhere(f"{address} is a node of a Cluster")
            raise NoLog("it is a node of a Cluster: write redis+cluster://HOST:PORT, since its socket is of one node")
        self._locator.reached = self._known = True


class Wire:
    """One connection, held for reads that belong together: behind an endpoint, another one may lead elsewhere."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands and return their replies in order; an error reply takes the place of a reply."""
        replies: list[Any] = []
        for first in range(0, len(commands), _COMMANDS_AT_ONCE):
            part = commands[first : first + _COMMANDS_AT_ONCE]
            await self._connection.send_packed_command(self._connection.pack_commands(part))
            for _ in part:
                try:
                    replies.append(await self._connection.read_response())
                except redis.ResponseError as error:
                    replies.append(error)
        return replies


def _packing(connection: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a class of connection that packs commands in C; redis-py for asyncio does not: 4 µs for a batch, not 1."""
    try:
        from hiredis import pack_command as pack  # noqa: PLC0415 - an extra
    except ImportError:
        return connection

    class Packing(connection):  # type: ignore[misc,valid-type]  # of a class that is given
        def pack_command(self, *words: Any) -> list[bytes]:
            if isinstance(words[0], str) and " " in words[0]:
                packed: list[bytes] = super().pack_command(*words)  # several words, which redis-py parts
                return packed
            return [pack(words)]

    return Packing


def _following(connection: type[AbstractConnection], locator: Locator) -> type[AbstractConnection]:
    """Return a class of connection that leads to whatever server is the primary when it connects."""

    class Following(connection):  # type: ignore[misc,valid-type]  # of a class that is given
        async def connect(self) -> None:
            try:
                await super().connect()
            except _Elsewhere:
                await super().connect()

        async def _connect(self) -> None:
            self.host, self.port = address = await locator.locate()
            await super()._connect()
            if address != locator.address:
                self.leave()  # whoever left the old primary meanwhile could not know of this connection

        def leave(self) -> None:
            """Break off: also a command in flight ends at once, with an error."""
            if self._writer is not None:
                self._writer.transport.abort()

    return Following


class ConnectionPool(redis.asyncio.BlockingConnectionPool):
    """A bounded pool that can give up all its connections at once.

    Args:
        locator: where they lead. A server that a URL names is asked once what it is; one that Sentinels name must say
            on every connection that it is a primary.
        options: of redis-py's pool.
    """

    def __init__(self, *, locator: Locator, **options: Any) -> None:
        super().__init__(**options, redis_connect_func=_Greeting(locator).exchange)
        self.connection_class = _packing(self.connection_class)
        if not isinstance(locator, Socket):
            self.connection_class = _following(self.connection_class, locator)
        self._given_up: set[AbstractConnection] = set()

    def leave(self, address: Address) -> None:
        """Break off all connections that lead to another address; commands in flight fail."""
        connections: list[Any] = [*self._available_connections, *self._in_use_connections]
        for connection in connections:
            if (connection.host, connection.port) != address:
                connection.leave()

    def give_up(self) -> None:
        """Use no connection of now for another command; one whose command is in flight lets it end."""
        self._given_up.update(self._available_connections, self._in_use_connections)

    async def get_connection(self, *arguments: Any, **options: Any) -> AbstractConnection:
        """Return a connection, after closing the idle ones that were given up."""
        for connection in self._given_up.intersection(self._available_connections):
            self._given_up.discard(connection)
            await connection.disconnect(nowait=True)
        found: AbstractConnection = await super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]
        return found

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """Hold one connection; it is closed if the body does not end well, since replies may be on their way."""
        connection = await self.get_connection()
        try:
            yield Wire(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await asyncio.shield(self.release(connection))


def _blocking_following(
    connection: type[redis.connection.Connection], locator: BlockingEndpoint | BlockingSentinel
) -> type[redis.connection.Connection]:
    """Return a class of connection that leads to whatever server is the primary when it connects."""

    class Following(connection):  # type: ignore[misc,valid-type]  # of a class that is given
        _open: socket.socket | None = None

        def connect(self) -> None:
            try:
                super().connect()
            except _Elsewhere:
                super().connect()

        def _connect(self) -> socket.socket:
            self.host, self.port = address = locator.locate()
            opened: socket.socket = super()._connect()
            self._open = opened
            if address != locator.address:
                self.leave()  # whoever left the old primary meanwhile could not know of this connection
            return opened

        def leave(self) -> None:
            """Break off, from any thread: a command in flight ends at once, with an error."""
            if self._open is not None:
                with suppress(OSError):  # it is closed already
                    socket.socket.shutdown(self._open, socket.SHUT_RDWR)  # not that of TLS, which is of one thread

    return Following


class BlockingConnections(redis.ConnectionPool):
    """The connections of a blocking log; they lead where a locator says, as those of `ConnectionPool`."""

    def __init__(self, *, locator: BlockingLocator, **options: Any) -> None:
        super().__init__(**options, redis_connect_func=_Greeting(locator).exchange_blocking)
        if not isinstance(locator, Socket):
            self.connection_class = _blocking_following(self.connection_class, locator)

    def reset(self) -> None:
        """Forget all connections: at the start, and in the child of a fork, where they are the parent's."""
        super().reset()
        self._made: list[Any] = []  # of one thread, one

    def make_connection(self) -> Any:
        """Return a new connection, which can be told to leave."""
        made = super().make_connection()
        self._made.append(made)
        return made

    def leave(self, address: Address) -> None:
        """Break off all connections that lead to another address, from any thread; a command in flight fails."""
        for connection in tuple(self._made):
            if (connection.host, connection.port) != address:
                connection.leave()
