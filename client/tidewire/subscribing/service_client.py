"""The HTTP client of the service: one rule for its address, proxies, authorities, timeouts, bounds and errors.

`ServiceClient` blocks and `AsyncServiceClient` is for asyncio; what they send and how they read answers is in
`service_request` and `service_answer`, which do no I/O. The machine's proxies (``HTTPS_PROXY``, ``NO_PROXY``) are used
for every request, but never for this machine; servers are verified as `service_address.verification` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from typing import Any, Final, Generic, Self, TypedDict, TypeVar, Unpack

import httpx

from tidewire.errors import ServiceUnreachable
from tidewire.settings import ClientSettings, load_settings, without_password
from tidewire.subscribing.deadline import SENT, BoundedClient, Deadline
from tidewire.subscribing.service_address import checked_token, client_options, service_url
from tidewire.subscribing.service_answer import Answer, AnswerBody
from tidewire.subscribing.service_request import Params, bearer

__all__ = ["AsyncServiceClient", "AsyncStreamedAnswer", "ServiceClient", "StreamedAnswer"]

_CONNECT_S: Final = 5.0  # at most, for a connection and for a free place among the connections
_MAX_CONNECTIONS: Final = 16  # of one client; further requests wait for one that ends
_MAX_ANSWER_BYTES: Final = 64 << 20  # a catalog of 100,000 series has 20 MB
_Http = TypeVar("_Http", httpx.Client, httpx.AsyncClient)
_FAULTS: Final = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)


def _unreachable(error: Exception) -> ServiceUnreachable:
    return ServiceUnreachable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


class _Request(TypedDict, total=False):
    """What a request holds besides its method and path."""

    params: Params
    headers: Mapping[str, str]
    body: bytes | None


def _arguments(params: Params = (), headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Any:
    # no parameters at all: an empty list would cut the query from the path of a next page
    return {"params": list(params) or None, "headers": headers, "content": body}


class AnswerHead:
    """The head of an answer whose body is still coming.

    Attributes:
        status: the HTTP status.
        headers: by name in lower case.
    """

    def __init__(self, response: httpx.Response, max_bytes: int, deadline: Deadline, answer_s: float | None) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self._response = response
        self._deadline = deadline
        self._answer_s = answer_s
        self._body = AnswerBody(self.status, self.headers, max_bytes)


class StreamedAnswer(AnswerHead):
    """An answer whose body is still coming, to be read in the block of `ServiceClient.stream`."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes, without a bound."""
        return self._response.iter_raw()

    def read(self) -> Answer:
        """Return the whole answer, within the bounds of its client."""
        with self._deadline.within(self._answer_s):
            for piece in self._response.iter_bytes():
                if not self._body.feed(piece):
                    break
        return self._body.answer()


class AsyncStreamedAnswer(AnswerHead):
    """As `StreamedAnswer`, for asyncio."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, without a bound."""
        return self._response.aiter_raw()

    async def read(self) -> Answer:
        """Return the whole answer, within the bounds of its client."""
        try:
            async with asyncio.timeout(None if self._answer_s is None else self._deadline.left_s(self._answer_s)):
                async for piece in self._response.aiter_bytes():
                    if not self._body.feed(piece):
                        break
        except TimeoutError:
            raise httpx.ReadTimeout(f"no whole answer within {self._answer_s:g} s") from None
        return self._body.answer()


class _Connections(Generic[_Http]):
    """Connections to one service, of either kind.

    Args:
        url: of the service; ``TIDEWIRE_URL`` if None.
        token: bearer token, empty for none; ``TIDEWIRE_TOKEN`` if None.
        timeout_s: longest wait for the head of an answer, once its request is sent, and for each piece of its body; at
            most 5 s of it for a connection.
        answer_s: longest time for a whole answer that is read, once its request is sent; None for no bound.
        max_bytes: largest body of a success.

    Attributes:
        base: the URL of the service, without a final slash.
        shown_base: the same without a password, for messages.

    Raises:
        InvalidInput: no URL of a service, or a token that no header can hold.
    """

    _http_class: type[_Http]

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 10.0,
        answer_s: float | None = None,
        max_bytes: int = _MAX_ANSWER_BYTES,
    ) -> None:
        self.base = service_url(url)
        self.shown_base = without_password(self.base)
        self._timeout_s = timeout_s
        self._answer_s = answer_s
        self._max_bytes = max_bytes
        token = checked_token(load_settings(ClientSettings).token if token is None else token)
        connect_s = min(timeout_s, _CONNECT_S)
        self._http: _Http = self._http_class(
            **client_options(self.base),
            headers=bearer(token),
            timeout=httpx.Timeout(timeout_s, connect=connect_s, pool=connect_s),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_CONNECTIONS),
        )


class ServiceClient(_Connections[httpx.Client]):
    """Blocking connections to one service; a context manager."""

    _http_class = BoundedClient

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextmanager
    def stream(self, method: str, path: str, **request: Unpack[_Request]) -> Iterator[StreamedAnswer]:
        """Send a request and yield its answer, whose body is read within the block.

        Args:
            method: ``GET``, ``POST`` and so on.
            path: from the service's root on, with a query or without.
            request: `params` of the query, further `headers`, and the `body`.

        Raises:
            ServiceUnreachable: no connection, or it was cut or silent for too long, also while the body is read.
        """
        deadline = Deadline()

        def trace(event: str, _facts: Any) -> None:
            if event == SENT:
                deadline.begin()

        asked = self._http.build_request(method, self.base + path, **_arguments(**request), extensions={"trace": trace})
        try:
            with deadline.within(self._timeout_s):
                response = self._http.send(asked, stream=True)
            with closing(response):
                yield StreamedAnswer(response, self._max_bytes, deadline, self._answer_s)
        except _FAULTS as error:
            raise _unreachable(error) from error

    def fetch(self, method: str, path: str, **request: Unpack[_Request]) -> Answer:
        """Return the answer to a request, whatever its status; see `stream` for the arguments.

        Raises:
            ServiceUnreachable: no answer.
            ServiceUnavailable: an answer that is larger than `max_bytes`.
        """
        with self.stream(method, path, **request) as answer:
            return answer.read()

    def get(self, path: str, params: Params = ()) -> Answer:
        """Return the answer to a GET, which is a success.

        Raises:
            ServiceUnavailable: no answer, or the service asks for a pause.
            ServiceRefused: the service refuses the request.
        """
        return self.fetch("GET", path, params=params).checked()


class AsyncServiceClient(_Connections[httpx.AsyncClient]):
    """As `ServiceClient`, for one event loop; an async context manager."""

    _http_class = httpx.AsyncClient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def stream(self, method: str, path: str, **request: Unpack[_Request]) -> AsyncIterator[AsyncStreamedAnswer]:
        """Send a request and yield its answer; as `ServiceClient.stream`."""
        deadline = Deadline()
        try:
            response = await self._sent(method, path, deadline, _arguments(**request))
            async with aclosing(response):
                yield AsyncStreamedAnswer(response, self._max_bytes, deadline, self._answer_s)
        except _FAULTS as error:
            raise _unreachable(error) from error

    async def _sent(self, method: str, path: str, deadline: Deadline, arguments: Any) -> httpx.Response:
        """Return the answer to a request once its head is there."""

        async def trace(event: str, _facts: Any) -> None:
            if event == SENT:
                deadline.begin()
                limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)

        asked = self._http.build_request(method, self.base + path, **arguments, extensions={"trace": trace})
        try:
            async with asyncio.timeout(None) as limit:
                return await self._http.send(asked, stream=True)
        except TimeoutError:
            raise httpx.ReadTimeout(f"no head of an answer within {self._timeout_s:g} s") from None

    async def fetch(self, method: str, path: str, **request: Unpack[_Request]) -> Answer:
        """Return the answer to a request, whatever its status; as `ServiceClient.fetch`."""
        async with self.stream(method, path, **request) as answer:
            return await answer.read()

    async def get(self, path: str, params: Params = ()) -> Answer:
        """Return the answer to a GET, which is a success; as `ServiceClient.get`."""
        return (await self.fetch("GET", path, params=params)).checked()
