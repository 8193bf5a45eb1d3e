"""Faults row 50: an endpoint fails over; the demoted server lives on, hears nothing more, and keeps its connections."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from waiting import HANG_S, eventually

import tidewire
from tidewire.errors import LogUnavailable
from tidewire.model.batch import EncodedBatch, decode_batch, encode_batch, make_batch
from tidewire.redislog.calls import Appended
from tidewire.redislog.lineage import Clock
from tidewire.redislog.log import BlockingRedisLog, RedisLog

from .conftest import World
from .processes import Valkey
from .proxy import Proxy

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]
_PAGES: Final = 200  # after the failover
_BUSY: Final = 8  # commands in flight at once, so that the pool has connections to the demoted server


class Endpoint:
    """One address for a primary and its replica, as a managed Redis has.

    Attributes:
        url: of the address.
        primary: the server that the address leads new connections to.
        demoted: the one of before; None before the failover.
    """

    def __init__(self, proxy: Proxy, primary: Valkey, replica: Valkey) -> None:
        self.url = f"redis://127.0.0.1:{proxy.port}"
        self.primary = primary
        self.demoted: Valkey | None = None
        self._proxy = proxy
        self._replica = replica

    def fail_over(self) -> None:
        """Promote the replica and demote the primary; open connections stay, and nothing is replicated any more."""
        assert self.primary.client.wait(1, 5_000) == 1
        self._replica.client.execute_command("REPLICAOF", "NO", "ONE")
        self._proxy.targets = [self._replica.address]
        self.primary.client.execute_command("REPLICAOF", "127.0.0.1", 1)  # nothing listens there
        self.demoted, self.primary = self.primary, self._replica

    def left_behind(self) -> list[dict[str, str]]:
        """Return the connections of Tidewire that the demoted server still has, as its client list tells of them."""
        assert self.demoted is not None
        return [client for client in self.demoted.client.client_list() if client["name"].startswith("tidewire")]


@pytest.fixture
async def endpoint(world: World, tmp_path: Path) -> Endpoint:
    replica = Valkey(tmp_path / "replica")
    world.end_with_test(replica.end)
    world.valkey.client.config_set("repl-diskless-sync-delay", 0)
    await replica.start("--replicaof", f"127.0.0.1 {world.valkey.port}")
    await eventually(lambda: replica.client.info("replication")["master_link_status"] == "up")
    return Endpoint(await world.proxy(world.valkey.address), world.valkey, replica)


async def _page(log: RedisLog) -> tuple[int, Clock]:
    [entries], clock = await log.entries_after([("m", 0)], 100)
    return entries[-1].id, clock


async def _page_after_foreign_entries(log: RedisLog) -> tuple[int, Clock]:
    [entries], clock = await log.entries_after([("foreign", 0)], 3)
    return entries[-1].id, clock


async def _directory(log: RedisLog) -> tuple[int, Clock]:
    tails, clock = await log.tails()
    return max(tails.values()), clock


async def _span(log: RedisLog) -> tuple[int, Clock]:
    entries, clock = await log.entries_between("m", 0, 1 << 80, 100)
    return entries[-1].id, clock


async def _last_readings(log: RedisLog) -> tuple[int, Clock]:
    [series], clock = await log.last_readings(["m"])
    return series[b"{}"].id, clock


@pytest.mark.parametrize("read", [_page, _page_after_foreign_entries, _directory, _span, _last_readings])
async def test_row_50_no_read_of_the_demoted_server_is_confirmed_by_the_new_one(
    endpoint: Endpoint, read: Callable[[RedisLog], Awaitable[tuple[int, Clock]]]
) -> None:
    log = RedisLog(endpoint.url)
    for value in range(2):
        await log.append([encode_batch(make_batch("m", value)), encode_batch(make_batch("foreign", value))])
    for _ in range(4):
        endpoint.primary.client.xadd("tw:{0}:log:foreign", {"written": "by hand"}, id=_next(endpoint.primary))
    await asyncio.gather(*[log.ping() for _ in range(_BUSY)])
    endpoint.fail_over()
    direct = RedisLog(endpoint.primary.url)
    truth = [await direct.append([encode_batch(make_batch(m, 3.0))]) for m in ("foreign", "m")]
    expected = truth[0].id if read is _page_after_foreign_entries else truth[1].id
    seen: Counter[str] = Counter()

    async def look() -> None:
        while seen["right"] < _PAGES:
            try:
                last, clock = await read(log)
            except LogUnavailable:
                seen["unavailable"] += 1
                continue
            if clock.epoch == truth[1].epoch:
                seen["right" if last >= expected else "lacks what was acknowledged"] += 1

    async with asyncio.timeout(HANG_S):
        await asyncio.gather(*[look() for _ in range(_BUSY)])
    print(f"row 50, {read.__name__}: {dict(seen)}")
    assert not seen["lacks what was acknowledged"]
    assert seen["unavailable"], "no connection to the demoted server was tried"
    await log.close()
    await direct.close()


def _next(valkey: Valkey) -> str:
    top = valkey.client.xrevrange("tw:{0}:log:foreign", count=1)[0][0].decode()
    ms, n = top.split("-")
    return f"{ms}-{int(n) + 1}"


async def test_row_50_history_and_catalogue_hold_all_that_was_acknowledged_or_are_refused(
    world: World, endpoint: Endpoint
) -> None:
    """Over HTTP: each answer against what was acknowledged before the question."""
    service = await world.service(endpoint.url)
    direct = RedisLog(endpoint.primary.url)
    await direct.append([encode_batch(make_batch("m", 0.0))])

    await asyncio.gather(*[service.http.get("/v1/history?metric=m") for _ in range(_BUSY)])
    endpoint.fail_over()
    await direct.close()
    direct = RedisLog(endpoint.primary.url)
    seen: Counter[str] = Counter()
    acknowledged = 1

    async def look(path: str) -> None:
        while min(seen[f"{path} 200"] for path in ("/v1/history", "/v1/catalog")) < _PAGES:
            before = acknowledged
            answer = await service.http.get(path, params={"metric": "m"})
            seen[f"{path} {answer.status_code}"] += 1
            if answer.status_code == 200:
                (series,) = answer.json()["series"]
                there = len(series["value"]) if path == "/v1/history" else series["count"]
                seen["lacks what was acknowledged"] += there < before

    looking = asyncio.gather(*[look(path) for path in ("/v1/history", "/v1/catalog") * 3])
    while not looking.done():
        await direct.append([encode_batch(make_batch("m", float(acknowledged)))])
        acknowledged += 1
        await asyncio.sleep(0.005)
    await looking
    print(f"row 50, over HTTP: {dict(seen)}, {acknowledged} acknowledged")
    assert seen["lacks what was acknowledged"] == 0
    await direct.close()


class _InThread:
    """A blocking log, called as an asyncio one: what a publisher's thread has."""

    def __init__(self, url: str) -> None:
        self._log = BlockingRedisLog(url, timeout_s=1.0)

    async def append(self, batches: Sequence[EncodedBatch], **named: Any) -> Appended:
        return await asyncio.to_thread(self._log.append, batches, **named)

    async def close(self) -> None:
        self._log.close()


@pytest.mark.parametrize("blocking", [False, True])
async def test_row_50_streams_go_on_and_nothing_stays_at_the_demoted_server(
    world: World, endpoint: Endpoint, blocking: bool
) -> None:
    service = await world.service(endpoint.url)
    feed = world.feed(endpoint.url)
    if blocking:
        await feed.log.close()
        feed.log = _InThread(endpoint.url)  # type: ignore[assignment]  # as much of it as a feed calls
    feed.start(METRICS)
    subscribers = [world.subscriber(service.address, retry_s=0.05) for _ in range(10)]
    await world.all_live()
    await eventually(lambda: len(world.book.acked) > 100)
    if not blocking:  # a blocking log has one connection, and one thread that uses it
        await asyncio.gather(*[feed.log.ping() for _ in range(_BUSY)])
    endpoint.fail_over()
    world.valkey = endpoint.primary
    failed_s = time.time()
    cuts = 0
    while (after := sum(b.sent_s > failed_s for b in world.book.acked)) < 200:
        subscribers[cuts % len(subscribers)].cut()  # catch-ups throughout, from cursors of both epochs
        cuts += 1
        await asyncio.sleep(0.02)
    again_s = min(b.sent_s for b in world.book.acked if b.sent_s > failed_s) - failed_s
    await eventually(lambda: not endpoint.left_behind(), "every connection is at the new server")
    await eventually(service.ready)
    await feed.stop()
    await world.settled()
    print(f"row 50: writes again {again_s:.2f} s after the failover, {after} of them, {cuts} cuts")
    assert again_s < world.lateness.allow(2.0)
    assert not service.errors()


async def test_row_50_a_blocking_publisher_meets_the_new_server(endpoint: Endpoint) -> None:
    with tidewire.Publisher(endpoint.url) as publisher:
        for value in range(50):
            publisher.publish("m", float(value))
        assert await asyncio.to_thread(publisher.flush, HANG_S)
        endpoint.fail_over()
        for value in range(50, 100):
            publisher.publish("m", float(value))
        assert await asyncio.to_thread(publisher.flush, HANG_S)
    log = RedisLog(endpoint.primary.url)
    [entries], _ = await log.entries_after([("m", 0)])
    await log.close()
    values = [value for entry in entries for value in decode_batch(entry.body).value]
    assert values == [float(value) for value in range(100)]
    assert not endpoint.left_behind()


async def test_row_50_a_blocking_log_gives_up_its_connection_for_each_answer_of_a_server_that_is_left(
    endpoint: Endpoint,
) -> None:
    log = BlockingRedisLog(endpoint.url)
    await asyncio.to_thread(log.append, [encode_batch(make_batch("m", 1.0))])
    endpoint.fail_over()
    with pytest.raises(LogUnavailable):
        await asyncio.to_thread(log.append, [encode_batch(make_batch("m", 2.0))])
    answer = await asyncio.to_thread(log.append, [encode_batch(make_batch("m", 2.0))])
    assert answer.results == (answer.id,)
    log.close()


async def test_row_50_idle_connections_leave_the_demoted_server_though_nothing_is_refused(endpoint: Endpoint) -> None:
    """Hours later, a burst of reads would take them out again."""
    log = RedisLog(endpoint.url)
    await log.append([encode_batch(make_batch("m", 1.0))])
    await asyncio.gather(*[log.ping() for _ in range(_BUSY)])
    endpoint.fail_over()
    await log.redis.connection_pool._available_connections[-1].disconnect()  # the next one to be used, by chance
    await eventually(lambda: len(endpoint.left_behind()) == _BUSY - 1)
    await log.clock()
    await log.clock()
    await eventually(lambda: not endpoint.left_behind(), "no connection is at the demoted server")
    await log.close()
