"""Requests to the upstream service: streams, identities, answers to be passed on, and whether it can be reached."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog

from tidewire.errors import LimitExceeded, ServiceUnreachable
from tidewire.model.answers import WhoamiJson
from tidewire.settings import without_password
from tidewire.subscribing.service_address import service_url
from tidewire.subscribing.service_answer import Answer
from tidewire.subscribing.service_client import AsyncServiceClient, AsyncStreamedAnswer
from tidewire_service.edge.blocks import Block, BlockCutter

__all__ = ["Upstream", "UpstreamRefused", "UpstreamStream"]

_SILENCE_S: Final = 45.0  # three heartbeats of 15 s
_WHOAMI_S: Final = 5.0
_OPEN_S: Final = 10.0  # for the head of a stream
_OPENING: Final = 64  # streams at the same time; more wait
_PER_CLIENT: Final = 16  # connections: what a client does for each request grows with those that it holds
_PROBE_EVERY_S: Final = 1.0
_PROBE_S: Final = 1.0
_UNREACHABLE_S: Final = 3.0
_PASSING: Final = frozenset({408, 425, 429})  # besides 5xx
_log = structlog.get_logger("tidewire_service")


class UpstreamRefused(Exception):
    """The upstream answered with another status than 200.

    Attributes:
        answer: what it said.
        passing: the same request may succeed later.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.passing = answer.status >= 500 or answer.status in _PASSING
        super().__init__(f"HTTP {answer.status} {answer.detail}".strip())


class UpstreamStream:
    """One open stream. A task reads it, one chunk ahead of who takes its events, so that a slow one slows it down."""

    def __init__(self) -> None:
        self._cutter = BlockCutter()
        self._blocks: list[Block] = []
        self._ended = self._woken = False
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(
        self,
        answering: contextlib.AbstractAsyncContextManager[AsyncStreamedAnswer],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        """Open it; its task is in `tasks` until it ends.

        Raises:
            UpstreamRefused: another status than 200, or no stream.
            ServiceUnreachable: no answer in time.
        """
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._read(answering, opened), name="tidewire-upstream")
        tasks.add(self._task)
        self._task.add_done_callback(tasks.discard)
        try:
            async with asyncio.timeout(_OPEN_S):
                await opened
        except TimeoutError:
            self.close()
            raise ServiceUnreachable(f"no head of a stream within {_OPEN_S:g} s") from None
        except BaseException:
            self.close()
            raise

    async def _read(
        self,
        answering: contextlib.AbstractAsyncContextManager[AsyncStreamedAnswer],
        opened: asyncio.Future[None],
    ) -> None:
        try:
            async with answering as answer:
                if answer.status != 200:
                    raise UpstreamRefused(await answer.read())
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    raise ServiceUnreachable("it answers with no event stream: is this a Tidewire service?")
                if not opened.done():
                    opened.set_result(None)
                async for chunk in answer.chunks():
                    self._blocks += self._cutter.feed(chunk)
                    self._ready.set()
                    while self._blocks:
                        self._taken.clear()
                        await self._taken.wait()
        except Exception as error:
            if not isinstance(error, (ServiceUnreachable, UpstreamRefused, LimitExceeded)):
                _log.error("upstream_stream_failed", exc_info=error)
            if not opened.done():
                opened.set_exception(error)
        finally:
            self._ended = True
            self._ready.set()

    async def read(self) -> list[Block] | None:
        """Wait for events, which may be none after `wake`; return None at the end."""
        while not (self._blocks or self._woken or self._ended):
            self._ready.clear()
            await self._ready.wait()
        self._woken = False
        if self._blocks:
            blocks, self._blocks = self._blocks, []
            self._taken.set()
            return blocks
        return None if self._ended else []

    def wake(self) -> None:
        """Let `read` return."""
        self._woken = True
        self._ready.set()

    def close(self) -> None:
        """End it; its task ends soon."""
        if self._task is not None and not self._task.done():
            self._task.cancel()


class Upstream:
    """The service that an edge reads from.

    Args:
        url: of it.

    Attributes:
        shown: the URL without a password.
        streams: number of its streams that are open now.
        opened: number of streams that were opened so far.
    """

    def __init__(self, url: str) -> None:
        self._clients: list[tuple[AsyncServiceClient, set[object]]] = []
        self._url = url
        self._opening = asyncio.Semaphore(_OPENING)
        self._reached_s = 0.0
        self._reading: set[asyncio.Task[None]] = set()
        self.shown = without_password(service_url(url))
        self.streams = self.opened = 0
        self.trouble = "it was not asked yet"

    async def close(self) -> None:
        """End all streams, and close all connections."""
        reading = tuple(self._reading)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for client, _ in self._clients:
            await client.close()

    @asynccontextmanager
    async def ask(
        self, method: str, target: str, authorization: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncStreamedAnswer]:
        """Send a request and yield its answer; only to the upstream, whatever the target is.

        Args:
            method: of HTTP.
            target: path and query, which begins with a slash.
            authorization: the header; empty for none.
            headers: further ones.

        Raises:
            ServiceUnreachable: no connection, or it was cut.
        """
        given = dict(headers or {})
        if authorization:
            given["authorization"] = authorization
        client, used = self._free_client()
        place = object()
        used.add(place)
        try:
            async with client.stream(method, target, headers=given) as answer:
                if answer.status < 500:  # a proxy without a service behind it answers too
                    self._reached_s = time.monotonic()
                yield answer
        finally:
            used.discard(place)

    def _free_client(self) -> tuple[AsyncServiceClient, set[object]]:
        for found in self._clients:
            if len(found[1]) < _PER_CLIENT:
                return found
        made: tuple[AsyncServiceClient, set[object]] = (AsyncServiceClient(self._url, "", timeout_s=_SILENCE_S), set())
        self._clients.append(made)
        return made

    async def open_stream(self, query: str, authorization: str, last_id: str) -> UpstreamStream:
        """Open a stream.

        Args:
            query: percent-encoded.
            authorization: the header; empty for none.
            last_id: where it continues; empty to begin as the query says.

        Raises:
            UpstreamRefused: the upstream says no.
            ServiceUnreachable: it does not answer.
        """
        headers = {"accept": "text/event-stream", "cache-control": "no-store", "accept-encoding": "identity"}
        if last_id:
            headers["last-event-id"] = last_id
        async with self._opening:
            stream = UpstreamStream()
            await stream.begin(self._counted(f"/v1/stream?{query}", authorization, headers), self._reading)
        self.opened += 1
        return stream

    @asynccontextmanager
    async def _counted(
        self, target: str, authorization: str, headers: Mapping[str, str]
    ) -> AsyncIterator[AsyncStreamedAnswer]:
        self.streams += 1
        try:
            async with self.ask("GET", target, authorization, headers) as answer:
                yield answer
        finally:
            self.streams -= 1

    async def whoami(self, authorization: str) -> WhoamiJson:
        """Return who a token belongs to.

        Raises:
            UpstreamRefused: it is not valid.
            ServiceUnreachable: no answer within 5 s.
            ServiceUnavailable: the answer is not that of a service.
        """
        try:
            async with asyncio.timeout(_WHOAMI_S), self.ask("GET", "/v1/whoami", authorization) as streamed:
                answer = await streamed.read()
        except TimeoutError:
            raise ServiceUnreachable(f"no answer within {_WHOAMI_S:g} s") from None
        if answer.status != 200:
            raise UpstreamRefused(answer)
        return answer.decoded(WhoamiJson)

    # -- whether it can be reached

    @property
    def reachable(self) -> bool:
        """Whether it answered within the last 3 s."""
        return self._reached_s > 0 and time.monotonic() - self._reached_s <= _UNREACHABLE_S

    async def watch(self) -> None:
        """Ask once a second whether it runs; until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_PROBE_S), self.ask("GET", "/health/live", "") as answer:
                    await answer.read()
                self.trouble = f"HTTP {answer.status}"
            except TimeoutError:
                self.trouble = f"no answer within {_PROBE_S:g} s"
            except ServiceUnreachable as error:
                self.trouble = error.why
            await asyncio.sleep(_PROBE_EVERY_S)
