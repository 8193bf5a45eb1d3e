"""The inbox: plain PUBLISH and XADD become readings like any other; exactly one process appends."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import redis
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire.errors import InvalidInput
from tidewire.model.batch import IngestLimits
from tidewire_service.ingest.message_rows import entry_row, message_row
from tidewire_service.ingest.sweeper import sweep_each_minute

LIMITS = IngestLimits()


def test_a_message_is_a_number_or_a_batch() -> None:
    assert message_row("m", b" 921.4\n", LIMITS) == {"metric": "m", "value": 921.4}
    assert message_row("m", b"nan", LIMITS) == {"metric": "m", "value": None}
    assert message_row("m", b"true", LIMITS) == {"metric": "m", "value": 1.0}
    assert message_row("m", b'{"value":[1],"unit":"Cel"}', LIMITS) == {"metric": "m", "value": [1], "unit": "Cel"}
    assert message_row("m", b'{"metric":"m","value":1}', LIMITS)["metric"] == "m"
    for payload in (b"", b"x", b"1 2", b"{", b"[1]", b"\xff", b'{"metric":"n","value":1}', b"1e999", b"0x10", b"1_000"):
        with pytest.raises(InvalidInput):
            message_row("m", payload, LIMITS)


def test_an_entry_is_a_row() -> None:
    fields = {b"metric": b"m", b"value": b"1.5", b"unit": b"Cel", b"labels": b'{"site":"A"}', b"time": b"1763871234567"}
    expected = {"metric": "m", "value": 1.5, "unit": "Cel", "labels": {"site": "A"}, "time": 1763871234567.0}
    assert entry_row(fields, 5.0, LIMITS) == expected
    assert entry_row({b"metric": b"m", b"value": b"[1,2]"}, 5.0, LIMITS) == {
        "metric": "m",
        "value": [1, 2],
        "time": [5.0, 5.0],
    }
    assert entry_row({b"metric": b"m", b"value": b"1", b"time": b"2026-01-31T12:00:00Z"}, 5.0, LIMITS)[
        "time"
    ].startswith("2026")
    for bad in (
        {b"metric": b"m", b"value": b"x"},
        {b"sensor": b"m"},
        {b"\xff": b"1"},
        {b"metric": b"m", b"labels": b"{"},
    ):
        with pytest.raises(InvalidInput):
            entry_row(bad, 5.0, LIMITS)


async def test_a_published_number_reaches_stream_history_and_catalogue(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    inbox = service.app.state.inboxes[0]
    await eventually(lambda: inbox.lease.owns)
    lines = []

    async def listen() -> None:
        async with service.http.stream("GET", "/v1/stream?metric=furnace/**") as answer:
            async for line in answer.aiter_lines():
                lines.append(line)
                if line.startswith('data: {"metric"'):
                    return

    listening = asyncio.create_task(listen())
    await eventually(lambda: "event: live" in lines)
    before_ms = time.time() * 1e3
    assert valkey.client.publish("tw:in:furnace/temperature", "921.4") == 1
    await asyncio.wait_for(listening, HANG_S)
    batch = json.loads(lines[-1][6:])
    assert (batch["metric"], batch["value"]) == ("furnace/temperature", [921.4])
    assert before_ms - 1_000 < batch["time"][0] < before_ms + 5_000
    valkey.client.publish("tw:in:furnace/temperature", '{"value":[1,2],"unit":"Cel","labels":{"site":"A"}}')

    async def both() -> bool:
        return await service.stored() == {"furnace/temperature": [921.4, 1, 2]}

    await eventually(both)
    catalog = (await service.http.get("/v1/catalog")).json()["series"]
    assert [series["count"] for series in catalog] == [1, 2]


async def test_added_entries_are_appended_once_and_leave_the_inbox(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    client = valkey.client
    for n in range(50):
        client.xadd("tw:in", {"metric": f"m/{n % 5}", "value": n, "unit": "Cel", "labels": '{"site":"A"}'})
    id_ = client.xadd("tw:in", {"metric": "time", "value": 1})

    async def all_there() -> bool:
        return sum(len(values) for values in (await service.stored()).values()) == 51

    await eventually(all_there)
    await eventually(lambda: client.xlen("tw:in") == 0)
    assert client.xpending("tw:in", "tw")["pending"] == 0
    assert (await service.stored())["m/0"] == list(range(0, 50, 5))
    assert (await service.history("time"))["series"][0]["time"] == [float(id_.split(b"-")[0])]
    assert not client.exists("tw:in:dead")


async def test_what_cannot_be_read_is_kept_with_its_reason(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    client = valkey.client
    await eventually(lambda: service.app.state.inboxes[0].lease.owns)
    client.xadd("tw:in", {"metric": "bad*", "value": 1})
    client.xadd("tw:in", {"sensor": "x", "reading": 1})
    client.xadd("tw:in", {b"\xff": b"\x00", "value": "x" * 10_000})
    client.publish("tw:in:m", "not a number")
    client.publish("tw:in:m", b"9" * 300_000)
    client.publish("tw:in:bad*", "1")
    client.publish("tw:in:", "1")
    client.publish(b"tw:in:temp\xe9rature", "1")  # Latin-1
    client.xadd("tw:in", {"metric": "good", "value": 1})
    await eventually(lambda: client.xlen("tw:in:dead") == 8)
    await eventually(lambda: client.xlen("tw:in") == 0)

    async def stored() -> bool:
        return await service.stored() == {"good": [1]}

    await eventually(stored)
    reasons = [fields[b"reason"].decode() for _, fields in client.xrange("tw:in:dead")]
    assert all(reasons)
    assert max(client.memory_usage("tw:in:dead"), 0) < 100_000
    assert b"temp\xe9rature" in [fields.get(b"metric") for _, fields in client.xrange("tw:in:dead")]
    assert service.app.state.inboxes[0].counters["dead"] == 8


async def test_the_dead_are_bounded(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    pipe = valkey.client.pipeline()
    for n in range(1_300):
        pipe.xadd("tw:in", {"metric": "bad*", "value": n})
    pipe.execute()
    await eventually(lambda: valkey.client.xlen("tw:in") == 0)
    assert valkey.client.xlen("tw:in:dead") == 1_000


async def test_one_of_two_processes_appends_each_message(start: Any, valkey: Valkey, eventually: Eventually) -> None:
    one, two = await start(), await start()
    inboxes = [service.app.state.inboxes[0] for service in (one, two)]
    await eventually(lambda: any(inbox.lease.owns for inbox in inboxes))
    for n in range(200):
        valkey.client.publish("tw:in:m", n)
        valkey.client.xadd("tw:in", {"metric": "d", "value": n})

    async def all_there() -> bool:
        stored = await one.stored()
        return stored.get("m") == stored.get("d") == list(range(200))

    await eventually(all_there)
    assert sorted(inbox.counters["readings"] for inbox in inboxes) == [0, 400]


async def test_the_other_process_takes_over_when_the_holder_ends(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    one, two = await start(lease_ttl_ms=300), await start(lease_ttl_ms=300)
    services = {service.app.state.inboxes[0]: service for service in (one, two)}
    await eventually(lambda: any(inbox.lease.owns for inbox in services))
    holder = next(inbox for inbox in services if inbox.lease.owns)
    other = next(inbox for inbox in services if inbox is not holder)
    for n in range(100):
        valkey.client.xadd("tw:in", {"metric": "d", "value": n})
    stopping = asyncio.create_task(services[holder].stop())
    for n in range(100, 200):
        valkey.client.xadd("tw:in", {"metric": "d", "value": n})
    await eventually(lambda: other.lease.owns)
    valkey.client.publish("tw:in:m", 1)
    survivor = services[other]

    async def all_there() -> bool:
        stored = await survivor.stored()
        return stored.get("m") == [1] and stored.get("d") == list(range(200))

    await eventually(all_there)
    await stopping
    assert valkey.client.xlen("tw:in") == 0


async def test_what_a_dead_process_had_taken_is_appended_by_the_next(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    client = valkey.client
    client.xgroup_create("tw:in", "tw", "0", mkstream=True)
    for n in range(10):
        client.xadd("tw:in", {"metric": "d", "value": n})
    client.xreadgroup("tw", "dead-process", {"tw:in": ">"}, count=6)
    service = await start()

    async def all_there() -> bool:
        return (await service.stored()).get("d") == list(range(10))

    await eventually(all_there)
    assert client.xpending("tw:in", "tw")["pending"] == 0
    await eventually(lambda: [c["name"] for c in client.xinfo_consumers("tw:in", "tw")] != [b"dead-process"])


async def test_a_holder_that_lost_the_lease_unawares_appends_nothing(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    inbox = service.app.state.inboxes[0]
    await eventually(lambda: inbox.lease.owns)
    lost = inbox.lease.token
    valkey.client.set("tw:{0}:lease", "another", px=60_000)
    valkey.client.publish("tw:in:m", "1")
    await eventually(lambda: inbox.lease.token != lost)
    assert not inbox.lease.owns
    valkey.client.publish("tw:in:m", "2")  # now the other's
    valkey.client.publish("tw:in:*", "another")
    valkey.client.delete("tw:{0}:lease")
    await eventually(lambda: inbox.lease.owns)
    valkey.client.publish("tw:in:m", "3")

    async def third() -> bool:
        return await service.stored() == {"m": [3]}

    await eventually(third)


@pytest.mark.parametrize(
    "message", ["x", "", "921.4", '{"value":[1]}', "0123456789abcdef", "0" * 17, "ABCDEFABCDEF0123"]
)
async def test_only_a_marker_with_our_token_changes_who_appends(
    service: Any, valkey: Valkey, eventually: Eventually, message: str
) -> None:
    inbox = service.app.state.inboxes[0]
    await eventually(lambda: inbox.lease.owns)
    for value in range(20):
        valkey.client.publish("tw:in:m", value)
        valkey.client.publish("tw:in:*", message)

    async def all_there() -> bool:
        return (await service.stored()).get("m") == [float(value) for value in range(20)]

    await eventually(all_there)
    if (
        message != "0123456789abcdef"
    ):  # what may be a marker is none of the readings; anything else is one, of no metric
        await eventually(lambda: inbox.counters["dead"] == 20)
        assert valkey.client.xrevrange("tw:in:dead", count=1)[0][1][b"metric"] == b"*"


@pytest.mark.parametrize(
    "left",
    [
        ("SET", "another"),
        ("SET", "another", "PX", 30 * 86_400_000),
        ("SET", ""),
        ("HSET", "another", "x"),
        ("RPUSH", "another"),
    ],
    ids=lambda left: " ".join(map(str, left)),
)
async def test_a_lease_that_a_foreign_hand_left_is_taken_over(
    start: Any, valkey: Valkey, eventually: Eventually, left: tuple[Any, ...]
) -> None:
    valkey.cli(left[0], "tw:{0}:lease", *left[1:])
    service = await start(lease_ttl_ms=300)
    await eventually(lambda: service.app.state.inboxes[0].lease.owns)
    valkey.client.publish("tw:in:m", 1)
    valkey.client.xadd("tw:in", {"metric": "d", "value": 2})

    async def both() -> bool:
        return await service.stored() == {"m": [1], "d": [2]}

    await eventually(both)


async def test_a_lease_that_another_process_renews_is_left_to_it(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    valkey.client.set("tw:{0}:lease", "another", px=3_600_000)
    service = await start(lease_ttl_ms=300)
    lease = service.app.state.inboxes[0].lease
    for _ in range(5):
        await lease.renew()
    assert not lease.held
    assert valkey.client.get("tw:{0}:lease") == b"another"


@pytest.mark.parametrize("urls", [("/0", "/1"), ("", "/2"), ("?db=3", "/1")])
async def test_two_services_on_two_databases_of_one_redis_share_nothing(
    start: Any, valkey: Valkey, eventually: Eventually, urls: tuple[str, str]
) -> None:
    services = [await start(redis=valkey.url + url) for url in urls]
    keys = [service.app.state.hub.log.home.keys for service in services]
    for service in services:
        await eventually(lambda service=service: service.app.state.inboxes[0].lease.owns)
    for number, key in enumerate(keys):
        valkey.client.publish(key.inbox_channels.replace("*", "m"), number)

    async def each_its_own() -> bool:
        return [await service.stored() for service in services] == [{"m": [0]}, {"m": [1]}]

    await eventually(each_its_own)
    for number, service in enumerate(services):
        await service.post({"metric": "n", "value": [number]})
    assert [(await service.stored())["n"] for service in services] == [[0], [1]]
    counters = [service.app.state.hub.counters for service in services]
    assert [counter["frames_stale"] for counter in counters] == [0, 0], (
        "live frames of the other database are not heard"
    )
    assert [service.app.state.inboxes[0].counters["messages"] for service in services] == [1, 1]


async def test_on_database_0_the_channel_is_as_ever(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    await eventually(lambda: service.app.state.inboxes[0].lease.owns)
    assert valkey.client.publish("tw:in:m", 1) == 1
    assert valkey.client.publish("tw:1:in:m", 1) == 0


async def test_the_inbox_goes_on_after_a_flush_and_a_cut_connection(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    client = valkey.client
    inbox = service.app.state.inboxes[0]
    await eventually(lambda: inbox.lease.owns)
    client.xadd("tw:in", {"metric": "d", "value": 1})
    await eventually(lambda: client.xlen("tw:in") == 0)
    client.flushall()
    client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    client.xadd("tw:in", {"metric": "d", "value": 2})

    async def second() -> bool:
        return (await service.stored()).get("d") == [2]

    await eventually(second)

    async def heard() -> bool:
        client.publish("tw:in:m", 3)
        return bool((await service.stored()).get("m"))

    await eventually(heard)


async def test_entries_added_while_redis_was_away_are_taken_once(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    service = await start(redis_timeout_s=1)
    for n in range(300):
        valkey.client.xadd("tw:in", {"metric": "d", "value": n})
        if n == 150:
            valkey.client.execute_command("CLIENT", "PAUSE", 1_500, "ALL")
            break
    valkey.client.connection_pool.disconnect()
    patient = redis.Redis(port=valkey.port, socket_timeout=HANG_S)
    for n in range(151, 300):
        patient.xadd("tw:in", {"metric": "d", "value": n})

    async def all_there() -> bool:
        answer = await service.http.get("/v1/history?metric=d")
        return answer.status_code == 200 and sum(len(s["value"]) for s in answer.json()["series"]) >= 300

    await eventually(all_there)
    assert (await service.stored())["d"] == list(range(300))
    patient.close()


@pytest.mark.parametrize("entry_id", ["1-1", "99999999999999-1"])
async def test_an_entry_whose_id_is_no_time_gets_that_of_the_log(
    start: Any, valkey: Valkey, eventually: Eventually, entry_id: str
) -> None:
    service = await start()
    valkey.client.xadd("tw:in", {"metric": "m", "value": "1"}, id=entry_id)
    valkey.client.xadd("tw:in", {"metric": "m", "value": "2"})  # its id follows that one

    async def both() -> bool:
        found = (await service.history("m"))["series"]
        return bool(found and sorted(found[0]["value"]) == [1, 2])

    await eventually(both)
    assert valkey.client.xlen("tw:in:dead") == 0


async def test_the_holder_sweeps_idle_metrics(start: Any, valkey: Valkey, eventually: Eventually) -> None:
    service = await start(retention_silent_s=60)
    await service.post([{"metric": "old", "value": 1}, {"metric": "new", "value": 1}])
    old = int(time.time() * 1e3) - 120_000
    valkey.client.hset("tw:{0}:tail", "old", f"{old}-0")
    inbox, hub = service.app.state.inboxes[0], service.app.state.hub
    await eventually(lambda: inbox.lease.held)
    sweeping = asyncio.create_task(sweep_each_minute(hub.parts[0], inbox.lease, 0.05))
    try:
        await eventually(lambda: not valkey.client.hexists("tw:{0}:tail", "old"))
        assert valkey.client.hexists("tw:{0}:tail", "new")
    finally:
        sweeping.cancel()


async def test_pods_that_are_gone_leave_the_catalogue_and_make_room(start: Any, eventually: Eventually) -> None:
    service = await start(max_series=3, retention_age_s=1)
    rows = [{"metric": "up", "value": 1, "labels": {"pod": pod}} for pod in "abcd"]
    assert (await service.post(rows[:3])).json()["accepted"] == 3
    assert (await service.post(rows[3])).status_code == 422
    inbox, hub = service.app.state.inboxes[0], service.app.state.hub
    await eventually(lambda: inbox.lease.held)
    sweeping = asyncio.create_task(sweep_each_minute(hub.parts[0], inbox.lease, 0.05))
    try:

        async def taken() -> bool:
            return bool((await service.post(rows[3])).status_code == 200)

        await eventually(taken)
        found = (await service.http.get("/v1/catalog")).json()["series"]
        assert [series["labels"] for series in found] == [{"pod": "d"}]
    finally:
        sweeping.cancel()
