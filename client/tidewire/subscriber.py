"""The subscriber: a stream of batches that reconnects, resumes exactly where it was, and says what happened.

`_Session` decides and does no I/O; `stream` and `astream` are its two shells over httpx.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import httpx
import msgspec

from tidewire.batch import checked_labels
from tidewire.cursor import Cursor
from tidewire.errors import InvalidCursor, InvalidInput, ServiceRefused, TidewireError
from tidewire.pattern import compile_pattern
from tidewire.settings import ClientSettings, load_settings
from tidewire.sse import Decoder, ServerEvent
from tidewire.states import Connected, Ended, Gap, Live, Lost, Reset, Skipped, State, StreamBatch

__all__ = [
    "Connected",
    "Ended",
    "Gap",
    "Live",
    "Lost",
    "Reset",
    "Skipped",
    "State",
    "StreamBatch",
    "Token",
    "astream",
    "client_options",
    "service_url",
    "stream",
]

Token: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]] | None

_READ_TIMEOUT_S: Final = 45.0  # three heartbeats of 15 s
_CONNECT_TIMEOUT_S: Final = 5.0
_BACKOFF_S: Final = (0.2, 15.0)  # first and longest; full jitter between 0 and it (Brooker 2015)
_FINAL: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 422})
_DETAIL_CHARS: Final = 500

logger = logging.getLogger("tidewire")


class _Conflated(msgspec.Struct):
    every_ms: int
    batches: list[StreamBatch]


_batch_decoder = msgspec.json.Decoder(StreamBatch)
_conflated_decoder = msgspec.json.Decoder(_Conflated)
_state_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "hello": msgspec.json.Decoder(Connected),
    "live": msgspec.json.Decoder(Live),
    "gap": msgspec.json.Decoder(Gap),
    "reset": msgspec.json.Decoder(Reset),
    "skipped": msgspec.json.Decoder(Skipped),
}


class _Bye(msgspec.Struct):
    reason: str = ""


_bye_decoder = msgspec.json.Decoder(_Bye)


def service_url(url: str | None) -> str:
    """Return the base URL of the service: the argument, else ``TIDEWIRE_URL``, else its default, without a final slash.

    Raises:
        InvalidInput: not http:// or https://.
    """
    base = (url or load_settings(ClientSettings).url).rstrip("/")
    if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).netloc:
        raise InvalidInput("url", base, "expected http://host:port or https://host:port of a Tidewire service")
    return base


def client_options(base: str) -> dict[str, Any]:
    """Return options of an httpx client for a service: a proxy of the environment is never used for this machine."""
    return {"trust_env": urlsplit(base).hostname not in {"127.0.0.1", "localhost", "::1"}, "follow_redirects": False}


class _Session:
    """The decisions of one subscription over any number of connections."""

    def __init__(
        self,
        patterns: tuple[str, ...],
        url: str | None,
        replay: str,
        every: str | None,
        labels: Mapping[str, str] | None,
        cursor: str | None,
        on_slow: str | None,
    ) -> None:
        if not patterns:
            raise InvalidInput("patterns", patterns, "name at least one metric or pattern; '**' selects all")
        self.base = service_url(url)
        params: list[tuple[str, str | int | float | bool | None]] = [
            ("metric", compile_pattern(pattern).text) for pattern in patterns
        ]
        params += [("label", f"{name}:{value}") for name, value in checked_labels(labels).items()]
        params.append(("replay", replay))
        params += [(name, value) for name, value in (("every", every), ("on_slow", on_slow)) if value]
        self.params = params
        self.last_id = str(Cursor.parse(cursor)) if cursor else ""
        self._at: Cursor | None = Cursor.parse(cursor) if cursor else None
        self._decoder = Decoder()
        self._attempt = 0
        self._bye = ""

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers of the next request."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self.last_id:
            headers["last-event-id"] = self.last_id
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._decoder = Decoder(self.last_id)
        self._bye = ""
        return headers

    def take(self, chunk: bytes) -> Iterator[StreamBatch | State]:
        """Yield what a chunk of the response completes."""
        for event in self._decoder.feed(chunk):
            try:
                yield from self._event(event)
            except msgspec.MsgspecError as error:
                logger.warning("skipped an event that cannot be read: %s", error)

    def _event(self, event: ServerEvent) -> Iterator[StreamBatch | State]:
        if event.event == "message":
            if self._is_new(event.own_id):
                yield from self._batches(event)
            return
        if event.event == "bye":
            self._bye = _bye_decoder.decode(event.data).reason
            return
        decoder = _state_decoders.get(event.event)
        if decoder is None:
            return
        if event.own_id is not None:
            self._move(event.own_id)
        state = cast("State", decoder.decode(event.data))
        if isinstance(state, Connected):
            self._attempt = 0
            if not event.own_id:  # starts with a snapshot: to be repeated if it is cut
                state = msgspec.structs.replace(state, cursor="")
        yield state

    def _batches(self, event: ServerEvent) -> Iterator[StreamBatch]:
        cursor = event.own_id or ""
        if event.data.startswith('{"every_ms"'):
            flush = _conflated_decoder.decode(event.data)
            for batch in flush.batches:
                msgspec.structs.force_setattr(batch, "cursor", cursor)
                msgspec.structs.force_setattr(batch, "every_ms", flush.every_ms)
                yield batch
        else:
            batch = _batch_decoder.decode(event.data)
            msgspec.structs.force_setattr(batch, "cursor", cursor)
            yield batch

    def _is_new(self, own_id: str | None) -> bool:
        """Tell whether an event is ahead of what was seen; a repeat has the same id and is dropped."""
        if not own_id:
            return True
        try:
            cursor = Cursor.parse(own_id)
        except InvalidCursor:
            return True
        if self._at is not None and self._at.epoch == cursor.epoch and cursor.id <= self._at.id:
            return False
        self._at, self.last_id = cursor, own_id
        return True

    def _move(self, own_id: str) -> None:
        """Go on at the id of a control event; an empty one, before a snapshot, means: if it is cut, anew."""
        self.last_id = own_id
        if not own_id:
            self._at = None
        with contextlib.suppress(InvalidCursor):
            self._at = Cursor.parse(own_id)

    def refused(self, status: int, body: bytes, retry_after: str | None) -> Lost:
        """Return the state after an answer that is no stream.

        Raises:
            ServiceRefused: it is final.
        """
        try:
            detail = str(msgspec.json.decode(body, type=dict[str, Any]).get("detail", ""))
        except msgspec.MsgspecError:
            detail = body.decode(errors="replace")[:_DETAIL_CHARS]
        if status in _FINAL:
            raise ServiceRefused(status, detail)
        seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
        return self.lost(f"HTTP {status} {detail}".strip(), seconds)

    def lost(self, reason: str, retry_s: float | None = None) -> Lost:
        """Return the state after the end of a connection."""
        self._attempt += 1
        if self._bye:
            reason = self._bye
        if retry_s is None and self._bye and self._decoder.retry_ms is not None:
            retry_s = self._decoder.retry_ms / 1e3
        if retry_s is None:
            first, longest = _BACKOFF_S
            retry_s = random.uniform(0, min(longest, first * 2**self._attempt))  # noqa: S311 - jitter
        return Lost(reason=reason, retry_s=retry_s, attempt=self._attempt)


def _no_stream(response: httpx.Response) -> bool:
    return response.status_code != 200 or not response.headers.get("content-type", "").startswith("text/event-stream")


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def astream(
    *patterns: str,
    url: str | None = None,
    replay: str = "last",
    every: str | None = None,
    labels: Mapping[str, str] | None = None,
    cursor: str | None = None,
    on_slow: str | None = None,
    states: bool = False,
    token: Token = None,
) -> AsyncGenerator[StreamBatch | State, None]:
    """Yield batches as they are published, over any number of reconnects, each exactly once within retention.

    Args:
        patterns: metrics or patterns, such as ``furnace/**``.
        url: of the service; ``TIDEWIRE_URL`` or http://127.0.0.1:8000 if None.
        replay: ``last`` (the last reading of each series), ``none``, or a span such as ``5m``.
        every: conflation, such as ``1s``: one batch per series and interval.
        labels: all must hold.
        cursor: where to go on, as a batch's `cursor` said; wins over `replay`.
        on_slow: ``catchup``, ``conflate`` or ``disconnect``.
        states: also yield the states of the connection.
        token: a bearer token or what provides one; asked again after a 401.

    Raises:
        InvalidInput: a pattern, label, cursor or URL that can never work.
        ServiceRefused: the service said no for good.
    """
    session = _Session(patterns, url, replay, every, labels, cursor, on_slow)
    timeout = httpx.Timeout(_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S)
    refused_token = False
    async with httpx.AsyncClient(timeout=timeout, **client_options(session.base)) as client:
        while True:
            headers = session.headers(await _atoken(token))
            try:
                async with client.stream(
                    "GET", f"{session.base}/v1/stream", params=session.params, headers=headers
                ) as response:
                    if _no_stream(response):
                        if response.status_code == 401 and callable(token) and not refused_token:
                            refused_token = True
                            continue
                        body = await response.aread()
                        lost = session.refused(response.status_code, body, response.headers.get("retry-after"))
                    else:
                        refused_token = False
                        async for chunk in response.aiter_raw():
                            for item in session.take(chunk):
                                if states or isinstance(item, StreamBatch):
                                    yield item
                        lost = session.lost("the service closed the stream")
            except (httpx.TransportError, httpx.StreamError) as error:
                lost = session.lost(_why(error))
            if states:
                yield lost
            await asyncio.sleep(lost.retry_s)


def stream(
    *patterns: str,
    url: str | None = None,
    replay: str = "last",
    every: str | None = None,
    labels: Mapping[str, str] | None = None,
    cursor: str | None = None,
    on_slow: str | None = None,
    states: bool = False,
    token: Token = None,
) -> Generator[StreamBatch | State, None, None]:
    """Yield batches as they are published; as `astream`, for a plain ``for`` loop."""
    session = _Session(patterns, url, replay, every, labels, cursor, on_slow)
    timeout = httpx.Timeout(_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S)
    refused_token = False
    with httpx.Client(timeout=timeout, **client_options(session.base)) as client:
        while True:
            headers = session.headers(_token(token))
            try:
                with client.stream(
                    "GET", f"{session.base}/v1/stream", params=session.params, headers=headers
                ) as response:
                    if _no_stream(response):
                        if response.status_code == 401 and callable(token) and not refused_token:
                            refused_token = True
                            continue
                        lost = session.refused(
                            response.status_code, response.read(), response.headers.get("retry-after")
                        )
                    else:
                        refused_token = False
                        for chunk in response.iter_raw():
                            for item in session.take(chunk):
                                if states or isinstance(item, StreamBatch):
                                    yield item
                        lost = session.lost("the service closed the stream")
            except (httpx.TransportError, httpx.StreamError) as error:
                lost = session.lost(_why(error))
            if states:
                yield lost
            time.sleep(lost.retry_s)


async def _atoken(token: Token) -> str:
    given = token() if callable(token) else token
    if inspect.isawaitable(given):
        given = await given
    return str(given) if given else load_settings(ClientSettings).token


def _token(token: Token) -> str:
    given = token() if callable(token) else token
    if inspect.isawaitable(given):
        raise TidewireError("stream() cannot await a token provider; give a plain function, or use astream()")
    return str(given) if given else load_settings(ClientSettings).token
