"""HEAD: every path that is read with GET answers it with the same head and no body."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from servers import StartService
from waiting import HANG_S

# What differs between two answers of the same kind.
_CHANGES = {b"tidewire-cursor", b"etag", b"tidewire-request", b"date", b"content-length"}


async def _head_of(service: Any, method: str, target: str, version: str = "1.1", more: str = "") -> Any:
    """Return the status line, the headers and what comes after them, read until the service closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    request = f"{method} {target} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"
    writer.write(request.encode())
    try:
        async with asyncio.timeout(HANG_S):
            head = await reader.readuntil(b"\r\n\r\n")
            body = b"" if b"event-stream" in head and method == "GET" else await reader.read()
    finally:
        writer.close()
    status, *lines = head[:-4].split(b"\r\n")
    return status, dict(line.split(b": ", 1) for line in lines), body


async def _targets(service: Any) -> list[str]:
    document = (await service.http.get("/schema/openapi.json")).json()
    paths = [re.sub(r"\{\w+\}", "d", path) for path, methods in document["paths"].items() if "get" in methods]
    needed = {"/v1/stream": "/v1/stream?metric=**", "/v1/history": "/v1/history?metric=**"}
    more = [
        "/schema",
        "/schema/ui",
        "/schema/openapi.json",
        "/schema/assets/page.js",
        "/v1/history?metric=**&format=csv",
        "/v1/decks/none",
        "/v1/stream?metric=**&every=1s",
        "/v1/stream",
        "/v1/stream?metric=a[",
        "/v1/catalog?x=1",
        "/nothing",
        "//metrics",
        "/v1/readings",
    ]
    return [needed.get(path, path) for path in paths] + more


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_head_is_get_without_a_body_everywhere(service: Any, version: str) -> None:
    await service.post({"metric": "m", "value": 1})
    await service.http.put("/v1/decks/d", json={"name": "d"})
    targets = await _targets(service)
    assert len(targets) > 20
    for target in targets:
        while True:
            status, headers, body = await _head_of(service, "HEAD", target, version)
            expected, theirs, text = await _head_of(service, "GET", target, version)
            if target != "/health/ready" or {status.split()[1], expected.split()[1]} == {b"200"}:
                break  # else the machine stood still for longer than Redis may take to answer
        assert (status, body) == (expected, b""), target
        assert status.split()[1] in (b"200", b"404", b"405", b"422"), (target, status)
        kept = {name for name in theirs if name != b"transfer-encoding"}
        assert set(headers) == kept, target
        assert all(headers[name] == theirs[name] for name in kept - _CHANGES), target
        assert (b"content-length" in headers) == (b"event-stream" not in headers[b"content-type"]), target
        assert text or b"event-stream" in theirs[b"content-type"], target


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/catalog", "/health/live", "/metrics", "/v1/thresholds"])
async def test_allow_names_head_where_it_names_get(service: Any, path: str) -> None:
    answer = await service.http.request("PATCH", path)
    allowed = answer.headers["allow"].split(", ")
    assert answer.status_code == 405
    assert {"GET", "HEAD"} <= set(allowed)
    assert allowed == sorted(allowed)


async def test_head_of_a_stream_opens_none_and_uses_no_ticket_up(start_service: StartService) -> None:
    service = await start_service(max_streams=1)
    for _ in range(3):
        status, headers, body = await _head_of(service, "HEAD", "/v1/stream?metric=**")
        assert (status, headers[b"content-type"]) == (b"HTTP/1.1 200 OK", b"text/event-stream; charset=utf-8")
        assert body == b""
        assert len(service.app.state.streams) == 0
    async with service.http.stream("GET", "/v1/stream?metric=**") as stream:
        assert stream.status_code == 200
        assert await anext(stream.aiter_lines()), "the only place is free"


async def test_a_connection_goes_on_after_head(service: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    for target in ("/health/live", "/v1/catalog", "/v1/stream?metric=**", "/nothing", "/metrics", "/health/live"):
        writer.write(f"HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(HANG_S):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 "), target
    writer.close()


async def test_head_is_logged_and_counted_as_head(service: Any) -> None:
    await service.http.head("/v1/catalog")
    metrics = (await service.http.get("/metrics")).text
    assert re.search(r'requests_total\{method="HEAD",route="/v1/catalog",status="200"\} 1', metrics), metrics
