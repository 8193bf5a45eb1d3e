"""InfluxDB's clients publish unchanged: its paths, its probes, its answers, and its own client libraries."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import influxdb
import influxdb_client_3
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.rest import ApiException
from influxdb_client_3.write_client.client.write_api import WriteType
from loop_meter import measured
from servers import Valkey
from waiting import Eventually

from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore
from tidewire_service.ingest.body import unpacked as unpacked_body
from tidewire_service.routes.influx import INFLUX_ROUTES
from tidewire_service.web import foreign_bodies

WRITES = {"v1": "/write?db=d", "v2": "/api/v2/write?org=o&bucket=b", "v3": "/api/v3/write_lp?db=d"}
HELD_S = 0.02
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
def at_ns(now_ms: float) -> int:
    """A time of now as line protocol has it."""
    return int(now_ms) * 1_000_000


async def write(service: Any, body: str | bytes, version: str = "v2", **headers: str) -> Any:
    content = body.encode() if isinstance(body, str) else body
    return await service.http.post(WRITES[version], content=content, headers=headers)


# -- what each version answers


@pytest.mark.parametrize("version", WRITES)
async def test_lines_are_stored_and_answered_with_204(service: Any, version: str, at_ns: int) -> None:
    body = f'cpu,host=a usage_idle=93.5,n=3i,busy=f,mode="powersave" {at_ns}\n'
    for content, headers in ((body.encode(), {}), (gzip.compress(body.encode()), {"Content-Encoding": "gzip"})):
        answer = await write(service, content + b"" if headers else content, version, **headers)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
    found = (await service.history())["series"]
    assert {(s["metric"], *s["labels"].items(), *s["value"], *(s.get("text") or [])) for s in found} == {
        ("cpu/usage_idle", ("host", "a"), 93.5), ("cpu/n", ("host", "a"), 3), ("cpu/busy", ("host", "a"), 0),
        ("cpu/mode", ("host", "a"), None, "powersave"),
    }  # fmt: skip
    assert (await write(service, b"", version)).status_code == 204, "an empty write tests the connection"


async def test_good_lines_are_stored_and_bad_ones_named_in_the_words_of_each_version(service: Any) -> None:
    body = "m f=1\nbad line here\nm f=2"
    answers = {version: await write(service, body, version) for version in WRITES}
    assert {answer.status_code for answer in answers.values()} == {400}
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/json"}
    said = "partial write: 1 of 3 lines: line 2: line 'bad line here': cannot be read at the key of field"
    assert answers["v1"].json() == {"error": said}
    assert answers["v2"].json() == {"code": "invalid", "message": said, "line": 2}
    assert answers["v3"].json() == {
        "error": "partial write of line protocol occurred",
        "data": [
            {
                "error_message": "line 'bad line here': cannot be read at the key of field",
                "line_number": 2,
                "original_line": "bad line here",
            }
        ],
    }
    assert await service.stored() == {"m/f": [1, 2] * 3}
    whole = await service.http.post("/api/v3/write_lp?db=d&accept_partial=false", content="whole f=1\nbad\n")
    assert (whole.status_code, whole.json()["error"]) == (400, "parsing failed for write_lp endpoint")
    assert "whole/f" not in await service.stored()
    whole = await service.http.post("/api/v3/write_lp?db=d&accept_partial=false", content="whole f=1\n")
    assert whole.status_code == 204


async def test_a_repeat_whose_lines_all_have_times_stores_nothing_twice(service: Any, at_ns: int) -> None:
    lines = [f"m,n={n % 7} f={n} {at_ns + n}" for n in range(6_000)]
    body = "\n".join(lines).encode()
    assert len(body) > 1.4 * 128 * 1024, "more than one slice"
    for _ in range(2):
        assert (await write(service, body)).status_code == 204
    assert (await write(service, gzip.compress(body), "v1", **{"Content-Encoding": "gzip"})).status_code == 204
    assert sorted((await service.stored())["m/f"]) == list(range(6_000))
    assert 'tidewire_calls_repeated_total{ingest="influx"}' in (await service.http.get("/metrics")).text
    for _ in range(2):
        await write(service, "now f=1")
    assert (await service.stored())["now/f"] == [1, 1]
    seconds = await service.http.post("/write?precision=s", content=f"p f=1 {at_ns // 10**9}")
    again = await service.http.post("/write?precision=s", content=f"p f=2 {at_ns // 10**9}")
    assert (seconds.status_code, again.status_code) == (204, 204)
    assert (await service.stored())["p/f"] == [1, 2]


@pytest.mark.parametrize(
    ("version", "given", "status"),
    [
        ("v1", "n", 204), ("v1", "u", 204), ("v1", "µ", 204), ("v1", "h", 400), ("v1", "fortnight", 400),
        ("v2", "us", 204), ("v2", "m", 400), ("v3", "nanosecond", 204), ("v3", "auto", 204), ("v3", "second", 400),
    ],
)  # fmt: skip
async def test_precisions_are_those_of_the_version(
    shared_service: Any, version: str, given: str, status: int, at_ns: int
) -> None:
    time = at_ns // (1 if given in ("n", "nanosecond", "auto") else 1_000)
    address = WRITES[version].partition("?")[0]
    answer = await shared_service.http.post(address, params={"precision": given}, content=f"m f=1 {time}")
    assert answer.status_code == status, answer.text


async def test_a_body_that_redis_interrupts_is_whole_once_it_is_repeated(
    start: Any, valkey: Valkey, at_ns: int, eventually: Eventually
) -> None:
    service = await start(redis_timeout_s=0.5)
    body = "\n".join(f"m,n={n % 50} f={n} {at_ns + n}" for n in range(60_000)).encode()
    statuses = []

    async def until_stored() -> None:
        while not statuses or statuses[-1] != 204:
            statuses.append((await write(service, body, "v1")).status_code)

    sending = asyncio.create_task(until_stored())
    await eventually(lambda: valkey.client.exists("tw:{0}:log:m/f"))
    valkey.kill()
    await eventually(lambda: 503 in statuses)
    valkey.start()
    await sending
    assert set(statuses) == {503, 204}
    assert sorted((await service.stored())["m/f"]) == list(range(60_000))


async def test_a_client_that_counts_is_told_of_integers_that_were_rounded(service: Any) -> None:
    answer = await write(service, f"m a={2**53 + 1}i,b=1i")
    assert (answer.status_code, answer.headers["tidewire-lossy"]) == (204, "1")
    assert 'tidewire_values_lossy_total{ingest="influx"} 1.0' in (await service.http.get("/metrics")).text


# -- what passes, and what never will


async def test_limits_have_a_status_that_the_client_answers_rightly(start: Any) -> None:
    """Telegraf's output for version 1 deletes its data after any 4xx in JSON: what may pass is 503 there."""
    service = await start(max_foreign_body_bytes=2_000, max_foreign_decompressed_bytes=3_000, max_foreign_rows=5)
    long, bomb, many = b"m f=1\n" * 400, gzip.compress(b"m f=1\n" * 600), b"m f=1\n" * 6
    for content, limit, packed in (
        (long, "max_foreign_body_bytes", {}),
        (bomb, "max_foreign_decompressed_bytes", {"Content-Encoding": "gzip"}),
        (many, "max_foreign_rows", {}),
    ):
        for version, status in (("v1", 400), ("v2", 413), ("v3", 413)):
            answer = await write(service, content, version, **packed)
            assert (answer.status_code, limit in answer.text) == (status, True), answer.text
            assert answer.json().keys() == ({"code", "message"} if version == "v2" else {"error"})
        assert f'tidewire_limits_reached_total{{limit="{limit}"}} 3.0' in (await service.http.get("/metrics")).text
    assert (await write(service, b"\x1f\x8b\x00", "v2", **{"Content-Encoding": "gzip"})).status_code == 400
    assert (await write(service, b"m f=1", "v2", **{"Content-Encoding": "br"})).status_code == 415
    assert await service.stored() == {}


async def test_overload_and_an_absent_redis_are_503_with_a_pause(start: Any, valkey: Valkey) -> None:
    service = await start(max_requests_per_s_per_address=0.5)
    statuses = {}
    for version in WRITES:
        await write(service, "m f=1", version)
        answer = await write(service, "m f=1", version)
        statuses[version] = answer.status_code
        assert int(answer.headers["retry-after"]) >= 1
        assert "partial write" not in answer.text, "after these words Telegraf deletes"
    assert statuses == {"v1": 503, "v2": 429, "v3": 429}
    other = await start(redis_timeout_s=0.2)
    valkey.stop()
    for version in WRITES:
        answer = await write(other, "m f=1", version)
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (503, True)
        assert "Redis" in answer.text
    valkey.start()


async def test_memory_for_large_bodies_is_bounded(start: Any, eventually: Eventually) -> None:
    service = await start(max_foreign_body_bytes=2 << 20)
    ended, begun = asyncio.Event(), 0

    async def slowly() -> Any:  # without a length, as Telegraf sends what it compresses
        nonlocal begun
        yield b" " * (2 << 20)
        begun += 1
        await ended.wait()

    async def refused() -> bool:
        answer = await service.http.post("/write", content=b" " * (2 << 20))
        assert answer.status_code in (204, 503), answer.text
        return bool(answer.status_code == 503 and answer.headers["retry-after"] == "1")

    posts = [asyncio.create_task(service.http.post("/write", content=slowly())) for _ in range(16)]
    await eventually(lambda: begun == 16)
    await eventually(refused)
    assert (await service.http.post("/write", content=b"m f=2")).status_code == 204, "a small one always fits"
    ended.set()
    assert {post.status_code for post in await asyncio.gather(*posts)} == {204}
    assert (await service.http.post("/write", content=b" " * 1_500_000)).status_code == 204


async def test_bodies_are_unpacked_four_at_a_time_until_each_is_stored(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, unpacked, most = asyncio.Event(), 0, 0
    stored: list[str] = []
    real, append = unpacked_body, service.app.state.hub.log.append

    def counting(*arguments: Any, **more: Any) -> bytes:
        nonlocal unpacked, most
        unpacked += 1
        most = max(most, unpacked - len(stored))
        return real(*arguments, **more)

    async def waiting(batches: Any, **more: Any) -> Any:
        if batches[0].metric == "small/f":
            return await append(batches, **more)
        await ended.wait()
        appended = await append(batches, **more)
        stored.append(batches[0].metric)
        return appended

    monkeypatch.setattr(foreign_bodies, "unpacked", counting)
    monkeypatch.setattr(service.app.state.hub.log, "append", waiting)
    posts = []
    for n in range(16):
        packed = gzip.compress(f"m{n} f=1".encode())
        if n % 4:
            sent = service.http.post("/write", content=packed, headers={"Content-Encoding": "gzip"})
        else:
            sent = service.http.put(
                f"/metrics/job/j{n}", content=gzip.compress(b"a 1\n"), headers={"Content-Encoding": "gzip"}
            )
        posts.append(asyncio.create_task(sent))
    await eventually(lambda: unpacked >= 4)
    for _ in range(20):
        assert (await write(service, "small f=1")).status_code == 204, "what is small needs no turn"
    assert unpacked == 4
    ended.set()
    assert {post.status_code for post in await asyncio.gather(*posts)} == {200, 204}
    assert (unpacked, most, len(stored)) == (16, 4, 16)


async def test_a_large_body_leaves_the_loop_to_others(service: Any, at_ns: int) -> None:
    lines = (f"cpu,host=h{n % 50},cpu=cpu{n % 8} usage_idle={n}.5,usage_user=2.5 {at_ns + n}" for n in range(40_000))
    body = "\n".join(lines).encode()
    packed = gzip.compress(body, 1)

    async def post() -> None:
        answer = await service.http.post("/write", content=packed, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 204, answer.text

    held_s, _ = await measured(post, HELD_S)
    assert held_s < HELD_S, f"{held_s * 1e3:.1f} ms"
    assert len((await service.stored())["cpu/usage_idle"]) == 40_000


# -- tokens


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


SENT: dict[str, Callable[[str], tuple[dict[str, str], dict[str, str]]]] = {
    "Bearer": lambda token: ({"Authorization": f"Bearer {token}"}, {}),
    "Token": lambda token: ({"Authorization": f"Token {token}"}, {}),
    "Token user:…": lambda token: ({"Authorization": f"Token anybody:{token}"}, {}),
    "Basic": lambda token: (_basic("telegraf", token), {}),
    "p=": lambda token: ({}, {"u": "anybody", "p": token}),
}


@pytest.mark.parametrize("way", SENT)
async def test_scopes_hold_for_every_way_to_send_a_token(start: Any, valkey: Valkey, way: str) -> None:
    from tidewire.redislog.log import RedisLog  # noqa: PLC0415

    log = RedisLog(valkey.url)
    store = TokenStore(log)
    service = await start(auth=True)
    tokens = {
        "all": (await store.create("all", Scopes(publish=("**",), subscribe=("**",)), 3_600))[1],
        "cpu": (await store.create("cpu", Scopes(publish=("cpu/**",)), 3_600))[1],
        "reader": (await store.create("reader", Scopes(subscribe=("**",)), 3_600))[1],
        "bad": f"tw_{'0' * 12}_{'A' * 43}",
    }
    await log.close()
    for version, path in WRITES.items():
        if way == "p=" and version != "v1":
            continue
        expected = {"all": 204, "cpu": 400, "reader": 403, "bad": 401}
        for name, status in expected.items():
            headers, query = SENT[way](tokens[name])
            address = path.partition("?")[0]
            answer = await service.http.post(address, params=query, headers=headers, content="cpu f=1\nmem f=2")
            assert (answer.status_code, name) == (status, name), answer.text
            if status in (401, 403) and version == "v1":
                assert answer.headers["content-type"].startswith("text/plain")
                with pytest.raises(json.JSONDecodeError):
                    answer.json()
            assert tokens[name] not in answer.text
        headers, query = SENT[way](tokens["cpu"])
        other = await service.http.post(path.partition("?")[0], params=query, headers=headers, content="mem f=2")
        assert other.status_code == 403
    reader = {"Authorization": f"Bearer {tokens['all']}"}
    stored = (await service.http.get("/v1/history?metric=**&start=-1h", headers=reader)).json()["series"]
    times = 1 if way == "p=" else 3
    assert {s["metric"]: len(s["value"]) for s in stored} == {"cpu/f": 2 * times, "mem/f": times}


@pytest.mark.parametrize("version", WRITES)
async def test_a_field_that_a_token_may_not_publish_refuses_its_line_once(start: Any, version: str) -> None:
    service = await start(auth=True)
    store = TokenStore(service.app.state.hub.log.home)
    few = (await store.create("few", Scopes(publish=("cpu/a", "g/**"), subscribe=("**",)), 3_600))[1]
    service.http.headers.update({"Authorization": f"Bearer {few}"})
    answer = await write(service, "cpu a=1,b=2\ng f=1", version)
    assert (answer.status_code, "cpu/b" in answer.text) == (400, True), answer.text
    assert version == "v3" or "1 of 2 lines" in answer.text
    # each line is refused for one reason, or for two: it counts once
    long = "x" * 300
    answer = await write(service, f"cpu a=5,b=2,{long}=3\nmem a=1,{long}=1\ng f=2", version)
    assert version == "v3" or "2 of 3 lines" in answer.text, answer.text
    whole = await service.http.post("/api/v3/write_lp?db=d&accept_partial=false", content="cpu a=9,b=2")
    assert whole.status_code in (400, 403)
    assert (await service.stored()) == {"cpu/a": [1, 5], "g/f": [1, 2]}


@pytest.mark.parametrize("version", WRITES)
async def test_a_repeat_that_would_store_something_else_is_refused(
    start: Any, version: str, at_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    ahead = at_ns + 66 * 60 * 10**9
    body = f"m f=1 {at_ns}\nn f=2 {ahead}"
    first = await write(service, body, version)
    assert (first.status_code, (await service.stored())) == (400, {"m/f": [1]})
    again = await write(service, body, version)
    assert (again.status_code, again.text) == (400, first.text), "the same again is a repeat"
    hub = service.app.state.hub
    later_ms = hub.log_time_ms() + 5 * 60e3
    monkeypatch.setattr(hub, "log_time_ms", lambda: later_ms)
    answer = await write(service, body, version)
    assert (answer.status_code, "send only the lines that were refused" in answer.text) == (400, True), answer.text
    assert await service.stored() == {"m/f": [1]}
    assert (await write(service, f"n f=2 {ahead}", version)).status_code == 204
    assert await service.stored() == {"m/f": [1], "n/f": [2]}
    # the slices beside one that conflicts are stored
    for n, time in enumerate((at_ns, at_ns + 10**6)):
        rest = "\n".join(f"rest,n={k % 9} f={k} {time + k}" for k in range(6_000))
        answer = await write(service, f"big f=1 {at_ns}\nlate f=1 {ahead + 6 * 60 * 10**9}\n{rest}", version)
        assert answer.status_code == 400
        assert len((await service.stored())["rest/f"]) == 6_000 * (n + 1)


async def test_what_a_limit_refuses_of_a_whole_body_is_told(start: Any) -> None:
    service = await start(max_metrics=1)
    answer = await service.http.post("/api/v3/write_lp?db=d&accept_partial=false", content="a f=1\nb f=2")
    assert (answer.status_code, answer.json()["error"]) == (400, "partial write of line protocol occurred")
    assert await service.stored() == {"a/f": [1]}


async def test_without_a_token_each_version_says_so_in_its_own_form(start: Any) -> None:
    service = await start(auth=True)
    v1, v2, v3 = [await write(service, "m f=1", version) for version in WRITES]
    assert (v1.status_code, v1.headers["content-type"]) == (401, "text/plain; charset=utf-8")
    assert (v2.status_code, v2.json()["code"]) == (401, "unauthorized")
    assert (v3.status_code, list(v3.json())) == (401, ["error"])
    for scheme in ("Digest x", "Basic %%%", "Basic Og=="):
        answer = await write(service, "m f=1", "v1", Authorization=scheme)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "text/plain; charset=utf-8")
    for path in ("/ping", "/health", "/ready", "/api/v2/ready"):
        assert (await service.http.get(path)).status_code in (200, 204), "a probe needs no token"
    host = await service.http.post("/write", content="m f=1", headers={"Host": "elsewhere.example"})
    assert (host.status_code, host.headers["content-type"]) == (421, "text/plain; charset=utf-8")
    for path in ("/api/v2/write", "/api/v3/write_lp?db=x"):  # of 4xx, Telegraf keeps its data after 401 and 403
        host = await service.http.post(path, content="m f=1", headers={"Host": "elsewhere.example"})
        assert (host.status_code, host.headers["content-type"]) == (403, "application/json")
        assert "elsewhere.example" in host.text
        if path == "/api/v2/write":
            assert host.json()["code"] == "forbidden"


async def test_a_refusal_says_nothing_of_the_query_that_has_the_token(start: Any, capsys: Any) -> None:
    service = await start(auth=True, log_level="debug")
    secret = f"tw_{'0' * 12}_{'S' * 43}"
    many = "&".join(f"x{n}=1" for n in range(1_100))
    for query in (
        f"p={secret}&{many}", f"p={secret}%ff", f"p={secret}é", f"p={secret}&p={secret}2",
        f"u=x&p={secret}&precision=q",
        f"ticket={secret}&ticket={secret}2&metric=**", f"token={secret}&metric=**", f"ticket={secret}%ff&metric=**",
    ):  # fmt: skip
        for method, path in (
            ("POST", "/write"), ("POST", "/query"), ("GET", "/query"), ("GET", "/ping"), ("POST", "/api/v2/write"),
            ("POST", "/api/v3/write_lp"), ("PUT", "/metrics/job/j"), ("GET", "/v1/stream"), ("GET", "/v1/history"),
            ("POST", "/v1/readings"), ("GET", "/nothing"),
        ):  # fmt: skip
            for headers in ({}, {"Authorization": "Bearer tw_wrong"}):
                answer = await service.http.request(method, f"{path}?{query}", content="m f=1", headers=headers)
                assert secret[-30:] not in answer.text, (method, path, query)
                assert not any(secret[-30:] in value for value in answer.headers.values())
    said = capsys.readouterr()
    assert "request_" in said.out
    assert secret[-30:] not in said.out + said.err


async def test_a_token_of_its_own_query_is_not_told_again(start: Any) -> None:
    """Of a request that is let in by `p=`, whatever else is wrong with it."""
    service = await start(auth=True)
    store = TokenStore(service.app.state.hub.log.home)
    token = (await store.create("all", Scopes(publish=("**",)), 3_600))[1]
    for path in ("/write", "/query"):
        for more in ("%ff", "&precision=fortnight", "&p=" + "x" * 99, "&q=" + token, "&a=%ff&p=" + token):
            answer = await service.http.post(f"{path}?u=x&p={token}{more}", content="m f=1")
            assert token[-30:] not in answer.text, (path, more, answer.text)


# -- probes


async def test_probes_are_answered_as_by_version_1_8(service: Any) -> None:
    http = service.http
    for method in ("GET", "HEAD", "POST"):
        answer = await http.request(method, "/ping")
        assert (answer.status_code, answer.headers["x-influxdb-version"]) == (204, "1.8.10")
    verbose = await http.get("/ping?verbose=true")
    assert (verbose.status_code, verbose.json()) == (200, {"version": "1.8.10"})
    health = (await http.get("/health")).json()
    assert (health["name"], health["status"], health["version"]) == ("influxdb", "pass", "1.8.10")
    assert (await http.get("/api/v2/ready")).json() == (await http.get("/ready")).json() == {"status": "ready"}
    for method, options in (
        ("GET", {"params": {"q": 'CREATE DATABASE "d"'}}),
        ("POST", {"data": {"q": "create database d;"}}),
    ):
        assert (await http.request(method, "/query", **options)).json() == {"results": [{"statement_id": 0}]}
    shown = (await http.get("/query", params={"q": "SHOW DATABASES", "db": "mine"})).json()
    assert shown["results"][0]["series"] == [{"name": "databases", "columns": ["name"], "values": [["mine"]]}]
    select = await http.get("/query", params={"q": "SELECT * FROM cpu"})
    assert (select.status_code, "only takes writes" in select.json()["results"][0]["error"]) == (200, True)


async def test_health_fails_with_redis(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    valkey.stop()

    async def failing() -> bool:
        answer = await service.http.get("/health")
        return bool(answer.status_code == 503 and answer.json()["status"] == "fail")

    await eventually(failing)
    valkey.start()


def test_every_route_is_of_a_foreign_service() -> None:
    assert all(handler.opt["tidewire"].foreign is not None for handler in INFLUX_ROUTES)


# -- the clients themselves


async def test_the_client_of_version_1(service: Any, now_ms: float) -> None:
    def publish() -> tuple[str, list[dict[str, str]]]:
        client = influxdb.InfluxDBClient("127.0.0.1", service.port, "user", "password", "mine", gzip=True)
        client.create_database("mine")
        version = client.ping()
        point = {"measurement": "cpu load", "tags": {"host": "a=b, c"}, "time": int(now_ms) * 10**6}
        assert client.write_points([{**point, "fields": {"value": 0.64, "n": 3, "on": True, "why": 'it "is"\\'}}])
        assert client.write_points([{**point, "time": int(now_ms), "fields": {"value": 0.65}}], time_precision="ms")
        with pytest.raises(influxdb.exceptions.InfluxDBClientError, match="did you mean precision=ms"):
            client.write_points([{**point, "time": int(now_ms), "fields": {"value": 1.0}}])
        databases: list[dict[str, str]] = client.get_list_database()
        client.close()
        return version, databases

    assert await asyncio.to_thread(publish) == ("1.8.10", [{"name": "mine"}])
    assert await service.stored() == {
        "cpu load": [0.64, 0.65], "cpu load/n": [3], "cpu load/on": [1], "cpu load/why": [None],
    }  # fmt: skip
    [why] = (await service.history("cpu load/why"))["series"]
    assert (why["text"], why["labels"], why["time"]) == (['it "is"\\'], {"host": "a=b, c"}, [float(int(now_ms))])


async def test_the_client_of_version_2(service: Any, now_ms: float) -> None:
    at = datetime.fromtimestamp(now_ms / 1e3, UTC)

    def publish() -> None:
        with InfluxDBClient(service.url, "token", org="o", enable_gzip=True) as client:
            assert client.ping()
            assert client.health().version == "1.8.10"
            assert client.ready().status == "ready"
            point = Point("cpu").tag("host", "a b").field("idle", 1.5).time(at)
            with client.write_api(write_options=SYNCHRONOUS) as api:
                api.write("b", record=[point, "m f=1i", {"measurement": "d", "fields": {"f": 2}}])
                with pytest.raises(ApiException) as refused:
                    api.write("b", record="m f=9\nbad")
                assert (refused.value.status, json.loads(refused.value.body)["line"]) == (400, 2)
            with client.write_api(write_options=WriteOptions(batch_size=500, flush_interval=50)) as api:
                for n in range(1_200):
                    api.write("b", record=f"batched n={n}i {int(now_ms) * 10**6 + n}")

    await asyncio.to_thread(publish)
    stored = await service.stored()
    assert sorted(stored.pop("batched/n")) == list(range(1_200))
    assert stored == {"cpu/idle": [1.5], "m/f": [1, 9], "d/f": [2]}


async def test_the_client_of_version_3(service: Any, now_ms: float) -> None:
    def publish() -> None:
        for use_v2_api in (True, False):
            client = influxdb_client_3.InfluxDBClient3(
                service.url,
                token="token",
                database="d",
                write_client_options=influxdb_client_3.write_client_options(
                    write_options=influxdb_client_3.WriteOptions(
                        write_type=WriteType.synchronous, use_v2_api=use_v2_api
                    )
                ),
            )
            point = influxdb_client_3.Point("cpu").tag("host", "a").field("idle", 1.5).time(int(now_ms) * 10**6)
            client.write([point, "m f=1i"])
            with pytest.raises(Exception, match=r"line 2|partial write"):
                client.write("m f=9\nbad")
            client.close()

    await asyncio.to_thread(publish)
    assert await service.stored() == {"cpu/idle": [1.5, 1.5], "m/f": [1, 9, 1, 9]}


async def test_the_calls_of_home_assistant(service: Any, at_ns: int) -> None:
    """As its integration sends them: an empty write first, then states, with the clients of both versions."""
    state = {
        "measurement": "°C",
        "tags": {"domain": "sensor", "entity_id": "kitchen"},
        "time": datetime.fromtimestamp(at_ns / 1e9, UTC),
        "fields": {"value": 21.5, "device_class_str": "temperature", "friendly_name_str": "Kitchen"},
    }
    light = {**state, "measurement": "light.hall", "tags": {"domain": "light", "entity_id": "hall"}}
    light["fields"] = {"value": 1.0, "state": "on", "brightness": 128.0, "friendly_name_str": "Hall"}

    def version_1() -> None:
        client = influxdb.InfluxDBClient("127.0.0.1", service.port, database="home_assistant", timeout=5)
        client.write_points([])
        client.write_points([state, light])

    def version_2() -> None:
        with InfluxDBClient(service.url, "token", org="o", timeout=5_000) as client:
            api = client.write_api(write_options=SYNCHRONOUS)
            api.write(bucket="b", record=b"")
            api.write(bucket="b", record=[state, light])

    for sequence in (version_1, version_2):
        await asyncio.to_thread(sequence)
    found = {s["metric"]: (s["unit"], s["value"], s.get("text")) for s in (await service.history())["series"]}
    assert found == {
        "ha/sensor/kitchen": ("Cel", [21.5, 21.5], None),
        "ha/light/hall": ("", [1, 1], ["on", "on"]),
        "ha/light/hall/brightness": ("", [128, 128], None),
    }
    assert 'tidewire_fields_left_out_total{ingest="influx"} 6.0' in (await service.http.get("/metrics")).text


async def test_the_requests_of_telegraf(service: Any, at_ns: int) -> None:
    agent = {"User-Agent": "Telegraf/1.38.0 Go/1.25"}
    created = await service.http.post("/query", data={"q": 'CREATE DATABASE "telegraf"'}, headers=agent)
    assert created.json() == {"results": [{"statement_id": 0}]}
    body = (
        f"cpu,cpu=cpu0,host=pc usage_user=3.1,usage_system=1.2,usage_idle=95.7 {at_ns}\n"
        f"disk,device=sda1,fstype=ext4,host=pc,mode=rw,path=/ total=250438021120i,used_percent=41.2 {at_ns}\n"
        f'system,host=pc load1=0.21,n_cpus=4i,uptime_format="11 days,  4:05" {at_ns}\n'
    )
    packed = gzip.compress(body.encode())
    for path in (
        "/write?consistency=any&db=telegraf&rp=",
        "/api/v2/write?bucket=b&org=o",
        "/api/v3/write_lp?db=d&precision=nanosecond",
    ):
        headers = {**agent, "Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
        answer = await service.http.post(path, content=packed, headers=headers)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
    found = {s["metric"]: (s["labels"], s["value"]) for s in (await service.history())["series"]}
    disk = {"device": "sda1", "fstype": "ext4", "host": "pc", "mode": "rw", "path": "/"}
    assert found["disk/total"] == (disk, [250438021120]), "stored once: it is the same body"
    assert set(found) == {
        *(f"cpu/usage_{name}" for name in ("user", "system", "idle")), "disk/total", "disk/used_percent",
        "system/load1", "system/n_cpus", "system/uptime_format",
    }  # fmt: skip


async def test_the_requests_of_proxmox(service: Any, at_ns: int) -> None:
    """It names no Content-Type, sends seconds as ns, asks /health when it is set up, and never repeats a body."""
    token = {"Authorization": "Token x"}
    assert (await service.http.get("/health", headers=token)).status_code == 200
    body = (
        "".join(
            f"system,object=qemu,vmid={n},nodename=pve,host=vm\\ {n} cpu=0.01,mem=1073741824,uptime=86400 {at_ns}\n"
            for n in range(100, 400)
        )
        + f'cpustat,object=nodes,host=pve cpu=0.03,avg1=0.5,kversion="Linux 6.8" {at_ns}\n'
    )
    request = service.http.build_request(
        "POST", "/api/v2/write?org=proxmox&bucket=proxmox", content=body.encode(), headers=token
    )
    del request.headers["accept-encoding"]
    assert (await service.http.send(request)).status_code == 204
    found = await service.history("system/mem", start="-1h")
    assert len(found["series"]) == 300
    assert found["series"][0]["labels"]["nodename"] == "pve"


async def test_glances_as_it_is(service: Any, tmp_path: Path, eventually: Eventually) -> None:
    """The program itself watches this machine and publishes by its own export."""
    config = tmp_path / "glances.conf"
    lines = ("host=127.0.0.1", f"port={service.port}", "protocol=http", "user=glances", "password=none")
    config.write_text("\n".join(("[influxdb2]", *lines, "org=o", "bucket=b", "token=TOKEN")), encoding="utf-8")
    few = "--disable-plugin", "all", "--enable-plugin", "cpu,mem,load,fs,processcount,system"
    glances = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "glances", "--export", "influxdb2", "-C", str(config), "-t", "1", "--quiet", *few),
        env={**os.environ, "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:

        async def arrived() -> bool:
            return {"cpu/total", "mem/percent", "load/min1"} <= set(await service.stored())

        await eventually(arrived)
    finally:
        glances.kill()
        await glances.wait()
    [total] = (await service.history("cpu/total"))["series"]
    assert total["labels"]["hostname"]
    assert all(0 <= value <= 100 for value in total["value"])
    print(sorted({(s["metric"], tuple(s["labels"])) for s in (await service.history())["series"]}))
    assert 'tidewire_rows_rejected_total{ingest="influx"' not in (await service.http.get("/metrics")).text
