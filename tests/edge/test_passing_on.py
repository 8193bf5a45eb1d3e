"""What an edge does not answer itself is answered by its upstream, as it is."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from servers import Service
from waiting import Eventually

from .conftest import StartEdge

HISTORY = "/v1/history?metric=plant/**&start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/catalog",
        "/v1/catalog?metric=plant/a",
        "/v1/catalog?metric=plant/*&label=site:A%20%C3%A4",
        HISTORY,
        f"{HISTORY}&format=csv",
        f"{HISTORY}&format=ndjson",
        f"{HISTORY}&format=parquet",
        f"{HISTORY}&points=7",
        f"{HISTORY}&points=nonsense",
        "/v1/history",
        "/v1/catalog?metrics=plant/a",
        "/v1/catalog?metric=plant//a",
    ],
)
async def test_catalogue_and_history_are_those_of_the_service(
    service: Service, start_edge: StartEdge, path: str
) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/a", *range(50))
    await service.publish("plant/b", *range(50), labels={"site": "A ä"})
    there, here = [await http.get(path) for http in (service.http, edge.http)]
    assert here.status_code == there.status_code
    assert here.headers["content-type"] == there.headers["content-type"]
    assert here.content == there.content


async def test_versions_and_heads_pass(service: Service, start_edge: StartEdge) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/a", 1, 2)
    for path in ("/v1/catalog", HISTORY, "/v1/stream?metric=plant/a"):
        there, here = [await http.head(path) for http in (service.http, edge.http)]
        assert (here.status_code, here.content) == (there.status_code, b"")
        assert here.headers["content-type"] == there.headers["content-type"]
    assert (await edge.http.get("/v1/catalog", headers={"Connection": "close, X-Secret", "X-Secret": "1"})).is_success


async def test_an_upstream_that_is_away_is_a_problem_with_a_time_to_try_again(
    service: Service, start_edge: StartEdge
) -> None:
    edge = await start_edge(service.url)
    await service.stop()
    answer = await edge.http.get("/v1/catalog")
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:tidewire:problem:upstream-away"
    assert int(answer.headers["retry-after"]) > 0
    stream = await edge.http.get("/v1/stream?metric=plant/a")
    assert stream.status_code == 200, "any other status would end an EventSource for good"
    assert "event: bye" in stream.text
    assert '"overload"' in stream.text


async def test_requests_that_can_never_work_are_refused_as_the_service_does(
    service: Service, start_edge: StartEdge
) -> None:
    edge = await start_edge(service.url)
    for path in ("/v1/stream", "/v1/stream?metric=a&every=5x", "/v1/stream?metric=a&cursor=nonsense"):
        there, here = [await http.get(path) for http in (service.http, edge.http)]
        assert here.status_code == there.status_code == 422
        assert here.json() == there.json()
    assert (await edge.http.get("/v1/nothing")).status_code == 404
    assert (await edge.http.post("/v1/stream?metric=a")).status_code == 405
    assert (await edge.http.get("/v1/catalog", headers={"Host": "evil.example"})).status_code == 421
    assert (await edge.http.get("/v1/catalog", headers={"Origin": "https://evil.example"})).status_code == 403


async def test_one_selection_too_many_is_put_off_and_says_why(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url, max_selections=1, linger_s=60)

    async def opening(path: str) -> bytes:
        async with edge.http.stream("GET", path) as answer:
            async for chunk in answer.aiter_raw():
                return chunk
        return b""

    async with edge.http.stream("GET", "/v1/stream?metric=plant/a"):
        await eventually(lambda: edge.gauges["viewers_joining"] == 1)
        refused = await opening("/v1/stream?metric=plant/b")
        assert b'"overload"' in refused
        assert b'"max_selections"' in refused
    await eventually(lambda: edge.gauges["viewers_joining"] == 0)
    assert b"overload" not in await opening("/v1/stream?metric=plant/b"), "one that nobody watches makes room"
    assert edge.gauges["selections"] == 1


async def test_counters_are_shown(service: Service, start_edge: StartEdge) -> None:
    edge = await start_edge(service.url)
    text = (await edge.http.get("/metrics")).text
    for name in ("tidewire_edge_upstream_streams", "tidewire_edge_moved_to_ring_total", "tidewire_streams_open"):
        assert name in text


async def test_an_answer_that_is_cut_upstream_is_cut_here(start_edge: StartEdge, eventually: Eventually) -> None:
    """An end that looks whole would pass half a history for all of it."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/health/live" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        else:
            writer.write(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/csv\r\n\r\n4\r\n1,2\n\r\n"
            )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        edge = await start_edge(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(httpx.RemoteProtocolError):
            await edge.http.get(f"{HISTORY}&format=csv")
