"""The open streams of the process: opening, heartbeats, deadlines, rotation and drain."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any, Final, Generic, TypeVar

import structlog

from tidewire_service.auth.scopes import ANYONE, Identity
from tidewire_service.http_server.protocol import connection_of
from tidewire_service.hub.end_reason import EndReason
from tidewire_service.hub.fanout import Matched
from tidewire_service.hub.subscription import OnSlow, SubscriptionRequest
from tidewire_service.limit_counters import LimitCounters
from tidewire_service.request_scope import address_of, request_id
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.source import Part, Place, Source
from tidewire_service.streams.stream import Send, Stream, bye
from tidewire_service.streams.stream_quota import StreamQuota

__all__ = ["StreamRequest", "Streams"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
SourceT = TypeVar("SourceT", bound=Source)

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)
_SWEEP_S: Final = 1.0
_log = structlog.get_logger("tidewire_service")


class StreamRequest(SubscriptionRequest, frozen=True, kw_only=True):
    """A checked request for a stream.

    Attributes:
        identity: of the request; the stream is narrowed to its scopes.
    """

    identity: Identity = ANYONE


class Streams(Generic[SourceT]):
    """All open streams of the process: opening, heartbeats, deadlines, rotation and drain.

    Args:
        hub: makes the subscriptions.
        settings: times and limits of a stream, and how many may be open.
        limit_counters: counts the limits that streams reach.

    Attributes:
        quota: counts the open streams.
        end_reason: returns why a stream of an identity must end, or None.
        ends: how many streams ended, by reason.
        draining: no more streams are opened.
    """

    def __init__(self, hub: SourceT, settings: ServiceSettings, limit_counters: LimitCounters) -> None:
        self.hub = hub
        self.limit_counters = limit_counters
        self.quota = StreamQuota(settings, limit_counters)
        self.end_reason: Callable[[Identity], EndReason | None] = lambda _: None
        self.settings = settings
        self.ends: dict[EndReason, int] = dict.fromkeys(EndReason, 0)
        self.draining = False
        self._open: dict[Place, Stream] = {}
        self._sweeper: asyncio.Task[None] | None = None
        hub.on_fall_back = self._on_fall_back

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        start: Send,
        send: Send,
        request: StreamRequest,
        matched: Mapping[int, Matched] | None = None,
    ) -> None:
        """Answer one request with a stream, until it ends.

        Args:
            scope: of the request.
            receive: only used to detect a disconnect, where the connection cannot report it.
            start: sends the start of the response through the middleware, which adds headers and counts it.
            send: sends the body past the middleware.
            request: the checked request.
            matched: of `Hub.match`, unless the hub attaches the request at once.
        """
        settings = self.settings
        turned_away = self.turned_away(request.identity, scope)
        if turned_away is not None:
            await self.turn_away(start, send, *turned_away)
            return
        token, address = request.identity.id, address_of(scope)
        self.quota.enter(token, address)
        connection = connection_of(scope)
        writer = connection.stream_writer() if connection is not None and scope.get("http_version") == "1.1" else None
        stream = Stream(self.hub, send, None if connection is None else connection.abort, settings, writer)
        gone = None
        if connection is not None:
            connection.on_lost = stream.gone
            if connection.closed:  # while the request was being checked: it will not say so again
                stream.gone()
        else:
            gone = asyncio.ensure_future(_disconnected(receive))
            gone.add_done_callback(stream.gone)
        id_, opened = request_id(scope), time.monotonic()
        narrowed_to = request.identity.scopes.narrowed_to
        subscription = stream.subscription = self.hub.attach(
            request, stream.sink, narrowed_to=narrowed_to, matched=matched
        )
        stream.identity = request.identity
        self._open[subscription] = stream
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep(), name="tidewire-streams")
        reason = EndReason.ERROR
        try:
            with nullcontext() if writer is None else writer:
                await start({"type": "http.response.start", "status": 200, "headers": HEADERS})
                stream.begin()
            # not needed while the stream is open, which may be long
            del scope, receive, start, send, request
            reason = await stream.ended
        finally:
            if gone is not None:
                gone.cancel()
            if connection is not None:
                connection.release()
            del self._open[subscription]
            self.quota.leave(token, address)
            self.hub.detach(subscription)
            self.ends[reason] += 1
            _log.info(
                "stream_ended",
                request=id_,
                reason=reason.value,
                seconds=round(time.monotonic() - opened, 1),
                token=token,
            )
            await stream.close(reason)

    async def answer_head(self, start: Send) -> None:
        """Answer HEAD with the head of a stream; none is opened."""
        await start({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await start({"type": "http.response.body", "body": b"", "more_body": False})

    async def put_off(self, start: Send, limit: str = "") -> None:
        """Answer with a stream that ends at once and says when to reconnect; any status but 200 would be final."""
        await self.turn_away(start, start, EndReason.OVERLOAD, limit)

    def turned_away(self, identity: Identity, scope: Mapping[str, Any]) -> tuple[EndReason, str] | None:
        """Return why a stream is refused, with the limit that was reached if any; None if it may open."""
        if self.draining:
            return EndReason.DRAIN, ""
        limit = self.quota.refusal(identity.id, address_of(scope))
        if not limit:
            return None
        return (EndReason.TOO_MANY if "per" in limit else EndReason.OVERLOAD), limit

    async def turn_away(self, start: Send, send: Send, reason: EndReason, limit: str = "") -> None:
        """Answer with a stream that ends at once, and says why and when to reconnect."""
        self.ends[reason] += 1
        await start({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": bye(reason, self.settings, limit), "more_body": False})

    async def drain(self) -> None:
        """Open no more streams, and end all open ones, spread over the drain window."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for stream in tuple(self._open.values()):
            loop.call_later(random.uniform(0, self.settings.drain_s * 0.8), stream.end, EndReason.DRAIN)  # noqa: S311
        ends = [stream.ended for stream in self._open.values()]
        if ends:
            await asyncio.wait(ends, timeout=self.settings.drain_s)
        for stream in tuple(self._open.values()):
            stream.end(EndReason.DRAIN)

    def end(self, subscription: Place, reason: EndReason) -> None:
        """End the stream of a subscription, if it is open."""
        if (stream := self._open.get(subscription)) is not None:
            stream.end(reason)

    async def close(self) -> None:
        """Stop the sweeper."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def _on_fall_back(self, subscription: Part) -> None:
        stream = self._open.get(subscription.owner)
        if stream is None:
            return
        if subscription.slow and subscription.on_slow is OnSlow.DISCONNECT:
            stream.end(EndReason.SLOW)
        else:
            stream.catch_up(subscription)

    async def _sweep(self) -> None:
        """Send heartbeats and end overdue streams, once a second."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._sweep_once()  # a separate function, since a local variable here would keep the last stream alive

    def _sweep_once(self) -> None:
        now, settings = time.monotonic(), self.settings
        for stream in tuple(self._open.values()):
            stream.update_last_write(now)
            if stream.stalled_s > settings.write_timeout_s:
                self.limit_counters.count("write_timeout_s")
                stream.end(EndReason.WRITE_TIMEOUT)
            elif stream.identity is not ANYONE and (reason := self.end_reason(stream.identity)) is not None:
                stream.end(reason)
            elif now >= stream.expires:
                stream.end(EndReason.MAX_AGE)
            elif now - stream.last_write >= settings.heartbeat_s - _SWEEP_S / 2:
                stream.heartbeat()


async def _disconnected(receive: Receive) -> None:
    """Wait until the client disconnects; the only reader of `receive`."""
    while (await receive())["type"] != "http.disconnect":
        continue
