"""A partition's Pub/Sub connection: live frames and inbox messages, read with hiredis straight from the transport.

It reconnects by itself and reports nothing: frames and the clock prove continuity, never a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
import structlog
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisError

from tidewire.redislog.keys import Keys
from tidewire.redislog.locator import Locator

__all__ = ["LiveConnection"]

_PING_S: Final = 3.0  # a half-open connection is noticed after three silent intervals at the latest
_CONNECT_S: Final = 2.0
_MAX_BACKOFF_S: Final = 1.0
_SUBSCRIPTIONS: Final = 2  # to the live channel, and to the inbox channels
_ELSEWHERE: Final = ("MOVED ", "ASK ", "CLUSTERDOWN ")  # a node of a Cluster refuses, and its locator is asked
_REMEDY: Final = "the user needs the channels and commands of docs/security.md; 'tidewire doctor' names what is missing"
# Under a flow of small chunks, what comes within this time is read at once: a wake-up costs more than a frame. With
# several partitions each of their connections wakes the process up.
_REST_S: Final = 0.002
_MOST_REST_S: Final = 0.008
_FLOOD_BYTES: Final = 64 << 10  # a chunk of so much says that more waits

logger = structlog.get_logger("tidewire.hub")


def _command(*words: str | bytes) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class _Reader(asyncio.Protocol):
    """Parses replies and passes Pub/Sub messages on; queues nothing."""

    def __init__(self, on_message: Callable[[bytes, bytes], None], rest_s: float) -> None:
        self._on_message = on_message
        self._rest_s = rest_s
        self._loop = asyncio.get_running_loop()
        self._received_s = 0.0
        self._parser = hiredis.Reader()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.transport: asyncio.Transport | None = None
        self.received = False
        self.subscribed = 0
        self.refusal = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received = True
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not False:
                self._dispatch(reply)
        except hiredis.ProtocolError as error:
            logger.warning("live_connection_garbled", error=str(error))
            self.abort()
        now_s = self._loop.time()
        if now_s - self._received_s < self._rest_s and len(data) < _FLOOD_BYTES and self.transport is not None:
            self.transport.pause_reading()
            self._loop.call_later(self._rest_s, self._read_on)
        self._received_s = now_s

    def _read_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _dispatch(self, reply: Any) -> None:
        if isinstance(reply, list):
            kind = reply[0]
            if kind in {b"message", b"smessage"}:
                self._on_message(reply[1], reply[2])
            elif kind == b"pmessage":
                self._on_message(reply[2], reply[3])
            elif kind in {b"subscribe", b"ssubscribe", b"psubscribe"}:
                self.subscribed += 1
            elif kind == b"sunsubscribe":  # the channel's hash slot is another node's now
                self.abort()
        elif isinstance(reply, hiredis.ReplyError):
            self.refusal = str(reply)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    """Return the TLS context that redis-py makes of the same URL (``ssl_ca_certs=`` and the like); None without TLS."""
    kind = options.get("connection_class")
    if kind is None or not issubclass(kind, SSLConnection):
        return None
    named = {name: value for name, value in options.items() if name.startswith("ssl_")}
    context: ssl.SSLContext = kind(**named).ssl_context.get()
    return context


class LiveConnection:
    """Keeps one subscribed connection up.

    Args:
        locator: where Redis is; asked at each attempt to connect.
        keys: whose live channel and inbox channels to listen to.
        on_message: called with (channel, payload) for each message; must be quick.
        beside: how many such connections the process has.
    """

    def __init__(
        self, locator: Locator, keys: Keys, on_message: Callable[[bytes, bytes], None], beside: int = 1
    ) -> None:
        self._locator = locator
        self._options: dict[str, Any] = dict(parse_url(locator.target.url))
        self._tls = _tls(self._options)
        self._keys = keys
        self._on_message = on_message
        self._rest_s = min(_MOST_REST_S, max(_REST_S, _REST_S * beside / 2))
        self._reader: _Reader | None = None
        self._moved = asyncio.Event()
        self.connects = 0

    @property
    def up(self) -> bool:
        """Whether both subscriptions were confirmed on a connection that is still open."""
        return self._reader is not None and self._reader.subscribed >= _SUBSCRIPTIONS and not self._reader.closed.done()

    def rebuild(self) -> None:
        """Drop the connection; `run` makes a new one."""
        if self._reader is not None:
            self._reader.abort()

    def move(self) -> None:
        """Drop the connection; `run` makes a new one without a pause."""
        self._moved.set()
        self.rebuild()

    async def run(self) -> None:
        """Connect, listen, reconnect with jitter; until cancelled."""
        backoff_s, refusal = 0.05, ""
        while True:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    reader = await self._connect()
            except (OSError, TimeoutError, RedisError) as error:
                logger.debug("live_connection_failed", error=str(error))
                self._locator.doubt()
                reader = None
            if reader is not None:
                try:
                    await self._listen(reader)
                finally:
                    reader.abort()
                    self._reader = None
                self._locator.doubt()
                if reader.subscribed == _SUBSCRIPTIONS:
                    backoff_s, refusal = 0.05, ""
                elif reader.refusal.startswith(_ELSEWHERE):
                    logger.debug("live_connection_elsewhere", error=reader.refusal)
                elif reader.refusal and reader.refusal != refusal:  # once, and not at each attempt
                    refusal = reader.refusal
                    logger.warning("live_connection_refused", error=refusal, remedy=_REMEDY)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_s * random.uniform(0.5, 1.5)):  # noqa: S311 - jitter
                    await self._moved.wait()
            backoff_s = 0.05 if self._moved.is_set() else min(_MAX_BACKOFF_S, backoff_s * 2)
            self._moved.clear()

    async def _connect(self) -> _Reader:
        loop, options = asyncio.get_running_loop(), self._options
        reader = _Reader(self._on_message, self._rest_s)
        try:
            address = await self._locator.locate()
            if address.port == 0:
                await loop.create_unix_connection(lambda: reader, address.host)
            else:
                await loop.create_connection(lambda: reader, *address, ssl=self._tls)
            if address != self._locator.address:  # the primary is another one since, and `rebuild` was called too soon
                raise ConnectionAbortedError(f"{address} is the primary no more")
        except BaseException:
            reader.abort()  # it may have been made in the moment in which it was no longer wanted
            raise
        assert reader.transport is not None  # noqa: S101 - create_connection has called connection_made
        commands = []
        if options.get("password"):
            user = (options["username"],) if options.get("username") else ()
            commands.append(_command("AUTH", *user, options["password"]))
        commands.append(_command("CLIENT", "SETNAME", "tidewire-hub"))
        commands.append(_command("SSUBSCRIBE" if self._locator.clustered else "SUBSCRIBE", self._keys.live))
        commands.append(_command("PSUBSCRIBE", self._keys.inbox_channels))
        reader.transport.write(b"".join(commands))
        self.connects += 1
        self._reader = reader
        return reader

    async def _listen(self, reader: _Reader) -> None:
        """Wait until a connection ends; also end it if the peer does not answer a ping in time."""
        while not reader.closed.done():
            reader.received = False
            if reader.transport is not None:
                reader.transport.write(_command("PING"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PING_S):
                    await asyncio.shield(reader.closed)
                return
            if not reader.received:
                logger.warning("live_connection_silent", seconds=_PING_S)
                return
