"""The connections of one asyncio log: several reads down one of them, and giving up all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection

__all__ = ["ConnectionPool", "Wire", "names_another_server"]

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


class ConnectionPool(redis.asyncio.BlockingConnectionPool):
    """A bounded pool that can give up all its connections at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connection_class = _packing(self.connection_class)
        self._given_up: set[AbstractConnection] = set()

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
