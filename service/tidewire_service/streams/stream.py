"""Writes a subscription as the body of an ASGI response, parks bytes while the socket is full, and ends it.

The hub makes each write itself: to the transport directly, or by stepping ASGI's `send`, which completes at once unless
the transport is full. A `send` that suspends is finished by a task: uvicorn drains *before* it writes, so its bytes
count as sent only then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from tidewire.model.sse import HEARTBEAT, encode_event, encode_retry
from tidewire_service.auth.scopes import ANYONE
from tidewire_service.http_server.stepped_send import step
from tidewire_service.http_server.stream_writer import StreamWriter
from tidewire_service.hub.effects import Drain
from tidewire_service.hub.end_reason import EndReason
from tidewire_service.hub.subscription import Sink
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.source import Part, Place, Source

__all__ = ["Send", "Stream", "bye", "retry_ms"]

Send = Callable[[Any], Awaitable[None]]

_OVERLOAD_RETRY_MS: Final = (10_000, 30_000)
_CORK_BYTES: Final = 256 * 1024  # of the start of a stream, which are written at once

logger = structlog.get_logger("tidewire.stream")


class Stream:
    """One open stream: the sink of its subscription and the owner of its tasks.

    Args:
        source: of its subscription.
        send: of ASGI.
        abort: closes the connection at once; None if the server does not allow it.
        settings: times and limits.
        writer: writes to the transport directly; None to use `send`.

    Attributes:
        subscription: whose bytes it writes; None once it is closed.
        expires: when its largest age is reached, by `time.monotonic`.
        last_write: when `update_last_write` last found a write, by `time.monotonic`.
        identity: of the request.
        ended: set to the reason when the stream ends.
    """

    __slots__ = (
        "_abort",
        "_catching",
        "_parked",
        "_send",
        "_settings",
        "_source",
        "_writer",
        "_wrote",
        "ended",
        "expires",
        "identity",
        "last_write",
        "parked_since",
        "subscription",
    )

    def __init__(
        self,
        source: Source,
        send: Send,
        abort: Callable[[], None] | None,
        settings: ServiceSettings,
        writer: StreamWriter | None = None,
    ) -> None:
        self._source = source
        self._send = send
        self._settings = settings
        self._parked: asyncio.Task[None] | None = None
        self._catching: dict[Part, asyncio.Task[None]] = {}  # by what is caught up, in one partition each
        self._writer = writer
        if writer is not None:
            writer.park = self._park_chunk
        self._abort = abort
        self.subscription: Place | None = None
        self._wrote = False
        self.identity = ANYONE
        self.last_write = time.monotonic()
        self.expires = self.last_write + settings.stream_age_s * random.uniform(0.8, 1.0)  # noqa: S311 - spreads them
        self.parked_since = 0.0
        self.ended: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()

    # -- the sink

    @property
    def sink(self) -> Sink:
        """Where the subscription writes: the writer if there is one, else this stream."""
        return self if self._writer is None else self._writer

    def write(self, data: bytes) -> bool:
        """Write to the transport, or step one `send`; return False if it is full: then the bytes are parked."""
        if self._writer is not None:
            return self._writer.write(data)
        self._wrote = True
        try:
            rest = step(self._send({"type": "http.response.body", "body": data, "more_body": True}))
        except Exception as error:  # the server's own send failed: the connection is gone
            logger.debug("stream_send_failed", error=repr(error))
            self.end(EndReason.CLIENT_GONE)
            return False
        return rest is None or self._park(rest)

    def _park_chunk(self, data: bytes) -> bool:
        return self._writer is not None and self._park(self._writer.write_when_drained(data))

    def _park(self, writing: Coroutine[Any, Any, None]) -> bool:
        self.parked_since = time.monotonic()
        self._parked = asyncio.ensure_future(writing)
        return False

    def update_last_write(self, now: float) -> None:
        """Set `last_write` to `now` if something was written since the last call."""
        if self._wrote or (self._writer is not None and self._writer.wrote):
            self._wrote, self.last_write = False, now
            if self._writer is not None:
                self._writer.wrote = False

    async def drained(self) -> None:
        """Wait until the parked bytes have been written."""
        while (parked := self._parked) is not None:
            await asyncio.shield(parked)
            if self._parked is parked:  # else another part has written since, and it is full again
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
        """Write an SSE comment, unless bytes are parked."""
        if self._parked is not None and not self._parked.done():
            return
        if not self.write(HEARTBEAT) and self.subscription is not None:
            for part in self.subscription.parts:
                part.fall_back()

    # -- tasks

    def begin(self) -> None:
        """Send `hello`, replay and catch up as far as possible without waiting; a task does the rest.

        Called while the writer buffers, so that all of it is one write with the head of the response. A stream with
        nothing to replay, or with a cursor within the event ring, is live at once.
        """
        assert self.subscription is not None  # noqa: S101 - set before `begin`
        self.write(encode_retry(retry_ms(self._settings)))
        for part in self.subscription.parts:
            self._begin(part)

    def _begin(self, part: Part) -> None:
        effects = part.run()
        if self._writer is None or self._writer.paused:
            self._follow(part, effects)
            return
        try:
            while type(pending := next(effects)) is Drain and self._writer.held_bytes < _CORK_BYTES:
                pass  # nothing is parked, so there is no drain to wait for
        except StopIteration:
            return
        self._follow(part, effects, pending)

    def catch_up(self, part: Part) -> None:
        """Start catching up in a partition; there is at most one task of each at a time."""
        if self.subscription is not None and not self.ended.done():
            self._follow(part, part.catch_up())

    def _follow(self, part: Part, effects: Generator[Any, Any, None], pending: Any = None) -> None:
        task = asyncio.ensure_future(self._source.catch_up(part, effects, self.drained, pending))
        self._catching[part] = task
        task.add_done_callback(partial(self._caught_up, part))

    def _caught_up(self, part: Part, task: asyncio.Task[None]) -> None:
        if self._catching.get(part) is task:
            del self._catching[part]
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._source.count("stream_errors")
        logger.error("stream_failed", exc_info=error)
        self.end(EndReason.ERROR)

    def gone(self, *_: object) -> None:
        """End the stream because the client disconnected."""
        self.end(EndReason.CLIENT_GONE)

    def end(self, reason: EndReason) -> None:
        """End the stream; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(reason)

    async def close(self, reason: EndReason) -> None:
        """End the response: send `bye` if the peer still reads, otherwise abort."""
        catching = tuple(self._catching.values())
        for task in catching:
            task.cancel()
        stalled = self._parked is not None and not self._parked.done()
        if reason is not EndReason.CLIENT_GONE and not stalled:
            self.write(bye(reason, self._settings))
            stalled = self._parked is not None and not self._parked.done()
        if self._parked is not None and stalled:
            self._parked.cancel()
        if stalled and self._abort is not None:
            self._abort()
        if reason is not EndReason.CLIENT_GONE and not stalled:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        tasks = [*catching, *filter(None, [self._parked])]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        self.subscription = self._writer = None  # breaks a cycle that only the garbage collector would free


def retry_ms(settings: ServiceSettings) -> int:
    """Return a random pause before a reconnect, milliseconds."""
    spread_ms = max(0, settings.retry_max_ms - settings.retry_min_ms)
    return settings.retry_min_ms + int(random.random() * (spread_ms + 1))  # noqa: S311 - spreads them; costs a fifth of randint


def bye(reason: EndReason, settings: ServiceSettings, limit: str = "") -> bytes:
    """Encode the last event of a stream; `limit` names the setting that was reached, if any."""
    later = reason in (EndReason.OVERLOAD, EndReason.TOO_MANY)
    low, high = _OVERLOAD_RETRY_MS if later else (settings.retry_min_ms, settings.retry_max_ms)
    pause_ms = random.randint(low, max(low, high))  # noqa: S311
    facts = {"reason": reason.value, "retry_ms": pause_ms}
    data = msgspec.json.encode(facts | {"limit": limit} if limit else facts)
    return encode_retry(pause_ms) + encode_event(data, event="bye")
