"""A viewer keeps nothing but its last id, and gets each batch once, at whichever edge or service it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from typing import Any

import httpx
import pytest
from servers import Service, StartService, Valkey
from stream_reader import StreamReader, reading
from waiting import HANG_S, Eventually, eventually

from tidewire.model.sse import Decoder

from .conftest import StartEdge, settled

METRICS = [f"plant/{name}" for name in ("a", "b", "c", "d", "e", "f")]


class Published:
    """Publishes numbers in turn to all metrics, as fast as is asked; knows what it has published."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.values: dict[str, list[float]] = defaultdict(list)
        self.going = True

    async def some(self, count: int, pause_s: float = 0.0) -> None:
        for _ in range(count):
            metric = random.choice(METRICS)
            value = len(self.values[metric]) + 1.0
            self.values[metric].append(value)
            await self._service.publish(metric, value)
            await asyncio.sleep(pause_s)

    async def until_ended(self) -> None:
        while self.going:
            await self.some(1, 0.002)


async def cut_after(http: httpx.AsyncClient, reader: StreamReader, query: str, events: int) -> None:
    """Take some events of a stream, one by one, and leave: what came with the last one is lost with the connection."""
    headers = {"Last-Event-ID": reader.last_id} if reader.last_id else {}
    decoder = Decoder()
    taken = 0
    async with http.stream("GET", f"/v1/stream?{query}", headers=headers, timeout=HANG_S) as answer:
        assert answer.status_code == 200
        async for chunk in answer.aiter_raw():
            for event in decoder.feed(chunk):
                reader.take(event)
                taken += 1
                if taken >= events:
                    return


def seen_once(reader: StreamReader, published: Published) -> bool:
    """Tell whether all came; fail if something came twice, out of order, or not at all."""
    for metric, values in published.values.items():
        found = reader.values[metric]
        assert found == values[: len(found)], metric
    return all(len(reader.values[metric]) == len(values) for metric, values in published.values.items())


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("query", ["metric=plant/*", "metric=plant/a&metric=plant/d&metric=plant/f"])
async def test_a_viewer_cut_50_times_between_two_edges_and_two_services_gets_each_batch_once(
    start_service: StartService, start_edge: StartEdge, partitions: int, query: str
) -> None:
    dice = random.Random(partitions)
    first, second = [await start_service(partitions=partitions) for _ in range(2)]
    edges = [await start_edge(first.url, selection_ring_bytes=1 << 16), await start_edge(second.url)]
    places: list[Any] = [first, *edges, edges[1], edges[0]]
    reader, company = StreamReader(), [StreamReader(), StreamReader()]
    published = Published(first)
    async with contextlib.AsyncExitStack() as stack:
        # somebody else watches at each edge, so that there is a ring to come back to
        for edge, one in zip(edges, company, strict=True):
            await stack.enter_async_context(reading(edge.http, one, f"{query}&replay=none"))
        await eventually(lambda: all(one.named("live") for one in company))
        await cut_after(edges[0].http, reader, f"{query}&replay=none", 2)  # hello and live
        publishing = asyncio.create_task(published.until_ended())
        for _ in range(50):
            await cut_after(dice.choice(places).http, reader, f"{query}&replay=none", dice.randint(1, 12))
        published.going = False
        await publishing
        wanted = set(METRICS) if "*" in query else {"plant/a", "plant/d", "plant/f"}
        published.values = {metric: got for metric, got in published.values.items() if metric in wanted}  # type: ignore[assignment]
        await stack.enter_async_context(reading(edges[1].http, reader, f"{query}&replay=none"))
        await eventually(lambda: all(seen_once(one, published) for one in (reader, *company)))
    assert not reader.named("gap")
    assert not reader.named("reset")
    resumed = [edge.relay.counters["resumed_in_ring"] for edge in edges]
    assert sum(resumed) > 0


async def test_a_viewer_of_an_edge_that_ends_goes_on_at_the_service_and_comes_back(
    service: Service, start_edge: StartEdge
) -> None:
    edge = await start_edge(service.url)
    published, reader = Published(service), StreamReader()
    async with reading(edge.http, reader, "metric=plant/*"):
        await eventually(lambda: reader.named("live"))
        await published.some(30)
        await eventually(lambda: seen_once(reader, published))
        await edge.stop()
        await published.some(30)
        assert reader.named("bye")[-1]["reason"] == "drain"
    async with reading(service.http, reader, "metric=plant/*"):
        await published.some(30)
        await eventually(lambda: seen_once(reader, published))
    await edge.start()
    await published.some(30)
    async with reading(edge.http, reader, "metric=plant/*"):
        await eventually(lambda: seen_once(reader, published))
        await published.some(30)
        await eventually(lambda: seen_once(reader, published))


@pytest.mark.parametrize("partitions", [1, 4])
async def test_viewers_stay_open_while_the_upstream_is_away_and_miss_nothing(
    start_service: StartService, start_edge: StartEdge, partitions: int
) -> None:
    service, other = [await start_service(partitions=partitions) for _ in range(2)]
    edge = await start_edge(service.url)
    published, readers = Published(other), [StreamReader() for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        for reader in readers:
            await stack.enter_async_context(reading(edge.http, reader, "metric=plant/*"))
        await eventually(lambda: all(reader.named("live") for reader in readers))
        await published.some(20)
        await eventually(lambda: all(seen_once(reader, published) for reader in readers))
        await service.stop()
        await published.some(40)
        await service.start()
        await eventually(lambda: all(seen_once(reader, published) for reader in readers))
        await published.some(40)
        await eventually(lambda: all(seen_once(reader, published) for reader in readers))
        assert {kind for reader in readers for kind, _ in reader.told} == {"hello", "live"}
        assert all(len(reader.named("hello")) == 1 for reader in readers)
        await eventually(lambda: edge.gauges["viewers_joining"] == 0)


async def test_readiness_says_that_the_upstream_is_away(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url)
    await service.stop()

    async def says() -> Any:
        answer = await edge.http.get("/health/ready")
        return answer.status_code == 503 and answer.json()

    found = await eventually(says)
    assert found["ready"] is False
    assert service.url in found["reason"]
    assert (await edge.http.get("/health/live")).status_code == 200
    await service.start()
    await eventually(edge.is_ready)


async def test_a_flushed_log_is_announced_to_each_viewer_as_its_replay_says(
    service: Service, start_edge: StartEdge, valkey: Valkey
) -> None:
    edge = await start_edge(service.url)
    readers = {replay: StreamReader() for replay in ("last", "none")}
    await service.publish("plant/a", 1)
    async with contextlib.AsyncExitStack() as stack:
        for replay, reader in readers.items():
            await stack.enter_async_context(reading(edge.http, reader, f"metric=plant/*&replay={replay}"))
        await eventually(lambda: all(reader.named("live") for reader in readers.values()))
        await settled(edge, service, ["plant/a"])
        valkey.cli("FLUSHALL")
        await eventually(lambda: all(reader.named("reset") for reader in readers.values()))
        await service.publish("plant/b", 2)
        await eventually(lambda: all(reader.values["plant/b"] == [2] for reader in readers.values()))
        await settled(edge, service, ["plant/b"])
        for reader in readers.values():
            assert len(reader.named("reset")) == 1
            assert [kind for kind, _ in reader.told] == ["hello", "live", "reset", "live"]


async def test_a_log_that_lost_writes_is_announced_once_to_all(
    start_service: StartService, start_edge: StartEdge, valkey: Valkey
) -> None:
    """The upstream is away for longer than the log reaches back: its gap goes to all, and lies in the ring."""
    service = await start_service(retention_batches=5)
    edge = await start_edge(service.url)
    await service.publish("plant/a", 0)
    readers = [StreamReader() for _ in range(3)]
    other = await start_service(retention_batches=5)
    async with contextlib.AsyncExitStack() as stack:
        for reader in readers[:2]:
            await stack.enter_async_context(reading(edge.http, reader, "metric=plant/a"))
        await eventually(lambda: all(reader.named("live") for reader in readers[:2]))
        await settled(edge, service, ["plant/a"])
        readers[2].last_id = readers[0].last_id
        await service.stop()
        for value in range(1, 400):
            await other.publish("plant/a", value)
        await service.start()
        await eventually(lambda: all(reader.values["plant/a"][-1] == 399 for reader in readers[:2]))
        assert readers[0].named("gap") == readers[1].named("gap") != []
        await stack.enter_async_context(reading(edge.http, readers[2], "metric=plant/a"))
        await eventually(lambda: readers[2].values["plant/a"][-1:] == [399])
        assert readers[2].named("gap") == readers[0].named("gap")
        kinds = [kind for kind, _ in readers[0].told]
        assert kinds[kinds.index("gap") :] == ["gap", "live"]
        json.dumps(readers[0].told)
