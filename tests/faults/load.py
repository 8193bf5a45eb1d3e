"""What runs while a server takes the place of another one, and how long nothing was acknowledged."""

from __future__ import annotations

import itertools
import time
from typing import cast

from redis_servers import Server
from waiting import eventually

from .conftest import World
from .processes import Service, Valkey

__all__ = ["METRICS", "Load"]

METRICS = [f"plant/{n}/temperature" for n in range(5)]


class Load:
    """A service, subscribers and publishers on servers of which one takes the other's place.

    Args:
        world: in which they live.
        url: of the servers.
    """

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self._url = url
        self.feeds = [world.feed(url) for _ in range(3)]

    async def start(self, *, every_s: float = 0.01) -> Service:
        service = await self.world.service(self._url)
        for _ in range(10):
            self.world.subscriber(service.address)
        await self.world.all_live()
        for feed in self.feeds:
            feed.start(METRICS, every_s=every_s)
        await eventually(lambda: len(self.world.book.acked) > 100)
        return service

    async def settle(self, primary: Server, since_s: float) -> float:
        """Publish on for a while, then check every ledger; return the longest time without an acknowledgement."""
        moved_s = time.time()
        await eventually(lambda: sum(batch.sent_s > moved_s for batch in self.world.book.acked) > 200)
        for feed in self.feeds:
            await feed.stop()
        self.world.valkey = cast("Valkey", primary)  # what is read at the end is read there
        await self.world.settled()
        times = sorted(batch.sent_s for batch in self.world.book.acked if batch.sent_s > since_s - 0.1)
        return max(later - sooner for sooner, later in itertools.pairwise(times))

    async def gone(self) -> int:
        """Return how many acknowledged batches the log does not hold."""
        stored = await self.world.stored()
        return sum(batch.body not in stored for batch in self.world.book.acked)

    def seen(self, *kinds: str) -> set[int]:
        """Return how often each subscriber saw these."""
        return {s.ledger.count(kind) for s in self.world.subscribers for kind in kinds}
