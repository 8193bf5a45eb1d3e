"""Faults rows 29 to 32: the primary changes under Sentinels, and Sentinels end, hang and lie."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from redis_servers import Server
from sentinels import DOWN_S, Sentinels
from waiting import HANG_S, eventually

import tidewire
from tidewire.errors import LogUnavailable
from tidewire.model.batch import decode_batch, encode_batch, make_batch
from tidewire.redislog.log import BlockingRedisLog, RedisLog

from .conftest import World
from .load import Load
from .processes import Valkey

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with Sentinels(tmp_path_factory.mktemp("sentinels")) as started:
        yield started


@pytest.fixture
def sentinels(processes: Sentinels) -> Sentinels:
    """A primary without data, a replica and three Sentinels, all in order, whatever the test before did to them."""
    processes.mend()
    processes.primary.client.flushall()
    return processes


async def _primary(sentinels: Sentinels) -> Server:
    return await asyncio.to_thread(lambda: sentinels.primary)


async def _moved(sentinels: Sentinels, old: Server) -> Server:
    """Wait until the Sentinels agree on another primary, and it does too; return it."""
    while (primary := await _primary(sentinels)) is old:
        await asyncio.sleep(0.01)
    return primary


async def test_row_29_a_coordinated_failover_loses_nothing_and_ends_no_stream(
    world: World, sentinels: Sentinels
) -> None:
    load = Load(world, sentinels.url)
    service = await load.start()
    old, asked_s = await _primary(sentinels), time.time()
    await asyncio.to_thread(sentinels.fail_over, "COORDINATED")
    primary = await _moved(sentinels, old)
    pause_s = await load.settle(primary, asked_s)
    chain = (await world.read_log(RedisLog.clock)).chain
    print(f"row 29: {len(world.book.acked)} acknowledged, {await load.gone()} gone, {pause_s:.2f} s without any")
    assert await load.gone() == 0
    assert [fork.lost for fork in chain] == [None, None], "one new epoch, and nothing lost"
    assert load.seen("cut", "gap", "reset", "bye") == {0}
    assert pause_s < world.lateness.allow(2.0)
    await eventually(service.ready)
    assert not old.connections()
    assert not service.errors()


async def test_row_30_the_old_primary_is_left_though_it_goes_on_as_one(world: World, sentinels: Sentinels) -> None:
    load = Load(world, sentinels.url)
    service = await load.start(every_s=0.001)
    old, asked_s = await _primary(sentinels), time.time()
    failing_over = asyncio.create_task(asyncio.to_thread(sentinels.fail_over))

    def agreed() -> bool:
        said = [sentinels.said(sentinel) for sentinel in sentinels.sentinels]
        return sum(address != old.address for address in said) * 2 > len(said)

    await eventually(agreed)
    agreed_s = time.monotonic()
    await eventually(lambda: not old.connections())
    left_s = time.monotonic() - agreed_s
    role = old.client.role()[0].decode()
    await failing_over
    primary = await _moved(sentinels, old)
    pause_s = await load.settle(primary, asked_s)
    print(
        f"row 30: left {left_s:.2f} s after most Sentinels agreed, when it was still a {role}; {pause_s:.2f} s without "
        f"an acknowledgement; {await load.gone()} of {len(world.book.acked)} gone and announced"
    )
    assert left_s < world.lateness.allow(1.5)
    assert load.seen("cut", "reset", "bye") == {0}
    assert await load.gone() == 0 or load.seen("gap") == {1}
    await eventually(service.ready)
    assert not service.errors()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_row_31_a_primary_that_ends_or_hangs_is_replaced(
    world: World, sentinels: Sentinels, how: signal.Signals
) -> None:
    load = Load(world, sentinels.url)
    service = await load.start()
    old, ended_s = await _primary(sentinels), time.time()
    old.signal(how)
    primary = await _moved(sentinels, old)
    if how == signal.SIGSTOP:
        old.signal(signal.SIGCONT)  # it takes itself for the primary until a Sentinel tells it
        await eventually(lambda: old.client.role()[0] == b"slave")
        assert not old.connections(), "nobody went back to it"
    pause_s = await load.settle(primary, ended_s)
    print(f"row 31, {how.name}: {pause_s:.2f} s without an acknowledgement, {await load.gone()} gone and announced")
    assert pause_s < world.lateness.allow(DOWN_S + 2.0)
    assert load.seen("cut", "reset", "bye") == {0}
    await eventually(service.ready)
    assert not service.errors()


async def test_row_32_without_any_sentinel_all_goes_on_at_the_last_address(world: World, sentinels: Sentinels) -> None:
    load = Load(world, sentinels.url)
    service = await load.start()
    primary = await _primary(sentinels)
    for sentinel in sentinels.sentinels:
        sentinel.signal(signal.SIGKILL)
    ended_s = time.time()
    for kind in ("normal", "pubsub"):  # new connections lead there too
        primary.client.execute_command("CLIENT", "KILL", "TYPE", kind)
    await eventually(lambda: primary.connections("tidewire-hub"))
    pause_s = await load.settle(primary, ended_s)
    print(f"row 32: {pause_s:.2f} s without an acknowledgement after all Sentinels ended")
    assert await load.gone() == 0
    assert load.seen("cut", "gap", "reset", "bye") == {0}
    await eventually(service.ready)
    assert not service.errors()


@pytest.fixture
def liar(sentinels: Sentinels, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Sentinel that names another server, which is a primary as well."""
    config = tmp_path_factory.mktemp("liar") / "sentinel.conf"
    config.write_text(f"sentinel monitor {sentinels.name} 127.0.0.1 {valkey.port} 1\n")
    server = Server(config.parent, str(config), "--sentinel")
    server.start()
    yield server
    server.end()


def _url(sentinels: Sentinels, *nodes: Server) -> str:
    return f"redis+sentinel://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}/{sentinels.name}"


async def test_row_32_a_sentinel_that_lies_is_outvoted(sentinels: Sentinels, liar: Server, valkey: Valkey) -> None:
    first, second, _ = sentinels.sentinels
    log, blocking = (kind(_url(sentinels, liar, first, second)) for kind in (RedisLog, BlockingRedisLog))
    old = sentinels.primary
    batches = [encode_batch(make_batch("m", 1.0))]

    async def stored() -> bool:
        try:
            await log.append(batches)
            await asyncio.to_thread(blocking.append, batches)
        except LogUnavailable:
            return False
        return {log.locator.address, blocking.locator.address} == {(await _primary(sentinels)).address}

    await eventually(stored)
    assert valkey.client.dbsize() == 0
    await asyncio.to_thread(sentinels.fail_over, "COORDINATED")
    assert await _moved(sentinels, old) is not old
    await eventually(stored, "the majority was followed")
    second.signal(signal.SIGKILL)  # one word against another
    await eventually(stored, "the last address stays")
    assert valkey.client.dbsize() == 0
    await log.close()
    blocking.close()


@pytest.mark.parametrize("make", [RedisLog, BlockingRedisLog])
async def test_row_32_without_a_majority_a_newcomer_is_told_what_each_sentinel_said(
    sentinels: Sentinels, liar: Server, make: type[RedisLog] | type[BlockingRedisLog]
) -> None:
    first, second, _ = sentinels.sentinels
    second.signal(signal.SIGKILL)
    log = make(_url(sentinels, liar, first, second))
    with pytest.raises(LogUnavailable) as refused:
        await log.ping() if isinstance(log, RedisLog) else await asyncio.to_thread(log.ping)
    said = str(refused.value)
    assert "no majority of 3 Sentinels says where 'tw' is" in said
    for node, word in ((liar, "127.0.0.1:"), (first, str(sentinels.primary.port)), (second, "connecting")):
        assert f"127.0.0.1:{node.port}: " in said
        assert word in said
    await asyncio.gather(log.close()) if isinstance(log, RedisLog) else log.close()


# -- publishers


async def _values(url: str, metric: str) -> list[float | None]:
    log = RedisLog(url)
    [entries], _ = await log.entries_after([(metric, 0)])
    await log.close()
    return [value for entry in entries for value in decode_batch(entry.body).value]


@pytest.mark.parametrize("how", ["COORDINATED", "SIGSTOP"])
async def test_rows_29_and_31_a_publisher_meets_the_new_primary(sentinels: Sentinels, how: str) -> None:
    old = sentinels.primary
    with tidewire.Publisher(sentinels.url) as publisher:
        for value in range(50):
            publisher.publish("m", float(value))
        assert await asyncio.to_thread(publisher.flush, HANG_S)
        if how == "SIGSTOP":
            assert old.client.wait(1, 5_000) == 1
            old.signal(signal.SIGSTOP)
        else:
            await asyncio.to_thread(sentinels.fail_over, how)
        for value in range(50, 100):
            publisher.publish("m", float(value))
            await asyncio.sleep(0.02)
        assert await asyncio.to_thread(publisher.flush, HANG_S)
        primary = await _moved(sentinels, old)
    assert await _values(primary.url, "m") == [float(value) for value in range(100)]


async def test_row_30_a_publisher_that_has_nothing_to_send_leaves_the_old_primary_too(
    world: World, sentinels: Sentinels
) -> None:
    old = sentinels.primary
    with tidewire.Publisher(sentinels.url) as publisher:
        publisher.publish("m", 1.0)
        assert await asyncio.to_thread(publisher.flush, HANG_S)
        assert old.connections("tidewire-publisher")
        await asyncio.to_thread(sentinels.fail_over)
        await _moved(sentinels, old)
        await world.lateness.within(1.5, lambda: not old.connections("tidewire-publisher"), "it is left")
        publisher.publish("m", 2.0)
        assert await asyncio.to_thread(publisher.flush, HANG_S)
    assert await _values(sentinels.url, "m") == [1.0, 2.0]


_FORKS = """
import os, sys, tidewire
publisher = tidewire.Publisher(sys.argv[1])
publisher.publish("m", 1.0)
assert publisher.flush(60)
if child := os.fork():
    publisher.publish("m", 2.0)
    assert publisher.flush(60)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
publisher.publish("m", 3.0)
assert publisher.flush(60)
os._exit(0)
"""
_ENDS_AT_ONCE = "import sys, tidewire; publisher = tidewire.Publisher(sys.argv[1]); publisher.publish('m', 1.0)"


@pytest.mark.parametrize(("script", "expected"), [(_FORKS, {1.0, 2.0, 3.0}), (_ENDS_AT_ONCE, {1.0})])
async def test_a_publisher_finds_the_primary_in_a_fork_and_at_the_end_of_its_process(
    sentinels: Sentinels, script: str, expected: set[float]
) -> None:
    url = sentinels.url.replace("127.0.0.1", "localhost")  # a name that is to be resolved
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, url], capture_output=True, timeout=HANG_S, env=dict(os.environ)
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert set(await _values(sentinels.url, "m")) == expected
