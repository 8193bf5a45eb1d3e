"""Fixtures of the edge's tests: edges on a real uvicorn in the test's own loop, and viewers that resume anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import httpx
import pytest
from ports import own_port
from servers import Service
from waiting import HANG_S, eventually

from tidewire_service.edge.app import create_edge
from tidewire_service.edge.settings import EdgeSettings
from tidewire_service.http_server.server import listening_socket, make_server
from tidewire_service.settings import ServiceSettings


class Edge:
    """An edge; its port stays its own over stop and start.

    Attributes:
        url: where.
        app: the Litestar app; None while stopped.
        http: a client of it.
    """

    def __init__(self, own: EdgeSettings, settings: ServiceSettings) -> None:
        self.own = own
        self.settings = settings
        self.port = own_port()
        self.url = f"http://127.0.0.1:{self.port}"
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(base_url=self.url, timeout=HANG_S, trust_env=False, verify=False, limits=limits)
        self.app: Any = None
        self._ending: Callable[[], Awaitable[None]] | None = None

    async def start(self) -> None:
        app = create_edge(self.own, self.settings)
        server = make_server(app, self.settings)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(server.serve([listening_socket("127.0.0.1", self.port)]))

        async def end() -> None:
            server.stop()
            await task

        self.app, self._ending = app, end
        await eventually(lambda: server.started or task.done())

    async def is_ready(self) -> bool:
        return (await self.http.get("/health/ready")).status_code == 200

    async def stop(self) -> None:
        if self._ending is not None:
            ending, self._ending = self._ending, None
            await ending()
            self.app = None

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
