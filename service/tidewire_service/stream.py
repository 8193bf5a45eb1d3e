"""A subscription as an ASGI response: bytes, heartbeat, write deadline, named end reasons, drain.

The hub drives each `send` itself: it steps the coroutine, which completes at once unless the transport is full. One
that suspends is carried to its end by a task (uvicorn drains *before* it writes, so its bytes do not count as sent
until then).
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from typing import Any, Final

import msgspec
import structlog

from tidewire.cursor import Cursor
from tidewire.sse import HEARTBEAT, encode_event, encode_retry
from tidewire_service.http_protocol import StreamWriter
from tidewire_service.hub import Hub
from tidewire_service.subscription import EndReason, OnSlow, Replay, Subscription

__all__ = ["StreamRequest", "StreamSettings", "Streams"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)
_OVERLOAD_RETRY_MS: Final = (10_000, 30_000)
_SWEEP_S: Final = 1.0

logger = structlog.get_logger("tidewire.stream")


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The times and bounds of streams; declared with their meaning in `settings.ServiceSettings`."""

    heartbeat_s: float = 15.0
    retry_min_ms: int = 2_000
    retry_max_ms: int = 6_000
    max_age_s: float = 3_600.0
    write_timeout_s: float = 30.0
    drain_s: float = 0.5
    max_streams: int = 20_000


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber asked for, checked.

    Attributes:
        patterns: texts of compiled patterns, at least one.
        labels: all must hold.
        replay: what to send first, unless a cursor resumes.
        cursor: where to go on.
        every_ms: length of an interval of a conflated stream; 0 for raw batches.
        on_slow: what to do when its socket is full.
    """

    patterns: tuple[str, ...]
    labels: Mapping[str, str] = {}
    replay: Replay = Replay("last")
    cursor: Cursor | None = None
    every_ms: int = 0
    on_slow: OnSlow = OnSlow.CATCHUP


class _Carried:
    """Awaits what a coroutine stepped by hand is suspended on, and the rest of it."""

    def __init__(self, coroutine: Any, pending: Any) -> None:
        self._coroutine = coroutine
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, None]:
        pending = self._pending
        while True:
            try:
                value = yield pending
            except BaseException as error:
                pending = self._step(self._coroutine.throw, error)
            else:
                pending = self._step(self._coroutine.send, value)
            if pending is self:
                return

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        try:
            return step(value)
        except StopIteration:
            return self


class _Stream:
    """One open stream: the sink of its subscription and the owner of its tasks."""

    __slots__ = (
        "_catching",
        "_hub",
        "_parked",
        "_send",
        "_settings",
        "_writer",
        "born",
        "ended",
        "last_write",
        "parked_since",
        "subscription",
        "transport",
    )

    def __init__(
        self,
        hub: Hub,
        send: Send,
        transport: asyncio.Transport | None,
        settings: StreamSettings,
        writer: StreamWriter | None = None,
    ) -> None:
        self._hub = hub
        self._send = send
        self._settings = settings
        self._parked: asyncio.Task[None] | None = None
        self._catching: asyncio.Task[None] | None = None
        self._writer = writer
        self.transport = transport
        self.subscription: Subscription | None = None
        self.born = self.last_write = time.monotonic()
        self.parked_since = 0.0
        self.ended: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()

    # -- the sink

    def write(self, data: bytes) -> bool:
        """Write to the transport, or step one `send`; False if the transport is full: then the bytes are parked."""
        writer = self._writer
        if writer is not None:
            self.last_write = time.monotonic()
            if writer.closing:
                self.end(EndReason.CLIENT_GONE)
                return False
            if writer.write(data):
                return True
            self.parked_since = self.last_write
            self._parked = asyncio.ensure_future(writer.write_when_drained(data))
            return False
        coroutine: Any = self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.last_write = time.monotonic()
        try:
            pending = coroutine.send(None)
        except StopIteration:
            return True
        except Exception as error:  # the server's own send failed: the connection is gone
            logger.debug("stream_send_failed", error=repr(error))
            self.end(EndReason.CLIENT_GONE)
            return False
        self.parked_since = self.last_write
        self._parked = asyncio.ensure_future(_carry(coroutine, pending))
        return False

    async def drained(self) -> None:
        """Wait until what was parked has been written."""
        if self._parked is not None:
            await asyncio.shield(self._parked)
            self._parked = None
        if self.subscription is not None:
            self.subscription.written()

    @property
    def stalled_s(self) -> float:
        """Seconds for which bytes have been parked; 0 if none are."""
        if self._parked is None or self._parked.done():
            return 0.0
        return time.monotonic() - self.parked_since

    def heartbeat(self) -> None:
        """Write a comment, unless bytes wait anyway."""
        if self._parked is not None and not self._parked.done():
            return
        live = self.subscription is not None and self.subscription.live
        if not self.write(HEARTBEAT) and live and self.subscription is not None:
            self._hub.fanout.fall_back(self.subscription)

    # -- tasks

    def catch_up(self, *, first: bool = False) -> None:
        """Start catching up; at most one task at a time."""
        subscription = self.subscription
        if subscription is None or self.ended.done():
            return
        steps = subscription.run() if first else subscription.catch_up()
        self._catching = asyncio.ensure_future(self._hub.catch_up(steps, self.drained))
        self._catching.add_done_callback(self._caught_up)

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._hub.counters["stream_errors"] += 1
        logger.error("stream_failed", exc_info=error)
        self.end(EndReason.ERROR)

    def end(self, reason: EndReason) -> None:
        """Ask for the end of the stream; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(reason)

    async def close(self, reason: EndReason) -> None:
        """End the response: say bye if the peer still reads, else abort."""
        if self._catching is not None:
            self._catching.cancel()
        stalled = self._parked is not None and not self._parked.done()
        if reason is not EndReason.CLIENT_GONE and not stalled:
            self.write(_bye(reason, self._settings))
            stalled = self._parked is not None and not self._parked.done()
        if self._parked is not None and stalled:
            self._parked.cancel()
        if stalled and self.transport is not None:
            self.transport.abort()
        if reason is not EndReason.CLIENT_GONE and not stalled:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await asyncio.gather(
            *(task for task in (self._catching, self._parked) if task is not None), return_exceptions=True
        )


class Streams:
    """All open streams of the process: opening, heartbeats, deadlines, rotation and drain.

    Args:
        hub: whose subscriptions they carry.
        settings: times and bounds.

    Attributes:
        ends: how many streams ended, by reason.
        draining: no stream is opened any more.
    """

    def __init__(self, hub: Hub, settings: StreamSettings | None = None) -> None:
        self.hub = hub
        self.settings = settings or StreamSettings()
        self.ends: dict[EndReason, int] = dict.fromkeys(EndReason, 0)
        self.draining = False
        self._open: dict[Subscription, _Stream] = {}
        self._sweeper: asyncio.Task[None] | None = None
        hub.on_fall_back = self._on_fall_back

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, scope: Scope, receive: Receive, send: Send, request: StreamRequest) -> None:
        """Answer one request with a stream, until it ends."""
        settings = self.settings
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if self.draining or len(self._open) >= settings.max_streams:
            reason = EndReason.DRAIN if self.draining else EndReason.OVERLOAD
            self.ends[reason] += 1
            body = _bye(reason, settings)
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        extensions = scope.get("extensions", {})
        transport = extensions.get("tidewire.transport")
        if transport is not None:
            _bound_silence(transport, settings.write_timeout_s)
        writer = extensions.get("tidewire.writer") if scope.get("http_version") == "1.1" else None
        stream = _Stream(self.hub, send, transport, settings, writer)
        subscription = self.hub.attach(
            request.patterns,
            request.labels,
            stream,
            request.replay,
            request.cursor,
            every_ms=request.every_ms,
            on_slow=request.on_slow,
        )
        stream.subscription = subscription
        self._open[subscription] = stream
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep(), name="tidewire-streams")
        age_s = settings.max_age_s * random.uniform(0.8, 1.0)  # noqa: S311 - spreads the reconnects
        rotation = asyncio.get_running_loop().call_later(age_s, stream.end, EndReason.MAX_AGE)
        gone = asyncio.ensure_future(_disconnected(receive))
        gone.add_done_callback(lambda _: stream.end(EndReason.CLIENT_GONE))
        reason = EndReason.ERROR
        try:
            stream.write(encode_retry(_retry_ms(settings)))
            stream.catch_up(first=True)
            reason = await stream.ended
        finally:
            rotation.cancel()
            gone.cancel()
            del self._open[subscription]
            self.hub.detach(subscription)
            self.ends[reason] += 1
            await stream.close(reason)

    async def drain(self) -> None:
        """End all streams, spread over the drain window, and open no more."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for stream in tuple(self._open.values()):
            loop.call_later(random.uniform(0, self.settings.drain_s * 0.8), stream.end, EndReason.DRAIN)  # noqa: S311
        ends = [stream.ended for stream in self._open.values()]
        if ends:
            await asyncio.wait(ends, timeout=self.settings.drain_s)
        for stream in tuple(self._open.values()):
            stream.end(EndReason.DRAIN)

    async def close(self) -> None:
        """Stop the sweeper."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def _on_fall_back(self, subscription: Subscription) -> None:
        stream = self._open.get(subscription)
        if stream is None:
            return
        if subscription.slow and subscription.on_slow is OnSlow.DISCONNECT:
            stream.end(EndReason.SLOW)
        else:
            stream.catch_up()

    async def _sweep(self) -> None:
        """Once a second: heartbeats where it was silent, the end for those that do not read."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now, settings = time.monotonic(), self.settings
            for stream in tuple(self._open.values()):
                if stream.stalled_s > settings.write_timeout_s:
                    stream.end(EndReason.WRITE_TIMEOUT)
                elif now - stream.last_write >= settings.heartbeat_s - _SWEEP_S / 2:
                    stream.heartbeat()


def _bound_silence(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel end a connection whose peer acknowledges nothing for so long: it vanished without a FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1e3))


async def _carry(coroutine: Any, pending: Any) -> None:
    await _Carried(coroutine, pending)


async def _disconnected(receive: Receive) -> None:
    """Wait for the client to go; the only reader of `receive`."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _retry_ms(settings: StreamSettings) -> int:
    return random.randint(settings.retry_min_ms, max(settings.retry_min_ms, settings.retry_max_ms))  # noqa: S311


def _bye(reason: EndReason, settings: StreamSettings) -> bytes:
    low, high = _OVERLOAD_RETRY_MS if reason is EndReason.OVERLOAD else (settings.retry_min_ms, settings.retry_max_ms)
    retry_ms = random.randint(low, max(low, high))  # noqa: S311
    data = msgspec.json.encode({"reason": reason.value, "retry_ms": retry_ms})
    return encode_retry(retry_ms) + encode_event(data, event="bye")
