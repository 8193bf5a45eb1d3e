"""The Redis users of docs/security.md: the whole system runs under them, and they may do no more."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from clusters import Cluster
from servers import StartService, Valkey
from waiting import HANG_S, Eventually, eventually

import tidewire
from tidewire.commands.doctor import _redis
from tidewire.model.batch import encode_batch, make_batch
from tidewire.model.layout import layout_of
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
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


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_log_of_several_partitions_is_used_under_its_users(
    users: dict[str, str], valkey: Valkey, partitions: int
) -> None:
    home = RedisLog(users["tw-service"], partition=None)
    layout = await home.read_layout(layout_of(partitions))
    assert layout.partitions == partitions
    log = PartitionedLog(users["tw-service"], layout=layout)
    for part in log.parts:
        await part.clock()
    publisher = tidewire.Publisher(users["tw-publisher"])
    names = [f"by/sdk/{n}" for n in range(20)]
    publisher.publish(dict.fromkeys(names, 1))
    assert await asyncio.to_thread(publisher.flush, HANG_S), publisher.stats.last_error
    await log.append([encode_batch(make_batch(f"by/http/{n}", n)) for n in range(20)], publisher="p", sequence=1)
    readings, _ = await log.last_readings([*names, "by/http/3"])
    assert all(readings)
    directories = [await part.tails() for part in log.parts]
    assert sum(len(metrics) for metrics, _ in directories) == 40
    for part, (metrics, _) in zip(log.parts, directories, strict=True):
        assert await part.sweep(list(metrics)) == 0
    heard = redis.Redis.from_url(users["tw-service"]).pubsub()
    heard.subscribe(*(part.keys.live for part in log.parts))
    assert heard.get_message(timeout=HANG_S)
    reader = redis.Redis.from_url(users["tw-reader"])
    assert sum(reader.hlen(part.keys.tail) for part in log.parts) == 40
    assert bool(reader.get("tw:{0}:layout")) == (partitions > 1)
    assert denied(valkey) == []
    with pytest.raises(redis.exceptions.NoPermissionError):
        reader.set("tw:{0}:layout", "x")
    with pytest.raises(redis.exceptions.NoPermissionError):
        redis.Redis.from_url(users["tw-publisher"]).hset("tw:{0}:tokens", "a", "b")
    await asyncio.to_thread(publisher.close)
    await log.close()
    await home.close()


async def test_the_system_runs_under_its_users_in_a_cluster(tmp_path: Path, start_service: StartService) -> None:
    assert ACL
    text = (Path(__file__).parents[2] / "docs/security.md").read_text()
    more = dict(re.findall(r"`(tw-[a-z]+)` also needs `([^`]+)`", text))
    assert set(more) == {"tw-service", "tw-publisher"}
    with Cluster(tmp_path, primaries=2, replicas=0) as cluster:
        passwords = {}
        for line in ACL[1].splitlines():
            name, *rules = line.removeprefix("user ").split()
            passwords[name] = next((rule[1:] for rule in rules if rule.startswith(">")), "")
            for server in cluster.servers:
                server.client.execute_command("ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all")
                if name != "default":
                    server.client.execute_command("ACL", "SETUSER", name, *rules, *more.get(name, "").split())
        urls = {name: cluster.url.replace("//", f"//{name}:{password}@", 1) for name, password in passwords.items()}
        service = await start_service(wait=False, redis=urls["tw-service"])
        await service.ready()
        with tidewire.Publisher(urls["tw-publisher"]) as publisher:
            publisher.publish("by/sdk", [1, 2, 3])
            assert await asyncio.to_thread(publisher.flush, HANG_S), publisher.stats.last_error
        device = redis.RedisCluster.from_url(cluster.servers[0].url)
        device.xadd("tw:in", {"metric": "by/xadd", "value": "43"})
        device.publish("tw:in:by/publish", "42")
        log = RedisLog(urls["tw-service"])

        async def metrics() -> set[str]:
            return set((await log.tails())[0])

        await eventually(lambda: _has(metrics, {"by/sdk", "by/publish", "by/xadd"}))
        await eventually(lambda: device.xlen("tw:in") == 0)
        assert [finding.level for finding in _redis(urls["tw-service"], "tw", set()) if finding.level == "wrong"] == []
        await log.close()
        await service.stop()
        device.close()
        found = [entry for server in cluster.servers for entry in server.client.execute_command("ACL", "LOG")]
        refused = {dict(zip(entry[::2], entry[1::2], strict=True))[b"object"] for entry in found}
        assert refused <= {b"config|get", b"type"}, "what doctor would like to know as well"


# What stops, reads or changes the server for everybody, whatever keys it names; by what it would do.
DANGEROUS = {
    "stops others": [
        "CLIENT PAUSE 1 ALL", "CLIENT UNPAUSE", "CLIENT KILL TYPE normal", "CLIENT KILL ID 1", "CLIENT REPLY OFF",
        "CLIENT NO-EVICT ON", "CLIENT UNBLOCK 1", "SHUTDOWN NOSAVE", "FAILOVER ABORT",
        "REPLICAOF NO ONE", "SLAVEOF NO ONE", "CLUSTER RESET", "SAVE", "BGSAVE", "BGREWRITEAOF", "MODULE LIST",
        "WAIT 1 1", "LATENCY RESET",
    ],
    "tells of others": [
        "CLIENT LIST", "CLIENT TRACKING ON BCAST", "CLIENT GETREDIR", "MONITOR", "KEYS *", "SCAN 0", "RANDOMKEY",
        "DBSIZE", "ACL LIST", "ACL USERS", "ACL LOG", "ACL GETUSER default", "CONFIG GET *", "SLOWLOG GET",
        "PUBSUB CHANNELS", "FUNCTION LIST", "FUNCTION DUMP", "CLUSTER NODES", "LATENCY DOCTOR", "MEMORY STATS",
        "OBJECT ENCODING tw:{0}:tokens", "DUMP tw:{0}:tokens", "SORT tw:{0}:tokens", "PSYNC ? -1", "SYNC",
        "GETRANGE tw:{0}:tokens 0 1", "SUBSCRIBE other", "PSUBSCRIBE *", "SSUBSCRIBE other",
    ],
    "changes what is not its own": [
        "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "CONFIG SET dir /", "CONFIG REWRITE", "CONFIG RESETSTAT",
        "ACL SETUSER default on nopass +@all", "ACL DELUSER admin", "ACL SAVE", "ACL LOAD", "EVAL return 0",
        "EVAL_RO return 0", "EVALSHA x 0", "SCRIPT FLUSH", "SCRIPT LOAD return", "FUNCTION FLUSH", "FUNCTION DELETE x",
        "FUNCTION KILL", "FUNCTION RESTORE x", "SET other 1", "DEL other", "UNLINK tw:{0}:clock", "RENAME tw:in other",
        "MOVE tw:in 1", "COPY tw:in other", "RESTORE other 0 x", "MIGRATE h 1 k 0 1", "EXPIRE other 1",
        "PEXPIRE tw:in 1", "PERSIST tw:in", "PUBLISH other x", "SPUBLISH other x", "XADD other * a b",
        "XGROUP DESTROY tw:in tw", "XSETID tw:in 0-1", "LPUSH other x", "SADD other x", "GETDEL other",
        "HINCRBY tw:{0}:clock ms 1",
    ],
}  # fmt: skip


def test_no_user_is_given_a_category_of_commands(users: dict[str, str], valkey: Valkey) -> None:
    """What a server of next year puts into a category, no user of today should have."""
    assert ACL
    assert "+@" not in ACL[1]
    assert {"tw-service", "tw-publisher", "tw-device", "tw-reader"} < set(users)
    for line in ACL[1].splitlines():
        assert "-@all" in line or line.endswith("off"), line


@pytest.mark.parametrize("user", ["tw-service", "tw-publisher", "tw-device", "tw-reader"])
@pytest.mark.parametrize("harm", DANGEROUS)
def test_no_user_can_do_harm_beyond_its_own(users: dict[str, str], valkey: Valkey, user: str, harm: str) -> None:
    allowed = []
    for command in DANGEROUS[harm]:
        client = redis.Redis.from_url(users[user], socket_timeout=HANG_S, protocol=2)
        words: list[str] = command.split()
        if words[0] in ("EVAL", "EVAL_RO"):
            words = [words[0], " ".join(words[1:]), "0"]
        try:
            answer = client.execute_command(*words)
        except redis.exceptions.NoPermissionError:
            pass
        except redis.exceptions.ResponseError as error:
            allowed += [] if "unknown" in str(error).lower() else [f"{command}: {error}"]
        else:
            allowed.append(f"{command}: {answer}")
        client.close()
    assert allowed == []
    assert valkey.client.ping(), "and the server goes on"


async def _has(metrics: Any, wanted: set[str]) -> bool:
    return wanted <= await metrics()


@pytest.mark.parametrize("missing", ["&tw:in:*", "&tw:{*}:live", "&tw:in:* &tw:{*}:live", "+subscribe", "+psubscribe"])
async def test_what_a_service_may_not_hear_is_said_once_and_named_by_doctor(
    users: dict[str, str], valkey: Valkey, start_service: StartService, missing: str
) -> None:
    assert ACL
    name, *rules = next(line for line in ACL[1].splitlines() if "tw-service" in line).removeprefix("user ").split()
    left = [rule for rule in rules if rule not in missing.split()]
    valkey.client.execute_command("ACL", "SETUSER", name, "reset", *left)
    with structlog.testing.capture_logs() as said:
        await start_service(wait=False, redis=users["tw-service"])
        await eventually(lambda: any(entry["event"] == "live_connection_refused" for entry in said))
        await asyncio.sleep(3)  # the time in which it was said 50 times
    refusals = [entry for entry in said if entry["event"] == "live_connection_refused"]
    assert len(refusals) == 1
    assert "NOPERM" in refusals[0]["error"]
    assert "docs/security.md" in refusals[0]["remedy"]
    assert len(said) < 30
    if missing.startswith("&"):
        channels = [found for found in _redis(users["tw-service"], "tw", set()) if found.what == "channels"]
        assert {found.level for found in channels} == {"wrong"}
        named = {f"&{found.found.partition(': ')[0]}" for found in channels}
        assert named == set(missing.replace("{*}", "{0}").split())


@pytest.mark.parametrize("user", ["tw-service", "tw-publisher"])
async def test_doctor_finds_nothing_wrong_with_the_users_of_the_docs(
    users: dict[str, str], start_service: StartService, user: str
) -> None:
    service = await start_service(redis=users["tw-service"])
    await service.ready()
    findings = list(_redis(users[user], "tw", set()))
    assert [finding for finding in findings if finding.level == "wrong"] == []
    await service.stop()
