"""A dashboard on a log of eight partitions, of which a shard of the Cluster is away for some seconds."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from clusters import Cluster
from redis.crc import key_slot
from waiting import eventually

from tidewire.livestore.feed import Feed
from tidewire.livestore.store import Store
from tidewire.model.layout import layout_of
from tidewire.redislog.keys import Keys

from .conftest import World

pytestmark = pytest.mark.fault
LAYOUT = layout_of(8)
METRICS = [f"m{n}" for n in range(16)]
assert {LAYOUT.partition_of(metric) for metric in METRICS} == set(range(8))


def _slot(partition: int) -> int:
    return int(key_slot(Keys(partition=LAYOUT.tags[partition]).clock.encode()))


async def _post(service: Any, metrics: list[str], value: float) -> None:
    """Post a reading to each metric, as often as it takes until it is stored."""
    for metric in metrics:
        key = {"Idempotency-Key": f"{metric}-{value}"}

        async def stored(metric: str = metric, key: dict[str, str] = key) -> bool:
            answer = await service.http.post("/v1/readings", json={"metric": metric, "value": value}, headers=key)
            assert answer.status_code in (200, 503), answer.text
            return answer.status_code == 200  # type: ignore[no-any-return]

        await eventually(stored, metric)


def _values(feed: Feed) -> dict[str, list[float]]:
    """Return the values of each series that a view would show from memory, the newest of those that have no past."""
    with feed.store.lock:
        return {series.metric: sorted(series.raw.rows()[1].tolist()) for series in feed.store.series}


def _late(feed: Feed) -> set[str]:
    return {series.metric for series in feed.store.series if feed.store.is_late(series)}


async def test_series_of_a_shard_that_is_away_are_late_and_all_others_live(world: World, cluster: Cluster) -> None:
    service = await world.service(cluster.url, "--partitions", "8")
    await _post(service, METRICS, 1.0)
    shard = await asyncio.to_thread(cluster.primary_of, _slot(0))
    gone = {number for number in range(8) if await asyncio.to_thread(cluster.primary_of, _slot(number)) is shard}
    mine = {metric for metric in METRICS if LAYOUT.partition_of(metric) in gone}
    others = [metric for metric in METRICS if metric not in mine]
    replica = await asyncio.to_thread(cluster.replica_of, shard)
    with Feed(Store(), ("m*",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == len(METRICS))
        replica.signal(signal.SIGSTOP)
        shard.signal(signal.SIGSTOP)
        await eventually(lambda: _late(feed) == mine)
        message = feed.message()
        assert message.state == "live"
        assert message.late is not None
        assert f"{len(mine)} series are late" in message.late.text
        await _post(service, others, 2.0)
        await eventually(lambda: all(_values(feed)[metric] == [1.0, 2.0] for metric in others))
        with Feed(Store(), ("m*",), url=service.url, replay_s=None) as begun:  # while it is away
            await eventually(lambda: begun.status.state == "live" and begun.message().late is not None)
            assert set(_values(begun)) >= set(others)
            assert not _late(begun) - mine
            shard.resume()
            replica.resume()
            await _post(service, sorted(mine), 2.0)
            for one in (feed, begun):
                await eventually(lambda: not one.status.stalled)  # noqa: B023
                await eventually(lambda: set(_values(one)) == set(METRICS))  # noqa: B023
                await eventually(lambda: all(values[-1] == 2.0 for values in _values(one).values()))  # noqa: B023
                assert not _late(one)
                assert one.message().late is None
        assert _values(feed) == {metric: [1.0, 2.0] for metric in METRICS}
    assert not service.errors()
