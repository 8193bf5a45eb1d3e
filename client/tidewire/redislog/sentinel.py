"""Finds the primary on which Sentinels agree, and follows it.

Every Sentinel is asked four times a second, over a connection of its own, and at once when it says that it switched
a primary. More than half of those that the URL names must say the same address; else the last one stays. A server
that was promoted without the knowledge of its old connections is found that way: the old primary goes on answering as
one for ten seconds after a failover that somebody asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url as parse_async_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from tidewire.redislog.redis_url import Address, RedisTarget, Sentinels

__all__ = ["BlockingSentinel", "Sentinel", "Votes"]

_EVERY_S: Final = 0.25  # from one question to the next
_PAUSE_S: Final = 0.05  # at least; a Sentinel that switches many primaries says so many times
_REST_S: Final = _EVERY_S - _PAUSE_S
_ANSWER_S: Final = 0.5  # that one Sentinel has for an answer
_CONNECT_S: Final = 2.0  # for the connections to one: some way to and fro for each, more with a log-in and TLS
_SHOWN: Final = 3  # Sentinels whose failure is told
_SWITCHED: Final = "+switch-master"  # the channel of every Sentinel

logger = logging.getLogger("tidewire")


class Votes:
    """What each Sentinel said last, and the address on which most of them agree; no I/O.

    Args:
        sentinels: who may vote; bounds what is kept.

    Attributes:
        address: of the primary, as the majority said it last; None as long as there was none.
    """

    def __init__(self, sentinels: Sentinels) -> None:
        self.address: Address | None = None
        self._sentinels = sentinels
        self._said: dict[Address, Address | str] = {}

    @property
    def complete(self) -> bool:
        """Whether every Sentinel has said something."""
        return len(self._said) == len(self._sentinels.nodes)

    def note(self, node: Address, answer: Address | str) -> bool:
        """Note what a Sentinel said, or why it said nothing; return whether the address is now another one."""
        self._said[node] = answer
        agreed = Counter(said for said in self._said.values() if isinstance(said, Address)).most_common(1)
        if not agreed or agreed[0][1] * 2 <= len(self._sentinels.nodes) or agreed[0][0] == self.address:
            return False
        self.address = agreed[0][0]
        return True

    @property
    def trouble(self) -> str:
        """Why there is no majority, in one sentence."""
        nodes, name = self._sentinels.nodes, self._sentinels.name
        shown = [f"{node}: {self._said.get(node, 'no answer yet')}" for node in nodes[:_SHOWN]]
        if len(nodes) > _SHOWN:
            shown.append("…")
        return f"no majority of {len(nodes)} Sentinels says where {name!r} is ({'; '.join(shown)})"


def _parsed(answer: Any, name: str) -> Address | str:
    """Return what a Sentinel answered: the address of the primary, or why there is none."""
    if answer is None:
        return f"watches no primary named {name!r}"
    try:
        host, port = answer
        address = Address(host.decode(), int(port))
    except (TypeError, ValueError, AttributeError):  # UnicodeDecodeError is a ValueError
        return f"answered {answer!r:.80}"
    return address if address.host and 0 < address.port < 1 << 16 else f"answered {answer!r:.80}"


def _why(error: BaseException) -> str:
    """Return why a Sentinel said nothing."""
    if isinstance(error, (TimeoutError, redis.TimeoutError)):
        return f"no answer within {_ANSWER_S:g} s"
    text = str(error) or type(error).__name__
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
        return f"{text}; give user and password of the Sentinels as ?sentinel_username= and &sentinel_password="
    if "unknown command" in text.lower():
        return "is no Sentinel"
    return text


def _connection(target: RedisTarget, node: Address, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Return the options of a connection to a Sentinel: with the TLS of the URL, and with credentials of its own."""
    named = parse(target.url)
    options = {option: value for option, value in named.items() if option.startswith(("ssl_", "connection_class"))}
    assert target.sentinels is not None  # noqa: S101 - who asks has them
    return options | {
        "host": node.host,
        "port": node.port,
        "username": target.sentinels.username or None,
        "password": target.sentinels.password or None,
        "socket_timeout": _ANSWER_S,
        "socket_connect_timeout": _ANSWER_S,
        "protocol": 2,
        "client_name": "tidewire-locator",
    }


class _Followed:
    """What is known of the primary; no I/O.

    Attributes:
        target: what the URL names.
        reached: a connection to the primary has once been good.
        on_moved: called with the new address; or None.
    """

    clustered = False

    def __init__(self, target: RedisTarget) -> None:
        assert target.sentinels is not None  # noqa: S101 - see locator.py
        self.target = target
        self.reached = False
        self.on_moved: Callable[[Address], None] | None = None
        self._sentinels = target.sentinels
        self._votes = Votes(self._sentinels)

    @property
    def address(self) -> Address | None:
        """Of the primary."""
        return self._votes.address

    def doubt(self) -> None:
        """Do nothing: the Sentinels are asked all the time."""


class Sentinel(_Followed):
    """The primary on which Sentinels agree, for asyncio; watched from the first `locate` to `close`.

    Keeps two connections to each Sentinel: one for questions, one that hears of switches.
    """

    def __init__(self, target: RedisTarget) -> None:
        super().__init__(target)
        self._heard = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    async def locate(self) -> Address:
        """Return the address of now; the first time, wait until most Sentinels have answered, or all had their time."""
        if self._watch is None or self._watch.done():
            self._closed = False
            self._watch = asyncio.create_task(self._follow_all(), name="tidewire-sentinels")
        votes, watch = self._votes, self._watch
        while votes.address is None and not votes.complete:
            self._heard.clear()
            await self._heard.wait()
            if self._watch is not watch:
                raise redis.ConnectionError("the log was closed meanwhile")
        if votes.address is None:
            raise redis.ConnectionError(votes.trouble)
        return votes.address

    async def close(self) -> None:
        """End the connections to the Sentinels, until `locate` is called again; the last address stays."""
        self._closed = True
        watch, self._watch = self._watch, None
        self._heard.set()  # for who waits for the first answer
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _follow_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for node in self._sentinels.nodes:
                group.create_task(self._follow(node))

    async def _follow(self, node: Address) -> None:
        while not self._closed:
            try:
                await self._listen(node)
            except (redis.RedisError, OSError, ValueError, RuntimeError) as error:  # uvloop's for a closed transport
                self._note(node, _why(error))
            except Exception as error:  # the top of a task: one Sentinel must not end the others
                logger.exception("the Sentinel %s could not be asked", node)
                self._note(node, type(error).__name__)
            await asyncio.sleep(_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def _listen(self, node: Address) -> None:
        """Ask one Sentinel again and again; until an error, or a cancellation that redis-py swallowed."""
        options = _connection(self.target, node, parse_async_url)  # type: ignore[arg-type]  # of a TypedDict
        make = options.pop("connection_class", redis.asyncio.Connection)
        asked, hearing = (make(**options, retry=AsyncRetry(NoBackoff(), 0)) for _ in range(2))
        question = asked.pack_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._sentinels.name)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.gather(asked.connect(), hearing.connect())
                await hearing.send_command("SUBSCRIBE", _SWITCHED)
            may_hear = True
            while not self._closed:
                async with asyncio.timeout(_ANSWER_S):
                    await asked.send_packed_command(question)
                    answer = await asked.read_response()
                self._note(node, _parsed(answer, self._sentinels.name))
                try:
                    heard = await (hearing.read_response(timeout=_EVERY_S) if may_hear else asyncio.sleep(_EVERY_S))
                except redis.exceptions.NoPermissionError:
                    heard, may_hear = None, False  # a switch is found by asking
                if heard is not None:
                    await asyncio.sleep(_PAUSE_S)
        finally:
            for connection in (asked, hearing):
                await connection.disconnect(nowait=True)

    def _note(self, node: Address, answer: Address | str) -> None:
        before = self._votes.address
        moved = self._votes.note(node, answer)
        self._heard.set()
        if moved and before is not None and self.address is not None and self.on_moved is not None:
            self.on_moved(self.address)


class BlockingSentinel(_Followed):
    """The primary on which Sentinels agree, for a thread; watched from daemon threads, one for each Sentinel.

    The first answer is asked for in the thread that needs it: at the end of the interpreter no other thread can start.
    `on_moved` is called in a thread of the watch.
    """

    def __init__(self, target: RedisTarget) -> None:
        super().__init__(target)
        self._begin()

    def _begin(self) -> None:
        self._votes = Votes(self._sentinels)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._process = os.getpid()

    def locate(self) -> Address:
        """Return the address of now; the first time, ask the Sentinels, one after the other.

        Raises:
            redis.ConnectionError: there is no majority.
        """
        if self._process != os.getpid() or self._closed.is_set():
            self._begin()  # a fork has none of its parent's threads
        if self._votes.address is None:
            for node, answer in self.ask_all():
                self._note(node, answer)
                if self._votes.address is not None:
                    break
        if self._votes.address is None:
            raise redis.ConnectionError(self._votes.trouble)
        if not self._threads:
            with suppress(RuntimeError):  # the interpreter ends
                self._start()
        return self._votes.address

    def ask_all(self) -> Any:
        """Yield for each Sentinel its address, and that of the primary or why it said none."""
        for node in self._sentinels.nodes:
            try:
                with self._client(node) as asked:
                    yield node, self._asked(asked)
            except (redis.RedisError, OSError, ValueError) as error:
                yield node, _why(error)

    def close(self) -> None:
        """End the threads, which takes a quarter of a second at most, or as long as a Sentinel has for an answer."""
        self._closed.set()
        if self._process == os.getpid():
            ends_s = time.monotonic() + _ANSWER_S
            for thread in self._threads:
                thread.join(max(0.0, ends_s - time.monotonic()))

    def _start(self) -> None:
        for node in self._sentinels.nodes:
            thread = threading.Thread(
                target=self._follow, args=(node, self._closed), name=f"tidewire-sentinel-{node}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def _client(self, node: Address) -> redis.Redis:
        options = _connection(self.target, node, parse_url)
        pool = redis.ConnectionPool(**options, retry=Retry(NoBackoff(), 0))
        return redis.Redis.from_pool(pool)

    def _asked(self, asked: redis.Redis) -> Address | str:
        name = self._sentinels.name
        answer = asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)  # type: ignore[no-untyped-call]
        return _parsed(answer, name)

    def _follow(self, node: Address, closed: threading.Event) -> None:
        while not closed.is_set():
            try:
                with self._client(node) as asked, asked.pubsub() as switches:
                    switches.subscribe(_SWITCHED)
                    may_hear = True
                    while not closed.is_set():
                        self._note(node, self._asked(asked))
                        closed.wait(_PAUSE_S)
                        try:
                            _ = switches.get_message(timeout=_REST_S) if may_hear else closed.wait(_REST_S)
                        except redis.exceptions.NoPermissionError:
                            may_hear = False  # a switch is found by asking
            except (redis.RedisError, OSError, ValueError) as error:
                self._note(node, _why(error))
            except Exception as error:  # the top of a thread: it must go on
                logger.exception("the Sentinel %s could not be asked", node)
                self._note(node, type(error).__name__)
            closed.wait(_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    def _note(self, node: Address, answer: Address | str) -> None:
        with self._lock:
            before = self._votes.address
            moved = self._votes.note(node, answer)
            address = self._votes.address
        if moved and before is not None and address is not None and self.on_moved is not None:
            self.on_moved(address)
