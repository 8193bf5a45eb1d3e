"""Tokens and scopes: who may publish, who may see what, and how soon a revoked one is worthless."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from servers import StartService, Valkey
from waiting import HANG_S, Eventually, generous

import tidewire
from tidewire.commands.cli import main
from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.redislog.log import RedisLog
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.auth.authenticator import Authenticator
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore
from tidewire_service.errors import Unauthenticated
from tidewire_service.launch.token import command
from tidewire_service.settings import ServiceSettings

from .conftest import bearer, streaming


def body(metric: str, value: float = 1.0) -> dict[str, Any]:
    return {"metric": metric, "value": value}


async def test_a_token_may_publish_what_its_scope_allows_and_the_rest_is_named(guarded: Any, token: Any) -> None:
    press = bearer(await token("press-7", publish=("furnace/**",)))
    mixed = await guarded.http.post("/v1/readings", json=[body("furnace/a"), body("office/b")], headers=press)
    assert mixed.status_code == 200
    assert mixed.json()["accepted"] == 1
    assert [row["row"] for row in mixed.json()["rejected"]] == [1]
    none = await guarded.http.post("/v1/readings", json=[body("office/b")], headers=press)
    assert (none.status_code, none.json()["title"]) == (403, "Forbidden")
    everything = bearer(await token(subscribe=("**",)))
    catalog = (await guarded.http.get("/v1/catalog", headers=everything)).json()
    assert [series["metric"] for series in catalog["series"]] == ["furnace/a"]


async def test_what_may_not_be_seen_looks_as_if_it_were_not_there(guarded: Any, token: Any) -> None:
    publish = bearer(await token(publish=("**",)))
    for metric in ("plant/1/temperature", "plant/1/pressure", "secret/plan"):
        assert (await guarded.http.post("/v1/readings", json=body(metric), headers=publish)).status_code == 200
    narrow = await token(subscribe=("plant/*/temperature",))
    for query in ("metric=**", "metric=secret/plan", "metric=secret/unknown", "metric=secret/*"):
        catalog = (await guarded.http.get(f"/v1/catalog?{query}", headers=bearer(narrow))).json()
        history = (await guarded.http.get(f"/v1/history?{query}", headers=bearer(narrow))).json()
        seen = {series["metric"] for found in (catalog, history) for series in found["series"]}
        assert seen == ({"plant/1/temperature"} if query == "metric=**" else set()), query
    forbidden = await guarded.http.get("/v1/history?metric=secret/plan", headers=bearer(narrow))
    unknown = await guarded.http.get("/v1/history?metric=secret/none", headers=bearer(narrow))
    assert forbidden.status_code == unknown.status_code == 200
    assert forbidden.json()["series"] == unknown.json()["series"] == []


@pytest.mark.parametrize("replay", ["last", "5m", "none"])
async def test_a_stream_is_narrowed_and_hello_says_so(guarded: Any, token: Any, replay: str) -> None:
    publish = bearer(await token(publish=("**",)))
    narrow = await token(subscribe=("plant/**",))
    for metric in ("plant/a", "secret/b"):
        await guarded.http.post("/v1/readings", json=body(metric), headers=publish)
    async with streaming(guarded, f"metric=**&replay={replay}", narrow) as events:
        beginning = await events.until("live")
        hello = beginning[0][2]
        assert (hello["narrowed_to"], hello["matched"]) == (["plant/**"], 1)
        replayed = [data["metric"] for name, _, data in beginning if not name]
        assert replayed == ([] if replay == "none" else ["plant/a"])
        for metric in ("secret/b", "secret/new", "plant/new"):  # new metrics join only where they may be seen
            await guarded.http.post("/v1/readings", json=body(metric), headers=publish)
        name, cursor, data = await events.next()
        assert (name, data["metric"]) == ("", "plant/new")
    async with streaming(guarded, "metric=**", narrow, **{"Last-Event-ID": beginning[-1][1]}) as events:
        resumed = await events.until("live")
        assert [data["metric"] for name, _, data in resumed if not name] == ["plant/new"]
    assert cursor


async def test_a_gap_of_what_may_not_be_seen_is_not_announced(
    start_service: StartService, token: Any, valkey: Valkey
) -> None:
    first = await start_service(auth=True)
    publish = bearer(await token(publish=("**",)))
    begin = (await first.http.post("/v1/readings", json=body("plant/a"), headers=publish)).json()["cursor"]
    for _ in range(3):
        await first.http.post("/v1/readings", json=body("secret/b"), headers=publish)
    valkey.client.xtrim("tw:{0}:log:secret/b", maxlen=1, approximate=False)
    second = await start_service(auth=True)  # nothing in its ring: a cursor reads the log
    names = {}
    for scope in ("plant/**", "**"):
        seeing = await token(subscribe=(scope,))
        async with streaming(second, "metric=**", seeing, **{"Last-Event-ID": begin}) as events:
            names[scope] = [name for name, _, _ in await events.until("live") if name == "gap"]
    assert names == {"plant/**": [], "**": ["gap"]}


async def test_a_conflated_stream_is_narrowed_too(guarded: Any, token: Any) -> None:
    publish = bearer(await token(publish=("**",)))
    narrow = await token(subscribe=("plant/**",))
    async with streaming(guarded, "metric=**&every=100ms&replay=none", narrow) as events:
        await events.until("live")
        for metric in ("secret/b", "plant/a"):
            await guarded.http.post("/v1/readings", json=body(metric), headers=publish)
        _, _, data = await events.next()
        assert [batch["metric"] for batch in data["batches"]] == ["plant/a"]


async def test_sdk_and_dashboard_say_that_a_token_sees_only_part(
    guarded: Any, token: Any, eventually: Eventually, caplog: Any
) -> None:
    narrow = await token(subscribe=("plant/**",))
    async for state in tidewire.astream("**", url=guarded.url, token=narrow, states=True):
        assert isinstance(state, tidewire.Connected)
        assert state.narrowed_to == ("plant/**",)
        break
    async with running_dashboard(DashboardSettings(url=guarded.url, token=narrow, dashboard_port=0)):
        await eventually(lambda: "the token may only see plant/**" in caplog.text)


async def test_nobody_sees_all_of_it_without_being_told(guarded: Any, token: Any) -> None:
    async with streaming(guarded, "metric=**", await token(subscribe=("**",))) as events:
        assert "narrowed_to" not in (await events.until("hello"))[-1][2]


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_open_streams_of_a_token_end_within_five_seconds(guarded: Any, token: Any, store: Any, how: str) -> None:
    mine = await token(subscribe=("**",), lifetime_s=2 if how == "expired" else None)
    other = await token(subscribe=("**",))
    async with streaming(guarded, "metric=**", mine) as events, streaming(guarded, "metric=**", other) as others:
        await events.until("live")
        await others.until("live")
        began = time.monotonic()
        if how == "revoked":
            assert await store.revoke(mine.split("_")[1])
        ended = await events.until("bye")
        assert time.monotonic() - began < generous(5)
        assert ended[-1][2]["reason"] == how
        again = await guarded.http.get("/v1/stream?metric=**", headers=bearer(mine))
        assert again.status_code == 401
        assert len(guarded.app.state.streams) == 1


async def test_whoami_says_what_the_token_may(guarded: Any, token: Any, service: Any) -> None:
    mine = await token("board", subscribe=("plant/**",), publish=("a",), operate=True)
    answer = (await guarded.http.get("/v1/whoami", headers=bearer(mine))).json()
    assert answer["name"] == "board"
    assert (answer["publish"], answer["subscribe"], answer["edit"], answer["operate"]) == (
        ["a"],
        ["plant/**"],
        False,
        True,
    )
    assert answer["expires_ms"] > time.time() * 1e3
    assert (await service.http.get("/v1/whoami")).json()["kind"] == "open"


async def test_one_token_cannot_use_up_the_sequences_of_anothers_publisher(guarded: Any, token: Any) -> None:
    mine, other = bearer(await token(publish=("a",))), bearer(await token(publish=("b",)))
    attack = {**other, "Tidewire-Sequence": "press:999999"}
    assert (await guarded.http.post("/v1/readings", json=body("b"), headers=attack)).status_code == 200
    for sequence in (1, 2):
        headers = {**mine, "Tidewire-Sequence": f"press:{sequence}"}
        assert (await guarded.http.post("/v1/readings", json=body("a", sequence), headers=headers)).status_code == 200
    history = await guarded.http.get("/v1/history?metric=a", headers=bearer(await token(subscribe=("**",))))
    assert history.json()["series"][0]["value"] == [1.0, 2.0]


async def test_without_redis_known_tokens_go_on_and_unknown_ones_are_told_to_come_back(
    guarded: Any, token: Any, valkey: Valkey
) -> None:
    mine = await token(subscribe=("**",), publish=("**",))
    assert (await guarded.http.get("/v1/whoami", headers=bearer(mine))).status_code == 200
    valkey.kill()
    assert (await guarded.http.get("/v1/whoami", headers=bearer(mine))).status_code == 200
    unknown = "tw_" + "0" * 12 + "_" + "x" * 43
    answer = await guarded.http.get("/v1/whoami", headers=bearer(unknown))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    async with streaming(guarded, "metric=**", unknown) as events:  # final for an EventSource unless 200
        assert events.status == 200
        assert (await events.until("bye"))[-1][2]["reason"] == "overload"
    valkey.start()


async def test_the_store_keeps_no_secret_and_notes_the_last_use(
    guarded: Any, token: Any, store: Any, valkey: Valkey, eventually: Eventually
) -> None:
    mine = await token("press-7", publish=("**",))
    secret = mine.split("_", 2)[2]
    assert (await guarded.http.get("/v1/whoami", headers=bearer(mine))).status_code == 200
    await guarded.stop()  # notes it at the end, and every 10 s before
    [row] = await store.rows()
    assert row.used_ms is not None
    assert row.token.name == "press-7"
    for key in valkey.client.scan_iter("*"):
        value = valkey.client.hgetall(key) if valkey.client.type(key) == b"hash" else valkey.client.dump(key)
        assert secret not in repr(value)


def test_the_commands_create_list_and_revoke(valkey: Valkey) -> None:
    runner = CliRunner()
    redis = ["--redis", valkey.url]
    made = runner.invoke(
        command, ["create", "--name", "press-7", "--publish", "furnace/**", "--expires", "30d", *redis]
    )
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert token.startswith("tw_")
    listed = runner.invoke(command, ["list", *redis])
    assert "press-7" in listed.output
    assert "furnace/**" in listed.output
    assert token.split("_", 2)[2] not in listed.output
    id_ = token.split("_")[1]
    assert runner.invoke(command, ["revoke", id_, *redis]).exit_code == 0
    again = runner.invoke(command, ["revoke", id_, *redis])
    assert again.exit_code == 1
    assert "no token" in again.output
    assert runner.invoke(command, ["create", "--name", "x", *redis]).exit_code == 1
    short = ["create", "--name", "short", "--operate", "--expires", "1ms", *redis]
    assert runner.invoke(command, short).exit_code == 0
    assert "(expired)" in runner.invoke(command, ["list", *redis]).output.replace("\n", " ")


async def test_a_share_link_shows_one_page_and_changes_nothing(
    guarded: Any, valkey: Valkey, eventually: Eventually
) -> None:
    given = ["share", "--subscribe", "plant/**", "--page", "/d/plant?w=5m", "--dashboard", "https://board.example/"]
    made = await asyncio.to_thread(CliRunner().invoke, command, [*given, "--redis", valkey.url])
    assert made.exit_code == 0, made.output
    link = urlsplit(made.stdout.strip())
    assert (link.netloc, link.path, link.query) == ("board.example", "/login", "")
    behind = parse_qs(link.fragment)
    assert behind["next"] == ["/d/plant?w=5m"]
    headers = bearer(behind["token"][0])
    who = (await guarded.http.get("/v1/whoami", headers=headers)).json()
    assert (who["subscribe"], who["publish"], who["edit"], who["operate"]) == (["plant/**"], [], False, False)
    assert 86_000 < who["expires_ms"] / 1e3 - time.time() <= 86_400
    assert (await guarded.http.post("/v1/readings", json=body("plant/a"), headers=headers)).status_code == 403
    assert (await guarded.http.put("/v1/thresholds", json={}, headers=headers)).status_code == 403
    elsewhere = CliRunner().invoke(command, [*given[:3], "--page", "https://evil.example", "--redis", valkey.url])
    assert elsewhere.exit_code == 2


@pytest.mark.parametrize(
    "dashboard", ["board", "javascript:alert(1)", "http://", "http://[::1", "http://b/?x", "ftp://b"]
)
async def test_no_token_is_made_for_a_link_that_leads_nowhere(store: Any, valkey: Valkey, dashboard: str) -> None:
    given = ["share", "--subscribe", "plant/**", "--dashboard", dashboard, "--redis", valkey.url]
    made = await asyncio.to_thread(CliRunner().invoke, main, ["token", *given])
    assert made.exit_code == 1
    assert "dashboard" in made.output
    assert await store.rows() == []


async def test_tokens_that_are_over_make_room_for_new_ones(valkey: Valkey) -> None:
    log = RedisLog(valkey.url)
    store = TokenStore(log, max_tokens=2)
    scopes = Scopes(operate=True)
    await store.create("short", scopes, 0.05)
    kept, _ = await store.create("kept", scopes, None)
    await asyncio.sleep(0.1)
    new, _ = await store.create("new", scopes, 60)
    assert [row.id for row in await store.rows()] == [kept, new]
    with pytest.raises(LimitExceeded, match="revoke"):
        await store.create("one too many", scopes, 60)
    await log.close()


def test_scopes_refuse_what_is_no_pattern() -> None:
    with pytest.raises(InvalidInput):
        Scopes(publish=("a**b",))
    with pytest.raises(InvalidInput):
        Scopes(subscribe=tuple(f"m{n}" for n in range(65)))


async def test_however_many_unknown_tokens_come_few_looks_reach_redis() -> None:
    looks = 0

    class Counting:
        async def version(self) -> bytes:
            nonlocal looks
            looks += 1
            return b"1"

        async def tokens(self) -> dict[str, Any]:
            return {}

    authenticator = Authenticator(Counting())  # type: ignore[arg-type]
    unknown = "Bearer tw_" + "0" * 12 + "_" + "x" * 43
    began = time.monotonic()
    answers = await asyncio.gather(
        *(authenticator.refreshed_identity(unknown) for _ in range(500)), return_exceptions=True
    )
    assert all(isinstance(answer, Unauthenticated) for answer in answers)
    assert looks <= 1 + (time.monotonic() - began) / 0.2


def test_an_address_that_others_reach_needs_tokens() -> None:
    with pytest.raises(InvalidInput, match="tidewire token create"):
        ServiceSettings(host="0.0.0.0")
    assert ServiceSettings(host="0.0.0.0", auth=True).auth
    assert ServiceSettings(host="0.0.0.0", insecure=True).insecure
    with pytest.raises(InvalidInput, match="contradicts"):
        ServiceSettings(auth=True, insecure=True)


async def test_a_ticket_opens_one_stream_and_its_own_reconnects(guarded: Any, token: Any) -> None:
    secret = await token(publish=("**",), subscribe=("plant/**",))
    await guarded.http.post("/v1/readings", json={"metric": "plant/a", "value": 1}, headers=bearer(secret))
    made = await guarded.http.post("/v1/tickets", json={"metric": ["plant/**"]}, headers=bearer(secret))
    assert made.status_code == 201, made.text
    url = made.json()["url"]
    assert secret not in made.text
    query = url.partition("?")[2]
    async with streaming(guarded, query) as events:
        assert events.status == 200
        seen = await events.until("live")
    cursor = next(id_ for _, id_, _ in reversed(seen) if id_)
    async with streaming(guarded, query) as events:
        assert events.status == 401, "who has seen the address alone"
    async with streaming(guarded, query, **{"Last-Event-ID": "zzzzzzz"}) as events:
        assert events.status == 401
    for _ in range(2):
        async with streaming(guarded, query, **{"Last-Event-ID": cursor}) as events:
            assert events.status == 200, "its own reconnect"
            await events.until("live")


@pytest.mark.parametrize("settings", [{"max_streams": 1}, {"max_requests_per_s": 1.0}])
async def test_a_stream_that_was_put_off_has_not_used_its_ticket_up(
    start_service: StartService, token: Any, eventually: Eventually, settings: dict[str, Any]
) -> None:
    """An EventSource comes back by itself after `bye`, without a cursor; a 401 would be final for it."""
    service = await start_service(auth=True, **settings)
    secret = await token(subscribe=("**",))
    made = await service.http.post("/v1/tickets", json={"metric": ["**"]}, headers=bearer(secret))
    query = made.json()["url"].partition("?")[2]
    async with streaming(service, "metric=**", secret) as other:  # takes the only place, or the second's last request
        assert other.status == 200
        if "max_streams" in settings:
            await other.until("live")
        async with streaming(service, query) as events:
            assert (events.status, (await events.until("bye"))[-1][2]["limit"]) == (200, next(iter(settings)))
    await eventually(lambda: len(service.app.state.streams) == 0)
    await asyncio.sleep(2.0)
    async with streaming(service, query) as events:
        assert events.status == 200
        await events.until("live")


@pytest.mark.browser
async def test_an_event_source_with_a_ticket_loses_nothing_over_its_reconnects(
    start_service: StartService, token: Any, browser: Any, eventually: Eventually
) -> None:
    service = await start_service(auth=True, stream_age_s=1.0, retry_min_ms=100, retry_max_ms=200)
    secret = await token(publish=("**",), subscribe=("plant/**",))
    await service.http.post("/v1/readings", json=body("plant/a", 0), headers=bearer(secret))
    made = await service.http.post("/v1/tickets", json={"metric": ["plant/**"]}, headers=bearer(secret))
    page = await browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{service.url}/schema")
    await page.evaluate(
        """(url) => {
          window.seen = []; window.opened = 0; window.final = 0;
          const source = new EventSource(url);
          source.onmessage = (event) => window.seen.push(...JSON.parse(event.data).value);
          source.onopen = () => window.opened++;
          source.onerror = () => { if (source.readyState === 2) window.final++; };
        }""",
        made.json()["url"],
    )
    await eventually(lambda: page.evaluate("window.seen.length === 1"))
    published = 1
    while await page.evaluate("window.opened") < 3:
        await service.http.post("/v1/readings", json=body("plant/a", published), headers=bearer(secret))
        published += 1
        assert published < 10 * HANG_S, "it reconnects"
        await asyncio.sleep(0.1)
    await eventually(lambda: page.evaluate(f"window.seen.length >= {published}"))
    assert await page.evaluate("window.seen") == list(range(published))
    assert await page.evaluate("window.final") == 0
    assert not [url for url in asked if secret.split("_", 2)[2] in url]
    await page.close()


@pytest.mark.parametrize(
    "query", ["metric=**&ticket=x", "metric=**&ticket=" + "A" * 43, "metric=**&ticket=", "ticket=x"]
)
async def test_a_made_up_ticket_opens_nothing(guarded: Any, query: str) -> None:
    async with streaming(guarded, query) as events:
        assert events.status == 401


async def test_a_ticket_is_for_what_it_was_made_for_and_ends_with_its_token(
    guarded: Any, token: Any, store: Any, eventually: Eventually
) -> None:
    async def answers(status: int, method: str, path: str, secret: str, **body: Any) -> bool:
        return (await guarded.http.request(method, path, headers=bearer(secret), **body)).status_code == status

    secret = await token(subscribe=("plant/**",))
    kept: list[str] = []
    for _ in range(2):
        made = await guarded.http.post("/v1/tickets", json={"metric": ["plant/a"]}, headers=bearer(secret))
        kept.append(made.json()["ticket"])
    async with streaming(guarded, f"metric=plant/**&ticket={kept[0]}") as events:
        assert events.status == 401
    [row] = await store.rows()
    await store.revoke(row.id)
    await eventually(lambda: answers(401, "GET", "/v1/whoami", secret))
    async with streaming(guarded, f"metric=plant/a&ticket={kept[1]}") as events:
        assert events.status == 401
    nobody = await guarded.http.post("/v1/tickets", json={"metric": ["plant/a"]})
    assert nobody.status_code == 401
    publisher = await token("writer", publish=("**",))
    await eventually(lambda: answers(403, "POST", "/v1/tickets", publisher, json={"metric": ["a"]}))


@pytest.mark.parametrize("used", [b"x", b"", b"\xff", b"1e300", b"nan", b"-1", b"9" * 30])
async def test_a_last_use_that_a_foreign_hand_wrote_hides_no_token(
    token: Any, store: Any, valkey: Valkey, used: bytes
) -> None:
    await token("press-7", publish=("**",))
    [row] = await store.rows()
    valkey.cli("HSET", "tw:{0}:tokens:used", row.id, used)
    [row] = await store.rows()
    assert (row.token.name, row.used_ms) == ("press-7", None)
