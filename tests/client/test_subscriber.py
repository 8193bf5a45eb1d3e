"""The subscriber against a real service and against a scripted server that cuts, stalls and refuses."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tidewire.errors import InvalidInput, ServiceRefused
from tidewire.states import Connected, Live, Lost, Reset, StreamBatch
from tidewire.subscriber import astream, stream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class Script:
    """A server that answers each connection with the next of its answers; real bytes on a real socket."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = iter(answers)
        self.requests: list[str] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        answer = next(self.answers, b"")
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[Script]:
    script = Script(list(answers))
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield script


def event(n: int) -> bytes:
    return b'id: e.%d-0\ndata: {"metric":"a","time":[1.7e12],"value":[%d]}\n\n' % (n, n)


async def take(items: Any, count: int) -> list[Any]:
    async with contextlib.aclosing(items), asyncio.timeout(20):
        return [item async for item in _first(items, count)]


async def _first(items: Any, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(items)


async def test_a_cut_in_the_middle_of_an_event_loses_and_doubles_nothing() -> None:
    async with scripted(
        HEAD + b"retry: 10\n\n" + event(1) + event(2)[:-1],  # the second was never dispatched
        HEAD + b"retry: 10\n\n" + event(2) + event(2) + event(3),  # a repeat has the same id
        HEAD + event(3) + event(4),
    ) as script:
        batches = await take(astream("a", url=script.url), 4)
    assert [batch.value[0] for batch in batches] == [1, 2, 3, 4]
    assert [batch.cursor for batch in batches] == ["e.1-0", "e.2-0", "e.3-0", "e.4-0"]
    ids = [
        line.split(": ")[1].strip()
        for r in script.requests
        for line in r.split("\r\n")
        if line.startswith("last-event-id")
    ]
    assert ids[:2] == ["e.1-0", "e.3-0"]


async def test_states_say_what_happened() -> None:
    hello = (
        b'event: hello\nid: e.1-0\ndata: {"version":1,"cursor":"e.1-0","resumed":true,"matched":2,"replay":"last"}\n\n'
    )
    reset = b'event: reset\nid: f.0-0\ndata: {"epoch":"f","reason":"the log was lost"}\n\n'
    bye = b'event: bye\ndata: {"reason":"drain","retry_ms":5}\n\n'
    async with scripted(
        HEAD + b"retry: 5\n\n" + hello + reset + event(1) + b'event: live\ndata: {"cursor":"e.1-0"}\n\n' + bye
    ) as script:
        items = await take(astream("a", url=script.url, states=True), 5)
    assert [type(item) for item in items] == [Connected, Reset, StreamBatch, Live, Lost]
    assert items[0].resumed
    assert items[0].matched == 2
    assert (items[4].reason, items[4].attempt, items[4].retry_s) == ("drain", 1, 0.005)


async def test_a_reset_that_empties_the_id_starts_anew_if_it_is_cut() -> None:
    """A snapshot without ids follows; going on after it would lose what the cut took of it."""
    reset = b'event: reset\nid:\ndata: {"epoch":"f","reason":"the log was lost"}\n\n'
    async with scripted(HEAD + b"retry: 5\n\n" + event(9) + reset, HEAD + event(1)) as script:
        items = await take(astream("a", url=script.url, states=True, cursor="e.5-0"), 4)
    assert [type(item) for item in items] == [StreamBatch, Reset, Lost, StreamBatch]
    assert "last-event-id: e.5-0" in script.requests[0]
    assert "last-event-id" not in script.requests[1]


@pytest.mark.parametrize("status", [401, 403, 404, 422])
async def test_a_final_refusal_is_raised_with_its_detail(status: int) -> None:
    body = b'{"detail":"name the metric"}'
    answer = b"HTTP/1.1 %d X\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )
    async with scripted(answer) as script:
        with pytest.raises(ServiceRefused, match="name the metric") as caught:
            await take(astream("a", url=script.url), 1)
    assert caught.value.status == status


async def test_a_pause_that_is_asked_for_is_kept() -> None:
    busy = b"HTTP/1.1 503 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
    async with scripted(busy) as script:
        (lost,) = await take(astream("a", url=script.url, states=True), 1)
    assert lost.retry_s == 7


async def test_a_token_provider_is_asked_again_after_a_401() -> None:
    given = itertools.count()
    refused = b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n"
    async with scripted(refused, HEAD + event(1)) as script:
        (batch,) = await take(astream("a", url=script.url, token=lambda: f"t{next(given)}"), 1)
    assert batch.value == [1]
    assert ["authorization: Bearer t0" in r for r in script.requests] == [True, False]
    assert "authorization: Bearer t1" in script.requests[1]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("a//b",), {}),
        (("a",), {"cursor": "x"}),
        (("a",), {"url": "ftp://x"}),
        (("a",), {"labels": {"a": "\n"}}),
    ],
)
async def test_what_can_never_work_is_told_at_once(arguments: tuple[str, ...], options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await take(astream(*arguments, **options), 1)


async def test_a_stream_of_the_real_service_resumes_over_its_restart(service: Any) -> None:
    items = astream("a/**", url=service.url, replay="none", states=True)
    async with contextlib.aclosing(items), asyncio.timeout(30):
        while not isinstance(await anext(items), Live):
            pass
        await service.publish("a/x", 1)
        assert (await next_batch(items)).value == [1]
        await service.stop()
        await service.start()
        await service.publish("a/y", 2)
        await service.publish("a/x", 3)
        assert [(await next_batch(items)).value[0] for _ in range(2)] == [2, 3]


async def next_batch(items: Any) -> StreamBatch:
    while True:
        item = await anext(items)
        if isinstance(item, StreamBatch):
            return item


async def test_conflated_batches_arrive_as_batches(service: Any) -> None:
    items = astream("a", url=service.url, every="100ms", replay="none", states=True)
    async with contextlib.aclosing(items), asyncio.timeout(20):
        while not isinstance(await anext(items), Live):
            pass
        await service.publish("a", 1, 2, 6)
        batch = await next_batch(items)
    assert (batch.every_ms, batch.value, batch.min, batch.max, batch.mean, batch.count) == (
        100,
        [6],
        [1],
        [6],
        [3],
        [3],
    )


async def test_the_sync_form_ends_with_its_loop_and_leaves_no_thread(service: Any) -> None:
    for n in range(3):
        await service.publish("a", n)

    def read() -> list[float | None]:
        found = []
        for batch in stream("a", url=service.url, replay="5m"):
            assert isinstance(batch, StreamBatch)
            found += batch.value
            if len(found) == 3:
                break
        return found

    before = threading.active_count()
    assert await asyncio.to_thread(read) == [0, 1, 2]
    assert threading.active_count() <= before + 1  # the pool's own


def test_sync_and_async_take_the_same_arguments() -> None:
    assert list(inspect.signature(stream).parameters.values()) == list(inspect.signature(astream).parameters.values())
