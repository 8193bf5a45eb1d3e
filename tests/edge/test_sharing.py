"""Viewers of one selection share one upstream stream, whatever they begin with."""

from __future__ import annotations

import asyncio
import contextlib

from servers import Service, StartService
from stream_reader import StreamReader, reading
from waiting import Eventually

from .conftest import StartEdge, settled


async def test_50_viewers_of_3_selections_open_3_upstream_streams(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url)
    metrics = ["plant/a", "plant/b", "plant/c"]
    for metric in metrics:
        await service.publish(metric, 1, 2, 3)
    readers = [StreamReader() for _ in range(50)]
    async with contextlib.AsyncExitStack() as stack:
        for number, reader in enumerate(readers):
            replay = ("last", "none", "5m")[number // 3 % 3]
            query = f"metric={metrics[number % 3]}&replay={replay}"
            await stack.enter_async_context(reading(edge.http, reader, query))
        await eventually(lambda: all(reader.named("live") for reader in readers))
        await settled(edge, service, metrics)
        assert edge.gauges["selections"] == 3
        await eventually(lambda: edge.gauges["upstream_streams"] == 3)
        assert len(service.app.state.streams) == 3
        for metric in metrics:
            await service.publish(metric, 7)
        await eventually(lambda: all(reader.values[metrics[n % 3]][-1:] == [7] for n, reader in enumerate(readers)))
    for number, reader in enumerate(readers):
        first = ([3], [], [1, 2, 3])[number // 3 % 3]
        found = reader.values[metrics[number % 3]]
        assert found[: len(first)] == first
        later = found[len(first) :]
        assert later == [*sorted(later[:-1]), 7]
        assert len(set(later)) == len(later)
        assert [kind for kind, _ in reader.told] == ["hello", "live"]


async def test_a_selection_ends_some_time_after_its_last_viewer(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url, linger_s=0.3)
    await service.publish("plant/a", 1)
    reader = StreamReader()
    async with reading(edge.http, reader, "metric=plant/a"):
        await eventually(lambda: reader.named("live"))
        assert edge.gauges["selections"] == 1
        await asyncio.sleep(0.5)
        assert edge.gauges["selections"] == 1
    await eventually(lambda: edge.gauges["selections"] == 0)
    await eventually(lambda: len(service.app.state.streams) == 0)


async def test_a_viewer_whose_id_is_in_the_ring_needs_no_upstream_stream(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/a", 1)
    reader, other = StreamReader(), StreamReader()
    async with reading(edge.http, other, "metric=plant/*&replay=none"):
        async with reading(edge.http, reader, "metric=plant/*"):
            await eventually(lambda: reader.named("live") and other.named("live"))
            await settled(edge, service, ["plant/a"])
            await eventually(lambda: reader.values == {"plant/a": [1, *other.values["plant/a"]]})
        for value in (50, 51, 52):
            await service.publish("plant/a", value)
        await eventually(lambda: other.values["plant/a"][-1] == 52)
        opened = edge.relay._upstream.opened
        reader.told.clear()
        async with reading(edge.http, reader, "metric=plant/*"):
            await eventually(lambda: reader.named("live"))
            assert reader.values["plant/a"][-3:] == [50, 51, 52]
            await service.publish("plant/a", 53)
            await eventually(lambda: reader.values["plant/a"][-1] == 53)
        assert edge.relay._upstream.opened == opened
        [hello] = reader.named("hello")
        assert hello["resumed"] is True
        assert hello["matched"] == 1
        assert edge.relay.counters["resumed_in_ring"] == 1
    assert reader.values == {"plant/a": [1, *other.values["plant/a"]]}


async def test_a_cursor_older_than_the_ring_is_passed_upstream_until_it_meets_it(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url)
    start = await service.publish("plant/a", 1)
    for value in range(2, 40):
        await service.publish("plant/a", value)
    other, reader = StreamReader(), StreamReader(start)
    async with reading(edge.http, other, "metric=plant/a&replay=none"):
        await eventually(lambda: other.named("live"))
        async with reading(edge.http, reader, "metric=plant/a"):
            await eventually(lambda: reader.named("live"))
            assert reader.values["plant/a"] == list(range(2, 40))
            await settled(edge, service, ["plant/a"])
            await service.publish("plant/a", 5_000)
            await eventually(lambda: reader.values["plant/a"][-1] == 5_000)
            assert edge.gauges["viewers_live"] == 2
    assert reader.values["plant/a"][38:] == other.values["plant/a"]


async def test_conflated_and_labelled_viewers_share_by_what_they_ask_for(
    start_service: StartService, start_edge: StartEdge, eventually: Eventually
) -> None:
    service = await start_service()
    edge = await start_edge(service.url)
    queries = [
        "metric=plant/a&metric=plant/b",
        "metric=plant/b&metric=plant/a&replay=none",
        "metric=plant/a&metric=plant/b&label=site:A",
        "metric=plant/a&metric=plant/b&every=1s",
        "metric=plant/a&metric=plant/b&every=1000ms&on_slow=conflate",
    ]
    readers = [StreamReader() for _ in queries]
    async with contextlib.AsyncExitStack() as stack:
        for reader, query in zip(readers, queries, strict=True):
            await stack.enter_async_context(reading(edge.http, reader, query))
        await eventually(lambda: all(reader.named("live") for reader in readers))
        assert edge.gauges["selections"] == 3


async def test_viewers_of_a_silent_selection_share_its_stream_while_others_are_busy(
    service: Service, start_edge: StartEdge, eventually: Eventually
) -> None:
    edge = await start_edge(service.url)
    await service.publish("plant/silent", 1)
    readers = [StreamReader() for _ in range(10)]
    async with contextlib.AsyncExitStack() as stack:
        for number, reader in enumerate(readers):
            await stack.enter_async_context(reading(edge.http, reader, "metric=plant/silent"))
            await eventually(lambda reader=reader: reader.named("live"))
            await service.publish("plant/busy", number)  # the position moves on, past what the ring knows
        await eventually(lambda: edge.gauges["upstream_streams"] == 1)
        assert edge.gauges["viewers_waiting"] + edge.gauges["viewers_live"] == 10
        await service.publish("plant/silent", 2, 3)
        await service.publish("plant/silent", 4)
        await eventually(lambda: all(reader.values["plant/silent"][-1] == 4 for reader in readers))
        await eventually(lambda: edge.gauges["viewers_live"] == 10)
    assert all(reader.values == {"plant/silent": [1, 2, 3, 4]} for reader in readers)
    assert all([kind for kind, _ in reader.told] == ["hello", "live"] for reader in readers)
