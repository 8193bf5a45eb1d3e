"""Fixtures of the fault tests: one world per test, whose processes, proxies and clients are ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from clusters import Cluster
from waiting import HANG_S, eventually

from tidewire.errors import LogUnavailable
from tidewire.model.cursor import Cursor
from tidewire.redislog.calls import Entry
from tidewire.redislog.lineage import Clock, minting_epoch
from tidewire.redislog.log import RedisLog

from .clients import Feed, Subscriber
from .ledger import Book, Broken, check
from .processes import Lateness, Service, Valkey
from .proxy import Proxy, RespProxy

_T = TypeVar("_T")


class World:
    """A Valkey, services, proxies, publishers and subscribers of one test, and what they wrote down.

    Attributes:
        valkey: started.
        book: of all feeds.
        subscribers: all that were made.
        lateness: of the event loop in which the test measures.
    """

    def __init__(self, directory: Path, stack: contextlib.AsyncExitStack, lateness: Lateness) -> None:
        self.directory = directory
        self.valkey = Valkey(directory / "valkey")
        self.book = Book()
        self.subscribers: list[Subscriber] = []
        self.lateness = lateness
        self._stack = stack
        stack.callback(self.valkey.end)

    def end_with_test(self, end: Callable[[], None]) -> None:
        self._stack.callback(end)

    async def proxy(self, *targets: tuple[str, int], balance: bool = False) -> Proxy:
        proxy = Proxy(*targets, balance=balance)
        await proxy.start()
        self._stack.push_async_callback(proxy.end)
        return proxy

    async def redis_proxy(self) -> RespProxy:
        """Return a proxy in front of the Valkey."""
        proxy = RespProxy(self.valkey.address)
        await proxy.start()
        self._stack.push_async_callback(proxy.end)
        return proxy

    async def service(self, redis_url: str = "", *options: str, ready: bool = True, skew_s: float = 0.0) -> Service:
        service = Service(self.directory, redis_url or self.valkey.url, *options, skew_s=skew_s)
        self._stack.push_async_callback(service.end)
        await service.start(ready=ready)
        return service

    def feed(self, url: str = "", **options: Any) -> Feed:
        feed = Feed(self.book, url or self.valkey.url, **options)
        self._stack.push_async_callback(feed.end)
        return feed

    def subscriber(self, address: tuple[str, int], *patterns: str, **options: Any) -> Subscriber:
        subscriber = Subscriber(f"subscriber {len(self.subscribers)}", address, *(patterns or ("**",)), **options)
        self.subscribers.append(subscriber)
        self._stack.push_async_callback(subscriber.end)
        return subscriber.start()

    async def all_live(self, subscribers: Sequence[Subscriber] = (), limit_s: float = HANG_S) -> None:
        wanted = subscribers or self.subscribers
        await eventually(lambda: all(s.live for s in wanted), "every subscriber is live", limit_s=limit_s)

    async def read_log(self, read: Callable[[RedisLog], Awaitable[_T]]) -> _T:
        """Return what a reader finds in the log; on a crowded machine a connection may take longer than its 2 s."""
        log = RedisLog(self.valkey.url)
        deadline = time.monotonic() + HANG_S
        try:
            while True:
                try:
                    return await read(log)
                except LogUnavailable:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(0.1)
        finally:
            await log.close()

    async def stored(self) -> dict[bytes, list[Cursor]]:
        """Return what the log holds: body → cursors."""

        async def everything(log: RedisLog) -> tuple[list[list[Entry]], Clock]:
            tails, _ = await log.tails()
            return await log.entries_after([(metric, 0) for metric in tails])

        lists, clock = await self.read_log(everything)
        found: dict[bytes, list[Cursor]] = {}
        for entry in (entry for entries in lists for entry in entries):
            found.setdefault(entry.body, []).append(Cursor(minting_epoch(clock.chain, entry.id), entry.id))
        return found

    async def settled(self) -> float:
        """Wait until every ledger keeps every promise; return how long that took, or say what is broken.

        What can come true by waiting (I1) is waited for, as long as anything still comes; what cannot fails at the end
        with it.
        """
        started = changed = time.monotonic()
        clock = await self.read_log(RedisLog.clock)
        stored = await self.stored()
        ledgers = [subscriber.ledger for subscriber in self.subscribers]
        pages = -1
        while True:
            looked = time.monotonic()
            try:
                check(self.book, ledgers, clock, stored)
            except Broken:
                if (now := sum(len(ledger.pages) for ledger in ledgers)) != pages:
                    pages, changed = now, time.monotonic()
                if time.monotonic() - changed > HANG_S:
                    raise
                # nothing can come while many batches are checked: three quarters of the time are for what comes
                await asyncio.sleep(0.05 + 3 * (time.monotonic() - looked))
            else:
                return time.monotonic() - started


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with a Valkey that runs."""
    async with contextlib.AsyncExitStack() as stack:
        lateness = await stack.enter_async_context(Lateness())
        world = World(tmp_path, stack, lateness)
        await world.valkey.start()
        yield world


@pytest.fixture(scope="module")
def cluster_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def cluster(cluster_of_module: Cluster) -> Cluster:
    """Three primaries without data and a replica of each, all in order, whatever the test before did to them."""
    cluster_of_module.mend()
    for server in cluster_of_module.servers:
        if server.client.role()[0] == b"master":
            server.client.flushall()
    return cluster_of_module
