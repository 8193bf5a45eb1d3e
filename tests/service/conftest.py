"""Fixtures of the service's tests: the service of `tests/conftest.py`, with words for what these tests ask of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from servers import Service, StartService, Valkey

from tidewire_service.settings import ServiceSettings


class RunningService:
    """A running service, as those who publish to it and read from it see it.

    Attributes:
        service: of `tests/conftest.py`.
        http: a client of it.
    """

    def __init__(self, service: Any) -> None:
        self.service = service
        self.http: httpx.AsyncClient = service.http
        self.url: str = service.url
        self.port: int = service.port
        self.app: Any = service.app

    async def ready(self) -> None:
        await self.service.ready()

    async def stop(self) -> None:
        await self.service.stop()

    async def post(self, content: Any, media_type: str = "application/json", **headers: str) -> httpx.Response:
        """Post rows as JSON, or a body of bytes or text of a media type."""
        if not isinstance(content, (bytes, str)):
            return await self.http.post("/v1/readings", json=content, headers=headers)
        return await self.http.post("/v1/readings", content=content, headers={"Content-Type": media_type, **headers})

    async def history(self, metric: Any = "**", **query: Any) -> Any:
        """Return the history as JSON."""
        answer = await self.http.get("/v1/history", params={"metric": metric, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stored(self) -> dict[str, list[Any]]:
        """Return the values of every metric, from the log."""
        found = await self.history(start="1990-01-02T00:00:00Z")
        stored: dict[str, list[Any]] = {}
        for series in found["series"]:
            stored.setdefault(series["metric"], []).extend(series["value"])
        return stored


@pytest.fixture
def start(start_service: StartService) -> Callable[..., Awaitable[RunningService]]:
    """Start services on the test's Valkey, with settings of their own; all are ended after the test."""

    async def begin(**options: Any) -> RunningService:
        return RunningService(await start_service(**options))

    return begin


@pytest.fixture
async def service(start: Any) -> RunningService:
    """A service on this test's Valkey, ready."""
    service: RunningService = await start()
    return service


@pytest.fixture(scope="module")
async def shared_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    """A service of all tests of a module that do not mind what others stored: to start one costs 0.2 s of CPU."""
    valkey = Valkey(tmp_path_factory.mktemp("shared") / "valkey")
    valkey.start()
    service = Service(ServiceSettings(redis=valkey.url, port=0, drain_s=0.1))
    await service.start()
    yield RunningService(service)
    await service.stop()
    await service.http.aclose()
    valkey.close()
