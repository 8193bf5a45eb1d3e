"""Where a Cluster says the log is: what is understood of its answers, who is asked, and what a user is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from clusters import Cluster
from redis.crc import key_slot
from servers import Valkey
from waiting import eventually

from tidewire.commands.doctor import _redis
from tidewire.errors import LogUnavailable
from tidewire.model.batch import encode_batch, make_batch
from tidewire.redislog.cluster import Endpoint, Shard, parse_slots
from tidewire.redislog.log import BlockingRedisLog, RedisLog
from tidewire.redislog.redis_url import Address, parse_redis_url

_BATCHES = [encode_batch(make_batch("m", 1.0))]
_CLOCK = "tw:{0}:clock"
_SLOT = key_slot(_CLOCK.encode())
_PASSWORD = "of-the-nodes"
_ASKED = Address("asked", 7_000)


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ([b"10.0.0.1", 6_379, b"id", []], ("10.0.0.1", 6_379)),
        ([b"10.0.0.1", 6_379], ("10.0.0.1", 6_379)),
        ([b"", 6_380, b"id", []], ("asked", 6_380)),
        ([None, 6_380, b"id", []], ("asked", 6_380)),
        ([b"?", 6_380, b"id", [b"ip", b"10.0.0.2"]], ("10.0.0.2", 6_380)),
        ([b"?", 6_380, b"id", []], ("asked", 6_380)),
        ([b"node-1.example", 6_379, b"id", [b"ip", b"10.0.0.3"]], ("node-1.example", 6_379)),
        ([b"inside", 1, b"id", []], ("outside", 2)),
    ],
)
def test_a_node_is_where_the_cluster_says_or_where_it_was_asked(node: list[Any], address: tuple[str, int]) -> None:
    mapped = {Address("inside", 1): Address("outside", 2)}
    [shard] = parse_slots([[0, 5, node, node]], _ASKED, mapped)
    assert shard == Shard(0, 5, Address(*address), (Address(*address),))


@pytest.mark.parametrize("reply", [b"OK", 5, None, [[1]], [[0, 1, b"x"]], [[0, 1, []]], [[0, 1, [b"\xff", 1]]], [5]])
def test_what_is_no_answer_is_refused(reply: Any) -> None:
    with pytest.raises(ValueError, match=r"answered|decode|unpack"):
        parse_slots(reply, _ASKED, {})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), primaries=2, replicas=1, password=_PASSWORD) as started:
        yield started


async def _append(log: RedisLog | BlockingRedisLog) -> None:
    try:
        appended = log.append(_BATCHES) if isinstance(log, RedisLog) else asyncio.to_thread(log.append, _BATCHES)
        assert (await appended).id
    finally:
        await asyncio.gather(log.close()) if isinstance(log, RedisLog) else log.close()


both = pytest.mark.parametrize("make", [RedisLog, BlockingRedisLog])


@both
async def test_any_node_leads_to_the_log(cluster: Cluster, make: Any) -> None:
    owner = cluster.primary_of(_SLOT)
    for server in cluster.servers:
        for scheme in ("redis", "redis+cluster"):
            log = make(f"{scheme}://:{_PASSWORD}@127.0.0.1:{server.port}")
            await _append(log)
            assert (log.locator.address, log.locator.clustered) == (owner.address, True)
            assert _PASSWORD not in f"{log.url} {log.locator.target!r}"


@both
async def test_nodes_that_are_away_are_passed_over_and_told_when_all_are(cluster: Cluster, make: Any) -> None:
    away = "127.0.0.1:1,127.0.0.1:2"
    await _append(make(f"redis+cluster://:{_PASSWORD}@{away},127.0.0.1:{cluster.servers[0].port}"))
    with pytest.raises(LogUnavailable) as refused:
        await _append(make(f"redis+cluster://{away}"))
    said = str(refused.value)
    assert "no node of the Cluster says where the log is (" in said
    assert "127.0.0.1:1: " in said
    assert "127.0.0.1:2: " in said
    with pytest.raises(LogUnavailable, match=r"[Aa]uthentication|NOAUTH"):
        await _append(make(f"redis+cluster://127.0.0.1:{cluster.servers[0].port}"))


@both
async def test_a_server_that_is_no_node_says_so(valkey: Valkey, make: Any) -> None:
    with pytest.raises(LogUnavailable, match="is no node of a Cluster: write redis://"):
        await _append(make(valkey.url.replace("redis://", "redis+cluster://")))


async def test_a_plain_server_is_asked_nothing(valkey: Valkey) -> None:
    valkey.client.config_resetstat()
    log = RedisLog(valkey.url)
    await log.append(_BATCHES)
    log.give_up()
    await log.append(_BATCHES)
    assert not log.locator.clustered
    await log.close()
    assert not [name for name in valkey.client.info("commandstats") if "cluster" in name]


async def test_many_that_were_refused_ask_once(cluster: Cluster) -> None:
    locator = Endpoint(parse_redis_url(cluster.url), _CLOCK)
    nodes = [redis.Redis(port=server.port, password=_PASSWORD) for server in cluster.servers]

    def asked() -> int:
        return sum(node.info("commandstats").get("cmdstat_cluster|slots", {}).get("calls", 0) for node in nodes)

    before = asked()
    assert len(set(await asyncio.gather(*[locator.locate() for _ in range(50)]))) == 1
    assert asked() == before + 1
    assert await locator.locate() == locator.address
    assert asked() == before + 1, "what is not in doubt is not asked"
    locator.doubt()
    await locator.locate()
    assert asked() == before + 2
    for node in nodes:
        node.close()


async def test_connections_follow_at_once_when_the_log_moves(cluster: Cluster) -> None:
    log = RedisLog(cluster.url)
    moved: list[None] = []
    log.on_moved = lambda: moved.append(None)
    await log.append(_BATCHES)
    old = cluster.primary_of(_SLOT)
    new = await asyncio.to_thread(cluster.fail_over, old)

    async def stored() -> bool:
        try:
            await log.append(_BATCHES)
        except LogUnavailable:
            return False
        return log.locator.address == new.address

    await eventually(stored)
    assert moved == [None]
    await eventually(lambda: not old.connections("tidewire"), "nobody stays at the old one")
    await log.close()


def test_doctor_names_the_nodes_and_what_is_risky(cluster: Cluster) -> None:
    cluster.mend()
    assert cluster.replica_of(cluster.primary_of(_SLOT))
    findings = [finding for finding in _redis(cluster.url, "tw", set()) if finding.what in {"cluster", "replicas"}]
    assert not [finding for finding in findings if finding.level == "wrong"]
    assert findings[0].found.startswith(f"2 primaries, 2 replicas; the log (hash slot {_SLOT}) is at 127.0.0.1:")
    assert findings[0].found.endswith(", with 1 replica")
    assert any("min-replicas-to-write is 0" in finding.found for finding in findings)
