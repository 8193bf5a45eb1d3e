"""The HTTP client of the service: one rule for proxies, bounds and errors, whoever asks."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from dripping import HEAD, dripping
from forward_proxy import forward_proxy
from ports import own_port
from waiting import HANG_S

import tidewire
from tidewire.errors import ServiceRefused, ServiceUnavailable, ServiceUnreachable
from tidewire.livestore.backfill import backfill
from tidewire.livestore.history_cache import HistoryCache
from tidewire.livestore.store import Store
from tidewire.model.answers import CatalogJson
from tidewire.model.batch import Batch
from tidewire.subscribing.service_answer import Answer, AnswerBody
from tidewire.subscribing.service_client import AsyncServiceClient, ServiceClient
from tidewire.subscribing.threshold_poller import ThresholdPoller
from tidewire_dashboard.analysis import Readings
from tidewire_dashboard.login import Logins
from tidewire_dashboard.saved_decks import SavedDecks
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.source import Source

ELSEWHERE = "http://service.invalid:8000"  # has no address: only a proxy can find it


def problem(status: int, **facts: Any) -> Answer:
    headers = {"content-type": "application/problem+json", "tidewire-request": "1f-7", **facts.pop("headers", {})}
    return Answer(status, headers, json.dumps({"status": status, **facts}).encode())


# -- answers, without I/O


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422])
def test_a_client_error_is_final_and_names_the_request(status: int) -> None:
    with pytest.raises(ServiceRefused) as caught:
        problem(status, detail="no such thing", rejected=[{"row": 1}, "odd"]).checked()
    error = caught.value
    assert (error.status, error.detail, error.rejected, error.request_id) == (
        status,
        "no such thing",
        ({"row": 1},),
        "1f-7",
    )


@pytest.mark.parametrize(
    ("status", "header", "pause_s"),
    [(429, None, 1.0), (503, None, 1.0), (503, "7", 7.0), (429, "soon", 1.0), (500, None, 0.0), (502, "3", 3.0)],
)
def test_a_failure_or_a_pause_may_pass(status: int, header: str | None, pause_s: float) -> None:
    headers = {} if header is None else {"retry-after": header}
    with pytest.raises(ServiceUnavailable) as caught:
        problem(status, detail="not now", headers=headers).checked()
    error = caught.value
    assert (error.reason, error.retry_after_s, error.request_id) == ("not now", pause_s, "1f-7")


def test_a_page_of_a_proxy_is_shown_in_part() -> None:
    with pytest.raises(ServiceUnavailable, match=r"^HTTP 502 <html>x{194}$"):
        Answer(502, {}, b"<html>" + b"x" * 10_000).checked()


def test_an_answer_of_another_program_is_said_to_be_one() -> None:
    with pytest.raises(ServiceUnavailable, match="not that of a Tidewire service"):
        Answer(200, {}, b"<html>").decoded(CatalogJson)
    with pytest.raises(ServiceUnavailable, match="not that of a Tidewire service"):
        Answer(200, {}, b'{"series": 7, "cursor": ""}').decoded(CatalogJson)


def test_the_next_page_and_the_version_are_read_from_headers() -> None:
    link = '</v1/history?metric=a&page=x>; rel="next"'
    assert Answer(200, {"link": link, "etag": 'W/"abc"'}, b"").next_page == "/v1/history?metric=a&page=x"
    assert Answer(200, {"link": link, "etag": 'W/"abc"'}, b"").etag == "abc"
    assert (Answer(200, {}, b"").next_page, Answer(200, {}, b"").etag) == ("", "")


def test_bodies_are_bounded() -> None:
    failure = AnswerBody(500, {}, 10)
    assert failure.feed(b"x" * 65_535)
    assert not failure.feed(b"x" * 10)
    assert len(failure.answer().body) == 65_536
    success = AnswerBody(200, {}, 10)
    assert success.feed(b"x" * 10)
    assert success.answer().body == b"x" * 10
    with pytest.raises(ServiceUnavailable, match="10 bytes"):
        success.feed(b"x")


# -- the two shells


def test_the_twins_have_the_same_methods_with_the_same_arguments() -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        names = [name for name in vars(kind) if not name.startswith("_")]
        return {name: list(inspect.signature(getattr(kind, name)).parameters) for name in ["__init__", *names]}

    assert shape(ServiceClient) == shape(AsyncServiceClient)


Fetch = Callable[[str, str], Awaitable[Answer]]


@pytest.fixture(params=["blocking", "async"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """GET a path of a URL with either client, with bounds of 1 MB and of a minute."""

    async def by_async(url: str, path: str) -> Answer:
        async with AsyncServiceClient(url, token="secret", timeout_s=HANG_S, max_bytes=1_000_000) as client:
            return await client.get(path)

    def by_blocking(url: str, path: str) -> Answer:
        with ServiceClient(url, token="secret", timeout_s=HANG_S, max_bytes=1_000_000) as client:
            return client.get(path)

    if request.param == "async":
        return by_async
    return lambda url, path: asyncio.to_thread(by_blocking, url, path)


@contextmanager
def answering(answer: bytes, *, endless: bytes = b"") -> Iterator[str]:
    """A server that gives every connection the same bytes, then perhaps others without end."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65_536)
                    connection.sendall(answer)
                    while endless and not ended.is_set():
                        connection.sendall(endless)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def test_a_service_answers_with_its_own_types(service: Any, fetch: Fetch) -> None:
    answer = await fetch(service.url, "/v1/catalog?metric=a")
    assert answer.decoded(CatalogJson).series == []
    with pytest.raises(ServiceRefused) as caught:
        await fetch(service.url, "/v1/catalog?metric=a//b")
    assert caught.value.status == 422
    assert caught.value.request_id, "so that an operator finds it in the log"


async def test_nobody_there_is_an_error_that_says_why(fetch: Fetch) -> None:
    with pytest.raises(ServiceUnreachable, match=r"does not answer \(ConnectError"):
        await fetch(f"http://127.0.0.1:{own_port()}", "/v1/catalog")


async def test_an_answer_that_is_cut_is_an_error(fetch: Fetch) -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort") as url, pytest.raises(ServiceUnreachable):
        await fetch(url, "/v1/catalog")


@pytest.mark.parametrize(
    ("status", "error"), [(200, ServiceUnavailable), (500, ServiceUnavailable), (404, ServiceRefused)]
)
async def test_an_answer_without_end_is_not_read_to_its_end(fetch: Fetch, status: int, error: type[Exception]) -> None:
    with answering(b"HTTP/1.1 %d X\r\n\r\n" % status, endless=b"x" * 65_536) as url, pytest.raises(error):
        await asyncio.wait_for(fetch(url, "/v1/catalog"), HANG_S)


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\nX: ", HEAD], ids=["line", "headers", "body"])
@pytest.mark.parametrize("kind", ["blocking", "async"])
async def test_an_answer_that_drips_has_an_end(begins: bytes, kind: str) -> None:
    """Its head has the time of a wait for a piece, all of it a time of its own."""

    def blocking(url: str) -> Answer:
        with ServiceClient(url, "", timeout_s=0.5, answer_s=1.0) as client:
            return client.fetch("POST", "/v1/readings", body=b"[]")

    async def by_async(url: str) -> Answer:
        async with AsyncServiceClient(url, "", timeout_s=0.5, answer_s=1.0) as client:
            return await client.fetch("POST", "/v1/readings", body=b"[]")

    with dripping(begins) as port:
        url = f"http://127.0.0.1:{port}"
        asked = by_async(url) if kind == "async" else asyncio.to_thread(blocking, url)
        with pytest.raises(ServiceUnreachable, match="ReadTimeout"):
            await asyncio.wait_for(asked, HANG_S)


async def test_a_body_that_takes_longer_than_a_wait_is_read() -> None:
    """A stream goes on for ever: only its head is bounded, and the wait for each piece."""
    with dripping(HEAD) as port:
        url, began = f"http://127.0.0.1:{port}", time.monotonic()

        def blocking() -> None:
            with ServiceClient(url, "", timeout_s=1) as client, client.stream("GET", "/v1/stream") as answer:
                for _ in answer.chunks():
                    if time.monotonic() > began + 2:
                        return

        async def by_async() -> None:
            client = AsyncServiceClient(url, "", timeout_s=1)
            async with client, client.stream("GET", "/v1/stream") as answer:
                async for _ in answer.chunks():
                    if time.monotonic() > began + 2:
                        return

        await asyncio.wait_for(asyncio.gather(asyncio.to_thread(blocking), by_async()), HANG_S)


# -- one rule for the machine's proxy


async def _thresholds(url: str) -> None:
    async with AsyncServiceClient(url, "") as client:
        await ThresholdPoller(client, lambda found: None).refresh()


async def _backfill(url: str) -> None:
    assert await backfill(Store(), url, "", ["**"], None)


async def _history_cache(url: str) -> None:
    now_ms = time.time() * 1e3
    store, past = Store(), HistoryCache(url)
    store.append(Batch(metric="a", time=[now_ms], value=[1.0]), 1)
    await past.older(store.series, int(now_ms // 60_000) - 10, 10, 60_000)
    await past.close()


async def _readings(url: str) -> None:
    now_ms = time.time() * 1e3
    store, readings = Store(), Readings(url)
    store.append(Batch(metric="a", time=[now_ms], value=[1.0]), 1)
    await readings.parts(store.series, now_ms - 60_000, now_ms)
    await readings.close()


async def _saved_decks(url: str) -> None:
    saved = SavedDecks(url, "", lambda found: None)
    assert await saved.decks() == []
    await saved.close()


async def _login(url: str) -> None:
    logins = Logins(url)
    with pytest.raises(ServiceRefused, match="--auth"):  # it asks nobody for a token, and says so
        await logins.admit("token")
    await logins.close()


async def _health(url: str) -> None:
    source = Source(DashboardSettings(url=url))
    watching = asyncio.create_task(source._poll_health())
    while source.health.service_ok is None:
        await asyncio.sleep(0.01)
    watching.cancel()
    assert source.health.service_ok


async def _stream(url: str) -> None:
    async for _ in tidewire.astream("a", url=url, states=True):
        return


async def _publish(url: str) -> None:
    publisher = tidewire.Publisher(url)
    publisher.publish("a", 1)
    assert await asyncio.to_thread(publisher.flush, 10)
    publisher.close()


async def _frames(url: str) -> None:
    await asyncio.to_thread(tidewire.history, "a", "-15m", url=url)


READERS = [
    (_thresholds, "/v1/thresholds"),
    (_backfill, "/v1/catalog"),
    (_history_cache, "/v1/history"),
    (_readings, "/v1/history"),
    (_saved_decks, "/v1/decks"),
    (_login, "/v1/whoami"),
    (_health, "/health/ready"),
    (_stream, "/v1/stream"),
    (_publish, "/v1/readings"),
    (_frames, "/v1/history"),
]


@pytest.mark.parametrize(("read", "path"), READERS, ids=[read.__name__[1:] for read, _ in READERS])
async def test_everybody_goes_through_the_machines_proxy(
    service: Any, monkeypatch: pytest.MonkeyPatch, read: Callable[[str], Awaitable[None]], path: str
) -> None:
    with forward_proxy(service.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "elsewhere.invalid")
        await asyncio.wait_for(read(ELSEWHERE), HANG_S)
        assert path in proxy.paths
        proxy.paths.clear()
        await asyncio.wait_for(read(service.url), HANG_S)
        assert proxy.paths == [], "this machine is never asked for through a proxy"


async def test_a_host_that_is_to_be_reached_without_the_proxy_is(
    service: Any, monkeypatch: pytest.MonkeyPatch, fetch: Fetch
) -> None:
    with forward_proxy(service.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "service.invalid")
        with pytest.raises(ServiceUnreachable):
            await fetch(ELSEWHERE, "/v1/catalog")
        assert proxy.paths == []


def test_importing_the_sdk_imports_no_http_client() -> None:
    code = "import sys, tidewire; tidewire.Publisher('redis://127.0.0.1:1'); print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
