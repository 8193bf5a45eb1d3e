"""The subscriber against a real service and against a scripted server that cuts, stalls and refuses."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import signal
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANG_S

from tidewire.errors import InvalidInput, ServiceRefused
from tidewire.model.cursor import Cursor
from tidewire.model.states import Connected, Ended, Live, Lost, Reset, State, StreamBatch
from tidewire.publishing.publisher import AsyncPublisher, Publisher
from tidewire.subscribing import subscriber
from tidewire.subscribing.reconnect import Reconnect
from tidewire.subscribing.subscriber import astream, stream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class Script:
    """A server that answers each connection with the next of its answers; real bytes on a real socket."""

    def __init__(self, answers: list[bytes], hold: asyncio.Event | None) -> None:
        self.answers = iter(answers)
        self.hold = hold  # until it is set, the connection stays open behind its answer
        self.gone = asyncio.Event()  # the other side closed it
        self.requests: list[str] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        answer = next(self.answers, b"")
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        if self.hold is not None:
            rest = asyncio.create_task(reader.read())
            held = asyncio.create_task(self.hold.wait())
            await asyncio.wait((rest, held), return_when=asyncio.FIRST_COMPLETED)
            if rest.done():
                self.gone.set()
            for task in (rest, held):
                task.cancel()
        writer.close()


@contextlib.asynccontextmanager
async def scripted(*answers: bytes, hold: asyncio.Event | None = None) -> AsyncIterator[Script]:
    script = Script(list(answers), hold)
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield script


def event(n: int) -> bytes:
    return b'id: e.%d-0\ndata: {"metric":"a","time":[1.7e12],"value":[%d]}\n\n' % (n, n)


async def take(items: Any, count: int) -> list[Any]:
    async with contextlib.aclosing(items), asyncio.timeout(HANG_S):
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


@pytest.mark.parametrize("how", [astream, stream])
async def test_a_final_refusal_is_the_last_state_and_then_the_error(how: Any) -> None:
    async with scripted(b"HTTP/1.1 403 X\r\ncontent-length: 18\r\n\r\n" + b'{"detail":"no"}   ') as script:
        items = how("a", url=script.url, states=True)
        following = items if how is astream else in_a_thread(items)
        assert await anext(following) == Ended(reason="HTTP 403: no")
        with pytest.raises(ServiceRefused):
            await anext(following)


async def in_a_thread(items: Iterator[Any]) -> AsyncGenerator[Any, None]:
    end = object()
    while (item := await asyncio.to_thread(next, items, end)) is not end:
        yield item


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_without_end_is_not_read_to_its_end(status: int) -> None:
    page = b"HTTP/1.1 %d X\r\ncontent-type: text/html\r\ncontent-length: 100000000000\r\n\r\n" % status + b"x" * 200_000
    async with scripted(page) as script:
        (lost,) = await take(astream("a", url=script.url, states=True), 1)
    assert len(lost.reason) < 600
    assert ("is this a Tidewire service?" in lost.reason) == (status == 200)


async def test_an_event_without_end_costs_the_connection_and_nothing_else() -> None:
    async with scripted(HEAD + event(1) + b"data: " + b"x" * (5 << 20), HEAD + event(2)) as script:
        items = await take(astream("a", url=script.url, states=True), 3)
    assert [type(item) for item in items] == [StreamBatch, Lost, StreamBatch]
    assert "max_event_bytes" in items[1].reason


async def test_a_service_that_greets_and_ends_gets_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    hello = b'event: hello\ndata: {"version":1,"cursor":"e.1-0","resumed":false,"matched":0,"replay":"last"}\n\n'
    async with scripted(HEAD + hello, HEAD + hello, HEAD + hello + event(1), HEAD + hello) as script:
        items = await take(astream("a", url=script.url, states=True), 9)
    assert [item.attempt for item in items if isinstance(item, Lost)] == [1, 2, 1, 2]
    said = [record.message for record in caplog.records]
    assert [text.split(" ")[0] for text in said] == ["no", script.url, "no"], "trouble is said once, and its end"


events = [event(n) for n in range(1, 9)]


@given(st.lists(st.integers(0, len(b"".join(events)) + 40), max_size=12), st.integers(1, 50))
def test_wherever_connections_are_cut_each_batch_comes_once_and_in_order(cuts: list[int], chunk: int) -> None:
    reconnect = Reconnect(("a",), "http://h", "none", None, None, None, None)
    seen: list[float | None] = []
    for cut in [*cuts, 1 << 20]:
        last_id = reconnect.headers("").get("last-event-id", "e.0-0")
        after = Cursor.parse(last_id).id >> 32
        sent = (b"\xef\xbb\xbf: hi\r\n\r\n" + b"".join(events[max(0, after - 1) :]))[:cut]  # one of them again
        for n in range(0, len(sent), chunk):
            seen += [value for item in reconnect.consume(sent[n : n + chunk]) for value in item.value]  # type: ignore[union-attr]
        reconnect.lost("cut")
    assert seen == [float(n) for n in range(1, 9)]


ENDED = """
import sys, threading, tidewire
try:
    for batch in tidewire.stream("a", url=sys.argv[1]):
        print(batch.value, flush=True)
except KeyboardInterrupt:
    print("ended", threading.active_count(), flush=True)
"""


async def test_a_for_loop_ends_cleanly_on_ctrl_c() -> None:
    hold = asyncio.Event()
    async with scripted(HEAD + event(1), hold=hold) as script:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ENDED, script.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), HANG_S) == b"[1.0]\n"
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), HANG_S)
        hold.set()
    assert (process.returncode, out, err) == (0, b"ended 1\n", b"")


@pytest.mark.parametrize("how", ["break", "close", "cancel"])
async def test_the_end_of_a_loop_closes_its_connection(how: str) -> None:
    hold = asyncio.Event()
    async with scripted(HEAD + event(1), hold=hold) as script:
        if how == "break":

            def read() -> None:
                for _ in stream("a", url=script.url):
                    break

            await asyncio.to_thread(read)
        elif how == "close":
            items = astream("a", url=script.url)
            await anext(items)
            await items.aclose()
        else:

            async def follow() -> None:
                async for _ in astream("a", url=script.url):
                    got.set()

            got = asyncio.Event()
            task = asyncio.create_task(follow())
            await got.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, HANG_S)
        async with asyncio.timeout(HANG_S):
            await script.gone.wait()
        hold.set()


async def test_a_stream_of_the_real_service_resumes_over_its_restart(service: Any) -> None:
    items = astream("a/**", url=service.url, replay="none", states=True)
    async with contextlib.aclosing(items), asyncio.timeout(HANG_S):
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
    async with contextlib.aclosing(items), asyncio.timeout(HANG_S):
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


def test_a_stream_without_states_is_typed_as_batches_and_takes_no_other_options() -> None:
    if TYPE_CHECKING:
        assert_type(next(stream("a")), StreamBatch)
        assert_type(next(stream("a", replay="5m", states=True)), StreamBatch | State)
    for function in (stream, astream):
        accepted = set(inspect.signature(function).parameters) - {"patterns", "states"}
        assert accepted == set(subscriber._Options.__annotations__)


@pytest.mark.parametrize("token", ["a\n", "a b", "grüße", b"a"])
def test_a_token_that_no_header_can_hold_is_said_at_once(token: Any) -> None:
    with pytest.raises(InvalidInput, match="token") as caught:
        next(stream("a", url="http://127.0.0.1:1", token=token))
    assert repr(token) not in str(caught.value), "it is a secret"


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "redis://h", "http://", "http://h:x", "http://h:99999", "http://a b"]
)
def test_a_url_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(InvalidInput, match="expected http"):
        next(stream("a", url=url))


def test_the_async_names_take_what_the_plain_ones_take() -> None:
    def parameters(function: Any) -> list[tuple[str, Any, Any]]:
        return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]

    assert parameters(astream) == parameters(stream)
    public = {name for name in dir(Publisher) if not name.startswith("_")}
    assert public == {name for name in dir(AsyncPublisher) if not name.startswith("_")}
    for name in ("__init__", "publish", "flush", "close"):
        assert parameters(getattr(Publisher, name)) == parameters(getattr(AsyncPublisher, name))


def test_a_service_that_is_away_for_days_is_tried_for_days() -> None:
    reconnect = Reconnect(("a",), "http://h", "none", None, None, None, None)
    lost = [reconnect.lost("away") for _ in range(3_000)]
    assert lost[-1].attempt == 3_000
    assert all(0 <= one.retry_s <= 15 for one in lost)
