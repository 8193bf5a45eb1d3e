"""GET /v1/stream: what the route takes and refuses; the stream itself is tested with the hub."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import httpx
import pytest
from servers import Valkey
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from waiting import HANG_S, Eventually

from tidewire.errors import InvalidInput
from tidewire.model.cursor import Cursor
from tidewire.model.sse import Decoder, ServerEvent
from tidewire_service.http_server.protocol import StreamingHttpProtocol
from tidewire_service.http_server.stream_writer import StreamWriter
from tidewire_service.hub.subscription import OnSlow, Replay, Subscription
from tidewire_service.routes.stream import parse_stream_request
from tidewire_service.streams.stream import Stream

CURSOR = "abc1234.mwt3mg8f-1"


def _parse(query: str, last_event_id: str = "") -> Any:
    return parse_stream_request(query.encode(), last_event_id, 16)


def test_patterns_labels_and_replay_are_read() -> None:
    request = _parse("metric=a/*&metric=b%2Fc&metric=a/*&label=site:A&label=zone:x:y&replay=5m")
    assert request.patterns == ("a/*", "b/c")
    assert request.labels == {"site": "A", "zone": "x:y"}
    assert request.replay == Replay("span", 300_000)
    assert request.cursor is None
    assert _parse("metric=a").replay == _parse("metric=a&replay=").replay == Replay("last")
    assert _parse("metric=a&replay=none").replay == Replay("none")


def test_conflation_and_the_rule_for_the_slow_are_read() -> None:
    assert (_parse("metric=a").every_ms, _parse("metric=a").on_slow) == (0, OnSlow.CATCHUP)
    request = _parse("metric=a&every=1.5s&on_slow=conflate")
    assert (request.every_ms, request.on_slow) == (1_500, OnSlow.CONFLATE)
    assert _parse("metric=a&every=&on_slow=").every_ms == 0


async def test_a_conflated_stream_has_a_bounded_number_of_series(start: Any, valkey: Valkey) -> None:
    service = await start(redis_timeout_s=1)
    rows = [{"metric": f"m/{n % 2}", "value": n, "labels": {"n": str(n)}} for n in range(2_004)]
    await service.post(rows)
    refused = await service.http.get("/v1/stream?metric=m/*&every=1s")
    assert (refused.status_code, refused.json()["field"]) == (422, "every")
    assert "2000" in refused.json()["detail"]
    for query in ("metric=m/0&every=1s", "metric=m/*"):
        async with service.http.stream("GET", f"/v1/stream?{query}") as answer:
            assert answer.status_code == 200
    valkey.stop()  # a stream opens while Redis is away: a refusal would end an EventSource for good
    async with service.http.stream("GET", "/v1/stream?metric=m/*&every=1s") as answer:
        assert answer.status_code == 200


def test_the_header_wins_over_the_cursor_and_empty_is_absent() -> None:
    other = "abc1234.mwt3mg8f-2"
    assert _parse(f"metric=a&cursor={CURSOR}").cursor == Cursor.parse(CURSOR)
    assert _parse(f"metric=a&cursor={CURSOR}", other).cursor == Cursor.parse(other)
    assert _parse("metric=a&cursor=", "").cursor is None
    assert _parse(f"metric=a&cursor={CURSOR}", "").cursor == Cursor.parse(CURSOR)


@pytest.mark.parametrize(
    ("query", "header", "field"),
    [
        ("", "", "metric"),
        ("metric=", "", "metric"),
        ("metric=a**", "", "pattern"),
        ("metric=a&replay=all", "", "replay"),
        ("metric=a&replay=5", "", "replay"),
        ("metric=a&replay=-5m", "", "replay"),
        ("metric=a&replay=0s", "", "replay"),
        ("metric=a&replay=9999d", "", "replay"),
        ("metric=a&cursor=x", "", "cursor"),
        ("metric=a", "not a cursor", "cursor"),
        ("metric=a", "abc1234.zzzzzzzzzzzzzzz-0", "cursor"),
        ("metric=a&label=x", "", "label"),
        ("metrics=a", "", "metrics"),
        ("metric=a&every=50ms", "", "every"),
        ("metric=a&every=2h", "", "every"),
        ("metric=a&every=fast", "", "every"),
        ("metric=a&every=100.5ms", "", "every"),
        ("metric=a&on_slow=wait", "", "on_slow"),
    ],
)
def test_bad_fields_are_named(query: str, header: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _parse(query, header)
    assert caught.value.field == field
    assert caught.value.reason


async def test_a_refusal_is_a_problem_and_final(service: Any) -> None:
    for path in ("/v1/stream", "/v1/stream?metric=a[", "/v1/stream?metric=a&cursor=x"):
        answer = await service.http.get(path, headers={"Accept": "text/event-stream"})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
    many = await service.http.get("/v1/stream?" + "&".join(f"metric=m{n}" for n in range(300)))
    assert many.status_code == 413
    for method in ("POST", "PUT", "OPTIONS"):
        answer = await service.http.request(method, "/v1/stream?metric=a")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"


async def test_a_stream_begins_at_once_and_carries_each_batch(service: Any) -> None:
    await service.post({"metric": "m", "value": 1})
    decoder = Decoder()
    seen: list[ServerEvent] = []
    async with service.http.stream("GET", "/v1/stream", params={"metric": "m"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in answer.headers
        async for chunk in answer.aiter_raw():
            for event in decoder.feed(chunk):
                seen.append(event)
                if event.event == "live":
                    await service.post({"metric": "m", "value": 2})
            if [event.event for event in seen].count("message") == 2:
                break
    assert [event.event for event in seen] == ["hello", "message", "live", "message"]
    assert [json.loads(event.data)["value"] for event in seen if event.event == "message"] == [[1], [2]]
    assert 2_000 <= (decoder.retry_ms or 0) <= 6_000


async def test_a_hundred_streams_share_a_batch_and_all_end_with_bye(start: Any, eventually: Eventually) -> None:
    service = await start()
    texts = [b""] * 100

    async def listen(n: int, http: httpx.AsyncClient) -> None:
        async with http.stream("GET", "/v1/stream", params={"metric": "m"}) as answer:
            async for chunk in answer.aiter_raw():
                texts[n] += chunk

    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=service.url, timeout=HANG_S, limits=limits, trust_env=False) as http:
        tasks = [asyncio.create_task(listen(n, http)) for n in range(100)]
        await eventually(lambda: all(b"event: live" in text for text in texts))
        await service.post({"metric": "m", "value": 42})
        await eventually(lambda: all(b"42.0" in text or b"[42]" in text for text in texts))
        await asyncio.gather(service.stop(), *tasks)
    assert all(b"event: bye" in text for text in texts)


@pytest.mark.parametrize("leaves", ["the client", "the service"])
async def test_what_a_stream_held_is_free_as_it_ends(start: Any, eventually: Eventually, leaves: str) -> None:
    """The collector walks seldom (`server._GC_THRESHOLDS`): what only it would find stays for hours."""
    service = await start()
    await service.post({"metric": "m", "value": 1})
    kinds = (Stream, StreamWriter, Subscription, StreamingHttpProtocol, RequestResponseCycle)

    def held() -> list[object]:
        return [found for found in gc.get_objects() if isinstance(found, kinds)]

    gc.collect()
    before = len(held())
    gc.disable()
    try:
        peers = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(10)]
        for number, (reader, writer) in enumerate(peers):
            how = ("", "&every=1s", "&replay=none")[number % 3]
            writer.write(f"GET /v1/stream?metric=m{how} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await asyncio.wait_for(reader.readuntil(b"event: live"), HANG_S)
        assert len(held()) >= before + 10 * len(kinds)
        if leaves == "the service":
            await service.app.state.drain()
        for _, writer in peers:
            writer.close()
        await eventually(lambda: len(held()) <= before)
    finally:
        gc.enable()


async def test_a_stream_ends_at_its_age_and_goes_on_where_it_was(start: Any) -> None:
    service = await start(stream_age_s=0.5)
    await service.post({"metric": "m", "value": 1})
    decoder, events = Decoder(), []
    async with service.http.stream("GET", "/v1/stream", params={"metric": "m", "replay": "5m"}) as answer:
        async for chunk in answer.aiter_raw():
            events += list(decoder.feed(chunk))
    assert events[-1].event == "bye"
    assert json.loads(events[-1].data)["reason"] == "max_age"
    await service.post({"metric": "m", "value": 2})
    again = {"Last-Event-ID": decoder.last_event_id}
    async with service.http.stream("GET", "/v1/stream", params={"metric": "m"}, headers=again) as answer:
        decoder = Decoder()
        async for chunk in answer.aiter_raw():
            events += list(decoder.feed(chunk))
    assert [json.loads(event.data)["value"] for event in events if event.event == "message"] == [[1], [2]]
