"""Fixtures of the edge's tests: edges on a real uvicorn in the test's own loop, and viewers that resume anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

import pytest
from servers import Service
from waiting import eventually

from tidewire_service.edge.app import create_edge
from tidewire_service.edge.settings import EdgeSettings
from tidewire_service.settings import ServiceSettings


class Edge(Service):
    """An edge; its app's `state.relay` is its relay."""

    def __init__(self, own: EdgeSettings, settings: ServiceSettings) -> None:
        super().__init__(settings, partial(create_edge, own))
        self.own = own

    async def start(self, *, wait: bool = False) -> None:
        """Start it; its upstream may be away."""
        await super().start(wait=wait)

    async def is_ready(self) -> bool:
        return (await self.http.get("/health/ready")).status_code == 200

    @property
    def relay(self) -> Any:
        return self.app.state.relay

    @property
    def gauges(self) -> Any:
        return self.relay.gauges()


async def settled(edge: Edge, service: Service, metrics: list[str]) -> None:
    """Publish until every viewer has moved to the ring of its selection."""
    numbers = itertools.count(1_000)

    async def all_moved() -> bool:
        for metric in metrics:
            await service.publish(metric, next(numbers))
        await asyncio.sleep(0.05)
        return bool(edge.gauges["viewers_joining"] == 0)

    await eventually(all_moved)


class StartEdge(Protocol):
    """Starts edges, with settings of their own."""

    async def __call__(self, upstream: str, **options: Any) -> Edge: ...


@pytest.fixture
async def start_edge() -> AsyncIterator[StartEdge]:
    """Start edges; all are ended after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(upstream: str, **options: Any) -> Edge:
            of_edge = {name: options.pop(name) for name in EdgeSettings.__struct_fields__ if name in options}
            edge = Edge(
                EdgeSettings(upstream=upstream, **of_edge), ServiceSettings(port=0, **{"drain_s": 0.1, **options})
            )
            stack.push_async_callback(edge.http.aclose)
            stack.push_async_callback(edge.stop)
            await edge.start()
            await eventually(edge.is_ready)
            return edge

        yield begin
