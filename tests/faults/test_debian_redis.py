"""Sentinels and a Cluster of Debian's Redis 7.0, which is older than the bundled server, and speaks TLS."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
from certificates import make_certificates
from clusters import Cluster
from redis.crc import key_slot
from redis_servers import Build
from sentinels import Sentinels
from waiting import HANG_S

import tidewire
from tidewire.model.batch import decode_batch
from tidewire.redislog.keys import Keys
from tidewire.redislog.log import RedisLog

from .conftest import World

pytestmark = [pytest.mark.fault, pytest.mark.redis_server]
SLOT = key_slot(Keys().clock.encode())


@pytest.fixture(params=["in clear text", "TLS"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    # one program is the server, and what checks its files, by the name that it is called
    program = shutil.which("redis-check-rdb")
    assert program
    return Build(program, make_certificates(tmp_path) if request.param == "TLS" else None)


async def _publish(publisher: tidewire.Publisher, first: int, last: int) -> None:
    for value in range(first, last):
        publisher.publish("m", float(value))
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(publisher.flush, HANG_S), publisher.stats.last_error


async def _values(url: str) -> list[float | None]:
    log = RedisLog(url)
    [entries], _ = await log.entries_after([("m", 0)])
    await log.close()
    return [value for entry in entries for value in decode_batch(entry.body).value]


async def test_a_publisher_and_a_stream_follow_the_log_in_a_cluster(world: World, build: Build, tmp_path: Path) -> None:
    with Cluster(tmp_path, primaries=2, build=build) as cluster:
        service = await world.service(cluster.url)
        stream = world.subscriber(service.address)
        await world.all_live()
        with tidewire.Publisher(cluster.url) as publisher:
            await _publish(publisher, 0, 30)
            old = cluster.primary_of(SLOT)
            new = await asyncio.to_thread(cluster.fail_over, old)
            await _publish(publisher, 30, 60)
            other = next(one for one in cluster.servers if one not in (old, new) and one.client.role()[0] == b"master")
            moving = asyncio.to_thread(cluster.move_slot, SLOT, other)
            await asyncio.gather(moving, _publish(publisher, 60, 120))
            assert cluster.primary_of(SLOT) is other
        assert await _values(cluster.url) == [float(value) for value in range(120)]
        assert stream.ledger.count("gap") == stream.ledger.count("reset") == 0
        assert not service.errors()


async def test_a_publisher_and_a_stream_follow_the_primary_of_sentinels(
    world: World, build: Build, tmp_path: Path
) -> None:
    with Sentinels(tmp_path, build=build) as sentinels:
        service = await world.service(sentinels.url)
        stream = world.subscriber(service.address)
        await world.all_live()
        with tidewire.Publisher(sentinels.url) as publisher:
            await _publish(publisher, 0, 30)
            old = sentinels.primary
            assert old.client.wait(1, 5_000) == 1
            old.signal(signal.SIGKILL)
            await _publish(publisher, 30, 60)
        assert await _values(sentinels.url) == [float(value) for value in range(60)]
        assert stream.ledger.count("gap") == stream.ledger.count("reset") == 0
        assert not service.errors()
