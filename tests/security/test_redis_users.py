"""The Redis users of docs/security.md: the whole system runs under them, and they may do no more."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import StartService, Valkey
from waiting import HANG_S, Eventually

import tidewire
from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore

DECK = {"tidewire": "deck", "version": 1, "name": "Furnace", "address": "?w=5m&c=furnace/temperature"}
ACL = re.search(r"<!-- acl -->\n```\n(.*?)```", (Path(__file__).parents[2] / "docs/security.md").read_text(), re.DOTALL)


@pytest.fixture
def users(valkey: Valkey) -> dict[str, str]:
    """Set up the users; return their URLs. `valkey.client` goes on as the administrator."""
    assert ACL
    valkey.client.execute_command("ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all")
    valkey.client = redis.Redis(port=valkey.port, username="admin", password="admin")
    found = {}
    for line in ACL[1].splitlines():
        name, *rules = line.removeprefix("user ").split()
        valkey.client.execute_command("ACL", "SETUSER", name, *rules)
        password = next((rule[1:] for rule in rules if rule.startswith(">")), "")
        found[name] = f"redis://{name}:{password}@127.0.0.1:{valkey.port}"
    return found


def denied(valkey: Valkey) -> list[str]:
    return [
        f"{entry[b'username'].decode()}: {entry[b'reason'].decode()} {entry[b'object'].decode()}"
        for entry in (
            dict(zip(each[::2], each[1::2], strict=True)) if isinstance(each, list) else each
            for each in valkey.client.execute_command("ACL", "LOG")
        )
    ]


async def test_the_system_runs_under_its_users(
    users: dict[str, str], valkey: Valkey, start_service: StartService, eventually: Eventually
) -> None:
    service = await start_service(wait=False, redis=users["tw-service"], auth=True, retention_age_s=60)
    log = RedisLog(users["tw-service"])
    store = TokenStore(log)
    _, secret = await store.create("all", Scopes(publish=("**",), subscribe=("**",), edit=True, operate=True), 3_600)
    service.http.headers["Authorization"] = f"Bearer {secret}"
    await service.ready()
    publisher = tidewire.Publisher(users["tw-publisher"])
    publisher.publish("by/sdk", [1, 2, 3])
    publisher.publish("by/sdk", 4, labels={"site": "A"})
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    device = redis.Redis.from_url(users["tw-device"])
    device.publish("tw:in:by/publish", "42")
    device.xadd("tw:in", {"metric": "by/xadd", "value": "43"})
    assert (await service.http.post("/v1/readings", json={"metric": "by/http", "value": 44})).status_code == 200

    async def metrics() -> set[str]:
        answer = await service.http.get("/v1/catalog", params={"metric": "**"})
        return {series["metric"] for series in answer.json()["series"]}

    await eventually(lambda: _has(metrics, {"by/sdk", "by/publish", "by/xadd", "by/http"}))
    assert (await service.http.get("/v1/history?metric=by/sdk")).json()["series"][0]["value"] == [1, 2, 3]
    assert (await service.http.get("/metrics")).status_code == 200
    assert (await service.http.post("/v1/tickets", json={"metric": ["**"]})).status_code in (200, 201)
    assert (await service.http.put("/v1/decks/d", json=DECK, headers={"If-None-Match": "*"})).status_code in (200, 201)
    assert (await service.http.get("/v1/decks")).status_code == 200
    assert (await service.http.get("/v1/thresholds")).status_code == 200
    assert len(await store.rows()) == 1
    assert await log.sweep(list((await log.tails())[0])) == 0
    reader = redis.Redis.from_url(users["tw-reader"])
    assert reader.hget("tw:{0}:tail", "by/sdk")
    assert denied(valkey) == []
    for url, wrong in (
        (users["tw-device"], [("GET", "tw:{0}:tokens"), ("XADD", "tw:{0}:log:a", "*", "d", "x"), ("FLUSHALL",)]),
        (users["tw-reader"], [("PUBLISH", "tw:in:a", "1"), ("SET", "tw:x", "1"), ("HGETALL", "tw:{0}:tokens")]),
        (
            users["tw-publisher"],
            [("HSET", "tw:{0}:tokens", "a", "b"), ("XADD", "tw:in", "*", "a", "b"), ("FUNCTION", "LOAD", "x")],
        ),
        (users["tw-service"], [("FLUSHALL",), ("KEYS", "*"), ("SET", "others", "1"), ("CONFIG", "SET", "dir", "/")]),
    ):
        client = redis.Redis.from_url(url)
        for command in wrong:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)
    valkey.client.execute_command("ACL", "LOG", "RESET")
    await service.stop()  # it notes what it has to, and asks for nothing else
    publisher.close()
    await log.close()
    assert denied(valkey) == []


async def _has(metrics: Any, wanted: set[str]) -> bool:
    return wanted <= await metrics()
