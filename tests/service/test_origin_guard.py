"""The origin guard: Host, Origin, Sec-Fetch-Site and sizes, on every route."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from waiting import HANG_S

from tidewire.errors import InvalidInput
from tidewire_service.settings import ServiceSettings

PATHS = [
    "/v1/stream?metric=**",
    "/v1/history?metric=**",
    "/v1/catalog",
    "/metrics",
    "/schema",
    "/nothing",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_foreign_host_is_refused_everywhere(shared_service: Any, path: str) -> None:
    for host in (
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "user@localhost",
    ):
        answer = await shared_service.http.get(path, headers={"Host": host})
        assert answer.status_code == 421, (path, host)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "allowed_hosts" in answer.json()["detail"]
    for host in ("localhost:abc", "[::1", ""):
        assert (await shared_service.http.get(path, headers={"Host": host})).status_code == 400, host


@pytest.mark.parametrize("host", ["10.0.0.7:8000", "[fd00::7]:8000", "tidewire:8000", "tidewire", "evil.example"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_probes_by_any_address_are_answered(shared_service: Any, host: str, method: str) -> None:
    """A probe of Kubernetes names the address of the pod; what it is told no foreign page may not know."""
    for path in ("/health/live", "/health/ready"):
        answer = await shared_service.http.request(method, path, headers={"Host": host})
        assert answer.status_code == 200, (path, host)
    for path in ("/health", "/healthy", "/v1/whoami", "/metrics"):
        assert (await shared_service.http.request(method, path, headers={"Host": host})).status_code == 421, path
    foreign = {"Host": host, "Origin": "https://other.example"}
    assert (await shared_service.http.get("/health/ready", headers=foreign)).status_code == 403


async def test_any_host_is_allowed_only_with_tokens(start: Any) -> None:
    with pytest.raises(InvalidInput, match="add --auth"):
        ServiceSettings(allowed_hosts=("*",))
    for settings in ({"auth": True}, {"insecure": True}):
        service = await start(allowed_hosts=("*",), **settings)
        for host in ("tidewire:8000", "10.0.0.7", "[fd00::7]:8000"):
            answer = await service.http.get("/v1/catalog", headers={"Host": host})
            assert answer.status_code == (401 if "auth" in settings else 200), host
        assert (await service.http.get("/v1/catalog", headers={"Host": "a:b"})).status_code == 400
        await service.stop()


@pytest.mark.parametrize(
    "host",
    [
        "http://plant.example",
        "plant.example:8000",
        "*.example",
        "plant example",
        "",
        "[::1]:8000",
        "bücher.example",
        "a/b",
    ],
)
def test_a_host_that_no_request_names_is_said_at_the_start(host: str) -> None:
    with pytest.raises(InvalidInput, match="allowed-hosts"):
        ServiceSettings(allowed_hosts=("localhost", host))


@pytest.mark.parametrize(
    "origin",
    [
        "https://board.example/",
        "board.example",
        "board.example:8443",
        "https://board.example/page",
        "https://board.example?x",
        "https://board.example#x",
        "https://board.example:443",
        "http://board.example:80",
        "https://Board.example",
        "HTTPS://board.example",
        "https://user@board.example",
        "https://bücher.example",
        "https://board.example:x",
        "https://",
        "//board.example",
        "null",
        "*",
        "https://*.example",
        "",
    ],
)
def test_an_origin_that_no_browser_sends_is_said_at_the_start(origin: str) -> None:
    with pytest.raises(InvalidInput, match="allowed-origins"):
        ServiceSettings(allowed_origins=("https://good.example", origin))


@pytest.mark.parametrize(
    "origin", ["https://board.example", "http://localhost:3000", "http://[::1]:3000", "moz-extension://1b2c-3d"]
)
async def test_an_origin_as_a_browser_sends_it_may_read(start: Any, origin: str) -> None:
    service = await start(allowed_origins=(origin,))
    answer = await service.http.get("/v1/catalog", headers={"Origin": origin})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)


@pytest.mark.parametrize(
    "headers",
    [
        "cache-control",
        "Cache-Control, Pragma",
        "authorization,cache-control,last-event-id",
        "accept, accept-language, content-language, content-type",
        "content-encoding,idempotency-key,tidewire-sequence,if-match,if-none-match",
        "x-requested-with",
        "traceparent, tracestate, baggage, sentry-trace",
    ],
)
@pytest.mark.parametrize(
    ("path", "method"), [("/v1/stream?metric=**", "GET"), ("/v1/readings", "POST"), ("/v1/catalog", "HEAD")]
)
async def test_a_preflight_with_usual_headers_is_granted(start: Any, headers: str, path: str, method: str) -> None:
    service = await start(allowed_origins=("https://board.example",))
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    answer = await service.http.options(path, headers={"Origin": "https://board.example", **asked})
    assert answer.status_code == 204, answer.text
    granted = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {name.strip().lower() for name in headers.split(",")} <= granted
    assert method in answer.headers["access-control-allow-methods"]
    foreign = await service.http.options(path, headers={"Origin": "https://evil.example", **asked})
    assert foreign.status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9999", "[::1]:8000", "[::1]"])
async def test_loopback_names_are_allowed_at_any_port(shared_service: Any, host: str) -> None:
    assert (await shared_service.http.get("/health/live", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
async def test_a_page_of_another_site_is_refused_everywhere(
    shared_service: Any, path: str, headers: dict[str, str]
) -> None:
    answer = await shared_service.http.get(path, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_another_site_can_neither_post_nor_follow_a_link_to_a_stream(shared_service: Any) -> None:
    body = {"metric": "m", "value": 1}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await shared_service.post(body, **headers)).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await shared_service.http.get("/v1/stream?metric=**", headers=link)).status_code == 403
    assert (await shared_service.post(body, **link)).status_code == 403
    assert (await shared_service.http.get("/schema", headers=link)).status_code == 200
    preflight = await shared_service.http.options(
        "/v1/readings", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 403
    assert await shared_service.stored() == {}


async def test_our_own_pages_and_no_pages_are_allowed(service: Any) -> None:
    body = {"metric": "m", "value": 1}
    for headers in (
        {},
        {"Origin": service.url, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert (await service.post(body, **headers)).status_code == 200, headers


async def test_an_allowed_origin_may_read_and_write(start: Any) -> None:
    service = await start(allowed_origins=("https://board.example",))
    headers = {"Origin": "https://board.example", "Sec-Fetch-Site": "cross-site"}
    preflight = await service.http.options("/v1/readings", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    answer = await service.http.get("/v1/catalog", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://board.example"
    async with service.http.stream("GET", "/v1/stream?metric=**", headers=headers) as stream:
        assert stream.headers["access-control-allow-origin"] == "https://board.example"
    assert (await service.http.get("/v1/catalog", headers={"Origin": "https://board.example.evil"})).status_code == 403


async def test_an_allowed_page_may_read_why_it_was_refused(start: Any) -> None:
    service = await start(allowed_origins=("https://board.example",), auth=True)
    headers = {"Origin": "https://board.example", "Sec-Fetch-Site": "cross-site"}
    for path in ("/v1/catalog", "/v1/stream?metric=**"):
        refused = await service.http.get(path, headers=headers)
        assert refused.status_code == 401
        assert refused.headers.get_list("access-control-allow-origin") == ["https://board.example"]
    other = await service.http.get("/v1/catalog", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_heads_that_are_too_large_are_refused_and_the_connection_closed(start: Any) -> None:
    service = await start(max_header_bytes=4_096, max_url_bytes=2_048)
    headers = await service.http.get("/health/live", headers={"X": "x" * 4_096})
    assert (headers.status_code, headers.headers["connection"]) == (431, "close")
    url = await service.http.get("/health/live?" + "x" * 2_048)
    assert (url.status_code, url.headers["connection"]) == (414, "close")


async def test_two_hosts_are_refused(shared_service: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_service.port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()


async def test_every_answer_has_the_usual_headers(shared_service: Any) -> None:
    for path in PATHS[1:]:
        answer = await shared_service.http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 65_536, b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n"])
async def test_a_head_without_end_is_cut(shared_service: Any, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_service.port)
    writer.write(head)
    piece = b"y: " + b"z" * 1_000 + b"\r\n" if head.endswith(b"\n") else b"z" * 1_000
    sent = 0
    try:
        while sent < 4 << 20:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        answer = await asyncio.wait_for(reader.read(), HANG_S)
    except ConnectionError:
        answer = b"HTTP/1.1 431"  # the server had closed before all of it was sent
    assert answer.startswith(b"HTTP/1.1 431")
    writer.close()


async def test_trailers_without_end_are_cut(service: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        b"POST /v1/readings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n"
    )

    async def flood() -> None:
        for _ in range(4_000):
            writer.write(b"t: " + b"z" * 1_000 + b"\r\n")
            await writer.drain()
        await asyncio.wait_for(reader.readexactly(1 << 20), HANG_S)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await flood()
    writer.close()
