"""GET /v1/catalog, /health/* and /metrics."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any

import pytest
from servers import Valkey
from waiting import Eventually, generous

from tidewire.model.cursor import parse_id
from tidewire.redislog.calls import ServerInfo
from tidewire.redislog.server_checks import check_server


async def test_the_catalogue_has_every_series_with_its_last_reading(service: Any, now_ms: float) -> None:
    await service.post(
        {"metric": "a", "time": [now_ms, now_ms - 5], "value": [1, 2], "labels": {"site": "A"}, "unit": "Cel"}
    )
    await service.post({"metric": "a", "time": [now_ms + 1], "value": [None], "labels": {"site": "B"}})
    await service.post({"metric": "b/c", "time": [now_ms], "value": [3], "text": ["flag"]})
    await service.post({"metric": "a", "time": [now_ms + 2], "value": [4], "labels": {"site": "A"}, "unit": "Cel"})
    found = (await service.http.get("/v1/catalog")).json()
    shown = [
        (s["metric"], s["labels"], s["unit"], s["time"], s["value"], s["count"], s["text"]) for s in found["series"]
    ]
    assert shown == [
        ("a", {"site": "A"}, "Cel", now_ms + 2, 4, 3, None),
        ("a", {"site": "B"}, "", now_ms + 1, None, 1, None),
        ("b/c", {}, "", now_ms, 3, 1, "flag"),
    ]
    assert abs(parse_id(found["series"][0]["id"]) / 2**32 - time.time() * 1e3) < 60_000
    assert all(series["rate"] is None for series in found["series"])  # it has not watched for long enough

    async def names(**query: Any) -> list[str]:
        answer = (await service.http.get("/v1/catalog", params=query)).json()
        return [s["metric"] + s["labels"].get("site", "") for s in answer["series"]]

    assert await names(metric="b/*") == ["b/c"]
    assert await names(label="site:B") == ["aB"]
    assert await names(metric="none") == []
    bad = await service.http.get("/v1/catalog", params={"metric": "a["})
    assert (bad.status_code, bad.json()["field"]) == (422, "pattern")


async def test_a_stream_goes_on_where_the_catalogue_ends(service: Any) -> None:
    await service.post({"metric": "m", "value": 1})
    cursor = (await service.http.get("/v1/catalog")).json()["cursor"]
    await service.post({"metric": "m", "value": 2})
    async with service.http.stream("GET", "/v1/stream", params={"metric": "**", "cursor": cursor}) as answer:
        async for line in answer.aiter_lines():
            if line.startswith('data: {"metric"'):
                assert json.loads(line[6:])["value"] == [2]
                break


async def test_a_catalogue_that_is_too_long_says_so(start: Any) -> None:
    service = await start(catalog_rows=2)
    await service.post([{"metric": f"m/{n}", "value": n} for n in range(3)])
    answer = await service.http.get("/v1/catalog")
    assert answer.status_code == 413
    assert "metric=" in answer.json()["detail"]
    assert (await service.http.get("/v1/catalog?metric=m/1")).status_code == 200


async def test_readiness_is_true_about_redis(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    assert (await service.http.get("/health/live")).json() == {"live": True}
    ready = await service.http.get("/health/ready")
    assert ready.json()["ready"] is True
    assert ready.json()["redis_ms"] < 1_000

    os.kill(valkey.pid, signal.SIGSTOP)
    stopped = time.monotonic()

    async def not_ready() -> bool:
        answer = await service.http.get("/health/ready")
        return answer.status_code == 503 and bool(answer.json()["reason"]) and "retry-after" in answer.headers

    await eventually(not_ready)
    assert time.monotonic() - stopped < generous(5)
    assert (await service.http.get("/health/live")).status_code == 200
    os.kill(valkey.pid, signal.SIGCONT)
    await service.ready()


async def test_without_redis_reads_and_writes_answer_503_and_go_on_when_it_is_back(start: Any, valkey: Valkey) -> None:
    service = await start(redis_timeout_s=1)
    await service.post({"metric": "m", "value": 1})
    valkey.stop()
    for answer in (
        await service.post({"metric": "m", "value": 2}),
        await service.http.get("/v1/history?metric=m"),
        await service.http.get("/v1/catalog"),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert "Redis" in answer.json()["detail"]
    assert (await service.http.get("/health/ready")).status_code == 503
    assert (await service.http.get("/metrics")).status_code == 200
    valkey.start()
    await service.ready()
    await service.post({"metric": "m", "value": 3})
    assert await service.stored() == {"m": [1, 3]}


async def test_the_service_starts_without_redis_and_becomes_ready_with_it(start: Any, valkey: Valkey) -> None:
    valkey.stop()
    service = await start(wait=False, redis_timeout_s=1)
    assert (await service.http.get("/health/ready")).status_code == 503
    assert (await service.post({"metric": "m", "value": 1})).status_code == 503
    valkey.start()
    await service.ready()
    assert (await service.post({"metric": "m", "value": 1})).status_code == 200


async def test_a_full_redis_answers_503_until_memory_is_freed(service: Any, valkey: Valkey) -> None:
    await service.post({"metric": "m", "value": 1})
    valkey.client.config_set("maxmemory", "1mb")
    full = await service.post({"metric": "m", "value": 2})
    assert full.status_code == 503, full.text
    assert full.json()["type"].endswith("log-full")
    assert "maxmemory" in full.json()["detail"]
    assert "retry-after" in full.headers
    valkey.client.config_set("maxmemory", "0")
    assert (await service.post({"metric": "m", "value": 3})).status_code == 200
    assert await service.stored() == {"m": [1, 3]}


async def test_metrics_count_and_do_not_grow_with_names(service: Any) -> None:
    async def scrape() -> dict[str, float]:
        answer = await service.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    await service.post([{"metric": "m", "value": [1, 2]}, {"metric": "m*", "value": 1}])
    for path in ("/nothing", "/v1/history?metric=", "/v1/catalog", "/health/live"):
        await service.http.get(path)
    await scrape()
    before = await scrape()
    assert before['tidewire_readings_accepted_total{ingest="http"}'] == 2
    assert before['tidewire_rows_rejected_total{ingest="http",reason="metric"}'] == 1
    assert before['tidewire_http_requests_total{method="GET",route="-",status="404"}'] == 1
    assert before["tidewire_hub_metrics"] == 1
    for n in range(100):
        await service.post({"metric": f"name/{n}", "value": 1, f"field{n}": 1})
        await service.post({"metric": f"name/{n}", "value": 1})
        await service.http.get(f"/{n}")
    await service.http.request("WEIRD", "/x")
    after = await scrape()
    assert after["tidewire_hub_metrics"] == 101
    assert len(after) - len(before) < 20


async def test_while_redis_is_paused_writes_are_refused_in_time_and_go_on_after_it(start: Any, valkey: Valkey) -> None:
    service = await start(redis_timeout_s=2)  # a busy machine alone may hold a Valkey up for more than one second
    os.kill(valkey.pid, signal.SIGSTOP)
    started = time.monotonic()
    answers = await asyncio.gather(*(service.post({"metric": "paused", "value": n}) for n in range(64)))
    assert {answer.status_code for answer in answers} == {503}
    assert all("retry-after" in answer.headers for answer in answers)
    assert time.monotonic() - started < generous(2 * 2), "two deadlines: one for a connection, one for its answer"
    os.kill(valkey.pid, signal.SIGCONT)
    await service.ready()
    answers = await asyncio.gather(*(service.post({"metric": "after", "value": n}) for n in range(64)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted((await service.stored())["after"]) == list(range(64))


async def test_foreign_types_in_our_keys_are_skipped_and_counted(service: Any, valkey: Valkey) -> None:
    await service.post([{"metric": name, "value": 1} for name in ("good", "log", "last", "garbled")])
    client = valkey.client
    client.delete("tw:{0}:log:log", "tw:{0}:last:last")
    client.set("tw:{0}:log:log", "a string")
    client.set("tw:{0}:last:last", "a string")
    client.hset("tw:{0}:last:garbled", "{}", "garbage")
    client.hset("tw:{0}:tail", "no id", "no id")
    assert await service.stored() == {"garbled": [1], "good": [1], "last": [1]}
    catalog = (await service.http.get("/v1/catalog")).json()["series"]
    assert [series["metric"] for series in catalog] == ["good", "log"]
    assert (await service.post({"metric": "good", "value": 2})).status_code == 200
    poisoned = await service.post(
        [{"metric": "log", "value": 1}, {"metric": "last", "value": 1}, {"metric": "good", "value": 3}]
    )
    assert poisoned.status_code == 200
    assert [row["row"] for row in poisoned.json()["rejected"]] == [0, 1]
    assert "another program" in poisoned.json()["rejected"][0]["reason"]


async def test_a_read_after_a_restart_of_redis_waits_for_nothing(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    """The hub's position keeps the epoch in which it was minted, while the clock has a new one."""
    service = await start()
    assert (await service.post({"metric": "a", "value": 1})).status_code == 200
    valkey.restart()
    hub = service.app.state.hub
    await eventually(lambda: hub.ready and hub.parts[0].partition.epoch != hub.position.epoch)

    def directories() -> int:
        stats = valkey.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hgetall", "hscan"))

    before = directories()
    history = await service.http.get("/v1/history?metric=a")
    assert history.json()["series"][0]["value"] == [1]
    assert directories() == before, "the hub knew the directory; after 250 ms it was read from Redis"


def test_settings_of_redis_that_break_the_promise_are_named() -> None:
    good = ServerInfo("Valkey", "9.1", True, "noeviction", 0, 0)
    assert check_server(good) == []
    bad = check_server(good._replace(append_only=False, eviction_policy="allkeys-lru"))
    assert [(finding.level, finding.what) for finding in bad] == [("note", "eviction"), ("note", "persistence")]
    assert "noeviction" in bad[0].remedy
    assert "appendonly" in bad[1].remedy
    for old in ("6.2.14", "5.0.7"):
        assert "7.0" in check_server(good._replace(version=old))[0].remedy
    for fine in ("7.0.15", "8.2.1", "9.1", "255.255.255", "?"):
        assert check_server(good._replace(version=fine)) == []
    assert "could not be written" in check_server(good._replace(append_only_written=False))[0].found
    limited = good._replace(max_memory=1 << 20)
    unfit = (
        limited._replace(eviction_policy="allkeys-lru"), limited._replace(used_memory=(1 << 20) - 1),
        good._replace(replica_of="10.0.0.1:6379"),
    )  # fmt: skip
    for info, what in zip(unfit, ("eviction", "memory", "role"), strict=True):
        assert [(finding.level, finding.what) for finding in check_server(info)] == [("wrong", what)]


async def test_the_audit_is_logged_when_redis_is_first_reached(
    start: Any, valkey: Valkey, capsys: Any, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    valkey.client.config_set("maxmemory-policy", "allkeys-lru")
    await start()
    logged = ""

    def warned() -> bool:
        nonlocal logged
        logged += capsys.readouterr().out + caplog.text  # where another test of this process let it go
        return "redis_setting_risky" in logged and "allkeys-lru" in logged

    await eventually(warned)
