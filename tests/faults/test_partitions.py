"""Faults rows 34, 35, 36 and 39: a log of eight partitions in a Cluster, of which a shard ends, hangs or is lost."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import redis
from clusters import NODE_TIMEOUT_S, Cluster
from redis.crc import key_slot
from redis_servers import Server
from stream_reader import StreamReader, reading
from waiting import HANG_S, eventually

from tidewire.model.layout import layout_of
from tidewire.redislog.keys import Keys

from .conftest import World
from .processes import Service

pytestmark = pytest.mark.fault
LAYOUT = layout_of(8)
METRICS = [f"m{n}" for n in range(24)]
AWAY_S = float(os.environ.get("SHARD_AWAY_S", "8"))
assert {LAYOUT.partition_of(metric) for metric in METRICS} == set(range(8))


def _slot(partition: int) -> int:
    return key_slot(Keys(partition=LAYOUT.tags[partition]).clock.encode())


def _partitions_of(cluster: Cluster, shard: Server) -> set[int]:
    return {number for number in range(8) if cluster.primary_of(_slot(number)) is shard}


class Producers:
    """Posts to each metric its own rising numbers, one after the other, each until it is stored, under a key.

    Attributes:
        sent: how many of each metric were stored.
        pauses_s: the longest time that a reading of each metric took.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.sent = dict.fromkeys(METRICS, 0)
        self.pauses_s = dict.fromkeys(METRICS, 0.0)
        self._http = httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}", timeout=5.0)
        self._name = secrets.token_hex(4)
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, every_s: float = 0.02) -> None:
        self._tasks = [asyncio.create_task(self._produce(metric, every_s)) for metric in METRICS]

    async def _produce(self, metric: str, every_s: float) -> None:
        while not self._ending:
            began_s, number = time.monotonic(), self.sent[metric]
            row = {"metric": metric, "value": number}
            key = {"Idempotency-Key": f"{self._name}-{metric}-{number}"}
            while True:
                try:
                    answer = await self._http.post("/v1/readings", json=row, headers=key)
                except httpx.HTTPError:
                    continue
                if answer.status_code == 200:
                    break
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)
            self.sent[metric] += 1
            self.pauses_s[metric] = max(self.pauses_s[metric], time.monotonic() - began_s)
            await asyncio.sleep(every_s)

    async def stop(self) -> None:
        self._ending = True
        async with asyncio.timeout(HANG_S):
            await asyncio.gather(*self._tasks)
        await self._http.aclose()


class Scene:
    """A service, producers and two viewers of everything on a Cluster."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.producers = Producers(service.address)
        self.readers = [StreamReader(), StreamReader()]

    async def begin(self, stack: AsyncExitStack) -> None:
        for reader in self.readers:
            await stack.enter_async_context(reading(self.service.http, reader, "metric=m*&replay=none"))
        await eventually(lambda: all(reader.named("live") for reader in self.readers))
        self.producers.start()
        await eventually(lambda: all(count > 5 for count in self.producers.sent.values()))

    async def everything_came_once(self) -> None:
        await self.producers.stop()
        expected = {metric: [float(n) for n in range(count)] for metric, count in self.producers.sent.items()}
        for reader in self.readers:
            await eventually(lambda: reader.count >= sum(self.producers.sent.values()))  # noqa: B023 - awaited here
            assert dict(reader.values) == expected
            assert not reader.named("gap")
            assert not reader.named("reset")

    def worst_pause_s(self, partitions: set[int], *, of_them: bool) -> float:
        return max(
            pause_s
            for metric, pause_s in self.producers.pauses_s.items()
            if (LAYOUT.partition_of(metric) in partitions) is of_them
        )


async def _scene(world: World, cluster: Cluster, stack: AsyncExitStack) -> Scene:
    scene = Scene(await world.service(cluster.url, "--partitions", "8"))
    await scene.begin(stack)
    return scene


async def _readiness(service: Service) -> Any:
    answer = await service.http.get("/health/ready")
    return answer.status_code, answer.json()


async def test_row_35_a_shard_that_is_away_takes_nobody_else_with_it(world: World, cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        scene = await _scene(world, cluster, stack)
        shard = await asyncio.to_thread(cluster.primary_of, _slot(0))
        gone = await asyncio.to_thread(_partitions_of, cluster, shard)
        others = [metric for metric in METRICS if LAYOUT.partition_of(metric) not in gone]
        replica = await asyncio.to_thread(cluster.replica_of, shard)
        replica.signal(signal.SIGSTOP)
        shard.signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        for reader in scene.readers:
            await eventually(lambda: {s["partition"] for s in reader.named("stalled")} == gone)  # noqa: B023
        told_s = time.monotonic() - stopped_s
        named = {metric for stalled in scene.readers[0].named("stalled") for metric in stalled["metrics"]}
        assert named == set(METRICS) - set(others)
        opened_s, fresh = time.monotonic(), StreamReader()
        async with reading(scene.service.http, fresh, "metric=m*"):
            await eventually(lambda: set(fresh.values) >= set(others) and bool(fresh.named("live")))
            page_s = time.monotonic() - opened_s
            assert not set(fresh.values) - set(others)
            assert {s["partition"] for s in fresh.named("stalled")} == gone
            catalogue = await scene.service.http.get("/v1/catalog?metric=m*&partial=true")
            assert {series["metric"] for series in catalogue.json()["series"]} == set(others)
            assert set(catalogue.json()["missing"]) == gone
            history = await scene.service.http.get("/v1/history?metric=m*&partial=true")
            assert {series["metric"] for series in history.json()["series"]} == set(others)
            assert history.headers["Tidewire-Missing"] == ",".join(map(str, sorted(gone)))
            assert (await scene.service.http.get("/v1/history?metric=m*")).status_code == 503
            status, ready = await _readiness(scene.service)
            assert (status, set(ready["degraded"])) == (200, gone)
            before = dict(scene.producers.sent)
            await asyncio.sleep(max(0.0, AWAY_S - (time.monotonic() - stopped_s)))
            await eventually(lambda: all(scene.producers.sent[metric] > before[metric] + 20 for metric in others))
            shard.resume()
            replica.resume()
            await eventually(lambda: set(fresh.values) == set(METRICS))
            for reader in (*scene.readers, fresh):
                await eventually(lambda: reader.told[-1][0] == "live")  # noqa: B023
        pause_s = scene.worst_pause_s(gone, of_them=False)
        print(
            f"row 35: stalled after {told_s:.1f} s, a page after {page_s:.1f} s; others waited {pause_s:.2f} s at most"
        )
        assert told_s < world.lateness.allow(4.0)
        assert page_s < world.lateness.allow(3.0)
        assert pause_s < world.lateness.allow(1.0)
        await scene.everything_came_once()
        assert (await _readiness(scene.service))[1].get("degraded") is None
        assert not scene.service.errors()


@pytest.mark.parametrize("how", ["asked", "killed"])
async def test_row_34_a_shard_that_fails_over_delays_its_own_metrics_alone(
    world: World, cluster: Cluster, how: str
) -> None:
    async with AsyncExitStack() as stack:
        scene = await _scene(world, cluster, stack)
        shard = await asyncio.to_thread(cluster.primary_of, _slot(0))
        moved = await asyncio.to_thread(_partitions_of, cluster, shard)
        assert moved < set(range(8))
        if how == "asked":
            await asyncio.to_thread(cluster.fail_over, shard)
        else:
            replica = await asyncio.to_thread(cluster.replica_of, shard)
            assert shard.client.wait(1, 5_000) == 1
            shard.signal(signal.SIGKILL)
            await eventually(lambda: replica.client.role()[0] == b"master")
        reached = dict(scene.producers.sent)
        await eventually(lambda: all(scene.producers.sent[m] > reached[m] + 20 for m in METRICS))
        own_s, others_s = (scene.worst_pause_s(moved, of_them=own) for own in (True, False))
        print(f"row 34, {how}: its own metrics waited {own_s:.2f} s at most, the others {others_s:.2f} s")
        assert others_s < world.lateness.allow(1.0)
        assert own_s < world.lateness.allow(2.0 if how == "asked" else NODE_TIMEOUT_S + 4.0)
        if how == "asked":
            await scene.everything_came_once()
        else:  # what the replica had not heard yet is announced, and of this shard alone
            await scene.producers.stop()
            for reader in scene.readers:
                assert not reader.named("reset")
        assert not scene.service.errors()


async def test_row_36_a_partition_whose_slot_moves_loses_and_doubles_nothing(world: World, cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        scene = await _scene(world, cluster, stack)
        slot = _slot(3)
        home = await asyncio.to_thread(cluster.primary_of, slot)
        away = next(s for s in cluster.running if s is not home and s.client.role()[0] == b"master")
        for to in (away, home, away):
            await asyncio.to_thread(cluster.move_slot_at_once, slot, to)
            await asyncio.sleep(0.3)
        await asyncio.to_thread(cluster.move_slot, slot, home)
        reached = dict(scene.producers.sent)
        await eventually(lambda: all(scene.producers.sent[m] > reached[m] + 20 for m in METRICS))
        print(f"row 36: the others waited {scene.worst_pause_s({3}, of_them=False):.2f} s at most")
        await scene.everything_came_once()
        assert not scene.service.errors()


async def test_row_39_a_shard_that_loses_everything_resets_its_metrics_alone(world: World, cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        scene = await _scene(world, cluster, stack)
        shard = await asyncio.to_thread(cluster.primary_of, _slot(0))
        lost = await asyncio.to_thread(_partitions_of, cluster, shard)
        await scene.producers.stop()
        for reader in scene.readers:
            await eventually(lambda: reader.count >= sum(scene.producers.sent.values()))  # noqa: B023 - awaited here
        shard.client.flushall()
        scene.producers = Producers(scene.service.address)
        before = [{metric: len(values) for metric, values in reader.values.items()} for reader in scene.readers]
        for reader in scene.readers:
            await eventually(lambda: {r["partition"] for r in reader.named("reset")} == lost)  # noqa: B023 - likewise
        scene.producers.start()
        await eventually(lambda: all(count > 5 for count in scene.producers.sent.values()))
        await scene.producers.stop()
        for reader, had in zip(scene.readers, before, strict=True):
            expected = {metric: had[metric] + scene.producers.sent[metric] for metric in METRICS}
            await eventually(lambda: {m: len(v) for m, v in reader.values.items()} == expected)  # noqa: B023 - likewise
            named = {metric for reset in reader.named("reset") for metric in reset["metrics"]}
            assert named == {metric for metric in METRICS if LAYOUT.partition_of(metric) in lost}
            assert len(reader.named("reset")) == len(lost)
            assert not reader.named("gap")


async def test_row_43_the_inbox_takes_each_message_once_at_whatever_node(world: World, cluster: Cluster) -> None:
    services = [await world.service(cluster.url, "--partitions", "8", "--lease-ttl-ms", "600") for _ in range(2)]
    nodes = list(cluster.running)
    reader = StreamReader()
    async with reading(services[0].http, reader, "metric=m*&replay=none"):
        await eventually(lambda: bool(reader.named("live")))
        await asyncio.sleep(1.5)  # longer than a lease: each partition has a holder that has seen its marker
        published = 0
        for turn in range(240):
            metric = METRICS[turn % len(METRICS)]
            if turn == 120:  # the leases of a process that ends are taken over
                await services[1].terminate()
                await asyncio.sleep(1.5)
            nodes[turn % len(nodes)].client.publish(f"tw:in:{metric}", turn)
            published += 1
            await asyncio.sleep(0.005)
        await eventually(lambda: reader.count >= published - 24)
        await asyncio.sleep(0.5)
    values = [value for metric in METRICS for value in reader.values[metric]]
    print(f"row 43: {len(values)} of {published} messages, none twice")
    assert len(set(values)) == len(values)
    for node in [server for server in cluster.running if server.client.role()[0] == b"master"]:
        for n in range(5):
            client = redis.RedisCluster(host="127.0.0.1", port=node.port)
            client.xadd("tw:in", {"metric": f"d{n}", "value": node.port})
            client.close()
    heads = sum(server.client.role()[0] == b"master" for server in cluster.running)

    async def stored() -> bool:
        found = (await services[0].http.get("/v1/history?metric=d*&start=-1h")).json()["series"]
        return sum(len(series["value"]) for series in found) == 5 * heads

    await eventually(stored)
    assert not services[0].errors()
