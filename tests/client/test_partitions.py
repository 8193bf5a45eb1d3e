"""A publisher of several partitions: one that is in trouble holds up no other, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from clusters import Cluster
from redis.crc import key_slot
from redis_servers import Server
from servers import Valkey
from waiting import HANG_S, Eventually, generous

from tidewire.model.batch import decode_batch
from tidewire.model.layout import SINGLE, Layout, layout_of
from tidewire.publishing.publisher import Publisher
from tidewire.redislog.keys import Keys
from tidewire.redislog.log import BlockingRedisLog
from tidewire.redislog.partitioned_log import PartitionedLog

LAYOUT: Final = layout_of(4)


def metrics_of(layout: Layout) -> list[str]:
    """Return a metric of each partition."""
    found: dict[int, str] = {}
    for name in map("m{}".format, itertools.count()):
        found.setdefault(layout.partition_of(name), name)
        if len(found) == layout.partitions:
            return [found[number] for number in range(layout.partitions)]
    raise AssertionError


METRICS: Final = metrics_of(LAYOUT)


def begin(url: str, layout: Layout) -> None:
    """Begin a log that is split so, as the service does at its first start."""
    log = BlockingRedisLog(url, partition=None)
    assert log.read_layout(layout) == layout
    log.close()


async def stored(url: str, metric: str, layout: Layout = LAYOUT) -> list[int]:
    log = PartitionedLog(url, layout=layout)
    try:
        entries = (await log.of(metric).entries_after([(metric, 0)]))[0][0]
        return [int(value or 0) for entry in entries for value in decode_batch(entry.body).value]
    finally:
        await log.close()


async def flushed(publisher: Publisher, limit_s: float = HANG_S) -> bool:
    return await asyncio.to_thread(publisher.flush, limit_s)


def lanes() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tidewire-publisher-")]


# -- on one server


@pytest.mark.parametrize("partitions", [2, 4, 8])
async def test_every_reading_arrives_once_in_the_order_of_its_metric(valkey: Valkey, partitions: int) -> None:
    layout = layout_of(partitions)
    begin(valkey.url, layout)
    names = [f"x/{n}" for n in range(40)]
    with Publisher(valkey.url) as publisher:
        for n in range(200):
            publisher.publish(dict.fromkeys(names, n))
        assert await flushed(publisher)
        assert (publisher.stats.sent, publisher.stats.queued) == (200 * 40, 0)
        assert len(lanes()) <= partitions
    assert not lanes(), "they end with the publisher"
    for name in names:
        assert await stored(valkey.url, name, layout) == list(range(200))
    assert not valkey.client.exists("tw:{0}:tail"), "nothing was written where a log of one partition lies"


async def test_a_log_of_one_partition_costs_no_thread_and_no_question(valkey: Valkey) -> None:
    with Publisher(valkey.url) as publisher:
        for n in range(5):
            publisher.publish(f"x/{n}", n)
            assert await flushed(publisher)
        assert not lanes()
    told = valkey.client.info("commandstats")
    # The first is refused for want of the functions; then the clock, for times and for the epoch, and the appends.
    assert told["cmdstat_fcall"]["calls"] == 3 + 5


async def test_only_partitions_that_get_something_have_a_thread(valkey: Valkey) -> None:
    begin(valkey.url, LAYOUT)
    with Publisher(valkey.url) as publisher:
        publisher.publish(METRICS[2], 1)
        assert await flushed(publisher)
        assert lanes() == ["tidewire-publisher-2"]


async def test_what_was_published_before_there_was_a_redis_finds_its_partitions(valkey: Valkey) -> None:
    begin(valkey.url, LAYOUT)
    valkey.client.save()
    valkey.stop()
    with Publisher(valkey.url) as publisher:
        for n in range(100):
            publisher.publish(dict.fromkeys(METRICS, n))
        assert not publisher.flush(0.3)
        for n in range(100, 200):
            publisher.publish(dict.fromkeys(METRICS, n))
        valkey.start()
        assert await flushed(publisher)
    for name in METRICS:
        assert await stored(valkey.url, name) == list(range(200))


@pytest.mark.parametrize("spooled", [False, True], ids=["in memory", "with a spool"])
async def test_restarts_of_redis_lose_and_double_nothing(valkey: Valkey, tmp_path: Path, spooled: bool) -> None:
    valkey.restart(appendfsync="always")
    begin(valkey.url, LAYOUT)
    folder = tmp_path / "spool" if spooled else ""
    with Publisher(valkey.url, spool=folder, flush_after_s=0.002) as publisher:
        done = threading.Event()

        def produce() -> None:
            for n in range(6_000):
                publisher.publish(METRICS[n % 4], n // 4)
                if n % 20 == 0:
                    time.sleep(0.005)
            done.set()

        thread = threading.Thread(target=produce)
        thread.start()
        for _ in range(3):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(valkey.kill)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(valkey.start)
        await asyncio.to_thread(thread.join)
        assert await flushed(publisher)
        stats = publisher.stats
        assert (stats.sent, stats.dropped, stats.rejected) == (6_000, 0, 0)
        assert stats.retried > 0, "the kills met something"
    for name in METRICS:
        assert await stored(valkey.url, name) == list(range(1_500))


@pytest.mark.parametrize("after", [SINGLE, layout_of(2), layout_of(8)], ids=lambda layout: f"to {layout.partitions}")
@pytest.mark.parametrize("before", [SINGLE, LAYOUT], ids=lambda layout: f"from {layout.partitions}")
async def test_a_log_that_is_begun_anew_with_other_partitions_is_learnt_again(
    valkey: Valkey, before: Layout, after: Layout
) -> None:
    if before.id:
        begin(valkey.url, before)
    with Publisher(valkey.url) as publisher:
        publisher.publish(dict.fromkeys(METRICS, -1))
        assert await flushed(publisher)
        valkey.client.flushall()
        if after.id:
            valkey.client.set("tw:{0}:layout", after.encode())
            for tag in after.tags:  # the service has looked at every partition
                log = BlockingRedisLog(valkey.url, layout=after, partition=after.tags.index(tag))
                log.clock()
                log.close()
        else:
            begun = BlockingRedisLog(valkey.url)
            begun.clock()
            begun.close()
        for n in range(50):
            publisher.publish(dict.fromkeys(METRICS, n))
        assert await flushed(publisher)
        assert publisher.stats.sent == 4 * 51
        assert publisher.stats.rejected == 0
    for name in METRICS:
        assert await stored(valkey.url, name, after) == list(range(50))


async def test_a_log_that_is_emptied_is_begun_anew_as_it_was(valkey: Valkey) -> None:
    with Publisher(valkey.url) as publisher:
        for turn in range(4):
            valkey.client.flushall()
            if not turn:
                begin(valkey.url, LAYOUT)
            began_s = time.monotonic()
            for n in range(50):
                publisher.publish(dict.fromkeys(METRICS, n))
            assert await flushed(publisher)
            assert time.monotonic() - began_s < generous(0.5), "each time after the shortest pause"
    assert valkey.client.get("tw:{0}:layout") == LAYOUT.encode()
    for name in METRICS:
        assert await stored(valkey.url, name) == list(range(50))


async def test_a_closed_publisher_publishes_again(valkey: Valkey) -> None:
    begin(valkey.url, LAYOUT)
    publisher = Publisher(valkey.url)
    for n in range(3):
        publisher.publish(dict.fromkeys(METRICS, n))
        publisher.close()
        assert publisher.stats.queued == 0
    for name in METRICS:
        assert await stored(valkey.url, name) == [0, 1, 2]


async def test_a_layout_of_a_newer_version_is_said_and_nothing_is_lost(valkey: Valkey, eventually: Eventually) -> None:
    valkey.client.set("tw:{0}:layout", b'{"id":9,"partitions":4,"tags":["a","b","c","d"],"hash":"md5"}')
    with Publisher(valkey.url) as publisher:
        publisher.publish(dict.fromkeys(METRICS, 1))
        await eventually(lambda: "layout" in publisher.stats.last_error)
        assert publisher.stats.queued == 4
        valkey.client.set("tw:{0}:layout", LAYOUT.encode())
        assert await flushed(publisher)
    for name in METRICS:
        assert await stored(valkey.url, name) == [1]


async def test_without_a_thread_for_a_partition_nothing_is_lost_and_the_next_call_tries_again(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    begin(valkey.url, LAYOUT)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "tidewire-publisher-1":
            raise RuntimeError("can't start new thread")
        start(thread)

    with Publisher(valkey.url) as publisher:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            publisher.publish(dict.fromkeys(METRICS, 1))
            await eventually(lambda: "can't start new thread" in publisher.stats.last_error)
            await eventually(lambda: publisher.stats.sent == 3)
        publisher.publish(dict.fromkeys(METRICS, 2))
        assert await flushed(publisher)
    for name in METRICS:
        assert await stored(valkey.url, name) == [1, 2]


async def test_leaving_the_interpreter_sends_what_is_buffered(valkey: Valkey) -> None:
    begin(valkey.url, LAYOUT)
    lines = f"import tidewire\np = tidewire.Publisher({valkey.url!r}, flush_after_s=60)\n"
    lines += f"p.publish(dict.fromkeys({METRICS}, 1))"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", lines], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert done.stderr == ""
    for name in METRICS:
        assert await stored(valkey.url, name) == [1]


async def test_a_fork_publishes_its_own_and_the_parents_once(valkey: Valkey) -> None:
    begin(valkey.url, LAYOUT)
    publisher = Publisher(valkey.url)
    publisher.publish(dict.fromkeys(METRICS, 1))
    assert await flushed(publisher)

    def child() -> None:
        publisher.publish(dict.fromkeys(METRICS, 2))
        os._exit(0 if publisher.flush(HANG_S) else 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode == 0
    publisher.publish(dict.fromkeys(METRICS, 3))
    await asyncio.to_thread(publisher.close)
    for name in METRICS:
        assert await stored(valkey.url, name) == [1, 2, 3]


# -- the spool


async def test_a_spool_that_was_written_without_a_redis_is_sent_to_the_partitions(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    begin(valkey.url, LAYOUT)
    valkey.client.save()
    valkey.stop()
    folder = tmp_path / "spool"
    first = Publisher(valkey.url, spool=folder)
    for n in range(100):
        first.publish(dict.fromkeys(METRICS, n))
    first.close(0)
    assert first.stats.spooled == 400
    valkey.start()
    with Publisher(valkey.url, spool=folder) as second:
        for n in range(100, 200):
            second.publish(dict.fromkeys(METRICS, n))
        assert await flushed(second)
        assert (second.stats.sent, second.stats.spooled, second.stats.dropped) == (800, 0, 0)
    assert not list(folder.iterdir()), "an empty file is deleted"
    for name in METRICS:
        assert await stored(valkey.url, name) == list(range(200))


@pytest.mark.parametrize(
    "after", [SINGLE, layout_of(2), LAYOUT, layout_of(8)], ids=lambda layout: f"{layout.partitions}"
)
async def test_a_spool_of_another_layout_is_divided_anew(
    valkey: Valkey, tmp_path: Path, after: Layout, eventually: Eventually
) -> None:
    begin(valkey.url, LAYOUT)
    first = Publisher(valkey.url, spool=tmp_path)
    first.publish(dict.fromkeys(METRICS, -1))
    assert await flushed(first)
    valkey.client.save()
    valkey.stop()
    for n in range(100):
        first.publish(dict.fromkeys(METRICS, n))
        if n % 10 == 0:
            await asyncio.sleep(0.02)  # several calls
    await eventually(lambda: first.stats.spooled == 400)
    first.close(0)
    await eventually(lambda: not lanes())
    valkey.start()
    valkey.client.flushall()
    if after.id:
        begin(valkey.url, after)
    with Publisher(valkey.url, spool=tmp_path) as second:
        assert await flushed(second)
        assert (second.stats.sent, second.stats.dropped) == (400, 0)
    for name in METRICS:
        assert await stored(valkey.url, name, after) == list(range(100))


async def test_a_reply_that_was_lost_is_not_appended_twice_from_the_spool(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    begin(valkey.url, LAYOUT)
    with Publisher(valkey.url, spool=tmp_path) as publisher:
        publisher.publish(dict.fromkeys(METRICS, 0))
        assert await flushed(publisher)
        valkey.pause()
        publisher.publish(dict.fromkeys(METRICS, 1))  # on the wire: it will be stored, and its answer is not heard
        await eventually(lambda: publisher.stats.retried == 4, "each partition's deadline has passed")
        publisher.publish(dict.fromkeys(METRICS, 2))
        await eventually(lambda: publisher.stats.spooled == 8)
        valkey.resume()
        assert await flushed(publisher)
        assert publisher.stats.sent == 12
    for name in METRICS:
        assert await stored(valkey.url, name) == [0, 1, 2]


def test_who_looks_into_the_file_sees_what_is_due_where(valkey: Valkey, tmp_path: Path) -> None:
    begin(valkey.url, LAYOUT)
    publisher = Publisher(valkey.url, spool=tmp_path)
    publisher.publish(dict.fromkeys(METRICS, 0))
    assert publisher.flush(HANG_S)
    valkey.kill()
    publisher.publish(dict.fromkeys(METRICS, 1))
    publisher.close(1)
    (path,) = tmp_path.glob("spool-*.db")
    deadline = time.monotonic() + HANG_S
    while True:  # a lane that hangs holds the file a little longer
        try:
            with sqlite3.connect(path) as database:
                assert database.execute("SELECT SUM(readings) FROM calls").fetchone() == (4,)
                assert database.execute("SELECT partition FROM due ORDER BY 1").fetchall() == [(0,), (1,), (2,), (3,)]
                return
        except sqlite3.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# -- in a Cluster: one of two servers hangs


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", primaries=2, replicas=0) as started:
        begin(started.url, LAYOUT)
        yield started


def owner(cluster: Cluster, partition: int) -> Server:
    return cluster.primary_of(key_slot(Keys(partition=LAYOUT.tags[partition]).clock.encode()))


@pytest.fixture
async def tails(cluster: Cluster) -> AsyncIterator[Callable[[], Any]]:
    """Return what reads the newest value of a metric in a partition that serves."""
    log = PartitionedLog(cluster.url, layout=LAYOUT)

    async def newest(metric: str) -> int:
        entries = (await log.of(metric).entries_after([(metric, 0)]))[0][0]
        return int(decode_batch(entries[-1].body).value[-1] or 0) if entries else -1

    yield newest
    await log.close()


async def _latencies_s(publisher: Publisher, metric: str, newest: Callable[[str], Any], first: int) -> list[float]:
    """Return how long each of some readings took to be in the log."""
    found = []
    for n in range(first, first + 25):
        began_s = time.monotonic()
        publisher.publish(metric, n)
        while await newest(metric) < n:
            assert time.monotonic() - began_s < HANG_S
            await asyncio.sleep(0.002)
        found.append(time.monotonic() - began_s)
    return sorted(found)


@pytest.mark.parametrize("spooled", [False, True], ids=["in memory", "with a spool"])
async def test_a_server_that_hangs_holds_up_only_its_own_partitions(
    cluster: Cluster, tails: Callable[[str], Any], tmp_path: Path, spooled: bool, eventually: Eventually
) -> None:
    hung = owner(cluster, 0)
    held = [name for number, name in enumerate(METRICS) if owner(cluster, number) is hung]
    free = [name for name in METRICS if name not in held]
    assert held
    assert free
    folder = tmp_path / "spool" if spooled else ""
    with Publisher(cluster.url, spool=folder, max_bytes=8 << 20) as publisher:
        publisher.publish(dict.fromkeys(METRICS, -1))
        assert await flushed(publisher)
        before = await _latencies_s(publisher, free[0], tails, 0)
        hung.signal(signal.SIGSTOP)
        numbers = itertools.count()
        stop = threading.Event()

        def produce() -> None:
            while not stop.is_set():
                n = next(numbers)
                for name in held:
                    publisher.publish(name, n)
                time.sleep(0.002)

        thread = threading.Thread(target=produce)
        thread.start()
        during = await _latencies_s(publisher, free[0], tails, 100)
        print(
            f"median {before[12] * 1e3:.0f} ms before, {during[12] * 1e3:.0f} ms during, {during[-1] * 1e3:.0f} at most"
        )
        assert during[12] < generous(max(before[12], 0.05))
        assert during[-1] < 4.0, "less than the deadline of a command that hangs"
        assert not publisher.flush(0.5), "a flush is about all"
        if spooled:
            await eventually(lambda: publisher.stats.spooled > 0)
        stop.set()
        thread.join()
        hung.resume()
        assert await flushed(publisher)
        count = next(numbers)
        stats = publisher.stats
        assert (stats.dropped, stats.rejected, stats.queued, stats.spooled) == (0, 0, 0, 0)
        assert stats.sent == 4 + 50 + count * len(held)
    for name in held:
        assert await stored(cluster.url, name) == list(range(-1, count))


async def test_memory_is_bounded_while_a_partition_is_away_and_only_its_oldest_are_given_up(
    cluster: Cluster, tails: Callable[[str], Any]
) -> None:
    hung = owner(cluster, 0)
    held = METRICS[0]
    free = next(name for number, name in enumerate(METRICS) if owner(cluster, number) is not hung)
    bound = 1 << 18
    with Publisher(cluster.url, max_bytes=bound) as publisher:
        publisher.publish({held: -1, free: -1})
        assert await flushed(publisher)
        hung.signal(signal.SIGSTOP)
        highest = 0
        for n in range(20_000):
            publisher.publish(held, n)
            if n % 100 == 0:
                publisher.publish(free, n)
                highest = max(highest, publisher._outbox.bytes)
                await asyncio.sleep(0.002)
        while await tails(free) < 19_900:
            await asyncio.sleep(0.01)
        assert publisher.stats.dropped > 0
        assert highest < 1.5 * bound
        hung.resume()
        assert await flushed(publisher)
        stats = publisher.stats
        assert stats.sent + stats.dropped == 2 + 20_000 + 200
    values = await stored(cluster.url, held)
    assert values == sorted(set(values)), "in order, and none twice"
    assert values[-1] == 19_999, "the newest stayed"
    assert len(values) == 20_001 - stats.dropped
    assert await stored(cluster.url, free) == [-1, *range(0, 20_000, 100)], "the other partition lost nothing"
