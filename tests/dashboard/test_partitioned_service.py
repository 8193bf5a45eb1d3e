"""Readers of a log of four partitions, behind the real service."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest
from servers import StartService, Valkey
from waiting import HANG_S, Eventually

import tidewire
from tidewire.livestore.feed import Feed
from tidewire.livestore.run_metrics import RunMetrics
from tidewire.livestore.store import Store
from tidewire.model.layout import layout_of

LAYOUT = layout_of(4)
METRICS = tuple(f"m{n}" for n in range(8))
assert {LAYOUT.partition_of(metric) for metric in METRICS} == set(range(4))


@pytest.fixture
async def service(start_service: StartService) -> Any:
    return await start_service(partitions=4)


def stored(feed: Feed, metric: str) -> Counter[tuple[float, float]]:
    series = feed.store.find(metric, {})
    with feed.store.lock:
        return Counter() if series is None else Counter(map(tuple, series.raw.rows().T.tolist()))


def has_past(feed: Feed) -> bool:
    assert feed.past is not None
    indices = [series.index for series in feed.store.series]
    return not feed.past.want(indices, feed.now_ms() - feed.store.raw_ms)


@pytest.mark.parametrize("replay_s", [None, 900])
async def test_what_was_published_is_in_memory_once_whatever_comes_meanwhile(
    service: Any, valkey: Valkey, eventually: Eventually, replay_s: int | None
) -> None:
    chance = random.Random(5)
    published: dict[str, Counter[tuple[float, float]]] = {metric: Counter() for metric in METRICS}
    stop = asyncio.Event()

    async def publish(publisher: tidewire.AsyncPublisher) -> None:
        while not stop.is_set():
            for metric in chance.sample(METRICS, 5):
                pair = (round(time.time() * 1e3 - chance.choice([0.0, 0.0, 200_000.0]), 1), float(chance.randrange(3)))
                publisher.publish(metric, pair[1], time=pair[0])
                published[metric][pair] += 1
            await publisher.flush()
            await asyncio.sleep(0.004)

    async with tidewire.AsyncPublisher(service.url) as publisher:
        task = asyncio.create_task(publish(publisher))
        await eventually(lambda: all(counter.total() > 30 for counter in published.values()))
        with Feed(Store(), ("m*",), url=service.url, replay_s=replay_s) as feed:
            await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == len(METRICS))
            if replay_s is None:
                await eventually(lambda: has_past(feed))
            await asyncio.sleep(0.3)
            stop.set()
            await task
            for metric, counter in published.items():
                await eventually(lambda: stored(feed, metric) == counter, metric)  # noqa: B023


async def test_a_metric_is_compared_by_step_from_its_past_and_what_comes(service: Any, eventually: Eventually) -> None:
    await service.publish("m1", 1.0, 2.0, step=[0, 1], labels={"run": "a"})
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live")
        runs = RunMetrics(feed, service.url)
        try:

            def steps() -> int:
                followed = runs.follow(["m1"])
                assert not any(one.problem for one in followed)
                runs.catch_up(followed)
                return sum(lines.count for one in followed for _, lines in runs.series(one))

            await eventually(lambda: steps() == 2)
            await service.publish("m1", 3.0, step=[2], labels={"run": "a"})
            await service.publish("m2", 3.0)
            await eventually(lambda: steps() == 3)
        finally:
            await runs.close()


async def test_a_stream_resumes_from_a_vector_in_every_partition(service: Any) -> None:
    for metric in METRICS:
        await service.publish(metric, 1.0, 2.0)

    async def next_batches(count: int, **options: Any) -> list[tidewire.StreamBatch]:
        async with asyncio.timeout(HANG_S), aclosing(tidewire.astream("m*", url=service.url, **options)) as items:
            return [await anext(items) for _ in range(count)]

    first = await next_batches(3, replay="1h")
    for metric in METRICS:
        await service.publish(metric, 3.0)
    rest = await next_batches(2 * len(METRICS) - 3, cursor=first[-1].cursor, replay="1h")
    came = Counter(batch.metric for batch in (*first, *rest))
    assert came == dict.fromkeys(METRICS, 2)
    assert tidewire.VectorCursor.parse(rest[-1].cursor).layout == LAYOUT.id


async def test_a_partition_that_is_lost_starts_anew_and_the_others_notice_nothing(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    for metric in METRICS:
        await service.publish(metric, 1.0)
    with Feed(Store(), ("m*",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == len(METRICS))
        await eventually(lambda: has_past(feed))
        generation = feed.store.generation
        lost = LAYOUT.partition_of("m0")
        keys = valkey.client.keys(f"tw:{{{LAYOUT.tags[lost]}}}:*")
        valkey.client.delete(*keys)
        for metric in METRICS:
            await service.publish(metric, 2.0)

        def values(metric: str) -> list[float]:
            return sorted(value for _, value in stored(feed, metric).elements())

        for metric in METRICS:
            await eventually(lambda: values(metric) == [1.0, 2.0], metric)  # noqa: B023
        await eventually(lambda: feed.status.state == "live")
        assert feed.store.generation == generation
        for metric in METRICS:
            await service.publish(metric, 3.0)
        for metric in METRICS:
            await eventually(lambda: values(metric) == [1.0, 2.0, 3.0], metric)  # noqa: B023
