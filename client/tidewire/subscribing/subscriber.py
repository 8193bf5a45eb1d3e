"""Streams batches from the service, reconnects, resumes exactly where it was, and reports gaps.

`Reconnect` decides and does no I/O; `stream` and `astream` are its two shells over the HTTP client.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Final, Literal, TypeAlias, TypedDict, Unpack, overload

from tidewire.errors import LimitExceeded, ServiceRefused, ServiceUnreachable, TidewireError
from tidewire.model.states import Ended, Lost, State, StreamBatch
from tidewire.settings import ClientSettings, load_settings
from tidewire.subscribing.reconnect import Reconnect
from tidewire.subscribing.service_address import checked_token
from tidewire.subscribing.service_client import (
    AsyncServiceClient,
    AsyncStreamedAnswer,
    ServiceClient,
    StreamedAnswer,
)

__all__ = ["Token", "astream", "stream"]

Token: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]] | None

_READ_TIMEOUT_S: Final = 45.0  # three heartbeats of 15 s


def _no_stream(answer: StreamedAnswer | AsyncStreamedAnswer) -> bool:
    return answer.status != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream")


def _why(error: ServiceUnreachable | LimitExceeded) -> str:
    return error.why if isinstance(error, ServiceUnreachable) else f"{type(error).__name__}: {error}"


class _Options(TypedDict, total=False):
    """What `stream` and `astream` take besides `states`, which says what they yield."""

    url: str | None
    replay: str
    every: str | None
    labels: Mapping[str, str] | None
    cursor: str | None
    on_slow: str | None
    token: Token


@overload
def astream(
    *patterns: str, states: Literal[False] = False, **options: Unpack[_Options]
) -> AsyncGenerator[StreamBatch, None]: ...
@overload
def astream(*patterns: str, states: bool, **options: Unpack[_Options]) -> AsyncGenerator[StreamBatch | State, None]: ...
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
        replay: ``last`` (the last reading of each series, by its own time), ``none``, or a span such as ``5m``.
        every: conflation, such as ``1s``: one batch per series and interval.
        labels: all must hold.
        cursor: where to go on, as a batch's `cursor` said, of one partition or several; wins over `replay`.
        on_slow: ``catchup``, ``conflate`` or ``disconnect``.
        states: also yield the states of the connection; `Ended` is the last, before the error is raised.
        token: a bearer token or what provides one; asked again after a 401.

    Raises:
        InvalidInput: a pattern, label, cursor, token or URL that can never work.
        ServiceRefused: the service said no for good.
    """
    reconnect = Reconnect(patterns, url, replay, every, labels, cursor, on_slow)
    refused_token = False
    lost: Lost | ServiceRefused
    async with AsyncServiceClient(reconnect.base, token="", timeout_s=_READ_TIMEOUT_S) as client:
        while True:
            headers = reconnect.headers(await _atoken(token))
            try:
                async with client.stream("GET", "/v1/stream", params=reconnect.params, headers=headers) as answer:
                    if answer.status == 200 and _no_stream(answer):
                        lost = reconnect.no_stream(answer.headers.get("content-type", "nothing"))
                    elif _no_stream(answer):
                        if answer.status == 401 and callable(token) and not refused_token:
                            refused_token = True
                            continue
                        lost = reconnect.refused(await answer.read())
                    else:
                        refused_token = False
                        async for chunk in answer.chunks():
                            for item in reconnect.consume(chunk):
                                if states or isinstance(item, StreamBatch):
                                    yield item
                        lost = reconnect.lost("the service closed the stream")
            except (ServiceUnreachable, LimitExceeded) as error:
                lost = reconnect.lost(_why(error))
            if isinstance(lost, ServiceRefused):
                if states:
                    yield Ended(reason=str(lost))
                raise lost
            if states:
                yield lost
            await asyncio.sleep(lost.retry_s)


@overload
def stream(
    *patterns: str, states: Literal[False] = False, **options: Unpack[_Options]
) -> Generator[StreamBatch, None, None]: ...
@overload
def stream(*patterns: str, states: bool, **options: Unpack[_Options]) -> Generator[StreamBatch | State, None, None]: ...
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
    reconnect = Reconnect(patterns, url, replay, every, labels, cursor, on_slow)
    refused_token = False
    lost: Lost | ServiceRefused
    with ServiceClient(reconnect.base, token="", timeout_s=_READ_TIMEOUT_S) as client:
        while True:
            headers = reconnect.headers(_token(token))
            try:
                with client.stream("GET", "/v1/stream", params=reconnect.params, headers=headers) as answer:
                    if answer.status == 200 and _no_stream(answer):
                        lost = reconnect.no_stream(answer.headers.get("content-type", "nothing"))
                    elif _no_stream(answer):
                        if answer.status == 401 and callable(token) and not refused_token:
                            refused_token = True
                            continue
                        lost = reconnect.refused(answer.read())
                    else:
                        refused_token = False
                        for chunk in answer.chunks():
                            for item in reconnect.consume(chunk):
                                if states or isinstance(item, StreamBatch):
                                    yield item
                        lost = reconnect.lost("the service closed the stream")
            except (ServiceUnreachable, LimitExceeded) as error:
                lost = reconnect.lost(_why(error))
            if isinstance(lost, ServiceRefused):
                if states:
                    yield Ended(reason=str(lost))
                raise lost
            if states:
                yield lost
            time.sleep(lost.retry_s)


async def _atoken(token: Token) -> str:
    given = token() if callable(token) else token
    if inspect.isawaitable(given):
        given = await given
    return checked_token(given or load_settings(ClientSettings).token)


def _token(token: Token) -> str:
    given = token() if callable(token) else token
    if inspect.isawaitable(given):
        raise TidewireError("stream() cannot await a token provider; give a plain function, or use astream()")
    return checked_token(given or load_settings(ClientSettings).token)
