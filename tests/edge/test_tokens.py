"""Tokens are judged by the upstream, and viewers share a selection only if they may see the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from servers import Service, StartService, Valkey
from stream_reader import StreamReader, reading
from waiting import Eventually

from tidewire.errors import InvalidInput
from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore
from tidewire_service.edge.settings import load_edge_settings

from .conftest import StartEdge

MakeToken = Callable[..., Awaitable[str]]


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[TokenStore]:
    log = RedisLog(valkey.url)
    yield TokenStore(log)
    await log.close()


@pytest.fixture
def token(store: TokenStore) -> MakeToken:
    async def make(name: str = "test", *, lifetime_s: float | None = 3_600, **scopes: Any) -> str:
        return (await store.create(name, Scopes(**scopes), lifetime_s))[1]

    return make


@pytest.fixture
async def guarded(start_service: StartService, token: MakeToken) -> Service:
    """A service that asks for tokens, with a client that may publish."""
    service = await start_service(auth=True)
    service.http.headers["Authorization"] = f"Bearer {await token('publisher', publish=('**',))}"
    return service


def bearing(url: str, token: str, stack: contextlib.AsyncExitStack) -> httpx.AsyncClient:
    """Return a client that sends a token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    http = httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False)
    stack.push_async_callback(http.aclose)
    return http


async def test_viewers_share_what_they_may_see_alike_and_nothing_else(
    guarded: Service, start_edge: StartEdge, token: MakeToken, eventually: Eventually
) -> None:
    edge = await start_edge(guarded.url, auth=True)
    await guarded.publish("plant/a", 1)
    await guarded.publish("lab/a", 2)
    tokens = [
        await token("one", subscribe=("plant/**",)),
        await token("two", subscribe=("plant/**",)),
        await token("three", subscribe=("lab/**",)),
        await token("all", subscribe=("**",)),
    ]
    sees = [{"plant/a"}, {"plant/a"}, {"lab/a"}, {"plant/a", "lab/a"}]
    readers = [StreamReader() for _ in tokens]
    async with contextlib.AsyncExitStack() as stack:
        for reader, text in zip(readers, tokens, strict=True):
            await stack.enter_async_context(reading(bearing(edge.url, text, stack), reader, "metric=**"))
        await eventually(lambda: all(reader.named("live") for reader in readers))
        assert edge.gauges["selections"] == 3

        async def moved() -> bool:
            await guarded.publish("plant/a", 3)
            await guarded.publish("lab/a", 4)
            await asyncio.sleep(0.05)
            return bool(edge.gauges["viewers_joining"] == 0)

        await eventually(moved)
        await eventually(lambda: edge.gauges["upstream_streams"] == 3)
        await guarded.publish("plant/a", 5)
        await guarded.publish("lab/a", 5)
        for reader, metrics in zip(readers, sees, strict=True):
            await eventually(
                lambda reader=reader, metrics=metrics: {m for m, v in reader.values.items() if v[-1] == 5} == metrics
            )
            assert set(reader.values) == metrics
        # a viewer who comes back is served from the ring of those who may see the same
        again = StreamReader(readers[2].last_id)
        async with reading(bearing(edge.url, tokens[2], stack), again, "metric=**"):
            await eventually(lambda: again.named("live"))
            assert again.named("hello")[0]["narrowed_to"] == ["lab/**"]
    assert edge.relay.counters["resumed_in_ring"] == 1


async def test_a_token_that_the_upstream_refuses_is_refused_with_its_words(
    guarded: Service, start_edge: StartEdge, token: MakeToken
) -> None:
    edge = await start_edge(guarded.url)
    wrong = {"Authorization": "Bearer wrong"}
    blind = {"Authorization": f"Bearer {await token('blind', publish=('plant/**',))}"}
    async with contextlib.AsyncExitStack() as stack:
        plain = bearing(guarded.url, "", stack)
        for headers in ({}, wrong, blind):
            for path in ("/v1/stream?metric=plant/a", "/v1/catalog", "/v1/history?metric=plant/a"):
                there, here = [await http.get(path, headers=headers) for http in (plain, edge.http)]
                assert there.status_code in (401, 403)
                assert here.status_code == there.status_code
                assert here.content == there.content
                assert here.headers.get("www-authenticate") == there.headers.get("www-authenticate")
                assert here.headers["content-type"] == there.headers["content-type"]
    assert edge.gauges["selections"] == 0


async def test_an_edge_that_asks_for_tokens_refuses_requests_without_one(
    service: Service, start_edge: StartEdge
) -> None:
    edge = await start_edge(service.url, auth=True)
    for path in ("/v1/stream?metric=plant/a", "/v1/catalog", "/v1/history?metric=plant/a", "/metrics"):
        assert (await edge.http.get(path)).status_code == 401, path
    assert (await edge.http.get("/health/live")).status_code == 200


async def test_viewers_without_a_token_have_that_of_the_edge(
    guarded: Service, start_edge: StartEdge, token: MakeToken, eventually: Eventually
) -> None:
    edge = await start_edge(guarded.url, token=await token("edge", subscribe=("plant/**",)))
    await guarded.publish("plant/a", 1)
    reader = StreamReader()
    async with reading(edge.http, reader, "metric=**"):
        await eventually(lambda: reader.values["plant/a"] == [1])
    assert reader.named("hello")[0]["narrowed_to"] == ["plant/**"]
    assert [one["metric"] for one in (await edge.http.get("/v1/catalog")).json()["series"]] == ["plant/a"]


async def test_the_upstream_is_asked_once_for_each_token(
    guarded: Service, start_edge: StartEdge, token: MakeToken, eventually: Eventually
) -> None:
    edge = await start_edge(guarded.url)
    text = await token("one", subscribe=("plant/**",))
    readers = [StreamReader() for _ in range(20)]
    async with contextlib.AsyncExitStack() as stack:
        http = bearing(edge.url, text, stack)
        for reader in readers:
            await stack.enter_async_context(reading(http, reader, "metric=plant/a"))
        await eventually(lambda: all(reader.named("live") for reader in readers))
    assert edge.relay._identities.asked == 1


async def test_streams_of_a_revoked_token_end_and_others_go_on(
    guarded: Service, start_edge: StartEdge, store: TokenStore, token: MakeToken, eventually: Eventually
) -> None:
    edge = await start_edge(guarded.url)
    id_, first = await store.create("first", Scopes(subscribe=("plant/**",)), None)
    second = await token("second", subscribe=("plant/**",))
    gone, kept = StreamReader(), StreamReader()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(reading(bearing(edge.url, first, stack), gone, "metric=plant/a"))
        await eventually(lambda: gone.named("live"))
        await stack.enter_async_context(reading(bearing(edge.url, second, stack), kept, "metric=plant/a"))
        await eventually(lambda: kept.named("live"))

        async def moved() -> bool:
            await guarded.publish("plant/a", 1)
            await asyncio.sleep(0.05)
            return bool(edge.gauges["viewers_joining"] == 0)

        await eventually(moved)
        await store.revoke(id_)
        await eventually(lambda: gone.named("bye"))
        assert gone.named("bye")[0]["reason"] == "revoked"
        await guarded.publish("plant/a", 2)  # the shared stream was opened with the token that is gone
        await eventually(lambda: kept.values["plant/a"][-1] == 2)
        assert not kept.named("bye")
        assert (await bearing(edge.url, first, stack).get("/v1/stream?metric=plant/a")).status_code == 401


async def test_streams_of_an_expired_token_end(
    guarded: Service, start_edge: StartEdge, token: MakeToken, eventually: Eventually
) -> None:
    edge = await start_edge(guarded.url)
    reader = StreamReader()
    async with contextlib.AsyncExitStack() as stack:
        short = await token("short", subscribe=("plant/**",), lifetime_s=2.0)
        await stack.enter_async_context(reading(bearing(edge.url, short, stack), reader, "metric=plant/a"))
        await eventually(lambda: reader.named("live"))
        await eventually(lambda: reader.named("bye"))
    assert reader.named("bye")[0]["reason"] == "expired"


async def test_a_ticket_opens_one_stream_which_is_not_shared(
    guarded: Service, start_edge: StartEdge, token: MakeToken, eventually: Eventually
) -> None:
    edge = await start_edge(guarded.url, auth=True)
    await guarded.publish("plant/a", 1)
    async with contextlib.AsyncExitStack() as stack:
        http = bearing(guarded.url, await token("one", subscribe=("plant/**",)), stack)
        made = await http.post("/v1/tickets", json={"metric": ["plant/a"]})
        assert made.status_code in (200, 201), made.text
        query = f"metric=plant/a&ticket={made.json()['ticket']}"
        reader = StreamReader()
        async with reading(edge.http, reader, query):
            await eventually(lambda: reader.values["plant/a"] == [1])
            await guarded.publish("plant/a", 2)
            await eventually(lambda: reader.values["plant/a"] == [1, 2])
            assert edge.gauges["selections"] == 0
            assert edge.gauges["upstream_streams"] == 1
        assert (await edge.http.get(f"/v1/stream?{query}")).status_code == 401


def test_a_token_of_the_edge_and_a_required_one_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWIRE_TOKEN", "secret")
    own, _ = load_edge_settings({"upstream": "http://127.0.0.1:9000"})
    assert own.token == "secret"
    assert "secret" not in repr(own)
    with pytest.raises(InvalidInput, match="--auth"):
        load_edge_settings({"upstream": "http://127.0.0.1:9000", "auth": True})
    with pytest.raises(InvalidInput, match="--host"):
        load_edge_settings({"upstream": "http://127.0.0.1:9000", "host": "0.0.0.0"})
    with pytest.raises(InvalidInput, match="--upstream"):
        load_edge_settings({})
    for upstream in ("http://127.0.0.1:8001", "http://localhost:8001/"):
        with pytest.raises(InvalidInput, match="itself"):
            load_edge_settings({"upstream": upstream, "port": 8001})
