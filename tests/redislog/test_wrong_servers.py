"""A plain address of a server that cannot hold the log: one sentence says so, with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from ports import own_port
from redis_servers import Server
from servers import StartService, Valkey
from waiting import eventually

from tidewire.commands.doctor import Finding, _redis
from tidewire.errors import LogUnavailable
from tidewire.model.batch import encode_batch, make_batch
from tidewire.publishing.publisher import Publisher
from tidewire.redislog.log import BlockingRedisLog, RedisLog
from tidewire.redislog.refusals import refusal_of

_BATCHES = [encode_batch(make_batch("m", 1.0))]
_SLOT = 13_907  # of {0}, where the log is
_LAST = 16_383


async def _refusal(url: str, make: type[RedisLog] | type[BlockingRedisLog]) -> str:
    log = make(url)
    appending = log.append(_BATCHES) if isinstance(log, RedisLog) else asyncio.to_thread(log.append, _BATCHES)
    with pytest.raises(LogUnavailable) as refused:
        await appending
    if isinstance(log, RedisLog):
        await log.close()
    else:
        log.close()
    return str(refused.value)


def _wrong(url: str) -> list[Finding]:
    return [finding for finding in _redis(url, "tw", set()) if finding.level == "wrong"]


both = pytest.mark.parametrize("make", [RedisLog, BlockingRedisLog])


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = tmp_path_factory.mktemp("sentinel") / "sentinel.conf"
    config.write_text("sentinel monitor tw 127.0.0.1 1 1\n")
    server = Server(config.parent, str(config), "--sentinel")
    server.start()
    yield server
    server.end()


@both
async def test_a_sentinel_says_how_it_is_written(sentinel: Server, make: Any) -> None:
    said = await _refusal(sentinel.url, make)
    assert said == (
        f"Redis at {sentinel.url}: it is a Sentinel, which holds no data: write "
        f"redis+sentinel://127.0.0.1:{sentinel.port}/NAME, with its primary's name"
    )


async def test_whoever_is_given_a_sentinel_says_so(sentinel: Server, start_service: StartService) -> None:
    service = await start_service(wait=False, redis=sentinel.url)

    async def told() -> bool:
        answer = await service.http.get("/health/ready")
        return answer.status_code == 503 and "redis+sentinel://" in answer.json()["reason"]

    await eventually(told)
    [finding] = _wrong(sentinel.url)
    assert "redis+sentinel://" in finding.found
    assert finding.remedy == "point TIDEWIRE_REDIS at it"
    publisher = Publisher(sentinel.url)
    publisher.publish("m", 1.0)
    await eventually(lambda: "redis+sentinel://" in publisher.stats.last_error)
    await asyncio.to_thread(publisher.close, 0.0)


@both
async def test_a_replica_says_so_and_is_used_when_it_becomes_a_primary(valkey: Valkey, make: Any) -> None:
    valkey.cli("REPLICAOF", "127.0.0.1", "1")
    said = await _refusal(valkey.url, make)
    assert "it is a replica, which takes no readings" in said
    assert said.endswith("use the address of its primary")
    assert {finding.remedy for finding in _wrong(valkey.url)} == {
        "it takes no readings: point TIDEWIRE_REDIS at its primary", "point TIDEWIRE_REDIS at it",
    }  # fmt: skip
    valkey.cli("REPLICAOF", "NO", "ONE")
    log = RedisLog(valkey.url)
    assert (await log.append(_BATCHES)).id
    await log.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two nodes, of which the second has the log's slot alone."""
    directory: Path = tmp_path_factory.mktemp("cluster")
    nodes = [
        Server(directory, "--cluster-enabled", "yes", "--cluster-port", str(own_port()), "--save", "") for _ in range(2)
    ]
    for node in nodes:
        node.start()
    first, second = nodes
    bus = first.client.config_get("cluster-port")["cluster-port"]
    first.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, _SLOT - 1, _SLOT + 1, _LAST)
    second.client.execute_command("CLUSTER", "ADDSLOTSRANGE", _SLOT, _SLOT)
    second.client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
    yield first, second
    for node in nodes:
        node.end()


async def _ready(cluster: tuple[Server, Server]) -> tuple[Server, Server]:
    first, second = cluster

    def knows() -> bool:
        try:
            first.client.get("tw:{0}:clock")
        except redis.exceptions.MovedError:
            return bool(second.client.info("cluster")["cluster_enabled"])
        except redis.RedisError:
            return False
        return False

    await eventually(knows)
    await eventually(lambda: "cluster_state:ok" in str(second.client.execute_command("CLUSTER", "INFO")))
    return first, second


@both
async def test_a_node_of_a_cluster_leads_to_the_log(cluster: tuple[Server, Server], make: Any) -> None:
    other, owner = await _ready(cluster)
    for node in (other, owner):
        log = make(node.url)
        stored = log.append(_BATCHES) if isinstance(log, RedisLog) else asyncio.to_thread(log.append, _BATCHES)
        assert (await stored).id
        assert log.locator.address == owner.address
        await asyncio.gather(log.close()) if isinstance(log, RedisLog) else log.close()
        assert not _wrong(node.url)
        found = [finding.found for finding in _redis(node.url, "tw", set()) if finding.what == "cluster"]
        assert found[0] == (
            f"2 primaries, no replicas; the log (hash slot {_SLOT}) is at 127.0.0.1:{owner.port}, with no replicas"
        )
        assert "cluster-require-full-coverage is yes" in found[1:]
    said = await _refusal(f"{owner.url}/3", make)
    assert "it has no database of that number" in said
    assert "a Cluster has 0 alone" in said


@both
async def test_a_cluster_without_the_slot_says_so(tmp_path: Path, make: Any) -> None:
    node = Server(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(own_port()), "--save", "")
    node.start()
    try:
        said = await _refusal(node.url, make)
        assert "no node of the Cluster says where the log is (" in said
        assert f"127.0.0.1:{node.port}: says that no node has the hash slot {_SLOT}" in said
    finally:
        node.end()


@pytest.mark.parametrize("hello", [None, b"OK", [], [b"mode"], [b"mode", b"standalone"], [b"server", b"x"], {}])
def test_what_is_no_answer_to_hello_refuses_nothing(hello: Any) -> None:
    assert refusal_of(hello, "h:1") == ""


async def test_a_server_is_asked_what_it_is_on_its_first_connection_only(valkey: Valkey) -> None:
    def asked() -> int:
        return int(valkey.client.info("commandstats").get("cmdstat_hello", {}).get("calls", 0)) - before

    before = 0
    before = asked()
    log = RedisLog(valkey.url)
    await asyncio.gather(*[log.ping() for _ in range(8)])
    log.give_up()
    await asyncio.gather(*[log.ping() for _ in range(8)])
    after_first = asked()
    log.give_up()
    await log.ping()
    assert 1 <= after_first <= 8, "those that connected before one had an answer"
    assert asked() == after_first
    assert not any("sentinel" in task.get_name() for task in asyncio.all_tasks())
    await log.close()
    blocking = BlockingRedisLog(valkey.url)
    for _ in range(3):
        await asyncio.to_thread(blocking.ping)
        blocking.redis.connection_pool.disconnect()
    blocking.close()
    assert asked() == after_first + 1
