"""Every limit: reached, answered in words, counted in /metrics; and none of them fails when Redis is away."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest
from servers import StartService, Valkey
from waiting import HANG_S, Eventually

from tidewire_service.limit_counters import LIMIT_NAMES
from tidewire_service.settings import ServiceSettings

from .conftest import bearer, streaming


class Limit(NamedTuple):
    """One limit: by which settings it is near, what reaches it, and the status of the answer."""

    name: str
    settings: dict[str, Any]
    reach: Callable[[Any], Awaitable[httpx.Response]]
    status: int


def posting(body: Any, **headers: str) -> Callable[[Any], Awaitable[httpx.Response]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def post(service: Any) -> httpx.Response:
        answer: httpx.Response = await service.http.post(
            "/v1/readings", content=content, headers={"Content-Type": "application/json", **headers}
        )
        return answer

    return post


def getting(path: str, times: int = 1, **headers: str) -> Callable[[Any], Awaitable[httpx.Response]]:
    async def get(service: Any) -> httpx.Response:
        for _ in range(times):
            answer: httpx.Response = await service.http.get(path, headers=headers)
        return answer

    return get


def row(**more: Any) -> dict[str, Any]:
    return {"metric": "m", "value": 1, **more}


async def two_posts(service: Any) -> httpx.Response:
    """One body is being taken for as long as it does not end."""
    began, held = asyncio.Event(), asyncio.Event()

    async def slowly() -> Any:
        yield b'{"metric":"m",'
        began.set()
        await held.wait()
        yield b'"value":1}'

    json_type = {"Content-Type": "application/json"}
    first = asyncio.create_task(service.http.post("/v1/readings", content=slowly(), headers=json_type))
    await began.wait()
    while "\ntidewire_posts_taking 1.0\n" not in (await service.http.get("/metrics")).text:
        await asyncio.sleep(0.01)
    second: httpx.Response = await service.http.post("/v1/readings", json=row())
    held.set()
    assert (await first).status_code == 200
    return second


FILLED = [row(metric=f"m{n}", labels={"n": str(n)}) for n in range(4)]
LIMITS = [
    Limit("max_body_bytes", {"max_body_bytes": 1024}, posting([row()] * 200), 413),
    Limit(
        "max_decompressed_bytes",
        {"max_decompressed_bytes": 1024},
        posting(gzip.compress(json.dumps([row()] * 200).encode()), **{"Content-Encoding": "gzip"}),
        413,
    ),
    Limit("nesting", {}, posting(b"[" * 50_000), 400),
    Limit("max_rows", {"max_rows": 3}, posting(FILLED), 413),
    Limit("max_labels", {"max_labels": 1}, posting(row(labels={"a": "1", "b": "2"})), 422),
    Limit("max_readings", {"max_readings": 3}, posting(row(value=[1, 2, 3, 4])), 422),
    Limit("max_batch_bytes", {"max_batch_bytes": 256}, posting(row(text="x" * 300)), 422),
    Limit("max_series", {"max_series": 1}, posting([row(labels={"n": str(n)}) for n in (1, 2)]), 200),
    Limit("max_metrics", {"max_metrics": 1}, posting([row(metric="m1"), row(metric="new")]), 200),
    Limit("max_posts", {"max_posts": 1}, two_posts, 429),
    Limit("max_patterns", {"max_patterns": 1}, getting("/v1/history?metric=a&metric=b"), 413),
    Limit("max_header_bytes", {"max_header_bytes": 1024}, getting("/v1/catalog", **{"X-Long": "x" * 2_000}), 431),
    Limit("max_url_bytes", {"max_url_bytes": 256}, getting(f"/v1/catalog?metric={'x' * 300}"), 414),
    Limit("max_requests_per_s", {"max_requests_per_s": 0.5, "auth": True}, getting("/v1/catalog", 2), 429),
    Limit("max_requests_per_s_per_address", {"max_requests_per_s_per_address": 0.5}, getting("/v1/catalog", 2), 429),
    Limit("history_rows", {"history_rows": 2}, getting("/v1/history?metric=**&start=-1h"), 413),
    Limit("history_scan_batches", {"history_scan_batches": 2}, getting("/v1/history?metric=**&start=-1h"), 413),
    Limit("catalog_rows", {"catalog_rows": 2}, getting("/v1/catalog"), 413),
    Limit("max_metrics_per_stream", {"max_metrics_per_stream": 2}, getting("/v1/stream?metric=**"), 413),
    Limit("soft_memory_bytes", {"soft_memory_bytes": 1}, posting(row()), 503),
]
STREAMS = {
    "max_streams": {"max_streams": 1},
    "max_streams_per_token": {"max_streams_per_token": 1, "auth": True},
    "max_streams_per_address": {"max_streams_per_address": 1},
}
HERE = {"write_timeout_s", "documents"}
ELSEWHERE = {
    *("head_timeout_s", "body_timeout_s", "max_waiting"),  # tests/service/test_raw_http.py
    "max_matching_s",  # tests/service/test_matching.py
    # tests/service/test_influx.py
    *("max_foreign_body_bytes", "max_foreign_decompressed_bytes", "max_foreign_rows"),
}


async def reached(service: Any) -> dict[str, float]:
    """Return what /metrics counts of each limit."""
    text = (await service.http.get("/metrics")).text
    found = re.findall(r'^tidewire_limits_reached_total\{limit="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.fixture
async def limited(start_service: StartService, token: Any) -> Any:
    """Start a service with a few readings in it that is near a limit, and ask with a token if it wants one."""

    async def start(settings: dict[str, Any]) -> Any:
        filler = await start_service()
        assert (await filler.http.post("/v1/readings", json=FILLED)).status_code == 200
        await filler.stop()
        service = await start_service(**settings)
        if settings.get("auth"):
            everything = {"publish": ("**",), "subscribe": ("**",), "operate": True}
            service.http.headers.update(bearer(await token(**everything)))
        return service

    return start


def test_every_bound_is_walked_here_and_is_a_setting() -> None:
    walked = {limit.name for limit in LIMITS} | set(STREAMS) | HERE | ELSEWHERE
    assert walked == set(LIMIT_NAMES)
    assert walked - set(ServiceSettings.__struct_fields__) == {"nesting", "documents"}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
async def test_a_limit_is_answered_in_words_and_counted(limited: Any, limit: Limit) -> None:
    service = await limited(limit.settings)
    if limit.name == "soft_memory_bytes":
        while not service.app.state.streams.quota.memory_short:
            await asyncio.sleep(0.01)
    answer = await limit.reach(service)
    assert answer.status_code == limit.status, answer.text
    body = answer.json()
    named = body["rejected"][0] if "rejected" in body else body
    words = named.get("limit") or body["detail"]
    assert (limit.name if limit.name != "nesting" else "nested too deeply") in str(words), body
    assert ("retry-after" in answer.headers) == (limit.status in (429, 503))
    if "retry-after" in answer.headers:
        assert int(answer.headers["retry-after"]) >= 1
    if "max_requests_per_s" in limit.name:
        await asyncio.sleep(2.1)
    counted = await reached(service)
    assert counted[limit.name] >= 1
    assert {name for name, times in counted.items() if times} == {limit.name}
    assert set(counted) == set(LIMIT_NAMES)


@pytest.mark.parametrize("name", STREAMS)
async def test_one_stream_too_many_is_told_which_limit_and_when_to_come_back(limited: Any, name: str) -> None:
    service = await limited(STREAMS[name])
    async with streaming(service, "metric=**") as first:
        await first.until("live")
        async with streaming(service, "metric=**") as second:
            assert second.status == 200, "any other status would be final for an EventSource"
            [bye] = await second.until("bye")
        assert bye[2]["limit"] == name
        assert bye[2]["retry_ms"] >= 10_000
    assert (await reached(service))[name] == 1


async def test_a_stream_that_comes_too_fast_is_told_too(limited: Any) -> None:
    service = await limited({"max_requests_per_s": 0.5, "auth": True})
    assert (await service.http.get("/v1/catalog")).status_code == 200
    async with streaming(service, "metric=**") as events:
        assert events.status == 200
        assert (await events.until("bye"))[-1][2]["limit"] == "max_requests_per_s"


async def test_a_subscriber_that_takes_nothing_is_ended_and_counted(limited: Any, eventually: Eventually) -> None:
    service = await limited({"write_timeout_s": 0.5})
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1_024)
    writer.write(b"GET /v1/stream?metric=** HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"event: live")
    async with asyncio.timeout(HANG_S):
        while (await reached(service))["write_timeout_s"] == 0:
            assert (await service.http.post("/v1/readings", json=row(text="x" * 200_000))).status_code == 200
    await eventually(lambda: len(service.app.state.streams) == 0)
    assert 'tidewire_stream_ends_total{reason="write_timeout"} 1.0' in (await service.http.get("/metrics")).text
    writer.close()


async def test_the_most_decks_are_saved_and_one_more_is_refused_and_counted(limited: Any, valkey: Valkey) -> None:
    service = await limited({})
    assert (await service.http.put("/v1/decks/first", json={"name": "first"})).status_code == 200
    saved = valkey.client.hget("tw:{0}:decks", "first")
    valkey.client.hset("tw:{0}:decks", mapping={f"deck-{n}": saved for n in range(499)})
    refused = await service.http.put("/v1/decks/last", json={"name": "last"})
    assert (refused.status_code, refused.json()["limit"]) == (413, {"documents": 500})
    assert (await service.http.put("/v1/decks/first", json={"name": "again"})).status_code == 200
    assert (await reached(service))["documents"] == 1


async def test_without_redis_limits_hold_and_nothing_answers_500(limited: Any, valkey: Valkey) -> None:
    service = await limited({"max_streams": 2, "max_requests_per_s": 4.0, "auth": True, "redis_timeout_s": 0.3})
    assert (await service.http.get("/v1/whoami")).status_code == 200
    valkey.kill()
    statuses = set()
    for _ in range(12):
        answers = await asyncio.gather(
            service.http.get("/v1/catalog"),
            service.http.get("/v1/history?metric=m0"),
            service.http.get("/v1/decks"),
            service.http.get("/v1/thresholds"),
            service.http.get("/metrics"),
            service.http.post("/v1/readings", json=row()),
            service.http.post("/v1/tickets", json={"metric": ["**"]}),
            service.http.put("/v1/decks/d", json={}),
            service.http.get("/v1/catalog", headers=bearer("tw_" + "0" * 12 + "_" + "x" * 43)),
        )
        for answer in answers:
            assert answer.status_code in (200, 403, 429, 503), answer.text
            assert answer.status_code not in (429, 503) or "retry-after" in answer.headers
        statuses |= {answer.status_code for answer in answers}
    assert {429, 503} <= statuses
    await asyncio.sleep(2.0)
    async with streaming(service, "metric=**") as one, streaming(service, "metric=**") as two:
        assert (one.status, two.status) == (200, 200)
        async with streaming(service, "metric=**") as three:
            assert three.status == 200
            assert (await three.until("bye"))[-1][2]["limit"] == "max_streams"
    valkey.start()
