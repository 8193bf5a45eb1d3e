"""Fixtures of the security tests: a service that asks for tokens, and tokens of every kind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from servers import StartService, Valkey

from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore

MakeToken = Callable[..., Awaitable[str]]


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[TokenStore]:
    """The tokens of this test's Valkey."""
    log = RedisLog(valkey.url)
    yield TokenStore(log)
    await log.close()


def tokens_of(store: TokenStore) -> MakeToken:
    """Return what makes tokens: ``await token(subscribe=("plant/**",))``."""

    async def make(name: str = "test", *, lifetime_s: float | None = 3_600, **scopes: Any) -> str:
        return (await store.create(name, Scopes(**scopes), lifetime_s))[1]

    return make


@pytest.fixture
def token(store: TokenStore) -> MakeToken:
    """Make a token."""
    return tokens_of(store)


@pytest.fixture
async def guarded(start_service: StartService) -> Any:
    """A service that asks for tokens."""
    return await start_service(auth=True)


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


class Events:
    """The events of one stream, as (name, id, data)."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.status = answer.status_code

    async def next(self) -> tuple[str, str, Any]:
        """Return the next event."""
        name, id_, data = "", "", ""
        async for line in self._lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line and data:
                return name, id_, json.loads(data)
            name = value if field == "event" else name
            id_ = value if field == "id" else id_
            data = value if field == "data" else data
        return "end", "", None

    async def until(self, name: str) -> list[tuple[str, str, Any]]:
        """Return the events up to one of that name."""
        found = []
        while not found or found[-1][0] not in (name, "end"):
            found.append(await self.next())
        return found


@asynccontextmanager
async def streaming(service: Any, query: str, token: str = "", **headers: str) -> AsyncIterator[Events]:
    """Open a stream."""
    headers = {**headers, **(bearer(token) if token else {})}
    async with service.http.stream("GET", f"/v1/stream?{query}", headers=headers) as answer:
        yield Events(answer)
