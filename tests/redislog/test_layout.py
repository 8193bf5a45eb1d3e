"""How a log is split is written once; who takes it for another is refused before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from servers import Valkey

from tidewire.errors import LayoutMismatch, LogUnavailable
from tidewire.model.batch import EncodedBatch, decode_batch, encode_batch, make_batch
from tidewire.model.layout import SINGLE, Layout, layout_of
from tidewire.model.vector_cursor import VectorCursor
from tidewire.redislog.log import BlockingRedisLog, RedisLog
from tidewire.redislog.partitioned_log import BlockingPartitionedLog, PartitionedLog

LAYOUT_KEY = "tw:{0}:layout"


def batches(*metrics: str) -> list[EncodedBatch]:
    return [encode_batch(make_batch(metric, float(place))) for place, metric in enumerate(metrics)]


def metric_in(layout: Layout, partition: int) -> str:
    return next(name for name in map("m{}".format, range(1_000)) if layout.partition_of(name) == partition)


def contents(valkey: Valkey) -> dict[bytes, bytes]:
    return {key: valkey.client.dump(key) for key in valkey.client.keys("*")}


@pytest.fixture
async def opened(valkey: Valkey) -> AsyncIterator[Callable[..., RedisLog]]:
    made: list[RedisLog] = []

    def make(**options: Any) -> RedisLog:
        made.append(RedisLog(valkey.url, **options))
        return made[-1]

    yield make
    for log in made:
        await log.close()


async def test_of_several_that_begin_a_log_at_once_the_first_decides(
    valkey: Valkey, opened: Callable[..., RedisLog]
) -> None:
    wanted = [layout_of(count) for count in (2, 4, 8, 4)]
    logs = [opened(partition=None) for _ in wanted]
    found = await asyncio.gather(*(log.read_layout(layout) for log, layout in zip(logs, wanted, strict=True)))
    assert len(set(found)) == 1
    assert found[0] in wanted
    assert valkey.client.get(LAYOUT_KEY) == found[0].encode()
    assert await opened(partition=None).read_layout() == found[0], "also for one who wants nothing"
    assert sorted(valkey.client.keys("*")) == [b"tw:{0}:clock", LAYOUT_KEY.encode()]
    assert valkey.client.type("tw:{0}:clock") == b"string"


async def test_a_log_that_began_with_one_partition_stays_so(valkey: Valkey, opened: Callable[..., RedisLog]) -> None:
    log = opened()
    assert await log.read_layout() == SINGLE
    assert not valkey.client.exists(LAYOUT_KEY), "to ask writes nothing"
    await log.append(batches("a"))
    assert await log.read_layout(layout_of(4)) == SINGLE
    assert not valkey.client.exists(LAYOUT_KEY)
    await log.append(batches("a"))


async def test_a_layout_can_be_read_and_begun_while_memory_is_full(
    valkey: Valkey, opened: Callable[..., RedisLog]
) -> None:
    log = opened(partition=None)
    await log.read_layout()  # the functions are loaded
    valkey.client.config_set("maxmemory", "1")
    assert await log.read_layout(layout_of(2)) == layout_of(2)
    assert await log.read_layout() == layout_of(2)


CALLS: dict[str, Callable[[RedisLog], Any]] = {
    "append": lambda log: log.append(batches("m")),
    "clock": RedisLog.clock,
    "sweep": lambda log: log._function(log.functions.sweep(["m"])),  # does not read first, as `sweep` does
}
# What a log is, and what a caller takes it for.
MISTAKEN = {
    "one for several": (SINGLE, 0, layout_of(2)._replace(tags=("0", "4xa")), 0),
    "several for one": (layout_of(4), 0, SINGLE, 0),
    "two for four": (layout_of(2), 0, layout_of(4), 0),
    "four for two": (layout_of(4), 2, layout_of(2), 1),
    "another layout": (layout_of(4), 1, layout_of(4)._replace(id=2), 1),
    "another partition": (layout_of(4), 1, layout_of(4)._replace(tags=("2eb", "0cz", "4xa", "6c")), 0),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("mistake", MISTAKEN)
async def test_who_takes_a_log_for_another_is_refused_before_anything_is_written(
    valkey: Valkey, opened: Callable[..., RedisLog], mistake: str, call: str
) -> None:
    layout, partition, taken_for, as_partition = MISTAKEN[mistake]
    home = opened(partition=None)
    assert await home.read_layout(layout) == layout
    owner = opened(layout=layout, partition=partition)
    await owner.append(batches("m"))
    caller = opened(layout=taken_for, partition=as_partition)
    caller._known = owner._known  # it does not ask the clock first
    before = contents(valkey)
    with pytest.raises(LayoutMismatch):
        await CALLS[call](caller)
    assert contents(valkey) == before
    await opened(layout=layout, partition=partition).append(batches("m"))


async def test_a_log_of_several_that_has_no_reading_yet_is_not_begun_as_one(
    valkey: Valkey, opened: Callable[..., RedisLog]
) -> None:
    await opened(partition=None).read_layout(layout_of(8))
    for call in CALLS.values():
        with pytest.raises(LayoutMismatch):
            await call(opened())
    assert sorted(valkey.client.keys("*")) == [b"tw:{0}:clock", LAYOUT_KEY.encode()]
    assert valkey.client.type("tw:{0}:clock") == b"string"


async def test_an_append_to_a_partition_that_was_emptied_does_not_begin_it_anew(
    valkey: Valkey, opened: Callable[..., RedisLog]
) -> None:
    layout = await opened(partition=None).read_layout(layout_of(2))
    log = opened(layout=layout, partition=1)
    await log.append(batches("m"))
    valkey.client.flushall()
    with pytest.raises(LayoutMismatch):
        await log.append(batches("m"))
    assert valkey.client.keys("*") == []
    await log.clock()  # after a look at the layout
    await log.append(batches("m"))


async def test_who_may_not_see_whether_there_is_a_layout_begins_no_log(valkey: Valkey) -> None:
    loader = RedisLog(valkey.url, prefix="other")
    await loader.clock()
    await loader.close()
    valkey.client.execute_command(
        "ACL", "SETUSER", "p", "on", ">p", "+@all", "&*", "%R~none", "~tw:{0}:clock", "~tw:{0}:tail"
    )
    log = RedisLog(valkey.url.replace("//", "//p:p@"))
    with pytest.raises(LogUnavailable, match=r"NOPERM|permission"):
        await log.clock()
    await log.close()
    assert valkey.client.keys("tw:*") == []


async def test_an_append_to_several_partitions_is_answered_in_the_order_of_its_batches(
    valkey: Valkey, opened: Callable[..., RedisLog]
) -> None:
    layout = await opened(partition=None).read_layout(layout_of(4))
    log = PartitionedLog(valkey.url, layout=layout)
    names = [f"m{n}" for n in range(20)]
    appended = await log.append(batches(*names), publisher="p", sequence=1)
    assert isinstance(appended.cursor, VectorCursor)
    assert {number for number, _ in appended.cursor.parts} == {0, 1, 2, 3}
    for place, (name, result) in enumerate(zip(names, appended.results, strict=True)):
        entries, _ = await log.of(name).entries_after([(name, 0)])
        assert [(entry.id, decode_batch(entry.body).value) for entry in entries[0]] == [(result, [float(place)])]
    again = await log.append(batches(*names), publisher="p", sequence=1)
    assert again.duplicate
    await log.close()


def test_a_blocking_log_learns_the_layout_when_it_is_refused(valkey: Valkey) -> None:
    layout = layout_of(4)
    log = BlockingPartitionedLog(valkey.url)
    assert log.layout == SINGLE, "it is taken for one, and nobody was asked"
    first = BlockingRedisLog(valkey.url, partition=None)
    assert first.read_layout(layout) == layout
    first.close()
    with pytest.raises(LayoutMismatch):
        log.append(batches("a", "b"))
    log.forget_layout()
    appended = log.append(batches(*(metric_in(layout, number) for number in range(4))), publisher="p", sequence=1)
    assert log.layout == layout
    assert len(set(appended.results)) >= 1
    assert valkey.client.exists(*(f"tw:{{{tag}}}:clock" for tag in layout.tags)) == 4
    log.close()


async def test_the_place_of_a_log_of_one_partition_is_taken(valkey: Valkey, opened: Callable[..., RedisLog]) -> None:
    layout = await opened(partition=None).read_layout(layout_of(2))
    valkey.client.delete(LAYOUT_KEY)  # lost, while the partitions live
    for call in CALLS.values():
        with pytest.raises(LogUnavailable):
            await call(opened())
    assert await opened(partition=None).read_layout(layout) == layout, "it is written back"
    with pytest.raises(LayoutMismatch):
        await opened().clock()
