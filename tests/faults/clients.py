"""Publishers and subscribers that keep ledgers: raw sockets that resume by Last-Event-ID, appends that are retried."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import random
import secrets
import socket
import struct
import time
from collections.abc import Sequence
from urllib.parse import quote

from waiting import HANG_S

from tidewire.errors import LogUnavailable
from tidewire.model.batch import EncodedBatch, encode_batch, make_batch
from tidewire.model.sse import Decoder
from tidewire.redislog.log import RedisLog

from .ledger import Book, SubscriberLedger

_SO_ATTACH_FILTER = 26  # Linux
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # classic BPF: return 0 bytes of every packet


class _Connection(asyncio.Protocol):
    """One HTTP response of a stream: head, chunks, events."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._buffer = b""
        self._in_body = False
        self._chunk = 0
        self.status = 0
        self.transport: asyncio.Transport | None = None
        self.decoder = Decoder(subscriber.last_event_id)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._subscriber.request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._in_body:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.status = int(head.split(b" ", 2)[1])
            self._subscriber.statuses.append(self.status)
            self._in_body, self._buffer = True, rest
        while self._buffer:
            if self._chunk == 0:
                line, end, rest = self._buffer.partition(b"\r\n")
                if not end:
                    return
                self._chunk, self._buffer = int(line, 16) + 2, rest  # with its own line end
                if self._chunk == 2:
                    self.abort()
                    return
            piece, self._buffer = self._buffer[: self._chunk], self._buffer[self._chunk :]
            left = self._chunk - len(piece)
            body = piece[: len(piece) - max(0, 2 - left)] if left < 2 else piece
            self._chunk = left
            if body:
                self._subscriber.feed(self.decoder, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Subscriber:
    """A subscriber that reconnects by itself and resumes by Last-Event-ID alone, as a browser does.

    Attributes:
        ledger: what it saw.
        last_event_id: where it will go on.
        statuses: of all its responses.
    """

    def __init__(
        self, name: str, address: tuple[str, int], *patterns: str, replay: str = "none", retry_s: float | None = None
    ) -> None:
        self.ledger = SubscriberLedger(name, patterns, replay=replay)
        self.address = address
        self.last_event_id = ""
        self.statuses: list[int] = []
        self._retry_s = retry_s
        self._told_s = 0.2
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> Subscriber:
        self._task = asyncio.create_task(self._run())
        return self

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.cut()

    def request(self) -> bytes:
        query = "&".join(f"metric={quote(pattern, safe='')}" for pattern in self.ledger.patterns)
        resume = f"Last-Event-ID: {self.last_event_id}\r\n" if self.last_event_id else ""
        line = f"GET /v1/stream?{query}&replay={self.ledger.replay} HTTP/1.1\r\n"
        return f"{line}Host: {self.address[0]}:{self.address[1]}\r\n{resume}\r\n".encode()

    def feed(self, decoder: Decoder, body: bytes) -> None:
        if body.endswith(b"\n:\n") or body.startswith(b":\n"):
            self.ledger.heartbeats.append(time.time())
        for event in decoder.feed(body):
            self.last_event_id = decoder.last_event_id
            self.ledger.record(event)
        self.last_event_id = decoder.last_event_id
        if decoder.retry_ms is not None:
            self._told_s = decoder.retry_ms / 1e3

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                sent = self.last_event_id
                _, self._connection = await loop.create_connection(lambda: _Connection(self), *self.address)
                self.ledger.note("connected", sent)
                await self._connection.closed
                self.ledger.note("cut")
            await asyncio.sleep(self._told_s if self._retry_s is None else self._retry_s)

    def cut(self) -> None:
        """Cut the connection as a network does; a reconnect follows."""
        if self._connection is not None:
            self._connection.abort()

    def vanish(self) -> None:
        """Leave without a FIN: from now on this end acknowledges nothing, as a machine that lost its power."""
        assert self._connection is not None
        assert self._connection.transport is not None
        sock = self._connection.transport.get_extra_info("socket")
        code = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))

    def stop_reading(self) -> None:
        assert self._connection is not None
        assert self._connection.transport is not None
        self._connection.transport.pause_reading()

    def read_on(self) -> None:
        if self._connection is not None and self._connection.transport is not None:
            with contextlib.suppress(RuntimeError):
                self._connection.transport.resume_reading()

    @property
    def heard_s(self) -> float:
        """When the last heartbeat came, `time.time`; 0 if none did."""
        return self.ledger.heartbeats[-1] if self.ledger.heartbeats else 0.0

    @property
    def live(self) -> bool:
        """The last thing said about its state was `live`."""
        for page in reversed(self.ledger.pages):
            if page.kind in {"live", "hello", "reset", "cut", "connected"}:
                return page.kind == "live"
        return False


class Feed:
    """A publisher that numbers its calls and repeats each until it is acknowledged.

    Args:
        book: where it writes down what it tried and what was acknowledged.
        url: of Redis, or of a proxy before it.
        name: the publisher's id.
        timeout_s: deadline of one command.

    Attributes:
        sequence: of its last call.
        failures: how often an attempt failed.
    """

    _numbers = itertools.count(1)

    def __init__(self, book: Book, url: str, name: str = "feed", *, timeout_s: float = 1.0) -> None:
        self.book = book
        self.log = RedisLog(url, timeout_s=timeout_s)
        self.name = f"{name}-{secrets.token_hex(4)}"
        self.sequence = 0
        self.failures = 0
        self._task: asyncio.Task[None] | None = None

    def batches(self, metrics: Sequence[str]) -> list[EncodedBatch]:
        """Return a batch for each metric; no two have the same value."""
        return [encode_batch(make_batch(metric, float(next(self._numbers)))) for metric in metrics]

    async def publish(self, *metrics: str, limit_s: float = HANG_S) -> None:
        """Append one call with one batch for each metric, again and again under its sequence until it is taken."""
        batches = self.batches(metrics)
        await self.send(batches, limit_s=limit_s)

    async def send(self, batches: Sequence[EncodedBatch], *, limit_s: float = HANG_S) -> None:
        self.sequence += 1
        for batch in batches:
            self.book.tried(batch.metric, [batch.body])
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = await self.log.append(batches, publisher=self.name, sequence=self.sequence)
                break
            except LogUnavailable:
                self.failures += 1
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(random.uniform(0.02, 0.1))
        ids = list(answer.results)
        if answer.duplicate:  # a repeated call is told its last id; the others are those before: one call, one time
            ids = [answer.id - left for left in reversed(range(len(batches)))]
        self.book.acknowledged([batch.body for batch in batches], answer.epoch, ids, again=answer.duplicate)

    def start(self, metrics: Sequence[str], *, every_s: float = 0.01, per_call: int = 2) -> Feed:
        """Publish to these metrics in turn until stopped."""
        turn = itertools.cycle(metrics)

        async def run() -> None:
            while True:
                await self.publish(*(next(turn) for _ in range(per_call)))
                await asyncio.sleep(every_s)

        self._task = asyncio.create_task(run())
        return self

    async def stop(self) -> None:
        """End after the call under way was acknowledged or cut off; its error, if it had one, is raised here."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def end(self) -> None:
        await self.stop()
        await self.log.close()


def percentile(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]
