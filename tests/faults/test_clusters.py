"""Faults rows 34, 36 to 38, 44, 48 and 49: the log's hash slot moves in a Cluster, and its nodes end, hang and lie."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from clusters import NODE_TIMEOUT_S, Cluster
from redis.crc import key_slot
from redis_servers import Server
from waiting import HANG_S, eventually

import tidewire
from tidewire.errors import LogUnavailable
from tidewire.model.batch import decode_batch, encode_batch, make_batch
from tidewire.redislog.calls import Once
from tidewire.redislog.keys import Keys
from tidewire.redislog.log import BlockingRedisLog, RedisLog

from .conftest import World
from .load import Load

pytestmark = pytest.mark.fault
KEYS = Keys()
SLOT = key_slot(KEYS.clock.encode())


async def _in_thread(work: Callable[..., Any], *given: Any) -> Any:
    return await asyncio.to_thread(work, *given)


def _other(cluster: Cluster, than: Server) -> Server:
    return next(server for server in cluster.running if server is not than and server.client.role()[0] == b"master")


async def test_row_34_a_coordinated_failover_loses_nothing_and_ends_no_stream(world: World, cluster: Cluster) -> None:
    load = Load(world, cluster.url)
    service = await load.start()
    old, asked_s = await _in_thread(cluster.primary_of, SLOT), time.time()
    new = await _in_thread(cluster.fail_over, old)
    pause_s = await load.settle(new, asked_s)
    chain = (await world.read_log(RedisLog.clock)).chain
    print(f"row 34: {len(world.book.acked)} acknowledged, {await load.gone()} gone, {pause_s:.2f} s without any")
    assert await load.gone() == 0
    assert [fork.lost for fork in chain] == [None, None], "one new epoch, and nothing lost"
    assert load.seen("cut", "gap", "reset", "bye") == {0}
    assert pause_s < world.lateness.allow(2.0)
    await eventually(service.ready)
    await eventually(lambda: not old.connections("tidewire-hub"))
    assert not service.errors()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_row_34_a_primary_that_ends_or_hangs_is_replaced(
    world: World, cluster: Cluster, how: signal.Signals
) -> None:
    load = Load(world, cluster.url)
    service = await load.start()
    old, ended_s = await _in_thread(cluster.primary_of, SLOT), time.time()
    new = cluster.replica_of(old)
    old.signal(how)
    await eventually(lambda: new.client.role()[0] == b"master")
    if how == signal.SIGSTOP:
        old.resume()
        await eventually(lambda: old.client.role()[0] == b"slave")
    pause_s = await load.settle(new, ended_s)
    print(f"row 34, {how.name}: {pause_s:.2f} s without an acknowledgement, {await load.gone()} gone and announced")
    assert pause_s < world.lateness.allow(NODE_TIMEOUT_S + 4.0)
    assert load.seen("cut", "reset", "bye") == {0}
    assert await load.gone() == 0 or load.seen("gap") == {1}
    await eventually(service.ready)
    assert not service.errors()


async def test_rows_36_and_38_a_slot_that_moves_at_once_loses_nothing(world: World, cluster: Cluster) -> None:
    load = Load(world, cluster.url)
    service = await load.start()
    home = await _in_thread(cluster.primary_of, SLOT)
    away = _other(cluster, home)
    assert not away.client.function_list(), "it has never seen our functions"
    began_s = time.time()
    for turn in range(6):
        await _in_thread(cluster.move_slot_at_once, SLOT, (away, home)[turn % 2])
        await asyncio.sleep(0.3)
    pause_s = await load.settle(home, began_s)
    chain = (await world.read_log(RedisLog.clock)).chain
    print(f"row 36: {len(world.book.acked)} acknowledged over 6 moves, {pause_s:.2f} s without any at most")
    assert await load.gone() == 0
    assert all(fork.lost is None for fork in chain)
    assert load.seen("cut", "gap", "reset", "bye") == {0}
    assert pause_s < world.lateness.allow(2.0)
    await eventually(service.ready)
    assert not service.errors()


async def test_row_37_a_slot_that_moves_key_by_key_refuses_and_doubles_nothing(world: World, cluster: Cluster) -> None:
    load = Load(world, cluster.url)
    service = await load.start()
    home = await _in_thread(cluster.primary_of, SLOT)
    away = _other(cluster, home)
    births = world.feed(cluster.url)
    births.start([f"born/{n}" for n in range(400)], every_s=0.005)
    await eventually(lambda: sum(batch.metric.startswith("born/") for batch in world.book.acked) > 50)
    began_s = time.time()
    moved = await _in_thread(
        lambda: cluster.move_slot(SLOT, away, batch=5, between=lambda: time.sleep(0.02))  # slowly, under load
    )
    took_s = time.time() - began_s
    await eventually(lambda: sum(batch.metric.startswith("born/") for batch in world.book.acked) > 300)
    await births.stop()
    pause_s = await load.settle(away, began_s)
    print(f"row 37: {moved} keys in {took_s:.2f} s, {pause_s:.2f} s without an acknowledgement")
    assert await load.gone() == 0
    assert load.seen("cut", "gap", "reset", "bye") == {0}
    assert pause_s < world.lateness.allow(took_s + 2.0)
    assert away.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", SLOT) >= moved
    assert home.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 0
    await eventually(service.ready)
    assert not service.errors()


async def test_row_48_without_the_log_s_shard_it_is_said_and_all_goes_on_afterwards(
    world: World, cluster: Cluster
) -> None:
    load = Load(world, cluster.url)
    service = await load.start()
    home = await _in_thread(cluster.primary_of, SLOT)
    replica = await _in_thread(cluster.replica_of, home)
    assert home.client.wait(1, 5_000) == 1
    for server in (replica, home):  # the replica first: it must not take over
        server.signal(signal.SIGSTOP)
    stopped_s = time.time()
    await eventually(lambda: world.book.acked[-1].sent_s < time.time() - 2.0)

    async def told() -> bool:
        return not await service.ready()

    await eventually(told)
    for server in (home, replica):
        server.resume()
    pause_s = await load.settle(await _in_thread(cluster.primary_of, SLOT), stopped_s)
    print(f"row 48: {pause_s:.2f} s without an acknowledgement, {await load.gone()} gone and announced")
    assert load.seen("cut", "reset", "bye") == {0}
    assert await load.gone() == 0 or load.seen("gap") == {1}
    await eventually(service.ready)
    assert not service.errors()


# -- the inbox, whose stream is at another node than the log


async def _values(url: str, metric: str) -> list[float]:
    log = RedisLog(url)
    [entries], _ = await log.entries_after([(metric, 0)])
    await log.close()
    return [value for entry in entries for value in decode_batch(entry.body).value if value is not None]


async def test_messages_and_entries_of_any_node_are_taken_once(world: World, cluster: Cluster) -> None:
    service = await world.service(cluster.url)
    await eventually(service.ready)
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.servers[0].port)
    assert client.keyslot(KEYS.inbox) != SLOT
    for value in range(40):
        client.xadd(KEYS.inbox, {"metric": "xadd", "value": value})
    client.xadd(KEYS.inbox, {"metric": "xadd", "value": "no number", "unit": "x" * 200})
    for value, server in enumerate(cluster.servers * 3):
        server.client.publish("tw:in:publish", value)

    async def arrived() -> bool:
        return len(await _values(cluster.url, "xadd")) >= 40 and len(await _values(cluster.url, "publish")) >= 18

    await eventually(arrived)
    await eventually(lambda: client.xlen(KEYS.inbox) == 0)
    assert await _values(cluster.url, "xadd") == [float(value) for value in range(40)]
    assert sorted(await _values(cluster.url, "publish")) == [float(value) for value in range(18)]
    assert client.xlen(KEYS.inbox_dead) == 1
    client.close()


async def test_row_44_an_entry_whose_acknowledgement_was_lost_is_appended_once(world: World, cluster: Cluster) -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.servers[0].port)
    client.xgroup_create(KEYS.inbox, KEYS.inbox_group, "0", mkstream=True)
    for value in range(20):
        client.xadd(KEYS.inbox, {"metric": "m", "value": value})
    entries: Any = client.xrange(KEYS.inbox)
    ids = [id_.decode() for id_, _ in entries]
    client.xreadgroup(KEYS.inbox_group, "ended", {KEYS.inbox: ">"})
    log = RedisLog(cluster.url)
    for value, id_ in enumerate(ids[:10]):  # what a process did that ended before it acknowledged them
        await log.append([encode_batch(make_batch("m", float(value)))], once=Once(f"in:{id_}", id_))
    await log.close()
    service = await world.service(cluster.url)
    await eventually(lambda: client.xlen(KEYS.inbox) == 0)
    assert await _values(cluster.url, "m") == [float(value) for value in range(20)]
    assert not service.errors()
    client.close()


# -- publishers, and what a newcomer is told


@pytest.mark.parametrize("how", ["coordinated", "at once", "SIGSTOP"])
async def test_a_publisher_follows_the_log(cluster: Cluster, how: str) -> None:
    old = await _in_thread(cluster.primary_of, SLOT)
    new = await _in_thread(cluster.replica_of, old)
    with tidewire.Publisher(cluster.url) as publisher:
        for value in range(50):
            publisher.publish("m", float(value))
        assert await _in_thread(publisher.flush, HANG_S)
        if how == "SIGSTOP":
            assert old.client.wait(1, 5_000) == 1
            old.signal(signal.SIGSTOP)
        elif how == "at once":
            await _in_thread(cluster.move_slot_at_once, SLOT, _other(cluster, old))
        else:
            assert await _in_thread(cluster.fail_over, old) is new
        for value in range(50, 100):
            publisher.publish("m", float(value))
            await asyncio.sleep(0.02)
        assert await _in_thread(publisher.flush, HANG_S)
    assert await _values(cluster.url, "m") == [float(value) for value in range(100)]


@pytest.mark.parametrize("make", [RedisLog, BlockingRedisLog])
async def test_row_49_an_address_that_leads_nowhere_is_told_and_mapped(
    tmp_path: Path, make: type[RedisLog] | type[BlockingRedisLog]
) -> None:
    batches = [encode_batch(make_batch("m", 1.0))]

    async def append(url: str) -> None:
        log = make(url, timeout_s=2.0)
        try:
            await log.append(batches) if isinstance(log, RedisLog) else await _in_thread(log.append, batches)
        finally:
            await asyncio.gather(log.close()) if isinstance(log, RedisLog) else log.close()

    with Cluster(tmp_path, primaries=1, replicas=0) as cluster:
        [server] = cluster.servers
        server.client.config_set("cluster-announce-ip", "127.0.0.9")  # where nobody listens
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.9.*if it is reached elsewhere, give \?address_map="):
            await append(cluster.url)
        await append(f"{cluster.url}?address_map=127.0.0.9:{server.port}=127.0.0.1:{server.port}")
