"""The connections to the server that has some keys, for asyncio: a bounded pool, deadlines, and what errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tidewire.errors import LayoutMismatch, LogFull, LogUnavailable, TidewireError
from tidewire.redislog.calls import ServerInfo, parse_info
from tidewire.redislog.connections import ConnectionPool, Wire, names_another_server
from tidewire.redislog.locator import BlockingLocator, Locator, Socket, locator_of
from tidewire.redislog.redis_url import Address, RedisTarget
from tidewire.redislog.refusals import said

__all__ = ["RedisServer", "translated"]

_POOL: Final = 16  # connections of one process to one server
_GIVE_UP_EACH_S: Final = 0.1  # a server that refuses every command costs ten rounds of connections a second
_OnError = Callable[[BaseException], None]


@contextmanager
def translated(
    url: str, on_error: _OnError | None = None, *, locator: Locator | BlockingLocator | None = None
) -> Iterator[None]:
    """Translate the errors of redis-py; the message never contains a password.

    `on_error` is called with each error before it is raised as `LogUnavailable`.
    """
    try:
        yield
    except TidewireError:
        raise
    except redis.OutOfMemoryError as error:
        raise LogFull(
            f"Redis at {url} is full and refuses appends ({error}); free memory or raise maxmemory"
        ) from error
    except (redis.RedisError, OSError, TimeoutError, ValueError) as error:
        if isinstance(error, redis.ResponseError) and str(error).startswith("LAYOUT "):
            raise LayoutMismatch(f"the log at {url} is split into other partitions than it was: start again") from error
        if on_error is not None:
            on_error(error)
        clustered = locator is not None and locator.clustered
        never = clustered and locator is not None and not locator.reached
        why = said(error, by_sentinel="+sentinel://" in url, clustered=clustered, never_reached=never)
        raise LogUnavailable(f"Redis at {url}: {why}") from error
    except RuntimeError as error:
        if "the handler is closed" not in str(error):
            raise
        if on_error is not None:
            on_error(redis.ConnectionError(str(error)))
        # uvloop's message for a transport that closed between redis-py's check and its write
        raise LogUnavailable(f"Redis at {url}: the connection was closed") from error


@contextmanager
def _cancellable(url: str, on_error: _OnError, locator: Locator) -> Iterator[None]:
    """Translate errors, and lose no cancellation: redis-py sends with `wait_for`, which swallows it in Python 3.11.

    An error of the same call must not hide it either: a caller that retries after errors would never end.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        with translated(url, on_error, locator=locator):
            yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class RedisServer:
    """The server that has a key, and those that share its hash tag.

    Attributes:
        url: of the Redis, without a password.
        timeout_s: deadline of one command, seconds.
        redis: redis-py's client of it; whoever uses it does so within `beside`.
        locator: where the server is.
        on_given_up: called when all connections were given up, so that others to the same URL follow; or None.
        on_moved: called when the primary is another server, so that others follow at once; or None.

    Args:
        target: what the URL names.
        key: that the server has; in a Cluster it tells which one that is.
        url: as it is shown.
        timeout_s: deadline of one command, seconds.

    Raises (every method): LogUnavailable: no answer in time, or a refusal that may pass.
    """

    def __init__(self, target: RedisTarget, key: str, *, url: str, timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.locator = locator_of(target, key)
        self.locator.on_moved = self._leave
        with translated(url):
            self._pool = ConnectionPool.from_url(
                target.url,
                locator=self.locator,
                max_connections=_POOL,
                timeout=timeout_s,
                socket_timeout=timeout_s,
                socket_connect_timeout=min(timeout_s, 2.0),
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                client_name="tidewire",
            )
        self.redis = redis.asyncio.Redis.from_pool(self._pool)
        self.on_given_up: Callable[[], None] | None = None
        self.on_moved: Callable[[], None] | None = None
        self._gave_up_s = float("-inf")
        self._giving_up: asyncio.TimerHandle | None = None  # again, when the pause after the last time is over
        self._others_too = False

    def beside(self) -> AbstractContextManager[None]:
        """Return a context for commands on other keys: it translates their errors and loses no cancellation."""
        return _cancellable(self.url, self._on_error, self.locator)

    def _on_error(self, error: BaseException) -> None:
        if names_another_server(error):
            self.locator.doubt()
            # a hanging server leaves the live connection as it is: that one has deadlines of its own
            self.give_up(also_others=not isinstance(error, redis.exceptions.TimeoutError))

    def give_up(self, *, also_others: bool = False) -> None:
        """Use no connection of now again: the server behind the URL may be another one.

        Args:
            also_others: call `on_given_up`.
        """
        self._others_too = self._others_too or also_others
        pause_s = self._gave_up_s + _GIVE_UP_EACH_S - monotonic()
        if pause_s <= 0:
            self._give_up()
        elif self._giving_up is None:  # what was opened meanwhile may lead to the old server, and never be asked again
            self._giving_up = asyncio.get_running_loop().call_later(pause_s, self._give_up)

    def _give_up(self) -> None:
        also_others, self._others_too = self._others_too, False
        self._gave_up_s, self._giving_up = monotonic(), None
        self._pool.give_up()
        if also_others and self.on_given_up is not None:
            self.on_given_up()

    def break_off(self) -> None:
        """End all commands in flight with an error: the server does not answer."""
        if not isinstance(self.locator, Socket):
            self._pool.leave(Address("", 0))

    def _leave(self, address: Address) -> None:
        """Let no connection stay at another server than the one that is the primary now."""
        self._pool.leave(address)
        if self.on_moved is not None:
            self.on_moved()

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """Hold one connection, for reads that belong together."""
        with self.beside():
            async with self._pool.wire() as wire:
                yield wire

    async def ping(self) -> float:
        """Return how long Redis took to answer, in seconds."""
        started = monotonic()
        with self.beside():
            await self.redis.execute_command("PING")
        return monotonic() - started

    async def run(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands on other keys, such as tokens and tickets, as one transaction; return their replies."""
        with self.beside():
            async with self.redis.pipeline(transaction=True) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                replies: list[Any] = await pipe.execute()
        return replies

    async def info(self) -> ServerInfo:
        """Return the server's own description."""
        with self.beside():
            info = await self.redis.info("everything")
        return parse_info(info)

    async def close(self) -> None:
        """Close all connections; one that a hanging server keeps open is left behind after 2 s, without an error."""
        if self._giving_up is not None:
            self._giving_up.cancel()
        await self.locator.close()
        with suppress(redis.RedisError, OSError):
            await self.redis.aclose()
