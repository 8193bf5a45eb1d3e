"""A viewer that does not read is bounded, costs the others nothing, and gets all of it later, or is ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from servers import Service
from stream_reader import StreamReader, reading
from waiting import HANG_S, Eventually

from tidewire.model.sse import Decoder

from .conftest import Edge, StartEdge, settled

TEXT = "x" * 8_000


class RawViewer:
    """A viewer over a socket with a small buffer, which reads only when it is told to."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        self._source = source
        self._decoder = Decoder()
        self.reader = StreamReader()
        self.ended = False

    async def read_one(self) -> None:
        """Read one chunk of the body, or note the end."""
        try:
            size = int(await asyncio.wait_for(self._source.readline(), HANG_S), 16)
            data = await self._source.readexactly(size + 2)
        except (asyncio.IncompleteReadError, ValueError, ConnectionError):
            self.ended = True
            return
        for event in self._decoder.feed(data[:-2]):
            self.reader.take(event)

    async def read_until_live(self) -> None:
        while not self.reader.named("live"):
            await self.read_one()


@contextlib.asynccontextmanager
async def raw_viewer(edge: Edge, query: str) -> AsyncIterator[RawViewer]:
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    await loop.sock_connect(sock, ("127.0.0.1", edge.port))
    source, sink = await asyncio.open_connection(sock=sock, limit=4_096)
    sink.write(f"GET /v1/stream?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert await source.readuntil(b"\r\n\r\n")
    try:
        yield RawViewer(source)
    finally:
        sink.close()


async def publish(service: Service, first: int, count: int) -> None:
    for value in range(first, first + count):
        await service.publish("plant/a", value, text=[TEXT])


@pytest.mark.parametrize("ring_bytes", [1 << 16, 64 << 20], ids=["past the ring", "within the ring"])
@pytest.mark.parametrize("on_slow", ["catchup", "conflate"])
async def test_a_slow_viewer_catches_up_and_others_go_on(
    service: Service, start_edge: StartEdge, eventually: Eventually, ring_bytes: int, on_slow: str
) -> None:
    edge = await start_edge(service.url, selection_ring_bytes=ring_bytes)
    await service.publish("plant/a", 0)
    quick = StreamReader()
    async with (
        reading(edge.http, quick, "metric=plant/a"),
        raw_viewer(edge, f"metric=plant/a&on_slow={on_slow}") as slow,
    ):
        await slow.read_until_live()
        await eventually(lambda: quick.named("live"))
        await publish(service, 1, 3)
        await eventually(lambda: edge.gauges["viewers_live"] == 2)
        await publish(service, 4, 300)
        await eventually(lambda: quick.values["plant/a"] == list(range(304)))
        await eventually(lambda: edge.gauges["viewers_live"] == 1)
        assert edge.gauges["ring_bytes"] <= ring_bytes + 10_000
        while not slow.reader.values["plant/a"] or slow.reader.values["plant/a"][-1] < 303:
            await slow.read_one()
        found = slow.reader.values["plant/a"]
        if on_slow == "catchup":
            assert found == list(range(304))
        else:
            left_out = sum(skipped["count"] for skipped in slow.reader.named("skipped"))
            assert found == sorted(set(found))
            assert len(found) + left_out == 304
        await publish(service, 304, 3)
        while slow.reader.values["plant/a"][-1] < 306:
            await slow.read_one()
        await eventually(lambda: edge.gauges["viewers_live"] == 2)
        assert (edge.relay.counters["passed_upstream"] > 0) == (ring_bytes == 1 << 16 or on_slow == "conflate")


async def test_a_viewer_that_never_reads_is_ended(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url, write_timeout_s=1.0)
    async with raw_viewer(edge, "metric=plant/a") as slow:
        await slow.read_until_live()
        await publish(service, 0, 200)
        streams = edge.app.state.streams
        await eventually(lambda: streams.ends["write_timeout"] == 1)
        assert len(streams) == 0
        assert edge.gauges["viewers_live"] == edge.gauges["viewers_joining"] == 0


async def test_a_slow_viewer_that_asked_for_it_is_cut(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/a", 0)
    async with raw_viewer(edge, "metric=plant/a&on_slow=disconnect") as slow:
        await slow.read_until_live()
        await settled(edge, service, ["plant/a"])
        await publish(service, 2_000, 300)
        await eventually(lambda: edge.app.state.streams.ends["slow"] == 1)


async def test_heartbeats_come_while_nothing_else_does(service: Service, start_edge: StartEdge) -> None:
    edge = await start_edge(service.url, heartbeat_s=0.5)
    async with edge.http.stream("GET", "/v1/stream?metric=plant/a&replay=none") as answer:
        async for chunk in answer.aiter_raw():
            if chunk == b":\n":
                break
